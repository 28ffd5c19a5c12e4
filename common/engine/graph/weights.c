#include "graph/weights.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "graph/exact.h"

/* Below this part of the sum of magnitudes, Dot2 may have lost digits that the exact sum has. */
#define CANCELLED 0x1p-40

/* The same for wide numbers, which keep 20 digits then. */
#define WIDE_CANCELLED 0x1p-36

/* What a product of this size rounds off is a normal number. */
#define SAFE_PRODUCT 0x1p-900

/* Dot2 of Ogita, Rump and Oishi 2005 (algorithm 5.3): the rounding error of every product (fma) and of every sum
 * (Knuth's TwoSum) is collected and added at the end. Terms with a zero coefficient are left out: they add nothing.
 * What cancels by more than that can follow is added again, exactly. */
static double weight_at(const double *coef, size_t n_params, const double *theta) {
    double sum = coef[0], error = 0.0, magnitude = fabs(coef[0]);
    for (size_t k = 0; k < n_params; k++) {
        double c = coef[1 + k];
        if (c == 0.0) {
            continue;
        }
        double product = c * theta[k];
        double total = sum + product;
        double part = total - sum;
        error += fma(c, theta[k], -product) + ((sum - (total - part)) + (product - part));
        sum = total;
        magnitude += fabs(product);
    }
    /* an infinite sum has no rounding error: inf - inf must not turn it into NaN */
    if (!isfinite(sum)) {
        return sum;
    }
    sum += error;
    if (fabs(sum) < CANCELLED * magnitude) {
        double low;
        pmi_exact_dot(coef, n_params, theta, &sum, &low);
    }
    return sum;
}

double pmi_graph_weight(const pm_graph *g, uint32_t w, const double *theta) {
    return g->takes_values ? theta[w]
                           : weight_at(g->weights + (size_t)w * (1 + (size_t)g->n_params), g->n_params, theta);
}

double pmi_graph_coefficient(const pm_graph *g, size_t w, size_t p) {
    return g->weights[w * (1 + (size_t)g->n_params) + 1 + p];
}

pm_wide pmi_graph_weight_wide(const pm_graph *g, uint32_t w, const double *theta) {
    if (g->takes_values) {
        return pmi_wide_of(theta[w]);
    }
    const double *coef = g->weights + (size_t)w * (1 + (size_t)g->n_params);
    pm_wide sum = pmi_wide_of(coef[0]), largest = sum;
    for (size_t k = 0; k < g->n_params; k++) {
        if (coef[1 + k] != 0.0) {
            pm_wide product = pmi_wide_product(coef[1 + k], theta[k]);
            sum = pmi_wide_sum(sum, product);
            largest = pmi_wide_smaller(largest, product) ? product : largest;
        }
    }
    if (pmi_wide_smaller(sum, pmi_wide_multiply(largest, pmi_wide_of(WIDE_CANCELLED)))) {
        sum = pmi_exact_dot_wide(coef, g->n_params, theta);
    }
    return sum;
}

/* "[0.5, -1, 2]", cut with "..." where it does not fit. */
static void list_values(const double *values, size_t count, char *text, size_t n) {
    size_t used = (size_t)snprintf(text, n, "[");
    for (size_t i = 0; i < count; i++) {
        char number[40];
        int width = snprintf(number, sizeof number, i == 0 ? "%.15g" : ", %.15g", values[i]);
        if (width < 0 || used + (size_t)width + sizeof ", ...]" > n) {
            used += (size_t)snprintf(text + used, n - used, i == 0 ? "..." : ", ...");
            break;
        }
        used += (size_t)snprintf(text + used, n - used, "%s", number);
    }
    snprintf(text + used, n - used, "]");
}

/* Says which row of the file uses the weight. */
static void describe_user(const pm_graph *g, uint32_t w, char *text, size_t n) {
    for (size_t e = 0; e < g->n_edges; e++) {
        if (g->weight[e] == w) {
            char from[200];
            pmi_graph_describe(g, g->from[e], from, sizeof from);
            snprintf(text, n, "edge from %s to row %u", from, g->to[e]);
            return;
        }
    }
    snprintf(text, n, "weight %u", w);
}

