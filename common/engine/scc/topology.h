/* The inner edges of one SCC as a simple digraph: what a trace is recorded from. */
#ifndef PM_SCC_TOPOLOGY_H
#define PM_SCC_TOPOLOGY_H

#include "scc/split.h"

/* Vertices are 0..n-1; row v's targets are col[row[v]..row[v+1]), ascending, without v itself, without repeats. */
typedef struct pm_topology {
    uint32_t n;
    size_t *row; /* n + 1 */
    uint32_t *col;
} pm_topology;

/* The SCC's inner edges; vertex i is split->member[split->scc_first[scc] + i]. `local` is a scratch array of
 * n_vertices values (contents do not matter). Free with pmi_topology_free, also after a failure. */
pm_status pmi_topology_of_scc(const pm_split *split, uint32_t scc, uint32_t *local, pm_topology *out, pm_error *err);

/* The same digraph with vertex v called new_name[v] (a permutation). */
pm_status pmi_topology_rename(const pm_topology *topology, const uint32_t *new_name, pm_topology *out, pm_error *err);

/* Whether every vertex leads to every other one. */
pm_status pmi_topology_is_strong(const pm_topology *topology, bool *is_strong, pm_error *err);

/* Ascending. */
void pmi_sort_u32(uint32_t *values, size_t n);

void pmi_topology_free(pm_topology *topology); /* zeroes it; all-zero is valid */

/* ---- both directions ---- */

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
