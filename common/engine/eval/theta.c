#include "eval/theta.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/float_env.h"
#include "base/mem.h"
#include "eval/extended.h"

/* ---- the start distribution ---- */

#define SUM_TOLERANCE 1e-9

static pm_status refuse_weight(const pm_graph *g, size_t s, size_t row, double weight, pm_error *err) {
    return pmi_fail(err, PM_EDATA, "theta row %zu: the start edge to row %u has weight %.17g, expected zero or more",
                    row, g->start_to[s], weight);
}

static pm_status refuse_sum(size_t row, pm_wide sum, pm_error *err) {
    int range = pmi_wide_range(sum);
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the start distribution sums to %s%.17g, expected 1 (within 1e-9); correct "
                    "start_edges%s",
                    row,
                    range > 0   ? "more than "
                    : range < 0 ? "less than "
                                : "",
                    range > 0   ? DBL_MAX
                    : range < 0 ? DBL_MIN
                                : pmi_wide_double(sum),
                    sum.hi > 0 ? ", or rescale it with --normalize-start" : "");
}

/* The weights and their sum, in doubles. */
static double weigh(const pm_graph *g, const double *theta, double *start) {
    double sum = 0, error = 0;
    for (size_t s = 0; s < g->n_starts; s++) {
        start[s] = pmi_graph_weight(g, g->start_weight[s], theta);
        pmi_add_pair(&sum, &error, start[s], 0);
    }
    return sum + error;
}

/* The same row where weights or their sum leave the doubles: only what is divided has to fit. */
static pm_status fill_wide(const pm_graph *g, const double *theta, size_t row, bool normalize, double *start,
                           pm_error *err) {
    pm_wide sum = pmi_wide_of(0);
    for (size_t s = 0; s < g->n_starts; s++) {
        pm_wide weight = pmi_graph_weight_wide(g, g->start_weight[s], theta);
        if (weight.hi < 0) {
            return refuse_weight(g, s, row, pmi_wide_double(weight), err);
        }
        sum = pmi_wide_add(sum, weight);
    }
    double beyond = pmi_wide_double(pmi_wide_difference(sum, pmi_wide_of(1)));
    if (!(sum.hi > 0) || (!normalize && fabs(beyond) > SUM_TOLERANCE)) {
        return refuse_sum(row, sum, err);
    }
    pm_wide inverse = pmi_wide_invert(sum);
    for (size_t s = 0; s < g->n_starts; s++) {
        pm_wide weight = pmi_graph_weight_wide(g, g->start_weight[s], theta);
        start[s] = pmi_wide_double(pmi_wide_multiply(weight, inverse));
    }
    return PM_OK;
}

/* *rough: some value left the range of doubles on its way. */
static pm_status fill_row(const pm_graph *g, const double *theta, size_t row, bool normalize, double *start,
                          bool *rough, pm_error *err) {
    normalize = normalize || g->normalizes_rows;
    pmi_float_clear();
    double sum = weigh(g, theta, start);
    *rough = pmi_float_raised() || !(sum >= DBL_MIN && sum <= DBL_MAX);
    if (*rough) {
        return fill_wide(g, theta, row, normalize, start, err);
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        if (!(start[s] >= 0)) {
            return refuse_weight(g, s, row, start[s], err);
        }
    }
    if (!normalize && fabs(sum - 1) > SUM_TOLERANCE) {
        return refuse_sum(row, pmi_wide_of(sum), err);
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        start[s] /= sum;
    }
    *rough = pmi_float_raised();
    return PM_OK;
}

pm_status pmi_start_fill(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, double *start,
                         pm_error *err) {
    for (size_t b = 0; b < n_theta; b++) {
        bool rough;
        PM_TRY(fill_row(graph, theta + b * graph->n_params, b, normalize, start + b * graph->n_starts, &rough, err));
    }
    return PM_OK;
}

/* Fills the weights of the start distribution; returns one over their sum. */
static pm_wide inverse_start_sum(const pm_graph *g, const double *theta, pm_wide *weight) {
    pm_wide sum = pmi_wide_of(0);
    for (size_t s = 0; s < g->n_starts; s++) {
        weight[s] = pmi_graph_weight_wide(g, g->start_weight[s], theta);
        sum = pmi_wide_add(sum, weight[s]);
    }
    return pmi_wide_invert(sum);
}

void pmi_start_wide(const pm_graph *g, const double *theta, pm_wide *value) {
    pm_wide inverse = inverse_start_sum(g, theta, value);
    for (size_t s = 0; s < g->n_starts; s++) {
        value[s] = pmi_wide_multiply(value[s], inverse);
    }
}

