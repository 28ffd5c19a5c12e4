/* Ordered partitions of a digraph's vertices, and their refinement by colours. */
#ifndef PM_SCC_CELLS_H
#define PM_SCC_CELLS_H

#include "scc/topology.h"

/* Cells lie one behind the other in `vertex`; a cell is called by the place at which it begins. */
typedef struct pm_cells {
    uint32_t n, count;
    uint32_t *vertex; /* n: cell by cell */
    uint32_t *place;  /* n: of each vertex in `vertex` */
    uint32_t *cell;   /* n: of each vertex */
    uint32_t *size;   /* n: of the cell that begins at a place; elsewhere without meaning */
} pm_cells;

/* One cell of all vertices, in their order. Free with pmi_cells_free, also after a failure. */
pm_status pmi_cells_new(uint32_t n, pm_cells *out, pm_error *err);
pm_status pmi_cells_copy(const pm_cells *cells, pm_cells *out, pm_error *err);
void pmi_cells_free(pm_cells *cells); /* zeroes it; all-zero is valid */

/* Takes vertex v out of its cell, into a cell of its own in front of the others. */
void pmi_cells_individualise(pm_cells *cells, uint32_t v);

/* The coarsest equitable refinement (Hopcroft 1971, Paige and Tarjan 1987), O(m log n). The order of the cells never
 * depends on the names of vertices. `changed`: the cell that differs from an equitable partition, or PM_NONE: any may.
 */
pm_status pmi_cells_refine(const pm_digraph *g, pm_cells *cells, uint32_t changed, pm_error *err);

/* Splits a cell by what lies around each of its vertices, to a distance that the size of the cell allows; *splits says
 * whether it fell apart. The partition may need refining afterwards. */
pm_status pmi_cells_look_around(const pm_digraph *g, pm_cells *cells, uint32_t cell, bool *splits, pm_error *err);

#endif
