/* What the files of the canonical labelling share. */
#ifndef PM_SCC_LABEL_IMPL_H
#define PM_SCC_LABEL_IMPL_H

#include "scc/label.h"

/* nauty gets no part larger than this: its search recurses, and looks at the clock only between refinements. */
#define PM_NAUTY_STATES 3000

/* A growable list of numbers. */
typedef struct pm_numbers {
    uint32_t *list;
    size_t n, capacity;
} pm_numbers;

/* The parts of an equitable partition. Edges between two cells that are all there, or all missing, say nothing that the
 * cells do not; where more than half are there, the missing ones are kept in their place. What is left falls into
 * connected parts, which are independent of each other. */
typedef struct pm_parts {
    pm_digraph kept;
    uint32_t n;
    uint32_t *first;  /* n + 1: into member */
    uint32_t *member; /* the vertices, part by part, each part's in the order of the cells */
    uint32_t *local;  /* of each vertex: its number within its part */
} pm_parts;

pm_status pmi_parts_find(const pm_digraph *g, const pm_cells *cells, pm_parts *out, pm_error *err);
void pmi_parts_free(pm_parts *parts);

/* One part as a digraph of its own, vertices as pm_parts.local, with its share of the cells. */
pm_status pmi_parts_take(const pm_parts *parts, const pm_cells *cells, uint32_t part, pm_digraph *g, pm_cells *share,
                         pm_error *err);

/* Splits a cell by what lies around each of its vertices, to a distance that the size of the cell allows; *splits says
 * whether it fell apart. The partition may need refining afterwards. */
pm_status pmi_cells_look_around(const pm_digraph *g, pm_cells *cells, uint32_t cell, bool *splits, pm_error *err);

/* The canonical order by nauty; *found is false when pmi_thread_seconds() passed *limit first. The time of a thread of
 * nauty's own is taken off *limit. */
pm_status pmi_label_nauty(const pm_digraph *g, const pm_cells *cells, double *limit, uint32_t *order, bool *found,
                          pm_error *err);

#endif
