#include "eval/density_gradient.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/float_env.h"
#include "eval/density_block.h"
#include "eval/poisson.h"
#include "eval/theta.h"
#include "graph/weights.h"

/* Steps that are kept before they are mixed, and steps after which a Poisson weight is computed anew. */
#define CHUNK 256
#define FRESH 64

/* Windows of steps: the mass outside of them, as exp(-EXPONENT); with tail accuracy all that a double can hold. */
#define EXPONENT 60.0

/* One row of theta at work. Values come as slots of `width` = 1 + P doubles: a value and its derivatives, each times a
 * power of two near its parameter, so that none is far from the size of its value. */
typedef struct row_at_work {
    const pm_chain *chain;
    const pm_request *request;
    size_t row, width;
    const double *theta, *start, *times; /* of this row */
    int *unit;                           /* P: the exponents of these powers */
    double lambda;                       /* 1 when discrete */
    double exponent;
    double *table, *keep;         /* n_weights and n slots: probabilities of an edge, and of staying, in a step */
    double *out;                  /* n slots: what leaves a state, before it is divided by lambda */
    double *now, *next;           /* n slots */
    double *a, *c, *s;            /* CHUNK slots: absorbed in the next step, absorbed so far, not absorbed */
    double *absorbed;             /* a slot: absorbed so far */
    pm_wide *change;              /* n_starts */
    double *pdf, *cdf, *survival; /* T slots: the sums over steps */
    uint64_t *first, *last;       /* T: windows */
    uint64_t steps;
    pm_progress *progress;
    pm_pool pool;
} row_at_work;

static size_t row_bytes(const pm_chain *c, const pm_request *r) {
    double slots = (double)c->graph->n_weights + 4.0 * c->n + 3.0 * CHUNK + 3.0 * (double)r->n_times;
    return (size_t)fmin(8.0 * slots * (1.0 + c->graph->n_params) + 16.0 * (double)r->n_times, 9e18);
}

static pm_status row_new(const pm_chain *chain, const pm_request *request, pm_progress *progress, row_at_work *out,
                         pm_error *err) {
    size_t width = 1 + (size_t)chain->graph->n_params, slot = width * sizeof(double);
    *out = (row_at_work){.chain = chain, .request = request, .width = width, .progress = progress};
    out->exponent = request->tail_accuracy ? PM_FULL_EXPONENT : EXPONENT;
    out->table = pmi_pool_array(&out->pool, chain->graph->n_weights, slot);
    out->keep = pmi_pool_array(&out->pool, chain->n, slot);
    out->out = pmi_pool_array(&out->pool, chain->n, slot);
    out->now = pmi_pool_array(&out->pool, chain->n, slot);
    out->next = pmi_pool_array(&out->pool, chain->n, slot);
    out->a = pmi_pool_array(&out->pool, CHUNK, slot);
    out->c = pmi_pool_array(&out->pool, CHUNK, slot);
    out->s = pmi_pool_array(&out->pool, CHUNK, slot);
    out->unit = pmi_pool_array(&out->pool, width, sizeof *out->unit);
    out->absorbed = pmi_pool_array(&out->pool, 1, slot);
    out->change = pmi_pool_array(&out->pool, chain->graph->n_starts, sizeof *out->change);
    out->pdf = pmi_pool_array(&out->pool, request->n_times, slot);
    out->cdf = pmi_pool_array(&out->pool, request->n_times, slot);
    out->survival = pmi_pool_array(&out->pool, request->n_times, slot);
    out->first = pmi_pool_array(&out->pool, request->n_times, sizeof *out->first);
    out->last = pmi_pool_array(&out->pool, request->n_times, sizeof *out->last);
    return pmi_pool_check(&out->pool, err, "the derivatives of densities", row_bytes(chain, request));
}

/* ---- rates and their derivatives ---- */

/* Of a parameter that is zero: that of the others. */
static void set_units(const row_at_work *r) {
    int largest = -1100;
    for (size_t p = 0; p + 1 < r->width; p++) {
        if (r->theta[p] != 0.0) {
            int exponent = ilogb(r->theta[p]);
            largest = exponent > largest ? exponent : largest;
        }
    }
    for (size_t p = 0; p + 1 < r->width; p++) {
        r->unit[p] = r->theta[p] != 0.0 ? ilogb(r->theta[p]) : largest > -1100 ? largest : 0;
    }
}

