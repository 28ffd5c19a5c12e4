#include "eval/density.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/float_env.h"
#include "base/machine.h"
#include "base/mem.h"
#include "eval/contour.h"
#include "eval/density_block.h"
#include "eval/theta.h"

/* ---- progress ---- */

#define PER_ROW 1000

void pmi_progress_start(pm_progress *p, const pm_log *log, size_t rows) {
    *p = (pm_progress){.log = log, .started = omp_get_wtime(), .rows = rows};
}

void pmi_progress_add(pm_progress *p, size_t rows) {
    __atomic_fetch_add(&p->rows_done, rows, __ATOMIC_RELAXED);
}

void pmi_progress_tell(pm_progress *p, double fraction, size_t rows) {
    if (omp_get_thread_num() != 0) {
        return;
    }
    double now = omp_get_wtime();
    if (now - p->started < 1.0 || now - p->reported < 0.2) {
        return;
    }
    p->reported = now;
    uint64_t done = __atomic_load_n(&p->rows_done, __ATOMIC_RELAXED) * PER_ROW;
    done += (uint64_t)(fraction * (double)rows * PER_ROW);
    pmi_log_progress(p->log, "densities", done, p->rows * PER_ROW);
}

/* ---- failures ---- */

void pmi_failure_start(pm_failure *f) {
    *f = (pm_failure){.row = 0};
    omp_init_lock(&f->lock);
}

void pmi_failure_note(pm_failure *f, size_t row, const pm_error *err) {
    omp_set_lock(&f->lock);
    if (f->error.code == PM_OK || row < f->row) {
        f->row = row;
        f->error = *err;
    }
    omp_unset_lock(&f->lock);
}

pm_status pmi_failure_end(pm_failure *f, pm_error *err) {
    omp_destroy_lock(&f->lock);
    if (f->error.code != PM_OK && err != NULL) {
        *err = f->error;
    }
    return f->error.code;
}

/* ---- the plan ---- */

/* What can be said of rows of theta before any step: rates, which states are reached, how many steps to expect. */

/* Rows that are looked at side by side. */
#define LANES 16

/* Contours are taken at once where all steps would be so many times the work. */
#define CLEARLY_LESS 64.0

/* The work that contours may take, over that of the first ones; or as much as the other methods do. */
#define MORE_CONTOURS 32.0

/* Doublings of a matrix; a double's integer part and the squarings that follow from it have no more. */
#define MOST_SQUARINGS 60.0

pm_times pmi_row_times(const pm_density_job *job, size_t row) {
    size_t at = job->request->times_per_theta ? row * job->request->n_times : 0;
    return (pm_times){.time = job->times.time + at, .order = job->times.order + at};
}

double pmi_last_time(const pm_density_job *job, size_t row) {
    return pmi_row_times(job, row).time[job->request->n_times - 1];
}

double pmi_squaring_work(const pm_density_job *job, size_t row) {
    double n = (double)job->chain->n + 1.0, times = (double)job->request->n_times;
    double doublings = ceil(log2(fmax(4.0 * job->rows[row].predicted, 2.0)));
    if (job->chain->n > PM_SQUARING_STATES || !(doublings <= MOST_SQUARINGS)) {
        return HUGE_VAL;
    }
    double per_time = n * n * 0.5 * doublings + n * (n + 40.0);
    return PM_EXTENDED_WORK * (n * n * n * doublings + times * per_time) + 100.0 * n;
}

pm_status pmi_reached_states(const pm_density_job *job, size_t row, bool **out, pm_error *err) {
    const pm_chain *c = job->chain;
    bool *rows = NULL;
    *out = pmi_calloc(c->n, sizeof **out);
    if (*out == NULL) {
        return pmi_fail_memory(err, "the states that are reached", c->n);
    }
    const double *theta = job->request->theta + row * c->graph->n_params;
    pm_status st = pmi_reachable_rows(c->graph, c->split, theta, &rows, err);
    for (uint32_t i = 0; st == PM_OK && i < c->n; i++) {
        (*out)[i] = rows[c->row_of[i]];
    }
    free(rows);
    return st;
}

typedef struct plan {
    pm_density_job *job;
    size_t first, count;
    double *table;    /* n_weights x LANES */
    double *outflow;  /* n x LANES: total weight out of each state, self-loops left out */
    bool *can_vanish; /* n_weights: not a constant */
} plan;