pm_status pmi_weight_refuse(const pm_graph *g, uint32_t w, const double *theta, size_t row, pm_error *err) {
    char user[280], coef[200], values[200];
    const double *c = g->weights + (size_t)w * (1 + (size_t)g->n_params);
    double value = pmi_graph_weight(g, w, theta);
    describe_user(g, w, user, sizeof user);
    list_values(c + 1, g->n_params, coef, sizeof coef);
    list_values(theta, g->n_params, values, sizeof values);
    return pmi_fail(err, PM_EDATA, "theta row %zu: %s: weight %.17g is %s (constant %.15g, coefficients %s, theta %s)",
                    row, user, value, isfinite(value) ? "negative" : "not finite", c[0], coef, values);
}

/* The one parameter that the weight is a multiple of, or n_params where it is another kind of sum. */
static size_t sole_parameter(const double *coef, size_t n_params) {
    size_t sole = n_params;
    for (size_t k = 0; k < n_params; k++) {
        if (coef[1 + k] != 0.0) {
            if (sole != n_params) {
                return n_params;
            }
            sole = k;
        }
    }
    return coef[0] == 0.0 ? sole : n_params;
}

bool pmi_weight_is_constant(const pm_graph *graph, uint32_t w) {
    const double *coef = graph->weights + (size_t)w * (1 + (size_t)graph->n_params);
    for (size_t k = 0; k < graph->n_params; k++) {
        if (coef[1 + k] != 0.0) {
            return false;
        }
    }
    return true;
}

/* One weight at `count` rows of theta. A single product is rounded once as it is. */
static void fill_weight(const double *coef, size_t n_params, const double *theta, size_t count, double *out) {
    size_t sole = sole_parameter(coef, n_params);
    if (sole < n_params) {
        double c = coef[1 + sole];
        for (size_t i = 0; i < count; i++) {
            out[i] = c * theta[i * n_params + sole];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = weight_at(coef, n_params, theta + i * n_params);
    }
}

static void copy_values(const pm_graph *g, const double *theta, size_t count, unsigned lanes, double *values) {
    for (size_t w = 0; w < g->n_weights; w++) {
        for (size_t i = 0; i < lanes; i++) {
            values[w * lanes + i] = theta[(i < count ? i : count - 1) * g->n_params + w];
        }
    }
}

static bool is_bad(double weight) {
    return !(weight >= 0.0 && weight <= DBL_MAX);
}

/* The first bad row of theta is reported, then its first bad weight: the same whatever the lanes are. Weights of the
 * start distribution alone are judged by their sum (eval/theta.h). */
static pm_status refuse_bad(const pm_graph *g, const double *theta, size_t first, size_t count, unsigned lanes,
                            const double *values, pm_error *err) {
    bool *is_of_edge;
    PM_TRY(PM_ZEROS(&is_of_edge, g->n_weights, "the weights of edges", err));
    for (size_t e = 0; e < g->n_edges; e++) {
        is_of_edge[g->weight[e]] = true;
    }
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < count; i++) {
        for (size_t w = 0; st == PM_OK && w < g->n_weights; w++) {
            if (is_of_edge[w] && is_bad(values[w * lanes + i])) {
                st = pmi_weight_refuse(g, (uint32_t)w, theta + (first + i) * g->n_params, first + i, err);
            }
        }
    }
    free(is_of_edge);
    return st;
}

/* Values that are not divided yet. */
static pm_status fill_values(const pm_graph *graph, const double *theta, size_t first, size_t count, unsigned lanes,
                             double *values, pm_error *err) {
    size_t n_params = graph->n_params, width = 1 + n_params;
    if (count == 0 || count > lanes || graph->n_weights == 0) {
        return pmi_fail(err, PM_ESOFTWARE, "%zu rows of theta for %u lanes and %zu weights", count, lanes,
                        graph->n_weights);
    }
    if (graph->takes_values) {
        copy_values(graph, theta + first * n_params, count, lanes, values);
        return PM_OK;
    }
    bool has_bad = false;
    for (size_t w = 0; w < graph->n_weights; w++) {
        double *out = values + w * lanes;
        fill_weight(graph->weights + w * width, n_params, theta + first * n_params, count, out);
        for (size_t i = count; i < lanes; i++) {
            out[i] = out[count - 1];
        }
        for (size_t i = 0; i < count; i++) {
            has_bad |= is_bad(out[i]);
        }
    }
    return has_bad ? refuse_bad(graph, theta, first, count, lanes, values, err) : PM_OK;
}