static void set_weights(const row_at_work *r) {
    const pm_graph *g = r->chain->graph;
    for (size_t w = 0; w < g->n_weights; w++) {
        double *slot = r->table + w * r->width;
        slot[0] = pmi_graph_weight(g, (uint32_t)w, r->theta);
        for (size_t p = 1; p < r->width; p++) {
            slot[p] = ldexp(pmi_graph_coefficient(g, w, p - 1), r->unit[p - 1]);
        }
    }
}

/* slot / total, with derivatives: q' = (x' - q total') / total. */
static void divide(double *slot, const double *total, size_t width) {
    slot[0] /= total[0];
    for (size_t p = 1; p < width; p++) {
        slot[p] = (slot[p] - slot[0] * total[p]) / total[0];
    }
}

/* Where rows are normalized, each weight is divided by the sum of its row. `total` is a slot to work in. */
static void normalize(const row_at_work *r, double *total) {
    const pm_graph *g = r->chain->graph;
    for (uint32_t s = 0; s < g->n_sums; s++) {
        memset(total, 0, r->width * sizeof *total);
        for (size_t w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
            for (size_t p = 0; p < r->width; p++) {
                total[p] += g->times[w] * r->table[w * r->width + p];
            }
        }
        for (size_t w = g->sum_first[s]; total[0] > 0.0 && w < g->sum_first[s + 1]; w++) {
            divide(r->table + w * r->width, total, r->width);
        }
    }
}

static void add_slot(double *to, const double *from, double factor, size_t width) {
    for (size_t p = 0; p < width; p++) {
        to[p] += factor * from[p];
    }
}

/* What leaves each state; where rows are normalized also what stays by its self-loops, which go to `keep`. */
static void sum_outflow(const row_at_work *r) {
    const pm_chain *c = r->chain;
    size_t width = r->width;
    memset(r->out, 0, c->n * width * sizeof *r->out);
    memset(r->keep, 0, c->n * width * sizeof *r->keep);
    for (size_t e = 0; e < c->in_first[c->n]; e++) {
        add_slot(r->out + c->in_source[e] * width, r->table + c->in_weight[e] * width, 1.0, width);
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        add_slot(r->out + c->exit_state[e] * width, r->table + c->exit_weight[e] * width, 1.0, width);
    }
    for (size_t e = 0; e < c->n_loops; e++) {
        add_slot(r->keep + c->loop_state[e] * width, r->table + c->loop_weight[e] * width, 1.0, width);
    }
}

/* lambda is above all rates, so that staying, one minus what leaves, keeps its digits. */
static void set_lambda(row_at_work *r) {
    const pm_chain *c = r->chain;
    double most = 0.0;
    for (size_t i = 0; i < c->n; i++) {
        most = fmax(most, r->out[i * r->width]);
    }
    r->lambda = c->graph->is_discrete ? 1.0 : PM_EXTENDED_LAMBDA * most;
}

static void set_rates(row_at_work *r) {
    const pm_chain *c = r->chain;
    const pm_graph *g = c->graph;
    set_weights(r);
    if (g->normalizes_rows) {
        normalize(r, r->absorbed);
    }
    sum_outflow(r);
    set_lambda(r);
    double lambda = r->lambda > 0.0 ? r->lambda : 1.0; /* not by its inverse, which may be infinite */
    for (size_t i = 0; i < g->n_weights * r->width; i++) {
        r->table[i] /= lambda;
    }
    for (size_t i = 0; i < c->n; i++) {
        double *keep = r->keep + i * r->width, *out = r->out + i * r->width;
        if (g->normalizes_rows && out[0] > 0.0) {
            continue; /* it stays by its self-loops alone */
        }
        for (size_t p = 0; p < r->width; p++) {
            keep[p] = (p == 0 ? 1.0 : 0.0) - out[p] / lambda;
        }
    }
}