static void sum_outflow(const plan *p) {
    const pm_chain *c = p->job->chain;
    memset(p->outflow, 0, (size_t)c->n * LANES * sizeof *p->outflow);
    for (size_t e = 0; e < c->in_first[c->n]; e++) {
        double *to = p->outflow + (size_t)c->in_source[e] * LANES;
        const double *w = p->table + (size_t)c->in_weight[e] * LANES;
        for (size_t l = 0; l < LANES; l++) {
            to[l] += w[l];
        }
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        double *to = p->outflow + (size_t)c->exit_state[e] * LANES;
        const double *w = p->table + (size_t)c->exit_weight[e] * LANES;
        for (size_t l = 0; l < LANES; l++) {
            to[l] += w[l];
        }
    }
}

static pm_status bad_rate(const plan *p, size_t l, uint32_t state, double rate, pm_error *err) {
    char name[200];
    pmi_graph_describe(p->job->chain->graph, p->job->chain->row_of[state], name, sizeof name);
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the rates out of %s add up to %g; scale time so that they fit a double",
                    p->first + l, name, rate);
}

double pmi_rate_above(const pm_chain *c, double most) {
    return most * (1.0 + ((double)c->most_out + 4.0) * DBL_EPSILON);
}

/* lambda: the largest rate of a state that is reached. */
static pm_status find_rates(const plan *p, size_t l, const bool *reached, pm_error *err) {
    const pm_chain *c = p->job->chain;
    double most = 0.0;
    for (uint32_t i = 0; i < c->n; i++) {
        double rate = p->outflow[(size_t)i * LANES + l];
        if (reached != NULL && !reached[i]) {
            continue;
        }
        if (!(rate <= 0.25 * DBL_MAX)) {
            return bad_rate(p, l, i, rate, err);
        }
        most = rate > most ? rate : most;
    }
    p->job->rows[p->first + l].lambda = pmi_rate_above(c, most);
    return PM_OK;
}

/* What a row of a discrete chain lacks to one stays put; it may not exceed one. */
static pm_status check_row_sums(const plan *p, size_t l, const bool *reached, double *loop, pm_error *err) {
    const pm_chain *c = p->job->chain;
    memset(loop, 0, c->n * sizeof *loop);
    for (size_t e = 0; e < c->n_loops; e++) {
        loop[c->loop_state[e]] += p->table[(size_t)c->loop_weight[e] * LANES + l];
    }
    for (uint32_t i = 0; i < c->n; i++) {
        double leave = p->outflow[(size_t)i * LANES + l];
        if ((reached == NULL || reached[i]) && !(leave + loop[i] <= 1.0 + PM_ROW_SUM_SLACK)) {
            char name[200];
            pmi_graph_describe(c->graph, c->row_of[i], name, sizeof name);
            return pmi_fail(err, PM_EDATA,
                            "theta row %zu: the probabilities out of %s add up to %.17g (self-loops %.17g of it), "
                            "expected at most 1",
                            p->first + l, name, leave + loop[i], loop[i]);
        }
    }
    p->job->rows[p->first + l].lambda = 1.0;
    return PM_OK;
}

/* Whether some weight, or some start, is zero here and not everywhere. */
static bool is_partial(const plan *p, size_t l) {
    const pm_graph *g = p->job->chain->graph;
    for (size_t w = 0; w < g->n_weights; w++) {
        if (p->can_vanish[w] && p->table[w * LANES + l] == 0.0) {
            return true;
        }
    }
    const double *start = p->job->start + (p->first + l) * g->n_starts;
    for (size_t s = 0; s < g->n_starts; s++) {
        if (start[s] == 0.0) {
            return true;
        }
    }
    return false;
}

/* Contours where steps would have to end very early to take less; otherwise steps are begun, and left for contours once
 * they have taken as long. */
static pm_method first_method(const pm_density_job *job, size_t row) {
    if (job->request->method != PM_DENSITY_AUTO) {
        return job->request->method == PM_DENSITY_UNIFORMIZATION ? PM_METHOD_STEPS : PM_METHOD_CONTOUR;
    }
    double steps = job->rows[row].predicted * pmi_step_work(job->chain, 0, job->chain->n);
    return CLEARLY_LESS * pmi_contour_work(job, row) < steps ? PM_METHOD_CONTOUR : PM_METHOD_STEPS;
}

