/* Whether absorption is certain at one theta, where some weights may be zero that are not zero in general. */
#ifndef PM_EVAL_ABSORPTION_H
#define PM_EVAL_ABSORPTION_H

#include "scc/split.h"

/* Errors: PM_EDATA naming the row of theta and a state that can be reached at this theta and cannot reach absorption.
 */
pm_status pmi_absorption_check(const pm_graph *graph, const pm_split *split, const double *theta, size_t row,
                               pm_error *err);

/* Which rows can be reached from the start distribution at one theta: n_vertices flags. The caller frees *out. */
pm_status pmi_reachable_rows(const pm_graph *graph, const pm_split *split, const double *theta, bool **out,
                             pm_error *err);

#endif
