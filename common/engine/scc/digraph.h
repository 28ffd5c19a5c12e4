/* A digraph read in both directions: what colours are refined on. */
#ifndef PM_SCC_DIGRAPH_H
#define PM_SCC_DIGRAPH_H

#include "scc/topology.h"

/* The largest that a pm_digraph holds. */
#define PM_DIGRAPH_EDGES ((size_t)UINT32_MAX)

typedef struct pm_digraph {
    uint32_t n;
    uint32_t *row, *col;       /* n + 1; targets of each vertex */
    uint32_t *in_row, *in_col; /* n + 1; sources of each vertex, ascending */
} pm_digraph;

/* From a topology of at most PM_DIGRAPH_EDGES edges. Free with pmi_digraph_free, also after a failure. */
pm_status pmi_digraph_of_topology(const pm_topology *topology, pm_digraph *out, pm_error *err);

/* Room for n vertices and as many edges; `row` and `col` are the caller's to fill, then pmi_digraph_reverse fills the
 * other direction. Free with pmi_digraph_free, also after a failure. */
pm_status pmi_digraph_new(uint32_t n, size_t edges, pm_digraph *out, pm_error *err);
void pmi_digraph_reverse(pm_digraph *g);

/* An order in which neighbours are near each other: breadth first, from vertex 0 and on (n values, caller's array). */
pm_status pmi_digraph_nearby(const pm_digraph *g, uint32_t *order, pm_error *err);

/* The same digraph with vertex order[i] called i. Free with pmi_digraph_free, also after a failure. */
pm_status pmi_digraph_reorder(const pm_digraph *g, const uint32_t *order, pm_digraph *out, pm_error *err);

void pmi_digraph_free(pm_digraph *g); /* zeroes it; all-zero is valid */

#endif