static pm_status plan_row(const plan *p, size_t l, double *loop, pm_error *err) {
    pm_density_job *job = p->job;
    pm_row *row = &job->rows[p->first + l];
    bool *reached = NULL;
    pm_status st = PM_OK;
    row->partial = is_partial(p, l);
    row->is_inverted = false;
    if (row->partial) {
        st = pmi_reached_states(job, p->first + l, &reached, err);
    }
    PM_THEN(st, job->is_discrete ? check_row_sums(p, l, reached, loop, err) : find_rates(p, l, reached, err));
    free(reached);
    row->predicted = row->lambda * pmi_last_time(job, p->first + l);
    return st;
}

static pm_status plan_rows(plan *p, double *loop, pm_error *err) {
    const pm_graph *g = p->job->chain->graph;
    size_t total = p->job->request->n_theta;
    for (p->first = 0; p->first < total; p->first += LANES) {
        size_t left = total - p->first, count = left < LANES ? left : LANES;
        PM_TRY(pmi_weights_fill(g, p->job->request->theta, p->first, count, LANES, p->table, err));
        sum_outflow(p);
        for (size_t l = 0; l < count; l++) {
            PM_TRY(plan_row(p, l, loop, err));
        }
    }
    return PM_OK;
}

static pm_status density_plan(pm_density_job *job, pm_error *err) {
    const pm_graph *g = job->chain->graph;
    pm_pool pool = {0};
    plan p = {.job = job,
              .table = pmi_pool_aligned(&pool, g->n_weights * LANES, sizeof *p.table),
              .outflow = pmi_pool_aligned(&pool, (size_t)job->chain->n * LANES, sizeof *p.outflow),
              .can_vanish = pmi_pool_array(&pool, g->n_weights, sizeof *p.can_vanish)};
    double *loop = pmi_pool_array(&pool, job->chain->n, sizeof *loop);
    pm_status st = pmi_pool_check(&pool, err, "the rates", (g->n_weights + job->chain->n) * LANES * sizeof(double));
    if (st == PM_OK) {
        for (size_t w = 0; w < g->n_weights; w++) {
            p.can_vanish[w] = !pmi_graph_weight_is_zero(g, (uint32_t)w);
        }
        st = plan_rows(&p, loop, err);
    }
    pmi_pool_free(&pool);
    return st;
}

/* ---- the call ---- */

#define DEFAULT_TOLERANCE 1e-9
#define TAIL_TOLERANCE 1e-10

/* Vectors of a block that are larger than this are read from memory in every step; fewer lanes then cost nothing. */
#define VECTOR_BYTES ((size_t)8 << 20)

/* What is kept for all times and lanes of a block stays below this. */
#define MIXTURES_BYTES ((size_t)64 << 20)

/* Rows whose numbers of steps differ by more than this go to blocks of their own, where there are more than a few. */
#define STEPS_SPREAD 4.0
#define FEW_STEPS 512.0

typedef struct timed {
    double time;
    size_t number;
} timed;

