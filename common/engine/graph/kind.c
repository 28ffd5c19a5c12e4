/* Whether a graph that does not say what it is looks like a discrete one. */
#include "base/mem.h"
#include "graph/graph.h"

#define SLACK 1e-9 /* as for rows of probabilities */

/* Whether the weights out of every row add up to at most one, and some weight is positive. `value` has a place for each
 * weight, `sum` for each row. */
static bool are_probabilities(const pm_graph *g, const double *theta, double *value, double *sum) {
    bool is_positive = false;
    for (size_t w = 0; w < g->n_weights; w++) {
        value[w] = pmi_graph_weight(g, (uint32_t)w, theta);
    }
    for (size_t v = 0; v < g->n_vertices; v++) {
        sum[v] = 0;
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        double weight = value[g->weight[e]];
        sum[g->from[e]] += weight;
        if (!(weight >= 0 && sum[g->from[e]] <= 1 + SLACK)) {
            return false;
        }
        is_positive = is_positive || weight > 0;
    }
    return is_positive;
}

bool pm_graph_may_be_discrete(const pm_graph *graph, const double *theta, size_t n_theta) {
    size_t n_params = graph->n_params, n_rows = n_params == 0 ? 1 : n_theta;
    if (graph->is_discrete || graph->is_kind_given || n_rows == 0) {
        return false;
    }
    double *value = pmi_malloc(graph->n_weights, sizeof *value);
    double *sum = pmi_malloc(graph->n_vertices, sizeof *sum);
    bool may_be = value != NULL && sum != NULL;
    for (size_t b = 0; may_be && b < n_rows; b++) {
        may_be = are_probabilities(graph, n_params == 0 ? NULL : theta + b * n_params, value, sum);
    }
    free(value);
    free(sum);
    return may_be;
}
