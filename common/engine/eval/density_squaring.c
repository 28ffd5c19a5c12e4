/* Powers of a dense matrix in twice the precision: for few states and many steps.
 *
 * With A = I + Q / lambda, lambda a power of two at least twice the largest rate, E = exp(Q / lambda) is the sum of
 * e^-1 A^k / k!, and for lambda t = m + y, m whole and y < 1,
 *     v(t) = (sum over k of e^-y y^k / k! v(0) A^k) E^m,
 * by the bits of m: E, E^2, E^4, ... A discrete chain has v(m) = v(0) A^m. The absorbing state is the last one, so that
 * the cdf is a sum of its own. Nothing is subtracted but one minus the sum of a row of A, which is at least a half
 * where the chain is continuous. An error of E^(2^j) doubles with j, which is why double precision would not do. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/chain.h"
#include "eval/density_block.h"
#include "eval/extended.h"

/* What stands for one in matrices and vectors: products of two stay within the doubles on both sides. */
#define ONE 0x1p400
#define ONE_EXPONENT 400

/* 1/33! is below 2^-122. In tails paths through all states count. */
#define TERMS 33

/* Vectors of this many bytes are taken through the powers at a time. */
#define VECTORS_BYTES ((size_t)64 << 20)

/* e^-1 as a pair */
static const pm_pair inverse_e = {0.36787944117144233, -1.2428753672788363e-17};

typedef struct matrix {
    double *high, *low; /* n x n */
} matrix;

typedef struct squaring {
    const pm_density_job *job;
    size_t row, n; /* states and the absorbing one */
    int scale;     /* lambda = 2^scale */
    size_t n_terms;
    matrix step;         /* A */
    matrix power, other; /* E^(2^j) */
    matrix term;         /* n_terms x n at least: v(0) A^k; terms of E before */
    matrix vectors;      /* group x n */
    size_t group;
    pm_point *points;   /* T */
    double *sums;       /* 2 x n: totals of rows of A */
    double *high, *low; /* of each weight */
    double stay_rounding;
    double excess; /* as that of pm_lane */
    pm_pool pool;
} squaring;

static matrix matrix_new(pm_pool *pool, size_t rows, size_t n) {
    size_t count = pmi_mul(rows, n, &count) ? count : SIZE_MAX;
    return (matrix){.high = pmi_pool_zeros(pool, count, sizeof(double)),
                    .low = pmi_pool_zeros(pool, count, sizeof(double))};
}

static pm_status squaring_new(squaring *s, pm_error *err) {
    size_t n = s->n, times = s->job->request->n_times, most = VECTORS_BYTES / (2 * sizeof(double)) / n;
    s->group = times < most ? times : most;
    s->step = matrix_new(&s->pool, n, n);
    s->power = matrix_new(&s->pool, n, n);
    s->other = matrix_new(&s->pool, n, n);
    s->term = matrix_new(&s->pool, s->n_terms > n ? s->n_terms : n, n);
    s->vectors = matrix_new(&s->pool, s->group, n);
    s->points = pmi_pool_zeros(&s->pool, times, sizeof *s->points);
    s->sums = pmi_pool_zeros(&s->pool, 2 * n, sizeof *s->sums);
    s->high = pmi_pool_zeros(&s->pool, s->job->chain->graph->n_weights, sizeof *s->high);
    s->low = pmi_pool_zeros(&s->pool, s->job->chain->graph->n_weights, sizeof *s->low);
    return pmi_pool_check(&s->pool, err, "densities by squaring",
                          (4 * n + s->n_terms + s->group) * n * 2 * sizeof(double));
}

/* ---- A ---- */

static void add_edge(squaring *s, size_t from, size_t to, uint32_t weight, const bool *reached) {
    if (reached != NULL && !reached[from]) {
        return;
    }
    double high = ldexp(s->high[weight], ONE_EXPONENT - s->scale);
    double low = ldexp(s->low[weight], ONE_EXPONENT - s->scale);
    size_t at = from * s->n + to;
    pmi_add_pair(&s->step.high[at], &s->step.low[at], high, low);
    pmi_add_pair(&s->sums[from], &s->sums[s->n + from], high, low);
}

