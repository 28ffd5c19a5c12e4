#include "eval/row_sums.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/absorption.h"

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
    out->row = pmi_malloc(out->n, sizeof *out->row);
    out->first = pmi_calloc((size_t)out->n + 1, sizeof *out->first);
    out->weight = pmi_malloc(n_weights, sizeof *out->weight);
    if (out->row == NULL || out->first == NULL || out->weight == NULL) {
        return pmi_fail_memory(err, "the rows of a discrete graph", n_weights * sizeof *out->weight);
    }
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
    bool *looked_at = pmi_calloc(graph->n_vertices, sizeof *looked_at);
    uint32_t *index = pmi_malloc(graph->n_vertices, sizeof *index);
    pm_status st = PM_OK;
    if (looked_at == NULL || index == NULL) {
        st = pmi_fail_memory(err, "the rows of a discrete graph", (size_t)graph->n_vertices * 5);
    } else {
        mark_rows(graph, split, all, looked_at);
        st = collect(graph, looked_at, index, out, err);
    }
    free(looked_at);
    free(index);
    return st;
}

void pmi_row_sums_free(pm_row_sums *sums) {
    free(sums->row);
    free(sums->first);
    free(sums->weight);
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
        double total = sum + weight, part = total - sum;
        error += (sum - (total - part)) + (weight - part); /* Knuth's TwoSum */
        sum = total;
    }
    return sum <= DBL_MAX ? sum + error : sum;
}

static pm_status refuse(const pm_graph *g, const pm_split *split, uint32_t row, size_t theta_row, double sum,
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
            st = refuse(g, split, sums->row[i], theta_row, sum, err);
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