static void add_start(const row_at_work *r, size_t s, size_t p, double value) {
    uint32_t state = r->chain->start_state[s];
    if (state < r->chain->n) {
        r->now[state * r->width + p] += value;
    } else if (state == PM_START_ABSORBED) {
        r->absorbed[p] += value;
    }
}

/* The start distribution and its derivatives; what starts in an absorbing state is absorbed. */
static void set_start(const row_at_work *r) {
    const pm_graph *g = r->chain->graph;
    memset(r->now, 0, r->chain->n * r->width * sizeof *r->now);
    memset(r->absorbed, 0, r->width * sizeof *r->absorbed);
    for (size_t s = 0; s < g->n_starts; s++) {
        add_start(r, s, 0, r->start[s]);
    }
    for (size_t p = 1; p < r->width; p++) {
        pm_wide unit = pmi_wide_of(ldexp(1.0, r->unit[p - 1]));
        pmi_start_derivative(g, r->theta, p - 1, r->change);
        for (size_t s = 0; s < g->n_starts; s++) {
            add_start(r, s, p, pmi_wide_double(pmi_wide_multiply(r->change[s], unit)));
        }
    }
}

/* ---- steps ---- */

/* to += from * by, of values with derivatives. */
static inline void multiply_add(double *to, const double *from, const double *by, size_t width) {
    for (size_t p = 1; p < width; p++) {
        to[p] += from[p] * by[0] + from[0] * by[p];
    }
    to[0] += from[0] * by[0];
}

/* The sums over `now`: a of the chunk's step k, and s. */
static inline void measure(const row_at_work *r, size_t k, size_t width) {
    const pm_chain *c = r->chain;
    double *a = r->a + k * width, *s = r->s + k * width;
    memset(a, 0, width * sizeof *a);
    memset(s, 0, width * sizeof *s);
    for (size_t e = 0; e < c->n_exits; e++) {
        multiply_add(a, r->now + c->exit_state[e] * width, r->table + c->exit_weight[e] * width, width);
    }
    for (size_t i = 0; i < c->n; i++) {
        add_slot(s, r->now + i * width, 1.0, width);
    }
}

static inline void step(const row_at_work *r, size_t width) {
    const pm_chain *c = r->chain;
    memset(r->next, 0, c->n * width * sizeof *r->next);
    for (size_t i = 0; i < c->n; i++) {
        double *to = r->next + i * width;
        multiply_add(to, r->now + i * width, r->keep + i * width, width);
        for (size_t e = c->in_first[i]; e < c->in_first[i + 1]; e++) {
            multiply_add(to, r->now + c->in_source[e] * width, r->table + c->in_weight[e] * width, width);
        }
    }
}

/* The next n steps of the chunk. The loops are unrolled where `width` is a number. */
static inline __attribute__((always_inline)) void take_steps(row_at_work *r, size_t n, size_t width) {
    for (size_t k = 0; k < n; k++) {
        measure(r, k, width);
        memcpy(r->c + k * width, r->absorbed, width * sizeof *r->c);
        add_slot(r->absorbed, r->a + k * width, 1.0, width);
        step(r, width);
        double *before = r->now;
        r->now = r->next;
        r->next = before;
    }
}

static void take_chunk(row_at_work *r, size_t n) {
    switch (r->width) {
    case 2:
        take_steps(r, n, 2);
        break;
    case 3:
        take_steps(r, n, 3);
        break;
    case 4:
        take_steps(r, n, 4);
        break;
    default:
        take_steps(r, n, r->width);
    }
}

/* ---- mixing ---- */

/* Adds the steps first..first+n-1 to the sums of time t. */
static void mix(const row_at_work *r, size_t t, uint64_t first, size_t n) {
    double x = r->lambda * r->times[t], weight = 0.0;
    uint64_t from = r->first[t] > first ? r->first[t] : first;
    uint64_t end = r->last[t] < first + n ? r->last[t] : first + n;
    for (uint64_t k = from; k < end; k++) {
        bool is_fresh = k == from || k % FRESH == 0 || weight < DBL_MIN;
        weight = is_fresh ? pmi_poisson(k, x) : weight * (x / (double)k);
        size_t at = (size_t)(k - first) * r->width, to = t * r->width;
        add_slot(r->pdf + to, r->a + at, weight, r->width);
        add_slot(r->cdf + to, r->c + at, weight, r->width);
        add_slot(r->survival + to, r->s + at, weight, r->width);
    }
}

