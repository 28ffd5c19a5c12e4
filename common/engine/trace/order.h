/* Candidate pivot orders for one SCC. */
#ifndef PM_TRACE_ORDER_H
#define PM_TRACE_ORDER_H

#include "scc/topology.h"

/* Each writes an order: pivot[p] is the vertex eliminated p-th (n values, caller's array). All are deterministic. */

/* Approximate minimum degree on the undirected pattern (SuiteSparse AMD; Amestoy, Davis and Duff 2004). Ties go by the
 * names of the vertices: `names` (n, a permutation, or NULL) renames them first. *fill_bound (may be NULL) is an upper
 * bound of |L| + |U|. */
pm_status pmi_order_amd(const pm_topology *topology, const uint32_t *names, uint32_t *pivot, double *fill_bound,
                        pm_error *err);

/* Nested dissection on the undirected pattern (SCOTCH; Pellegrini and Roman 1996). */
pm_status pmi_order_dissection(const pm_topology *topology, int seed, uint32_t *pivot, pm_error *err);

/* Fewest (in-degree x out-degree) first, on the digraph with its fill-in (Markowitz 1957). Memory n*n/4 bytes, time up
 * to n^3/64: for small SCCs. Ties go to the vertex that `names` (n, a permutation, or NULL) puts first. */
pm_status pmi_order_markowitz(const pm_topology *topology, const uint32_t *names, uint32_t *pivot, pm_error *err);

#endif
