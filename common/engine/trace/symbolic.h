/* Symbolic elimination: the patterns of L and U that an order of the pivots gives. */
#ifndef PM_TRACE_SYMBOLIC_H
#define PM_TRACE_SYMBOLIC_H

#include "scc/topology.h"
#include "trace/trace.h"

/* Eliminates `topology` in the order `pivot` (n vertices, each once): out->pivot, the patterns, n_edges and flops; the
 * digest is left zero. Gives up once |L| + |U| exceeds max_fill: then *fits is false and `out` is empty. Time grows
 * with the fill, not with the flops: rows are pruned symmetrically (Eisenstat and Liu 1992). Free with pmi_trace_free.
 */
pm_status pmi_symbolic(const pm_topology *topology, const uint32_t *pivot, size_t max_fill, pm_trace *out, bool *fits,
                       pm_error *err);

#endif
