/* Factor classes: SCCs that are factored once for all of them. */
#ifndef PM_TRACE_FACTOR_CLASS_H
#define PM_TRACE_FACTOR_CLASS_H

#include "trace/program.h"

/* SCCs of one trace whose rows, in pivot order, have the same inner edges and leave at the same rate whatever theta is
 * have the same factors: exits count by the sum of their coefficients, wherever they lead.
 *
 * Equal topologies have equal canonical numbers, whatever the coefficients; where a topology has automorphisms, SCCs of
 * equal coefficients may be numbered differently. So states are moved among the positions of their SCC first, such that
 * SCCs which look alike to colour refinement by coefficients have the same order; where they turn out not to be alike,
 * they are moved back. SCCs that would not be worth a class stay as they are. */

/* Changes vertex and position of the program alone. pattern[c]: the component that c was moved to be like, or PM_NONE.
 * Edges have to be placed again where *moved. */
pm_status pmi_factor_classes_align(const pm_graph *graph, pm_program *program, uint32_t *pattern, bool *moved,
                                   pm_error *err);

/* Moves SCCs that are not like their pattern back to `vertex`, as it was, and clears the pattern. Edges have to be
 * placed again where *moved. */
pm_status pmi_factor_classes_settle(const pm_graph *graph, pm_program *program, uint32_t *pattern,
                                    const uint32_t *vertex, bool *moved, pm_error *err);

/* Makes classes of those that are left, where factoring once is expected to save more than solving apart from factoring
 * costs. Sets program->classes, class_of and what belongs to them, in the program's pool. */
pm_status pmi_factor_classes_set(pm_program *program, const uint32_t *pattern, pm_error *err);

#endif
