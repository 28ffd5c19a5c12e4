/* The trace: a theta-free elimination of one SCC.
 *
 * States of the SCC have *canonical* numbers 0..n-1 (scc/canon.h). `pivot[p]` is the canonical number of the state
 * eliminated p-th; L and U below are in pivot numbers. Row j of U holds the pivots k > j that row j still leads
 * to when it is eliminated; row j of L the pivots i < j that are substituted into row j. Both ascend. The pattern is
 * closed: for i in L(j), every k in U(i) other than j is in L(j) or U(j). */
#ifndef PM_TRACE_TRACE_H
#define PM_TRACE_TRACE_H

#include "base/mem.h"
#include "scc/canon.h"

typedef struct pm_trace {
    uint32_t n;                      /* states, at least 2 */
    uint32_t *pivot;                 /* n */
    size_t *l_row, *u_row;           /* n + 1 each */
    uint32_t *l, *u;                 /* l_row[n], u_row[n] */
    uint64_t n_edges;                /* of the topology it was recorded from */
    uint64_t flops;                  /* multiplications and additions of one factorisation with one solve */
    uint8_t digest[PM_DIGEST_BYTES]; /* BLAKE2s-256 of the canonical topology: guards against a collision of keys */
} pm_trace;

void pmi_trace_free(pm_trace *trace); /* frees what it holds and zeroes it; all-zero is valid */

/* A fixed upper bound of what a trace of `fill` = |L| + |U| entries and n states takes in memory. */
size_t pmi_trace_bytes(uint32_t n, size_t fill);

/* Checks a trace whose arrays have the lengths that n, l_row and u_row say, l_row and u_row being ascending from 0:
 *   - pivot is a permutation of 0..n-1;
 *   - L(j) ascends inside 0..j-1, U(j) ascends inside j+1..n-1;
 *   - the pattern is closed (trace.h);
 *   - n <= n_edges <= |L| + |U|;
 *   - |L| + |U| <= flops <= 16 (updates + |L| + |U| + n), where updates is the number of (i in L(j), k in U(i)).
 * Takes about the time of pmi_symbolic, which grows with the pattern and not with its updates, and 12n bytes. Errors:
 * PM_EDATA naming row, expected and found. */
pm_status pmi_trace_check_structure(const pm_trace *trace, pm_error *err);

/* ---- the trace as the replay runs it, and whether it is that of an SCC ---- */

/* Shared by all SCCs of the trace's key. */
typedef struct pm_plan {
    pm_trace trace;
    uint32_t *chain_end; /* n: rows i..chain_end[i]-1 have U(r) = {r+1} + U(r+1) */
    size_t *fill_row;    /* n + 1 */
    uint32_t *fill;      /* entries of the pattern without an edge of the SCC, row by row */
    pm_pool pool;        /* of these three */
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
