/* A trace as the replay runs it, and whether it is that of an SCC. */
#ifndef PM_TRACE_PLAN_H
#define PM_TRACE_PLAN_H

#include "scc/canon.h"
#include "trace/trace.h"

/* Shared by all SCCs of the trace's key. */
typedef struct pm_plan {
    pm_trace trace;
    uint32_t *chain_end; /* n: rows i..chain_end[i]-1 have U(r) = {r+1} + U(r+1) */
    size_t *fill_row;    /* n + 1 */
    uint32_t *fill;      /* entries of the pattern without an edge of the SCC, row by row */
} pm_plan;

/* The inner edges of an SCC, and the order in which a trace eliminates its states. */
typedef struct pm_pivot_edges {
    uint32_t n;
    const uint32_t *vertex;   /* n: the one that is eliminated p-th */
    const uint32_t *position; /* of each vertex that has edges, or is led to: its p; PM_NONE: it is not of this SCC */
    const size_t *row;        /* vertex v leads to col[row[v]..row[v+1]), in any order, never to itself */
    const uint32_t *col;      /* repeats are one edge */
} pm_pivot_edges;

/* Takes the trace over (it is left empty, also after a failure). `topology` is the canonical SCC it was recorded from.
 * Errors: PM_EDATA when the trace is not of this SCC: an edge is missing from the pattern, or there are not as many as
 * the trace says. Free with pmi_plan_free. */
pm_status pmi_plan_new(pm_trace *trace, const pm_topology *topology, pm_plan *out, pm_error *err);

/* The same from edges in the order of the trace's pivots. A trace whose pattern is closed and has every edge is right
 * for the SCC, whatever key it was found under. */
pm_status pmi_plan_of_edges(pm_trace *trace, const pm_pivot_edges *edges, pm_plan *out, pm_error *err);

/* Whether another SCC has the edges that the plan was made of, in the order of its pivots. `mark`: plan->trace.n zeros,
 * scratch. */
bool pmi_plan_fits(const pm_plan *plan, const pm_pivot_edges *edges, uint32_t *mark);

void pmi_plan_free(pm_plan *plan);

#endif