pm_status pmi_weights_fill(const pm_graph *graph, const double *theta, size_t first, size_t count, unsigned lanes,
                           double *values, pm_error *err) {
    pm_status st = fill_values(graph, theta, first, count, lanes, values, err);
    return st == PM_OK && graph->normalizes_rows ? pmi_normalize_values(graph, first, count, lanes, values, NULL, err)
                                                 : st;
}

/* One weight at `count` rows of theta, to twice the precision. */
static void fill_pair(const double *coef, size_t n_params, const double *theta, size_t count, double *high,
                      double *low) {
    size_t sole = sole_parameter(coef, n_params);
    for (size_t i = 0; i < count; i++) {
        const double *row = theta + i * n_params;
        if (sole < n_params && fabs(high[i]) > SAFE_PRODUCT) {
            low[i] = fma(coef[1 + sole], row[sole], -high[i]);
        } else {
            pmi_exact_dot(coef, n_params, row, &high[i], &low[i]);
        }
    }
}

pm_status pmi_weights_fill_pairs(const pm_graph *graph, const double *theta, size_t first, size_t count, unsigned lanes,
                                 double *high, double *low, pm_error *err) {
    size_t n_params = graph->n_params, width = 1 + n_params;
    pm_status st = fill_values(graph, theta, first, count, lanes, high, err);
    for (size_t w = 0; st == PM_OK && w < graph->n_weights; w++) {
        double *own = low + w * lanes;
        if (graph->takes_values || pmi_weight_is_constant(graph, (uint32_t)w)) {
            memset(own, 0, lanes * sizeof *own);
            continue;
        }
        fill_pair(graph->weights + w * width, n_params, theta + first * n_params, count, high + w * lanes, own);
        for (size_t i = count; i < lanes; i++) {
            high[w * lanes + i] = high[w * lanes + count - 1];
            own[i] = own[count - 1];
        }
    }
    return st == PM_OK && graph->normalizes_rows ? pmi_normalize_values(graph, first, count, lanes, high, low, err)
                                                 : st;
}

void pmi_terms_subtract(pm_terms *terms, const pm_graph *graph, const double *theta, const uint32_t *weight,
                        size_t n_weights) {
    for (size_t i = 0; i < n_weights; i++) {
        if (graph->takes_values) {
            terms->x[terms->n++] = theta[weight[i]];
            terms->coef[terms->n] = -1;
            continue;
        }
        const double *coef = graph->weights + (size_t)weight[i] * (1 + (size_t)graph->n_params);
        for (size_t k = 0; k <= graph->n_params; k++) {
            if (coef[k] != 0) {
                terms->x[terms->n++] = k == 0 ? 1 : theta[k - 1];
                terms->coef[terms->n] = -coef[k];
            }
        }
    }
}

/* ---- graphs whose rows are normalized ---- */

/* Edges by row, and rows by what they hold. */
typedef struct rows {
    uint32_t n;       /* rows */
    size_t *first;    /* n + 1 */
    uint32_t *weight; /* the weights of each row's edges, ascending */
    uint32_t *order;  /* rows, those that hold the same side by side */
    uint32_t *sum_of; /* of each row */
} rows;

static int compare_weights(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b, void *ctx) {
    const rows *r = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    size_t n = r->first[x + 1] - r->first[x], m = r->first[y + 1] - r->first[y];
    if (n != m || n == 0) {
        return (n > m) - (n < m);
    }
    return memcmp(r->weight + r->first[x], r->weight + r->first[y], n * sizeof *r->weight);
}

