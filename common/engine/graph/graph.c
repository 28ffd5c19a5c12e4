#include "graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "graph/build.h"

void pm_graph_free(pm_graph *graph) {
    if (graph == NULL || __atomic_fetch_sub(&graph->holders, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    free(graph->states);
    free(graph->from);
    free(graph->to);
    free(graph->weight);
    free(graph->start_to);
    free(graph->start_weight);
    free(graph->weights);
    free(graph->sum_first);
    free(graph->times);
    free(graph);
}

void pmi_graph_hold(pm_graph *graph) {
    __atomic_fetch_add(&graph->holders, 1, __ATOMIC_RELAXED);
}

size_t pm_graph_n_vertices(const pm_graph *graph) {
    return graph->n_vertices;
}

size_t pm_graph_n_params(const pm_graph *graph) {
    return graph->n_params;
}

bool pm_graph_is_discrete(const pm_graph *graph) {
    return graph->is_discrete;
}

bool pmi_graph_weight_is_zero(const pm_graph *g, uint32_t w) {
    if (g->takes_values) {
        return false;
    }
    size_t width = 1 + (size_t)g->n_params;
    const double *row = g->weights + w * width;
    for (size_t k = 0; k < width; k++) {
        if (row[k] != 0.0) {
            return false;
        }
    }
    return true;
}

void pmi_graph_describe(const pm_graph *g, uint32_t vertex, char *text, size_t n) {
    static const char cut[] = ", ...])";
    char number[16];
    if (n == 0) {
        return;
    }
    int head = snprintf(text, n, "row %u (state [", vertex);
    size_t used = head < 0 ? n : (size_t)head;
    const int32_t *state = g->states + (size_t)vertex * g->state_length;
    for (size_t i = 0; i < g->state_length && used < n; i++) {
        int width = snprintf(number, sizeof number, i == 0 ? "%d" : ", %d", state[i]);
        /* the end must still fit behind what is written here */
        if (width < 0 || used + (size_t)width + sizeof cut > n) {
            snprintf(text + used, n - used, "%s", i == 0 ? "...])" : cut);
            return;
        }
        memcpy(text + used, number, (size_t)width + 1);
        used += (size_t)width;
    }
    if (used < n) {
        snprintf(text + used, n - used, "])");
    }
}

/* ---- from arrays in memory ----------------------------------------------------------------------------- */

static pm_status check_arrays(const pm_graph_arrays *a, pm_error *err) {
    if (a->n_vertices >= PM_NONE || a->state_length > UINT32_MAX || a->n_params > PM_MAX_PARAMS) {
        return pmi_fail(err, PM_EDATA, "%zu states of length %zu with %zu parameters; expected less than %u, %u and %d",
                        a->n_vertices, a->state_length, a->n_params, PM_NONE, UINT32_MAX, PM_MAX_PARAMS + 1);
    }
    const struct {
        const char *name;
        size_t rows;
        bool is_missing;
    } arrays[] = {
        {"states", a->n_vertices * a->state_length, a->states == NULL},
        {"edges", a->n_edges, a->edge_from == NULL || a->edge_to == NULL || a->edge_weight == NULL},
        {"param_edges", a->n_param_edges,
         a->param_from == NULL || a->param_to == NULL || (a->param_coef == NULL && a->n_params > 0)},
        {"start_edges", a->n_starts, a->start_to == NULL || a->start_weight == NULL},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        if (arrays[i].rows > 0 && arrays[i].is_missing) {
            return pmi_fail(err, PM_EUSAGE, "%s: %zu rows are announced, but an array is NULL", arrays[i].name,
                            arrays[i].rows);
        }
    }
    return PM_OK;
}

static pm_status add_arrays(const pm_graph_arrays *a, pm_builder *b, double *coef, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < a->n_vertices; i++) {
        st = pmi_builder_state(b, a->state_length == 0 ? NULL : a->states + i * a->state_length, NULL, err);
    }
    for (size_t i = 0; st == PM_OK && i < a->n_edges; i++) {
        st = pmi_builder_edge(b, PM_EDGE_PLAIN, a->edge_from[i], a->edge_to[i], &a->edge_weight[i], err);
    }
    coef[0] = 0.0;
    PM_TRY(st);
    for (size_t i = 0; i < a->n_param_edges; i++) {
        if (a->n_params > 0) {
            memcpy(coef + 1, a->param_coef + i * a->n_params, a->n_params * sizeof *coef);
        }
        PM_TRY(pmi_builder_edge(b, PM_EDGE_PARAM, a->param_from[i], a->param_to[i], coef, err));
    }
    for (size_t i = 0; i < a->n_starts; i++) {
        PM_TRY(pmi_builder_start(b, false, a->start_to[i], &a->start_weight[i], err));
    }
    return PM_OK;
}

pm_status pm_graph_from_arrays(const pm_graph_arrays *arrays, pm_graph **out, pm_error *err) {
    *out = NULL;
    PM_TRY(check_arrays(arrays, err));
    pm_builder *b = NULL;
    double *coef = pmi_malloc(1 + arrays->n_params, sizeof *coef);
    if (coef == NULL) {
        return pmi_fail_memory(err, "coefficients", (1 + arrays->n_params) * sizeof *coef);
    }
    pm_status st =
        pmi_builder_new((uint32_t)arrays->state_length, (uint32_t)arrays->n_params, arrays->is_discrete, &b, err);
    if (st == PM_OK) {
        pmi_builder_set_normalized(b, arrays->normalize_rows);
        st = add_arrays(arrays, b, coef, err);
    }
    PM_THEN(st, pmi_builder_finish(b, out, err));
    pmi_builder_free(b);
    free(coef);
    return st;
}