/* Discrete: step number `time` is the whole window; its probability is what was absorbed in the step before. */
static void pick(const row_at_work *r, size_t t, uint64_t first, size_t n) {
    uint64_t k = (uint64_t)r->times[t];
    size_t to = t * r->width;
    if (k >= first && k < first + n) {
        add_slot(r->cdf + to, r->c + (k - first) * r->width, 1.0, r->width);
        add_slot(r->survival + to, r->s + (k - first) * r->width, 1.0, r->width);
        if (k == 0) {
            add_slot(r->pdf + to, r->c, 1.0, r->width); /* the atom */
        }
    }
    if (k > first && k <= first + n) {
        add_slot(r->pdf + to, r->a + (k - 1 - first) * r->width, 1.0, r->width);
    }
}

static void set_windows(row_at_work *r) {
    r->steps = 0;
    for (size_t t = 0; t < r->request->n_times; t++) {
        if (r->chain->graph->is_discrete) {
            r->last[t] = (uint64_t)r->times[t] + 1;
        } else {
            pmi_poisson_window(r->lambda * r->times[t], r->exponent, &r->first[t], &r->last[t]);
        }
        r->steps = r->last[t] > r->steps ? r->last[t] : r->steps;
    }
}

static pm_status check_work(const row_at_work *r, pm_error *err) {
    const pm_chain *c = r->chain;
    double work = (2.0 * (double)r->width - 1.0) * (double)(c->in_first[c->n] + c->n_exits + 2 * (size_t)c->n);
    work *= (double)r->steps;
    if (work <= PM_MOST_WORK) {
        return PM_OK;
    }
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the derivatives of its densities take %.3g steps (rate %g), about %.2g s of one "
                    "processor, more than the %g s that a row may take; ask for smaller times, or rates that differ "
                    "less",
                    r->row, (double)r->steps, r->lambda, work / PM_WORK_PER_SECOND, PM_MOST_WORK / PM_WORK_PER_SECOND);
}

static void clear_sums(const row_at_work *r) {
    size_t bytes = r->request->n_times * r->width * sizeof(double);
    memset(r->pdf, 0, bytes);
    memset(r->cdf, 0, bytes);
    memset(r->survival, 0, bytes);
}

static void run_steps(row_at_work *r) {
    for (uint64_t first = 0; first < r->steps; first += CHUNK) {
        size_t n = r->steps - first < CHUNK ? (size_t)(r->steps - first) : CHUNK;
        take_chunk(r, n);
        for (size_t t = 0; t < r->request->n_times; t++) {
            (r->chain->graph->is_discrete ? pick : mix)(r, t, first, n);
        }
        pmi_progress_tell(r->progress, (double)(first + n) / (double)r->steps, 1);
    }
}

/* By parameter p. The pdf is lambda times its sum. Each of cdf and survival changes by minus what the other does: the
 * smaller one knows it best. */
static double derivative_of(const row_at_work *r, size_t t, size_t p, const double *sums) {
    size_t at = t * r->width;
    int exponent = 0;
    if (sums == r->pdf) {
        double mantissa = frexp(r->lambda, &exponent);
        return ldexp(sums[at + 1 + p] * mantissa, exponent - r->unit[p]);
    }
    double of_cdf = r->cdf[at] < r->survival[at] ? r->cdf[at + 1 + p] : -r->survival[at + 1 + p];
    return ldexp(sums == r->cdf ? of_cdf : -of_cdf, -r->unit[p]);
}