static int by_time(const void *a, const void *b) {
    const timed *x = a, *y = b;
    if (x->time != y->time) {
        return x->time < y->time ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

pm_status pmi_density_check_times(const pm_request *r, bool is_discrete, pm_error *err) {
    size_t n = r->times_per_theta ? r->n_theta * r->n_times : r->n_times;
    for (size_t i = 0; i < n; i++) {
        double t = r->times[i];
        if (isfinite(t) && t >= 0.0 && (!is_discrete || t == floor(t))) {
            continue;
        }
        const char *expected = is_discrete ? "a whole number of steps, 0 or more" : "finite, 0 or more";
        if (r->times_per_theta) {
            return pmi_fail(err, PM_EDATA, "times: row %zu, column %zu is %.17g; expected %s", i / r->n_times,
                            i % r->n_times, t, expected);
        }
        return pmi_fail(err, PM_EDATA, "times: number %zu is %.17g; expected %s", i, t, expected);
    }
    return PM_OK;
}

static pm_status check_request(const pm_request *r, double *tolerance, pm_error *err) {
    if (r->lanes != 0 && r->lanes != 1 && r->lanes != 4 && r->lanes != 8 && r->lanes != 16) {
        return pmi_fail(err, PM_EUSAGE, "%u lanes; expected 1, 4, 8 or 16, or 0 to have them chosen", r->lanes);
    }
    if (!(r->tolerance >= 0.0 && r->tolerance < 1.0)) {
        return pmi_fail(err, PM_EUSAGE, "tolerance %g; expected a number above 0 and below 1", r->tolerance);
    }
    *tolerance = r->tolerance == 0.0 ? DEFAULT_TOLERANCE : r->tolerance;
    if (r->tail_accuracy && (r->tolerance == 0.0 || *tolerance > TAIL_TOLERANCE)) {
        *tolerance = TAIL_TOLERANCE;
    }
    return PM_OK;
}

/* All times in ascending order, for each row of theta where each has its own. */
static pm_status sort_times(const pm_request *r, pm_pool *pool, pm_times *out, pm_error *err) {
    size_t rows = r->times_per_theta ? r->n_theta : 1, n = r->n_times, total = 0;
    timed *sorted = pmi_pool_array(pool, n, sizeof *sorted);
    bool fits = pmi_mul(rows, n, &total);
    out->time = pmi_pool_array(pool, fits ? total : SIZE_MAX, sizeof *out->time);
    out->order = pmi_pool_array(pool, fits ? total : SIZE_MAX, sizeof *out->order);
    PM_TRY(pmi_pool_check(pool, err, "the times", total * sizeof(timed)));
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < n; j++) {
            sorted[j] = (timed){.time = r->times[i * n + j], .number = j};
        }
        qsort(sorted, n, sizeof *sorted, by_time);
        for (size_t j = 0; j < n; j++) {
            out->time[i * n + j] = sorted[j].time;
            out->order[i * n + j] = sorted[j].number;
        }
    }
    return PM_OK;
}

static unsigned fewer(unsigned lanes) {
    return lanes == 16 ? 8 : lanes == 8 ? 4 : 1;
}

static size_t blocks_of(size_t rows, unsigned lanes) {
    return (rows + lanes - 1) / lanes;
}

static size_t step_work(const pm_chain *c, unsigned lanes) {
    return (c->in_first[c->n] + c->n) * lanes;
}

/* As many lanes as the batch fills, fewer where memory is short or threads would idle. */
static unsigned choose_lanes(const pm_density_job *job, size_t n_rows, unsigned threads) {
    const pm_request *r = job->request;
    if (r->lanes != 0) {
        return r->lanes;
    }
    unsigned lanes = 16;
    while (lanes > 1 && n_rows <= fewer(lanes)) {
        lanes = fewer(lanes);
    }
    while (lanes > 4 && job->chain->n > VECTOR_BYTES / (3 * sizeof(double)) / lanes) {
        lanes = fewer(lanes);
    }
    while (lanes > 1 && r->n_times > MIXTURES_BYTES / sizeof(pm_mixture) / lanes) {
        lanes = fewer(lanes);
    }
    while (lanes > 1 && blocks_of(n_rows, lanes) < threads && step_work(job->chain, lanes) < PM_SHARED_STEP_WORK) {
        lanes = fewer(lanes);
    }
    return lanes;
}

/* Rows that take the same method, by falling number of predicted steps. */
typedef struct pass {
    pm_density_job *job;
    pm_method method;
    size_t *rows;
    size_t n_rows;
    unsigned lanes, threads;
    size_t *first; /* n_blocks + 1: the first row of each block */
    size_t n_blocks;
} pass;

/* What the blocks of a call come to. The first block that fails is the one reported, whatever the threads do. */
typedef struct outcome {
    omp_lock_t lock;
    size_t failed; /* the first block that failed, or the number of blocks */
    pm_error error;
    uint64_t steps, nodes;
    double bound;
    size_t n_rows[PM_METHOD_NONE]; /* of each method */
    size_t n_contour, n_parabola;  /* of the rows that contours were tried for, those that were done */
} outcome;

static void merge(outcome *all, size_t block, pm_status st, const pm_error *err, uint64_t steps, double bound) {
    omp_set_lock(&all->lock);
    if (st != PM_OK && block < all->failed) {
#pragma omp atomic write
        all->failed = block;
        all->error = *err;
    }
    all->steps = steps > all->steps ? steps : all->steps;
    all->bound = bound > all->bound ? bound : all->bound;
    omp_unset_lock(&all->lock);
}