/* What a row that is normalized keeps: its self-loops, or all where it has no weight. */
static void add_loops(squaring *s) {
    const pm_chain *c = s->job->chain;
    for (size_t e = 0; e < c->n_loops; e++) {
        size_t at = c->loop_state[e] * (s->n + 1), w = c->loop_weight[e];
        pmi_add_pair(&s->step.high[at], &s->step.low[at], ldexp(s->high[w], ONE_EXPONENT),
                     ldexp(s->low[w], ONE_EXPONENT));
    }
    for (size_t i = 0; i < s->n; i++) {
        size_t at = i * (s->n + 1);
        if (s->sums[i] == 0.0) {
            s->step.high[at] = ONE;
            s->step.low[at] = 0.0;
        }
        pmi_settle(&s->step.high[at], &s->step.low[at]);
    }
}

static void add_staying(squaring *s, size_t i, pm_stay_room *room) {
    const pm_chain *c = s->job->chain;
    double leave = s->sums[i], low = s->sums[s->n + i], one = ONE - leave;
    double rest = ((ONE - one) - leave) - low;
    size_t at = i * s->n + i;
    double stay = one + rest;
    if (stay <= PM_SMALL_STAY * ONE) {
        const double *theta = s->job->request->theta + s->row * c->graph->n_params;
        pm_pair exact = pmi_exact_stay(c, theta, (uint32_t)i, room);
        s->excess = fmax(s->excess, -exact.high);
        s->step.high[at] = exact.high > 0.0 ? exact.high * ONE : 0.0;
        s->step.low[at] = exact.high > 0.0 ? exact.low * ONE : 0.0;
        return;
    }
    s->step.high[at] = one;
    s->step.low[at] = rest;
    pmi_settle(&s->step.high[at], &s->step.low[at]);
    double edges = (double)c->most_out + 4.0;
    s->stay_rounding = fmax(s->stay_rounding, edges * edges * 0x1p-106 * (ONE / stay));
}

static pm_status fill_step(squaring *s, pm_error *err) {
    const pm_chain *c = s->job->chain;
    bool *reached = NULL;
    pm_status st = pmi_weights_fill_pairs(c->graph, s->job->request->theta, s->row, 1, 1, s->high, s->low, err);
    if (st == PM_OK && s->job->rows[s->row].partial) {
        st = pmi_reached_states(s->job, s->row, &reached, err);
    }
    if (st != PM_OK) {
        free(reached);
        return st;
    }
    for (size_t i = 0; i < c->n; i++) {
        for (size_t e = c->in_first[i]; e < c->in_first[i + 1]; e++) {
            add_edge(s, c->in_source[e], i, c->in_weight[e], reached);
        }
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        add_edge(s, c->exit_state[e], c->n, c->exit_weight[e], reached);
    }
    free(reached);
    for (size_t i = 0; i < s->n * s->n; i++) {
        pmi_settle(&s->step.high[i], &s->step.low[i]);
    }
    if (c->graph->normalizes_rows) {
        add_loops(s);
        return PM_OK;
    }
    pm_stay_room room = {0};
    st = pmi_stay_room_new(c, &room, err);
    for (size_t i = 0; st == PM_OK && i < c->n; i++) {
        add_staying(s, i, &room);
    }
    s->step.high[s->n * s->n - 1] = ONE;
    pmi_pool_free(&room.pool);
    return st;
}

/* ---- products ---- */

static void row_times(const squaring *s, const matrix *a, size_t row, const matrix *b, matrix *to, size_t to_row) {
    s->job->dense_row(a->high + row * s->n, a->low + row * s->n, b->high, b->low, s->n, 1.0 / ONE,
                      to->high + to_row * s->n, to->low + to_row * s->n);
}

static void multiply(const squaring *s, const matrix *a, const matrix *b, matrix *to) {
    for (size_t i = 0; i < s->n; i++) {
        row_times(s, a, i, b, to, i);
    }
}

static void exchange(matrix *a, matrix *b) {
    matrix before = *a;
    *a = *b;
    *b = before;
}