static pm_status write_row(const row_at_work *r, pm_result *result, pm_error *err) {
    size_t n_params = r->width - 1, times = r->request->n_times;
    const struct {
        const char *name;
        double *to;
        const double *sums;
    } outputs[] = {{"pdf", result->pdf_gradient, r->pdf},
                   {"cdf", result->cdf_gradient, r->cdf},
                   {"survival", result->survival_gradient, r->survival}};
    for (size_t q = 0; q < sizeof outputs / sizeof *outputs; q++) {
        for (size_t i = 0; outputs[q].to != NULL && i < times * n_params; i++) {
            size_t t = i / n_params, p = i % n_params;
            double value = derivative_of(r, t, p, outputs[q].sums);
            if (!isfinite(value)) {
                return pmi_fail(err, PM_EDATA,
                                "theta row %zu: the derivative of %s at time %g in parameter %zu overflows double "
                                "precision; rescale theta",
                                r->row, outputs[q].name, r->times[t], p);
            }
            outputs[q].to[r->row * times * n_params + i] = value;
        }
    }
    return PM_OK;
}

static pm_status run_row(row_at_work *r, const double *start, pm_result *result, pm_error *err) {
    const pm_request *q = r->request;
    r->theta = q->theta + r->row * r->chain->graph->n_params;
    r->start = start + r->row * r->chain->graph->n_starts;
    r->times = q->times + (q->times_per_theta ? r->row * q->n_times : 0);
    set_units(r);
    set_rates(r);
    set_start(r);
    set_windows(r);
    clear_sums(r);
    PM_TRY(check_work(r, err));
    pm_float_mode mode = pmi_denormals_flush();
    run_steps(r);
    pmi_denormals_restore(mode);
    return write_row(r, result, err);
}

/* ---- all rows ---- */

static unsigned choose_threads(const pm_request *request, size_t bytes, size_t memory) {
    unsigned threads = request->threads;
    if (request->n_theta < threads) {
        threads = (unsigned)request->n_theta;
    }
    while (threads > 1 && (double)bytes * threads > (double)memory) {
        threads--;
    }
    return threads;
}

/* The first failure in the order of rows is the one reported, whatever the threads do. */
typedef struct failure {
    omp_lock_t lock;
    size_t row;
    pm_error error;
} failure;

static void note_failure(failure *f, size_t row, const pm_error *err) {
    omp_set_lock(&f->lock);
    if (f->error.code == PM_OK || row < f->row) {
        f->row = row;
        f->error = *err;
    }
    omp_unset_lock(&f->lock);
}

static void run_share(const pm_chain *chain, const pm_request *request, const double *start, pm_progress *progress,
                      pm_result *result, failure *failed) {
    row_at_work r;
    pm_error err;
    bool has_room = row_new(chain, request, progress, &r, &err) == PM_OK;
    if (!has_room) {
        note_failure(failed, 0, &err);
    }
#pragma omp for schedule(dynamic, 1)
    for (size_t row = 0; row < request->n_theta; row++) {
        r.row = row;
        if (has_room && run_row(&r, start, result, &err) != PM_OK) {
            note_failure(failed, row, &err);
        }
        pmi_progress_add(progress, 1);
    }
    pmi_pool_free(&r.pool);
}

pm_status pmi_density_gradient(const pm_chain *chain, const pm_request *request, const double *start, size_t memory,
                               const pm_log *log, pm_result *result, pm_error *err) {
    size_t bytes = row_bytes(chain, request);
    failure failed = {0};
    pm_progress progress;
    if (bytes > memory) {
        return pmi_fail(err, PM_EOSERR,
                        "the derivatives of densities take %.3g bytes a thread, but --memory is %zu; give more memory "
                        "or ask for fewer times at once",
                        (double)bytes, memory);
    }
    unsigned threads = choose_threads(request, bytes, memory);
    if (threads == 0) {
        return PM_OK;
    }
    pmi_progress_start(&progress, log, request->n_theta);
    omp_init_lock(&failed.lock);
#pragma omp parallel num_threads(threads)
    {
        pm_float_env before = pmi_float_enter();
        run_share(chain, request, start, &progress, result, &failed);
        pmi_float_leave(before);
    }
    omp_destroy_lock(&failed.lock);
    if (failed.error.code != PM_OK) {
        if (err != NULL) {
            *err = failed.error;
        }
        return failed.error.code;
    }
    return PM_OK;
}
