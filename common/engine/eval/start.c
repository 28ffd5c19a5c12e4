#include "eval/start.h"

#include <math.h>

#include "base/float_env.h"
#include "base/mem.h"

#define SUM_TOLERANCE 1e-9

static pm_status fill_row(const pm_graph *g, const double *theta, size_t row, bool normalize, double *start,
                          pm_error *err) {
    double sum = 0, error = 0;
    normalize = normalize || g->normalizes_rows;
    for (size_t s = 0; s < g->n_starts; s++) {
        start[s] = pm_graph_weight(g, g->start_weight[s], theta);
        if (!(start[s] >= 0 && start[s] < HUGE_VAL)) {
            return pm_fail(err, PM_EDATA,
                           "theta row %zu: the start edge to row %u has weight %.17g, expected zero or more", row,
                           g->start_to[s], start[s]);
        }
        if (s == 0) {
            sum = start[0];
            continue;
        }
        double total = sum + start[s], part = total - sum;
        error += (sum - (total - part)) + (start[s] - part); /* Knuth's TwoSum */
        sum = total;
    }
    sum += error;
    if (!(sum > 0 && sum < HUGE_VAL) || (!normalize && fabs(sum - 1) > SUM_TOLERANCE)) {
        return pm_fail(
            err, PM_EDATA,
            "theta row %zu: the start distribution sums to %.17g, expected 1 (within 1e-9); correct start_edges%s", row,
            sum, sum > 0 && sum < HUGE_VAL ? ", or rescale it with --normalize-start" : "");
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        start[s] /= sum;
    }
    return PM_OK;
}

pm_status pm_start_fill(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, double *start,
                        pm_error *err) {
    for (size_t b = 0; b < n_theta; b++) {
        pm_status st = fill_row(graph, theta + b * graph->n_params, b, normalize, start + b * graph->n_starts, err);
        if (st != PM_OK) {
            return st;
        }
    }
    return PM_OK;
}

/* Row by row, which of them leave the range. */
static pm_status find_rough(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, pm_start *out,
                            pm_error *err) {
    out->rough = pm_calloc(n_theta, sizeof *out->rough);
    if (out->rough == NULL) {
        return pm_fail_memory(err, "the start distributions", n_theta * sizeof *out->rough);
    }
    pm_status st = PM_OK;
    for (size_t b = 0; st == PM_OK && b < n_theta; b++) {
        pm_float_clear();
        st = pm_start_fill(graph, theta + b * graph->n_params, 1, normalize, out->value + b * graph->n_starts, err);
        out->rough[b] = pm_float_raised();
    }
    return st;
}

pm_status pm_start_new(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, pm_start *out,
                       pm_error *err) {
    size_t count = 0;
    *out = (pm_start){0};
    if (pm_mul(n_theta, graph->n_starts, &count)) {
        out->value = pm_malloc(count, sizeof *out->value);
    }
    if (out->value == NULL) {
        return pm_fail_memory(err, "the start distributions", count * sizeof *out->value);
    }
    pm_float_clear();
    pm_status st = pm_start_fill(graph, theta, n_theta, normalize, out->value, err);
    if (st == PM_OK && pm_float_raised()) {
        st = find_rough(graph, theta, n_theta, normalize, out, err);
    }
    if (st != PM_OK) {
        pm_start_free(out);
    }
    return st;
}

void pm_start_free(pm_start *start) {
    free(start->value);
    free(start->rough);
    *start = (pm_start){0};
}
