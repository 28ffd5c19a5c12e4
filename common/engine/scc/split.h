/* The graph split into its strongly connected components, and checked: what can be reached, what absorbs. */
#ifndef PM_SCC_SPLIT_H
#define PM_SCC_SPLIT_H

#include "base/log.h"
#include "base/mem.h"
#include "graph/graph.h"

/* Transient states in stitched order are not known yet: this is the order of SCCs only.
 *
 * An *absorbing* state has no out-edge with a weight that is not identically zero; self-loops (discrete) do not
 * count as out-edges. SCCs of reachable transient states are numbered sinks first: every edge leads into an SCC of
 * the same or a smaller number, or into an absorbing state. */
typedef struct pm_split {
    /* out-edges of each row (CSR), zero-weight edges and self-loops left out: row[v]..row[v+1] */
    size_t *row;      /* n_vertices + 1 */
    uint32_t *to;     /* target rows */
    uint32_t *weight; /* weight numbers */

    uint32_t n_sccs;      /* of reachable transient states */
    uint32_t *scc_of;     /* n_vertices: SCC number; PM_NONE for start, absorbing and unreachable rows */
    uint32_t *scc_first;  /* n_sccs + 1: into member */
    uint32_t *member;     /* rows, grouped by SCC, in ascending order inside each */
    uint32_t n_transient; /* = scc_first[n_sccs] */
    uint32_t n_absorbing; /* reachable ones */
    uint32_t n_unreachable;
    uint32_t n_nontrivial; /* SCCs of at least 2 states */
    uint32_t n_total;      /* all SCCs of the reachable graph: transient, absorbing, and the start vertex */
    uint32_t largest;      /* states of the largest SCC */
    pm_pool pool;          /* of the arrays */
} pm_split;

/* Splits. Errors: PM_EDATA when a reachable state cannot reach absorption (names the state and its SCC). Dropped
 * unreachable states are an info line. Free with pmi_split_free, also after a failure (all-zero is valid). */
pm_status pmi_split_graph(const pm_graph *graph, const pm_log *log, pm_split *out, pm_error *err);
/* The same of a graph whose states need not all be absorbed: *is_defective tells whether one cannot be. */
pm_status pmi_split_defective(const pm_graph *graph, const pm_log *log, pm_split *out, bool *is_defective,
                              pm_error *err);
void pmi_split_free(pm_split *split);

#endif