static pm_wide start_sum_change(const pm_graph *g, size_t p) {
    pm_wide sum = pmi_wide_of(0);
    for (size_t s = 0; s < g->n_starts; s++) {
        sum = pmi_wide_sum(sum, pmi_wide_of(pmi_graph_coefficient(g, g->start_weight[s], p)));
    }
    return sum;
}

void pmi_start_derivative(const pm_graph *g, const double *theta, size_t p, pm_wide *change) {
    pm_wide inverse = inverse_start_sum(g, theta, change);
    pm_wide relative = pmi_wide_multiply(start_sum_change(g, p), inverse);
    for (size_t s = 0; s < g->n_starts; s++) {
        pm_wide own = pmi_wide_of(pmi_graph_coefficient(g, g->start_weight[s], p));
        own = pmi_wide_difference(own, pmi_wide_multiply(change[s], relative));
        change[s] = pmi_wide_multiply(own, inverse);
    }
}

void pmi_start_second(const pm_graph *g, const double *theta, size_t p, size_t q, const pm_wide *by_p,
                      const pm_wide *by_q, pm_wide *change) {
    pm_wide inverse = inverse_start_sum(g, theta, change);
    pm_wide of_p = pmi_wide_multiply(start_sum_change(g, p), inverse);
    pm_wide of_q = pmi_wide_multiply(start_sum_change(g, q), inverse);
    for (size_t s = 0; s < g->n_starts; s++) {
        pm_wide sum = pmi_wide_sum(pmi_wide_multiply(by_q[s], of_p), pmi_wide_multiply(by_p[s], of_q));
        change[s] = pmi_wide_difference(pmi_wide_of(0), sum);
    }
}

pm_status pmi_start_new(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, pm_start *out,
                        pm_error *err) {
    size_t count = 0;
    *out = (pm_start){.rough = pmi_malloc(n_theta, sizeof *out->rough)};
    if (pmi_mul(n_theta, graph->n_starts, &count)) {
        out->value = pmi_malloc(count, sizeof *out->value);
    }
    pm_status st = PM_OK;
    if (out->value == NULL || out->rough == NULL) {
        st = pmi_fail_memory(err, "the start distributions", count * sizeof *out->value);
    }
    for (size_t b = 0; st == PM_OK && b < n_theta; b++) {
        st = fill_row(graph, theta + b * graph->n_params, b, normalize, out->value + b * graph->n_starts,
                      &out->rough[b], err);
    }
    if (st != PM_OK) {
        pmi_start_free(out);
    }
    return st;
}

void pmi_start_free(pm_start *start) {
    free(start->value);
    free(start->rough);
    *start = (pm_start){0};
}

/* ---- absorption ---- */

typedef struct walk {
    const pm_graph *graph;
    const pm_split *split;
    bool *positive;  /* each weight at this theta, also where a double underflows */
    bool *reachable; /* from the start distribution */
    uint32_t *queue;
    pm_pool pool;
} walk;

static pm_status walk_new(const pm_graph *g, const pm_split *s, const double *theta, walk *w, pm_error *err) {
    *w = (walk){.graph = g, .split = s};
    w->positive = pmi_pool_array(&w->pool, g->n_weights, sizeof *w->positive);
    w->queue = pmi_pool_array(&w->pool, g->n_vertices, sizeof *w->queue);
    w->reachable = pmi_calloc(g->n_vertices, sizeof *w->reachable); /* some take it over */
    w->pool.is_short = w->pool.is_short || w->reachable == NULL;
    PM_TRY(pmi_pool_check(&w->pool, err, "the check of absorption", (size_t)g->n_vertices * 8));
    for (size_t i = 0; i < g->n_weights; i++) {
        w->positive[i] = pmi_graph_weight_wide(g, (uint32_t)i, theta).hi > 0;
    }
    return PM_OK;
}

static void walk_forward(walk *w, const double *theta) {
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < w->graph->n_starts; i++) {
        uint32_t v = w->graph->start_to[i];
        if (!w->reachable[v] && pmi_graph_weight_wide(w->graph, w->graph->start_weight[i], theta).hi > 0) {
            w->reachable[v] = true;
            w->queue[tail++] = v;
        }
    }
    while (head < tail) {
        uint32_t v = w->queue[head++];
        for (size_t e = w->split->row[v]; e < w->split->row[v + 1]; e++) {
            uint32_t to = w->split->to[e];
            if (w->positive[w->split->weight[e]] && !w->reachable[to]) {
                w->reachable[to] = true;
                w->queue[tail++] = to;
            }
        }
    }
}

