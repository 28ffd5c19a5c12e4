#include "eval/start.h"

#include <math.h>

#define SUM_TOLERANCE 1e-9

static pm_status fill_row(const pm_graph *g, const double *theta, size_t row, bool normalize, double *start,
                          pm_error *err) {
    double sum = 0;
    normalize = normalize || g->normalizes_rows;
    for (size_t s = 0; s < g->n_starts; s++) {
        start[s] = pm_graph_weight(g, g->start_weight[s], theta);
        if (!(start[s] >= 0 && start[s] < HUGE_VAL)) {
            return pm_fail(err, PM_EDATA,
                           "theta row %zu: the start edge to row %u has weight %.17g, expected zero or more", row,
                           g->start_to[s], start[s]);
        }
        sum += start[s];
    }
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
