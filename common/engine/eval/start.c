#include "eval/start.h"

#include <float.h>
#include <math.h>

#include "base/float_env.h"
#include "base/mem.h"

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
        double total = sum + start[s], part = total - sum;
        error += (sum - (total - part)) + (start[s] - part); /* Knuth's TwoSum */
        sum = total;
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

pm_status pmi_start_new(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, pm_start *out,
                        pm_error *err) {
    size_t count = 0;
    *out = (pm_start){0};
    if (pmi_mul(n_theta, graph->n_starts, &count)) {
        out->value = pmi_malloc(count, sizeof *out->value);
    }
    out->rough = pmi_malloc(n_theta, sizeof *out->rough);
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