/* In-edges that are there, by target: from[row[v]..row[v+1]). */
static void reverse_edges(const pm_split *s, uint32_t n, const bool *is_there, size_t *row, uint32_t *from) {
    for (size_t e = 0; e < s->row[n]; e++) {
        row[s->to[e] + 1] += is_there[s->weight[e]] ? 1 : 0;
    }
    for (uint32_t v = 0; v < n; v++) {
        row[v + 1] += row[v];
    }
    for (uint32_t v = 0; v < n; v++) {
        for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
            if (is_there[s->weight[e]]) {
                from[row[s->to[e]]++] = v;
            }
        }
    }
    memmove(row + 1, row, n * sizeof *row);
    row[0] = 0;
}

pm_status pmi_absorbable_rows(const pm_graph *g, const pm_split *s, const bool *is_there, bool *absorbed,
                              pm_error *err) {
    uint32_t n = g->n_vertices;
    pm_pool pool = {0};
    size_t *row = pmi_pool_zeros(&pool, (size_t)n + 1, sizeof *row), head = 0, tail = 0;
    uint32_t *from = pmi_pool_array(&pool, s->row[n], sizeof *from), *queue = pmi_pool_array(&pool, n, sizeof *queue);
    pm_status st = pmi_pool_check(&pool, err, "the states that can be absorbed", s->row[n] * sizeof *from);
    if (st == PM_OK) {
        reverse_edges(s, n, is_there, row, from);
    }
    for (uint32_t v = g->has_start ? 1 : 0; st == PM_OK && v < n; v++) {
        if (s->row[v] == s->row[v + 1]) {
            absorbed[v] = true;
            queue[tail++] = v;
        }
    }
    while (head < tail) {
        uint32_t v = queue[head++];
        for (size_t e = row[v]; e < row[v + 1]; e++) {
            if (!absorbed[from[e]]) {
                absorbed[from[e]] = true;
                queue[tail++] = from[e];
            }
        }
    }
    pmi_pool_free(&pool);
    return st;
}

pm_status pmi_reachable_rows(const pm_graph *graph, const pm_split *split, const double *theta, bool **out,
                             pm_error *err) {
    walk w;
    pm_status st = walk_new(graph, split, theta, &w, err);
    if (st == PM_OK) {
        walk_forward(&w, theta);
    } else {
        free(w.reachable);
        w.reachable = NULL;
    }
    *out = w.reachable;
    pmi_pool_free(&w.pool);
    return st;
}

pm_status pmi_absorption_check(const pm_graph *graph, const pm_split *split, const double *theta, size_t row,
                               pm_error *err) {
    walk w;
    pm_status st = walk_new(graph, split, theta, &w, err);
    bool *absorbed = pmi_pool_zeros(&w.pool, graph->n_vertices, sizeof *absorbed);
    PM_THEN(st, pmi_pool_check(&w.pool, err, "the check of absorption", graph->n_vertices));
    PM_THEN(st, pmi_absorbable_rows(graph, split, w.positive, absorbed, err));
    if (st == PM_OK) {
        walk_forward(&w, theta);
    }
    for (uint32_t i = 0; st == PM_OK && i < split->n_transient; i++) {
        uint32_t v = split->member[i];
        if (w.reachable[v] && !absorbed[v]) {
            char text[200];
            pmi_graph_describe(graph, v, text, sizeof text);
            st = pmi_fail(
                err, PM_EDATA,
                "theta row %zu: %s can be reached but cannot reach absorption at this theta: the weights of its "
                "way out are zero; choose another theta, or take what comes there as never absorbed with --defective",
                row, text);
        }
    }
    free(w.reachable);
    pmi_pool_free(&w.pool);
    return st;
}

/* ---- sums of rows ---- */

/* ---- which rows ---- */

/* looked_at[v]: reachable absorbing states, and transient ones with `all`. */
static void mark_rows(const pm_graph *g, const pm_split *s, bool all, bool *looked_at) {
    for (uint32_t i = 0; i < s->n_transient; i++) {
        uint32_t v = s->member[i];
        looked_at[v] = all;
        for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
            looked_at[s->to[e]] |= s->scc_of[s->to[e]] == PM_NONE;
        }
    }
    for (size_t i = 0; i < g->n_starts; i++) {
        looked_at[g->start_to[i]] |= s->scc_of[g->start_to[i]] == PM_NONE;
    }
}