/* power = E. The terms take turns in `other` and `term`. */
static void sum_series(squaring *s) {
    size_t n = s->n;
    memset(s->power.high, 0, n * n * sizeof(double));
    memset(s->power.low, 0, n * n * sizeof(double));
    memset(s->other.high, 0, n * n * sizeof(double));
    memset(s->other.low, 0, n * n * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        s->power.high[i * n + i] = s->other.high[i * n + i] = inverse_e.high * ONE;
        s->power.low[i * n + i] = s->other.low[i * n + i] = inverse_e.low * ONE;
    }
    for (size_t k = 1; k < s->n_terms; k++) {
        multiply(s, &s->step, &s->other, &s->term);
        for (size_t i = 0; i < n * n; i++) {
            pm_pair p = pmi_divide((pm_pair){s->term.high[i], s->term.low[i]}, (double)k);
            s->other.high[i] = p.high;
            s->other.low[i] = p.low;
            pmi_add_pair(&s->power.high[i], &s->power.low[i], p.high, p.low);
        }
    }
    for (size_t i = 0; i < n * n; i++) {
        pmi_settle(&s->power.high[i], &s->power.low[i]);
    }
}

/* ---- vectors ---- */

/* term[0] = v(0), term[k] = v(0) A^k. */
static void fill_terms(squaring *s) {
    const pm_chain *c = s->job->chain;
    const double *start = s->job->start + s->row * c->graph->n_starts;
    memset(s->term.high, 0, s->n * sizeof(double));
    memset(s->term.low, 0, s->n * sizeof(double));
    for (size_t i = 0; i < c->graph->n_starts; i++) {
        size_t state = c->start_state[i] == PM_START_ABSORBED ? c->n : c->start_state[i];
        if (state <= c->n) {
            pmi_add_pair(&s->term.high[state], &s->term.low[state], start[i] * ONE, 0.0);
        }
    }
    for (size_t k = 1; k < s->n_terms && !s->job->is_discrete; k++) {
        row_times(s, &s->term, k - 1, &s->step, &s->term, k);
    }
}

/* Steps to take to the j-th time: whole ones, and what remains. A discrete chain's last step is taken by itself. */
static uint64_t whole_steps(const squaring *s, size_t j, double *rest) {
    double x = ldexp(pmi_row_times(s->job, s->row).time[j], s->scale), whole = floor(x);
    *rest = x - whole;
    if (s->job->is_discrete) {
        return whole > 0.0 ? (uint64_t)whole - 1 : 0;
    }
    return (uint64_t)whole;
}

/* The vector after the part of a step that is not whole. */
static void first_part(squaring *s, size_t slot, double y) {
    double *high = s->vectors.high + slot * s->n, *low = s->vectors.low + slot * s->n;
    memset(high, 0, s->n * sizeof *high);
    memset(low, 0, s->n * sizeof *low);
    long double weight = expl(-(long double)y);
    for (size_t k = 0; k < s->n_terms && weight > 0.0L; k++) {
        double w = (double)weight;
        for (size_t i = 0; i < s->n; i++) {
            pmi_add_product(&high[i], &low[i], w, 0.0, s->term.high[k * s->n + i], s->term.low[k * s->n + i]);
        }
        weight *= (long double)y / (long double)(k + 1);
    }
    for (size_t i = 0; i < s->n; i++) {
        pmi_settle(&high[i], &low[i]);
    }
}

/* Through the powers whose bits the numbers of steps have. Rows of `other` are free until the next square. */
static void take_powers(squaring *s, size_t first, size_t count, uint64_t most) {
    for (unsigned bit = 0; most >> bit > 0; bit++) {
        for (size_t j = 0; j < count; j++) {
            double rest;
            if ((whole_steps(s, first + j, &rest) >> bit & 1) != 0) {
                row_times(s, &s->vectors, j, &s->power, &s->other, 0);
                memcpy(s->vectors.high + j * s->n, s->other.high, s->n * sizeof(double));
                memcpy(s->vectors.low + j * s->n, s->other.low, s->n * sizeof(double));
            }
        }
        if (most >> bit > 1) {
            multiply(s, &s->power, &s->power, &s->other);
            exchange(&s->power, &s->other);
        }
        pmi_progress_tell(s->job->progress, (double)bit / 64.0, 1);
    }
}

/* ---- results ---- */

