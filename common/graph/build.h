/* Building a graph row by row: the one place where shapes, ranges and values of the input are checked.
 * Readers, generators and pm_graph_from_arrays all come through here. */
#ifndef PM_GRAPH_BUILD_H
#define PM_GRAPH_BUILD_H

#include "graph/graph.h"

typedef struct pm_builder pm_builder;

/* The caller frees with pm_builder_free. */
pm_status pm_builder_new(uint32_t state_length, uint32_t n_params, bool is_discrete, pm_builder **out, pm_error *err);
void pm_builder_free(pm_builder *b);

/* Adds a row; `state` has L values. Its number is returned through *row (may be NULL). */
pm_status pm_builder_state(pm_builder *b, const int32_t *state, uint32_t *row, pm_error *err);

typedef enum pm_edge_kind { PM_EDGE_PLAIN, PM_EDGE_CONSTANT, PM_EDGE_PARAM } pm_edge_kind;

/* Adds an edge. `coef` has 1+P values: constant, c1..cP (constant kinds: the rest zero). Kinds may come in any order;
 * targets need not exist yet: ranges are checked by pm_builder_finish. */
pm_status pm_builder_edge(pm_builder *b, pm_edge_kind kind, uint32_t from, uint32_t to, const double *coef,
                          pm_error *err);

/* Adds a piece of the start distribution (`is_param`: a row of start_param_edges). */
pm_status pm_builder_start(pm_builder *b, bool is_param, uint32_t to, const double *coef, pm_error *err);

/* Validates (design of the format: docs/formats.md) and hands over the graph, which the caller frees with
 * pm_graph_free. The builder is empty afterwards. Errors: PM_EDATA naming array, row, expected and found. */
pm_status pm_builder_finish(pm_builder *b, pm_graph **out, pm_error *err);

#endif
