/* The start distribution at each row of theta. */
#ifndef PM_EVAL_START_H
#define PM_EVAL_START_H

#include "graph/graph.h"

/* start (B, S), S = graph->n_starts: the weights of the start edges at each theta, divided by their sum, which is 1
 * within 1e-9 unless `normalize`. Weights and sums may leave the doubles on the way, at either end. Errors: PM_EDATA
 * for a negative weight or another sum, naming the row of theta. Clears the flags of base/float_env.h. */
pm_status pmi_start_fill(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, double *start,
                         pm_error *err);

typedef struct pm_start {
    double *value; /* (B, S) */
    bool *rough;   /* (B): some value left the range of doubles on its way */
} pm_start;

/* The same as arrays of their own. Free with pmi_start_free. */
pm_status pmi_start_new(const pm_graph *graph, const double *theta, size_t n_theta, bool normalize, pm_start *out,
                        pm_error *err);
void pmi_start_free(pm_start *start);

#endif