static void read_vector(squaring *s, size_t j, size_t slot) {
    size_t n = s->n - 1;
    const double *high = s->vectors.high + slot * s->n, *low = s->vectors.low + slot * s->n;
    double gone = 0.0, gone_low = 0.0, sum = 0.0, sum_low = 0.0;
    pm_point *point = &s->points[j];
    for (size_t i = 0; i < n; i++) {
        size_t at = i * s->n + n;
        pmi_add_product(&gone, &gone_low, high[i], low[i], s->step.high[at], s->step.low[at]);
    }
    point->pdf = ldexp(gone + gone_low, s->scale - 2 * ONE_EXPONENT);
    if (s->job->is_discrete) {
        if (pmi_row_times(s->job, s->row).time[j] == 0.0) {
            point->pdf = (high[n] + low[n]) / ONE;
        } else {
            row_times(s, &s->vectors, slot, &s->step, &s->other, 0);
            high = s->other.high;
            low = s->other.low;
        }
    }
    for (size_t i = 0; i < n; i++) {
        pmi_add_pair(&sum, &sum_low, high[i], low[i]);
    }
    point->cdf = (high[n] + low[n]) / ONE;
    point->survival = (sum + sum_low) / ONE;
    if (point->cdf < point->survival) {
        point->survival = 1.0 - point->cdf;
    } else {
        point->cdf = 1.0 - point->survival;
    }
}

/* Relative: products of n terms, as often as there are steps and terms of E; staying; and, once each, the start and a
 * dozen operations in double precision. */
static double bound_of(const squaring *s, uint64_t most) {
    double edges = (double)s->n + 4.0, product = edges * edges * 0x1p-106, steps = (double)most + 2.0;
    double own = s->job->is_discrete ? product : (double)s->n_terms * (product + 0x1p-102);
    double each = own + product + s->stay_rounding * (s->job->is_discrete ? 1.0 : (double)s->n_terms);
    return 1.01 * steps * (each + 2.0 * s->excess) + PM_ROUNDING * (16.0 + (double)s->job->chain->most_starts);
}

static pm_status run(squaring *s, uint64_t most, pm_error *err) {
    pm_status st = fill_step(s, err);
    size_t total = s->job->request->n_times;
    PM_TRY(st);
    for (size_t first = 0; first < total; first += s->group) {
        size_t count = total - first < s->group ? total - first : s->group;
        if (s->job->is_discrete) {
            memcpy(s->power.high, s->step.high, s->n * s->n * sizeof(double));
            memcpy(s->power.low, s->step.low, s->n * s->n * sizeof(double));
        } else {
            sum_series(s);
        }
        fill_terms(s);
        for (size_t j = 0; j < count; j++) {
            double rest;
            whole_steps(s, first + j, &rest);
            first_part(s, j, rest);
        }
        take_powers(s, first, count, most);
        for (size_t j = 0; j < count; j++) {
            read_vector(s, first + j, j);
        }
    }
    return PM_OK;
}

pm_status pmi_density_square(const pm_density_job *job, size_t row, uint64_t *steps, double *bound, pm_error *err) {
    squaring s = {.job = job, .row = row, .n = (size_t)job->chain->n + 1};
    double rest;
    if (!job->is_discrete) {
        frexp(2.0 * job->rows[row].lambda, &s.scale);
    }
    s.n_terms = job->is_discrete ? 1 : TERMS + (job->request->tail_accuracy ? s.n + 8 : 0);
    uint64_t most = whole_steps(&s, job->request->n_times - 1, &rest);
    pm_float_mode mode = pmi_denormals_flush();
    pm_status st = squaring_new(&s, err);
    PM_THEN(st, run(&s, most, err));
    pmi_denormals_restore(mode);
    if (st == PM_OK) {
        *bound = bound_of(&s, most);
        *steps = s.n_terms;
        for (uint64_t left = most; left > 1; left /= 2) {
            ++*steps;
        }
        st = *bound > job->tolerance ? pmi_refuse_bound(job, row, (double)most, s.excess, *bound, err)
                                     : pmi_write_points(job, row, *bound, s.points, err);
    }
    pmi_pool_free(&s.pool);
    return st;
}