static pm_status refuse_contours(const pm_density_job *job, size_t row, const pm_inverted *found, pm_error *err) {
    return pmi_fail(
        err, PM_EDATA,
        "theta row %zu: after %llu nodes (rate %g, largest time %g) the error bound of contours is %.3g, more "
        "than the tolerance %.3g, or they would take more than %g s; leave the method to phasemill, or ask "
        "for a larger --tolerance",
        row, (unsigned long long)found->nodes, job->rows[row].lambda, pmi_last_time(job, row), found->bound,
        job->tolerance, pmi_most_work(job->request) / PM_WORK_PER_SECOND);
}

/* A row that contours do not do is left to the other methods. */
static pm_status invert_row(const pass *p, size_t row, outcome *all, double *bound, pm_error *err) {
    const pm_density_job *job = p->job;
    bool is_forced = job->request->method != PM_DENSITY_AUTO;
    double steps = job->rows[row].predicted * pmi_step_work(job->chain, 0, job->chain->n);
    double others = fmin(steps, pmi_squaring_work(job, row));
    double most = fmin(fmax(MORE_CONTOURS * pmi_contour_work(job, row), others), pmi_most_work(job->request));
    pm_inverted found;
    PM_TRY(pmi_density_invert(job, row, is_forced ? pmi_most_work(job->request) : most, &found, err));
    job->rows[row].is_inverted = true;
    job->rows[row].method = found.is_done ? PM_METHOD_NONE : PM_METHOD_STEPS;
    if (!found.is_done) {
        return is_forced ? refuse_contours(job, row, &found, err) : PM_OK;
    }
    *bound = found.bound;
    omp_set_lock(&all->lock);
    all->n_contour++;
    all->n_parabola += found.parabola ? 1 : 0;
    all->nodes = found.nodes > all->nodes ? found.nodes : all->nodes;
    omp_unset_lock(&all->lock);
    return PM_OK;
}

static void run_block(const pass *p, size_t block, outcome *all) {
    const size_t *rows = p->rows + p->first[block];
    size_t count = p->first[block + 1] - p->first[block], failed;
    uint64_t steps = 0;
    double bound = 0.0;
    pm_error err = {0};
#pragma omp atomic read
    failed = all->failed;
    if (block > failed) {
        return;
    }
    pm_status st = PM_OK;
    if (p->method == PM_METHOD_CONTOUR) {
        st = invert_row(p, rows[0], all, &bound, &err);
    } else if (p->method == PM_METHOD_SQUARING) {
        st = pmi_density_square(p->job, rows[0], &steps, &bound, &err);
        p->job->rows[rows[0]].method = PM_METHOD_NONE;
    } else {
        unsigned lanes = p->lanes;
        while (p->job->request->lanes == 0 && lanes > 1 && count <= fewer(lanes)) {
            lanes = fewer(lanes);
        }
        st = pmi_density_block(p->job, rows, count, lanes, p->method == PM_METHOD_EXTENDED, &steps, &bound, &err);
    }
    merge(all, block, st, &err, steps, bound);
    pmi_progress_add(p->job->progress, count);
    pmi_progress_tell(p->job->progress, 0.0, 0);
}

static bool takes_single_rows(pm_method method) {
    return method == PM_METHOD_SQUARING || method == PM_METHOD_CONTOUR;
}

/* Threads of a pass: those that contours have memory for. */
static unsigned threads_of(const pass *p) {
    if (p->method != PM_METHOD_CONTOUR || p->job->contours == NULL) {
        return p->threads;
    }
    size_t most = p->job->contours->memory / p->job->contours->bytes;
    return most < p->threads ? (unsigned)most : p->threads;
}

/* Rows of a block take as many steps as the first of them: the others not much fewer. */
static void make_blocks(pass *p) {
    size_t most = takes_single_rows(p->method) ? 1 : p->lanes;
    for (size_t at = 0; at < p->n_rows;) {
        double least = p->job->rows[p->rows[at]].predicted / STEPS_SPREAD;
        size_t end = at + 1;
        while (end < p->n_rows && end - at < most &&
               (least <= FEW_STEPS || p->job->rows[p->rows[end]].predicted >= least)) {
            end++;
        }
        p->first[p->n_blocks++] = at;
        at = end;
    }
    p->first[p->n_blocks] = p->n_rows;
}

