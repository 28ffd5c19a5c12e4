/* The trace: a theta-free elimination of one SCC.
 *
 * States of the SCC have *canonical* numbers 0..n-1 (scc/canon.h). `pivot[p]` is the canonical number of the state
 * eliminated p-th; L and U below are in pivot numbers. Row j of U holds the pivots k > j that row j still leads
 * to when it is eliminated; row j of L the pivots i < j that are substituted into row j. Both ascend. The pattern is
 * closed: for i in L(j), every k in U(i) other than j is in L(j) or U(j). */
#ifndef PM_TRACE_TRACE_H
#define PM_TRACE_TRACE_H

#include "base/hash.h"

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

#endif
