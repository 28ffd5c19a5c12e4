/* Graphs whose rows are normalized: the weights out of each row, self-loops included, are divided by their sum at every
 * theta, as phasic does where was_dph is set. A row whose weights are all zero stays as it is. */
#ifndef PM_GRAPH_NORMALIZE_H
#define PM_GRAPH_NORMALIZE_H

#include "graph/graph.h"

/* Numbers the weights anew, so that two edges have the same number only if their quotients are the same at every theta,
 * and fills sum_first and times. Weights of the start distribution come first and are not divided: it has a sum of its
 * own (eval/start.h). */
pm_status pmi_normalize_prepare(pm_graph *g, pm_error *err);

/* Divides values (as pmi_weights_fill lays them out, `count` lanes of them in use), that are 0 or more and finite.
 * `low` may be NULL, or holds what `values` leave of weights in twice the precision: then quotients are in twice the
 * precision, too. `first` is the row of theta of lane 0, for messages. Errors: PM_EDATA for a sum that is no normal
 * double, naming the row of theta and of the graph. */
pm_status pmi_normalize_values(const pm_graph *g, size_t first, size_t count, unsigned lanes, double *values,
                               double *low, pm_error *err);

#endif