static void run_blocks(pass *p, outcome *all) {
    unsigned threads = threads_of(p);
    all->failed = p->n_blocks;
    p->job->step_threads = 1;
    if (!takes_single_rows(p->method) && p->n_blocks < threads &&
        step_work(p->job->chain, p->lanes) >= PM_SHARED_STEP_WORK) {
        p->job->step_threads = threads;
        threads = 1;
    }
    if (threads == 1) {
        for (size_t block = 0; block < p->n_blocks; block++) {
            run_block(p, block, all);
        }
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        pm_float_env before = pmi_float_enter();
#pragma omp for schedule(dynamic, 1)
        for (size_t block = 0; block < p->n_blocks; block++) {
            run_block(p, block, all);
        }
        pmi_float_leave(before);
    }
}

typedef struct ranked {
    double predicted;
    size_t row;
} ranked;

static int by_steps(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->predicted != y->predicted) {
        return x->predicted > y->predicted ? -1 : 1;
    }
    return x->row < y->row ? -1 : x->row > y->row;
}

static void choose_rows(pass *p, ranked *order) {
    p->n_rows = p->n_blocks = 0;
    for (size_t i = 0; i < p->job->request->n_theta; i++) {
        if (p->job->rows[i].method == p->method) {
            order[p->n_rows++] = (ranked){.predicted = p->job->rows[i].predicted, .row = i};
        }
    }
    qsort(order, p->n_rows, sizeof *order, by_steps);
    for (size_t i = 0; i < p->n_rows; i++) {
        p->rows[i] = order[i].row;
    }
}

/* Each method once, for the rows that are left to it. *left: how many there were. */
static pm_status run_round(pass *p, ranked *order, outcome *all, size_t *left, pm_error *err) {
    *left = 0;
    for (p->method = PM_METHOD_CONTOUR; p->method < PM_METHOD_NONE; p->method++) {
        choose_rows(p, order);
        *left += p->n_rows;
        all->n_rows[p->method] += p->n_rows;
        p->lanes = choose_lanes(p->job, p->n_rows, p->threads);
        make_blocks(p);
        run_blocks(p, all);
        if (all->error.code != PM_OK) {
            if (err != NULL) {
                *err = all->error;
            }
            return all->error.code;
        }
    }
    return PM_OK;
}

/* Rows that one method leaves over are for another one, until none are: contours are tried once for a row. */
static pm_status run_passes(pm_density_job *job, unsigned threads, outcome *all, pm_error *err) {
    size_t n = job->request->n_theta, left = n;
    pm_pool pool = {0};
    pass p = {.job = job,
              .threads = threads,
              .rows = pmi_pool_array(&pool, n, sizeof *p.rows),
              .first = pmi_pool_array(&pool, n + 1, sizeof *p.first)};
    ranked *order = pmi_pool_array(&pool, n, sizeof *order);
    pm_status st = pmi_pool_check(&pool, err, "the order of theta rows", n * (sizeof *order + 2 * sizeof(size_t)));
    while (st == PM_OK && left > 0) {
        st = run_round(&p, order, all, &left, err);
    }
    pmi_pool_free(&pool);
    return st;
}

static double largest_outflow(const pm_graph *g, const double *theta, double *outflow) {
    double most = 0.0;
    memset(outflow, 0, g->n_vertices * sizeof *outflow);
    for (size_t e = 0; e < g->n_edges; e++) {
        double *sum = &outflow[g->from[e]];
        *sum += g->from[e] != g->to[e] ? pmi_graph_weight(g, g->weight[e], theta) : 0.0;
        most = fmax(most, *sum);
    }
    return most;
}

pm_status pmi_density_wants_traces(const pm_graph *g, const pm_request *r, bool *out, pm_error *err) {
    double last = 0.0, rate = 0.0, *outflow;
    *out = r->method == PM_DENSITY_CONTOUR || r->method == PM_DENSITY_PARABOLA;
    if (g->is_discrete || r->tail_accuracy || r->method != PM_DENSITY_AUTO || r->n_times == 0) {
        return PM_OK;
    }
    PM_TRY(PM_NEW(&outflow, g->n_vertices, "the rates", err));
    for (size_t i = 0; i < (r->times_per_theta ? r->n_theta : 1) * r->n_times; i++) {
        last = fmax(last, r->times[i]);
    }
    for (size_t b = 0; b < r->n_theta; b++) {
        rate = fmax(rate, largest_outflow(g, r->theta + b * g->n_params, outflow));
    }
    free(outflow);
    *out = rate * last >= PM_FEWEST_STEPS;
    return PM_OK;
}

