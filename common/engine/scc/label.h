/* Canonical labelling: an order of a digraph's vertices that depends on its shape alone. */
#ifndef PM_SCC_LABEL_H
#define PM_SCC_LABEL_H

#include "scc/cells.h"

/* Orders the vertices of `g` so that isomorphic digraphs, each in its order, are equal: order[i] is the vertex called i
 * (n values, caller's array). Colours are refined; what they leave is taken apart into independent parts, which are
 * searched by choosing a vertex and refining again; small irregular parts go to nauty (McKay and Piperno 2014). *found
 * is false, and `order` without meaning, when *seconds of processor time (NULL: no limit; less by what it took
 * afterwards) are over, but for one refinement, O(m log n), or a part would need deep recursion. */
pm_status pmi_label(const pm_digraph *g, double *seconds, uint32_t *order, bool *found, pm_error *err);

/* nauty gets no part larger than this: its search recurses, and looks at the clock only between refinements. */
#define PM_NAUTY_STATES 3000

/* The canonical order by nauty; *found is false when pmi_thread_seconds() passed *limit first. The time of a thread of
 * nauty's own is taken off *limit. */
pm_status pmi_label_nauty(const pm_digraph *g, const pm_cells *cells, double *limit, uint32_t *order, bool *found,
                          pm_error *err);

#endif