static pm_status rows_of(const pm_graph *g, pm_pool *pool, rows *r, pm_error *err) {
    *r = (rows){.n = g->n_vertices,
                .first = pmi_pool_zeros(pool, (size_t)g->n_vertices + 1, sizeof *r->first),
                .weight = pmi_pool_array(pool, g->n_edges, sizeof *r->weight),
                .order = pmi_pool_array(pool, g->n_vertices, sizeof *r->order),
                .sum_of = pmi_pool_array(pool, g->n_vertices, sizeof *r->sum_of)};
    PM_TRY(pmi_pool_check(pool, err, "the rows of a graph", (size_t)g->n_vertices * 16 + g->n_edges * 4));
    for (size_t e = 0; e < g->n_edges; e++) {
        r->first[g->from[e] + 1]++;
    }
    for (uint32_t v = 0; v < r->n; v++) {
        r->first[v + 1] += r->first[v];
        r->order[v] = v;
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        r->weight[r->first[g->from[e]]++] = g->weight[e];
    }
    /* each first[v] now ends its row: it is where the next one begins */
    memmove(r->first + 1, r->first, r->n * sizeof *r->first);
    r->first[0] = 0;
    for (uint32_t v = 0; v < r->n; v++) {
        qsort(r->weight + r->first[v], r->first[v + 1] - r->first[v], sizeof *r->weight, compare_weights);
    }
    qsort_r(r->order, r->n, sizeof *r->order, compare_rows, r);
    return PM_OK;
}

/* The new table while it grows. */
typedef struct numbering {
    uint32_t n, n_sums;
    uint32_t *old;       /* what each new number was */
    uint32_t *times;     /* how often a row has it */
    uint32_t *sum_first; /* n_sums + 1 */
} numbering;

static void add_weight(numbering *m, uint32_t old) {
    m->old[m->n] = old;
    m->times[m->n++] = 1;
}

static void number_starts(pm_graph *g, uint32_t *new_of, numbering *m) {
    for (size_t s = 0; s < g->n_starts; s++) {
        uint32_t old = g->start_weight[s];
        if (new_of[old] == PM_NONE) {
            new_of[old] = m->n;
            add_weight(m, old);
        }
        g->start_weight[s] = new_of[old];
    }
    m->sum_first[0] = m->n;
}

static void number_row(const rows *r, uint32_t v, numbering *m) {
    for (size_t i = r->first[v]; i < r->first[v + 1]; i++) {
        if (i > r->first[v] && r->weight[i] == r->weight[i - 1]) {
            m->times[m->n - 1]++;
        } else {
            add_weight(m, r->weight[i]);
        }
    }
    m->sum_first[++m->n_sums] = m->n;
}

static void number_rows(rows *r, numbering *m) {
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t v = r->order[i];
        bool is_empty = r->first[v] == r->first[v + 1];
        if (!is_empty && (i == 0 || compare_rows(&r->order[i - 1], &v, r) != 0)) {
            number_row(r, v, m);
        }
        r->sum_of[v] = is_empty ? PM_NONE : m->n_sums - 1;
    }
}

static void renumber_edges(pm_graph *g, const rows *r, const numbering *m) {
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t sum = r->sum_of[g->from[e]], first = m->sum_first[sum];
        const uint32_t *at =
            bsearch(&g->weight[e], m->old + first, m->sum_first[sum + 1] - first, sizeof *m->old, compare_weights);
        g->weight[e] = (uint32_t)(at - m->old);
    }
}

static pm_status copy_table(pm_graph *g, const numbering *m, pm_error *err) {
    size_t width = 1 + (size_t)g->n_params;
    double *table;
    PM_TRY(pmi_new(&table, m->n, width * sizeof *table, "the table of weights", err));
    for (size_t w = 0; w < m->n; w++) {
        memcpy(table + w * width, g->weights + m->old[w] * width, width * sizeof *table);
    }
    free(g->weights);
    g->weights = table;
    g->n_weights = m->n;
    return PM_OK;
}

static pm_status numbering_new(const pm_graph *g, pm_pool *pool, numbering *m, uint32_t **new_of, pm_error *err) {
    size_t most;
    if (!pmi_add(g->n_edges, g->n_starts, &most) || most >= PM_NONE) {
        return pmi_fail(err, PM_EDATA, "%zu edges in a graph whose rows are normalized; expected less than %u",
                        g->n_edges, PM_NONE);
    }
    m->old = pmi_pool_array(pool, most, sizeof *m->old);
    *new_of = pmi_pool_array(pool, g->n_weights, sizeof **new_of);
    PM_TRY(pmi_pool_check(pool, err, "the table of weights", 8 * most));
    PM_TRY(PM_NEW(&m->times, most, "the table of weights", err));
    PM_TRY(PM_NEW(&m->sum_first, (size_t)g->n_vertices + 1, "the table of weights", err));
    memset(*new_of, 0xff, g->n_weights * sizeof **new_of);
    return PM_OK;
}

