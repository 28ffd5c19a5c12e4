/* The invariants of trace.h, checked: what a decoder must establish before a trace is replayed, and what a recorder
 * promises. */
#ifndef PM_TRACE_STRUCTURE_H
#define PM_TRACE_STRUCTURE_H

#include "trace/trace.h"

/* Checks a trace whose arrays have the lengths that n, l_row and u_row say, l_row and u_row being ascending from 0:
 *   - pivot is a permutation of 0..n-1;
 *   - L(j) ascends inside 0..j-1, U(j) ascends inside j+1..n-1;
 *   - the pattern is closed (trace.h);
 *   - n <= n_edges <= |L| + |U|: a strongly connected component has an edge out of every state, and the pattern holds
 *     every edge;
 *   - |L| + |U| <= flops <= 16 (updates + |L| + |U| + n), where updates is the number of (i in L(j), k in U(i)).
 * Takes about the time of pmi_symbolic, which grows with the pattern and not with its updates, and 12n bytes. Errors:
 * PM_EDATA naming row, expected and found. */
pm_status pmi_trace_check_structure(const pm_trace *trace, pm_error *err);

#endif
