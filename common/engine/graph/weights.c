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