pm_status pmi_normalize_prepare(pm_graph *g, pm_error *err) {
    rows r;
    numbering m = {0};
    uint32_t *new_of = NULL;
    pm_pool pool = {0};
    pm_status st = numbering_new(g, &pool, &m, &new_of, err);
    PM_THEN(st, rows_of(g, &pool, &r, err));
    if (st == PM_OK) {
        number_starts(g, new_of, &m);
        number_rows(&r, &m);
        renumber_edges(g, &r, &m);
        st = copy_table(g, &m, err);
    }
    if (st == PM_OK) {
        g->n_sums = m.n_sums;
        g->sum_first = m.sum_first;
        g->times = m.times;
        m.sum_first = m.times = NULL;
    }
    free(m.times);
    free(m.sum_first);
    pmi_pool_free(&pool);
    return st;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* high + low, the sum of a row at one lane. Rounding errors of products and sums are collected and added at the end
 * (Dot2 of Ogita, Rump and Oishi 2005), so that a row of a million edges is as right as one of two. */
static double sum_row(const pm_graph *g, uint32_t s, unsigned lanes, size_t lane, const double *values,
                      const double *lows, double *low) {
    double sum = 0, error = 0;
    for (uint32_t w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
        size_t at = (size_t)w * lanes + lane;
        double times = g->times[w], product = times * values[at], total = sum + product, part = total - sum;
        error += fma(times, values[at], -product) + ((sum - (total - part)) + (product - part));
        error += lows == NULL ? 0 : times * lows[at];
        sum = total;
    }
    if (!isfinite(sum)) {
        return sum;
    }
    double high = sum + error;
    *low = error - (high - sum);
    return high;
}

/* high + low divided by sum + sum_low: one step of long division. */
static void divide(double *high, double *low, double sum, double sum_low) {
    double quotient = *high / sum;
    double rest = fma(-quotient, sum, *high) + (*low - quotient * sum_low);
    rest /= sum;
    *high = quotient + rest;
    *low = rest - (*high - quotient);
}

static pm_status bad_sum(const pm_graph *g, uint32_t s, size_t theta_row, double sum, pm_error *err) {
    char row[200] = "a row";
    for (size_t e = 0; e < g->n_edges; e++) {
        if (g->weight[e] >= g->sum_first[s] && g->weight[e] < g->sum_first[s + 1]) {
            pmi_graph_describe(g, g->from[e], row, sizeof row);
            break;
        }
    }
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the weights out of %s add up to %.17g, which cannot be divided by in double "
                    "precision; the graph's rows are normalized (was_dph): rescale theta",
                    theta_row, row, sum);
}

pm_status pmi_normalize_values(const pm_graph *g, size_t first, size_t count, unsigned lanes, double *values,
                               double *low, pm_error *err) {
    /* the first bad row of theta is reported, then its first bad sum: the same whatever the lanes are */
    size_t bad_lane = count;
    uint32_t bad = 0;
    double bad_value = 0;
    for (uint32_t s = 0; s < g->n_sums; s++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            double sum_low = 0, sum = sum_row(g, s, lanes, lane, values, low, &sum_low);
            if (sum != 0 && !(sum >= DBL_MIN && sum <= DBL_MAX) && lane < bad_lane) {
                bad_lane = lane;
                bad = s;
                bad_value = sum;
            }
            for (uint32_t w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
                size_t at = (size_t)w * lanes + lane;
                if (low != NULL && sum > 0) {
                    divide(&values[at], &low[at], sum, sum_low);
                } else {
                    values[at] = sum > 0 ? values[at] / sum : 0;
                }
            }
        }
    }
    return bad_lane == count ? PM_OK : bad_sum(g, bad, first + bad_lane, bad_value, err);
}