/* Weights of the rows that are looked at, by row; index[v] is PM_NONE for others. */
static pm_status collect(const pm_graph *g, const bool *looked_at, uint32_t *index, pm_row_sums *out, pm_error *err) {
    size_t n_weights = 0;
    memset(index, 0xff, g->n_vertices * sizeof *index);
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t v = g->from[e];
        if (looked_at[v]) {
            index[v] = index[v] == PM_NONE ? out->n++ : index[v];
            n_weights++;
        }
    }
    out->row = pmi_pool_array(&out->pool, out->n, sizeof *out->row);
    out->first = pmi_pool_zeros(&out->pool, (size_t)out->n + 1, sizeof *out->first);
    out->weight = pmi_pool_array(&out->pool, n_weights, sizeof *out->weight);
    PM_TRY(pmi_pool_check(&out->pool, err, "the rows of a discrete graph", n_weights * sizeof *out->weight));
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t i = index[g->from[e]];
        if (i != PM_NONE) {
            out->row[i] = g->from[e];
            out->first[i + 1]++;
        }
    }
    for (uint32_t i = 0; i < out->n; i++) {
        out->first[i + 1] += out->first[i];
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t i = index[g->from[e]];
        if (i != PM_NONE) {
            out->weight[out->first[i]++] = g->weight[e];
        }
    }
    memmove(out->first + 1, out->first, out->n * sizeof *out->first);
    out->first[0] = 0;
    return PM_OK;
}

pm_status pmi_row_sums_new(const pm_graph *graph, const pm_split *split, bool all, pm_row_sums *out, pm_error *err) {
    *out = (pm_row_sums){0};
    if (!graph->is_discrete || graph->normalizes_rows || graph->takes_values) {
        return PM_OK;
    }
    pm_pool pool = {0};
    bool *looked_at = pmi_pool_zeros(&pool, graph->n_vertices, sizeof *looked_at);
    uint32_t *index = pmi_pool_array(&pool, graph->n_vertices, sizeof *index);
    pm_status st = pmi_pool_check(&pool, err, "the rows of a discrete graph", (size_t)graph->n_vertices * 5);
    if (st == PM_OK) {
        mark_rows(graph, split, all, looked_at);
        st = collect(graph, looked_at, index, out, err);
    }
    pmi_pool_free(&pool);
    return st;
}

void pmi_row_sums_free(pm_row_sums *sums) {
    pmi_pool_free(&sums->pool);
    *sums = (pm_row_sums){0};
}

/* ---- their sums ---- */

/* The sum of row i, compensated; 0 where a weight is negative or not finite. */
static double sum_of(const pm_row_sums *sums, const pm_graph *g, uint32_t i, const double *theta) {
    double sum = 0, error = 0;
    for (size_t e = sums->first[i]; e < sums->first[i + 1]; e++) {
        double weight = pmi_graph_weight(g, sums->weight[e], theta);
        if (!(weight >= 0 && weight <= DBL_MAX)) {
            return 0;
        }
        pmi_add_pair(&sum, &error, weight, 0);
    }
    return sum <= DBL_MAX ? sum + error : sum;
}

static pm_status refuse_row(const pm_graph *g, const pm_split *split, uint32_t row, size_t theta_row, double sum,
                            pm_error *err) {
    char text[200];
    bool is_absorbing = split->row[row] == split->row[row + 1];
    pmi_graph_describe(g, row, text, sizeof text);
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the probabilities out of %s add up to %.17g (%s), expected at most 1", theta_row,
                    text, sum, is_absorbing ? "all self-loops: the state absorbs" : "self-loops included");
}

/* One row of theta. What can be reached is found out only where it matters. */
static pm_status check_at(const pm_row_sums *sums, const pm_graph *g, const pm_split *split, const double *theta,
                          size_t theta_row, pm_error *err) {
    bool *reachable = NULL;
    pm_status st = PM_OK;
    for (uint32_t i = 0; st == PM_OK && i < sums->n; i++) {
        double sum = sum_of(sums, g, i, theta);
        if (sum <= 1 + PM_ROW_SUM_SLACK) {
            continue;
        }
        if (reachable == NULL) {
            st = pmi_reachable_rows(g, split, theta, &reachable, err);
        }
        if (st == PM_OK && reachable[sums->row[i]]) {
            st = refuse_row(g, split, sums->row[i], theta_row, sum, err);
        }
    }
    free(reachable);
    return st;
}

pm_status pmi_row_sums_check(const pm_row_sums *sums, const pm_graph *graph, const pm_split *split, const double *theta,
                             size_t n_theta, pm_error *err) {
    for (size_t b = 0; sums->n > 0 && b < n_theta; b++) {
        PM_TRY(check_at(sums, graph, split, theta + b * graph->n_params, b, err));
    }
    return PM_OK;
}
