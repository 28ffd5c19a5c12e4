/* Building a graph row by row: the one place where shapes, ranges and values of the input are checked. What can be seen
 * from one row is refused when it is added, what needs the whole graph (ranges, self-loops, the start vertex) by
 * pmi_builder_finish. Every error names array and row as they are called in the file (docs/formats.md). */
#ifndef PM_GRAPH_BUILD_H
#define PM_GRAPH_BUILD_H

#include "graph/graph.h"

/* The most parameters: the table of weights has a column for each, so a file could ask for far more memory than its
 * own size otherwise. */
#define PM_MAX_PARAMS 4096

typedef struct pm_builder pm_builder;

/* The caller frees with pmi_builder_free. */
pm_status pmi_builder_new(uint32_t state_length, uint32_t n_params, bool is_discrete, pm_builder **out, pm_error *err);
void pmi_builder_free(pm_builder *b);

/* For readers that learn L, P and the kind on the way: each may be set as long as nothing depends on it (no state yet;
 * no param row yet; any time before pmi_builder_finish). PM_ESOFTWARE when it is too late. */
pm_status pmi_builder_set_state_length(pm_builder *b, uint32_t state_length, pm_error *err);
pm_status pmi_builder_set_params(pm_builder *b, uint32_t n_params, pm_error *err);
/* `is_given`: whether somebody has said that it is discrete or not; true when nothing is set. `normalizes_rows`: at
 * every theta; false when nothing is set; only of discrete graphs: else pmi_builder_finish fails. */
void pmi_builder_set_kind(pm_builder *b, bool is_discrete, bool is_given, bool normalizes_rows);

/* Adds a row; `state` has L values. Its number is returned through *row (may be NULL). */
pm_status pmi_builder_state(pm_builder *b, const int32_t *state, uint32_t *row, pm_error *err);

typedef enum pm_edge_kind { PM_EDGE_PLAIN, PM_EDGE_CONSTANT, PM_EDGE_PARAM } pm_edge_kind;

/* Adds an edge. `coef` has 1+P values: constant, c1..cP (constant kinds: only the first is read). Kinds may come in any
 * order; targets need not exist yet: ranges are checked by pmi_builder_finish. */
pm_status pmi_builder_edge(pm_builder *b, pm_edge_kind kind, uint32_t from, uint32_t to, const double *coef,
                           pm_error *err);

/* Adds a piece of the start distribution (`is_param`: a row of start_param_edges; else only coef[0] is read). */
pm_status pmi_builder_start(pm_builder *b, bool is_param, uint32_t to, const double *coef, pm_error *err);

/* Validates (design of the format: docs/formats.md) and hands over the graph, which the caller frees with
 * pm_graph_free. The builder is empty afterwards, also after an error. Errors: PM_EDATA naming array, row, expected
 * and found. */
pm_status pmi_builder_finish(pm_builder *b, pm_graph **out, pm_error *err);

#endif