/* Why no contour can be taken, or NULL. */
static const char *no_contours(const pm_density_job *job, const pm_program *program) {
    return job->is_discrete              ? "the graph is discrete"
           : job->request->tail_accuracy ? "relative accuracy is asked for in the tails"
           : program == NULL
               ? "the model has no traces (it was made for densities only, or has states that are never absorbed)"
               : NULL;
}

/* Contours take a millisecond to lay out: more than all else where steps are few. */
static bool some_are_long(const pm_density_job *job) {
    for (size_t i = 0; i < job->request->n_theta; i++) {
        if (job->rows[i].predicted >= PM_FEWEST_STEPS) {
            return true;
        }
    }
    return false;
}

static pm_status open_contours(pm_density_job *job, const pm_program *program, size_t memory, pm_contours *contours,
                               pm_error *err) {
    const char *why = no_contours(job, program);
    pm_density_method method = job->request->method;
    if (method == PM_DENSITY_UNIFORMIZATION || (method == PM_DENSITY_AUTO && (why != NULL || !some_are_long(job)))) {
        return PM_OK;
    }
    if (why != NULL) {
        return pmi_fail(err, PM_EUSAGE, "densities by contours cannot be had: %s; leave the method to phasemill", why);
    }
    PM_TRY(pmi_contours_new(program, job->isa, contours, err));
    contours->memory = memory;
    contours->fewest_steps = method == PM_DENSITY_AUTO ? PM_FEWEST_STEPS : 0.0;
    if (contours->bytes <= memory) {
        job->contours = contours;
    } else if (method != PM_DENSITY_AUTO) {
        return pmi_fail(err, PM_EOSERR, "densities by contours take %zu bytes, more than the %zu that may be taken",
                        contours->bytes, memory);
    }
    return PM_OK;
}

pm_status pmi_density_evaluate(const pm_chain *chain, const pm_program *program, size_t memory, pm_isa isa,
                               const pm_request *request, const double *start, pm_result *result, const pm_log *log,
                               pm_error *err) {
    pm_progress progress;
    pm_density_job job = {.chain = chain,
                          .request = request,
                          .start = start,
                          .result = result,
                          .isa = isa,
                          .mixing = pmi_mixing_get(isa),
                          .dense_row = pmi_dense_row_get(isa),
                          .is_discrete = chain->graph->is_discrete,
                          .wants_pdf = request->pdf && result->pdf != NULL,
                          .wants_cdf = (request->cdf && result->cdf != NULL) || result->survival != NULL,
                          .progress = &progress};
    outcome all = {0};
    pm_contours contours = {0};
    pm_status st = check_request(request, &job.tolerance, err);
    result->steps = result->nodes = 0;
    result->error_bound = 0.0;
    result->n_extended = result->n_squared = result->n_contour = result->n_parabola = 0;
    if (st != PM_OK || request->n_times == 0 || request->n_theta == 0 || (!job.wants_pdf && !job.wants_cdf)) {
        return st;
    }
    PM_TRY(pmi_density_check_times(request, job.is_discrete, err));
    pmi_step_table_set(&job.early, 0);
    pm_pool pool = {0};
    st = sort_times(request, &pool, &job.times, err);
    job.rows = pmi_pool_array(&pool, request->n_theta, sizeof *job.rows);
    PM_THEN(st, pmi_pool_check(&pool, err, "the rows of theta", request->n_theta * sizeof *job.rows));
    PM_THEN(st, density_plan(&job, err));
    PM_THEN(st, open_contours(&job, program, memory, &contours, err));
    for (size_t i = 0; st == PM_OK && i < request->n_theta; i++) {
        job.rows[i].method = first_method(&job, i);
    }
    if (st == PM_OK) {
        pmi_progress_start(&progress, log, request->n_theta);
        omp_init_lock(&all.lock);
        st = run_passes(&job, request->threads == 0 ? pmi_processors() : request->threads, &all, err);
        omp_destroy_lock(&all.lock);
    }
    pmi_pool_free(&pool);
    pmi_contours_free(&contours);
    result->steps = all.steps;
    result->nodes = all.nodes;
    result->n_contour = all.n_contour;
    result->n_parabola = all.n_parabola;
    result->error_bound = all.bound;
    result->n_extended = all.n_rows[PM_METHOD_EXTENDED];
    result->n_squared = all.n_rows[PM_METHOD_SQUARING];
    return st;
}
