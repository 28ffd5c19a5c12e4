/* Rows of a discrete graph that no evaluation adds up on its way: those of absorbing states, which only have
 * self-loops, and in a defective model all rows, for moments are those of another chain. */
#ifndef PM_EVAL_ROW_SUMS_H
#define PM_EVAL_ROW_SUMS_H

#include "scc/split.h"

/* Rows of a discrete graph may exceed one by rounding only. */
#define PM_ROW_SUM_SLACK 1e-12

typedef struct pm_row_sums {
    uint32_t n;
    uint32_t *row;    /* n: rows of the graph */
    size_t *first;    /* n + 1 */
    uint32_t *weight; /* the weights out of row[i]: weight[first[i]..first[i + 1]), self-loops included */
} pm_row_sums;

/* Finds the rows that can be reached: with `all` those of transient states as well. None of a continuous graph, nor
 * where rows are normalized. Errors: PM_EOSERR. Free with pmi_row_sums_free, also after a failure (all-zero is valid).
 */
pm_status pmi_row_sums_new(const pm_graph *graph, const pm_split *split, bool all, pm_row_sums *out, pm_error *err);
void pmi_row_sums_free(pm_row_sums *sums);

/* At each row of theta (B, P), rows that can be reached then may not exceed one. Errors: PM_EDATA, which names the row
 * of theta, that of the graph, and its sum; PM_EOSERR. Weights that are no probabilities by themselves are left to
 * pmi_weights_fill. */
pm_status pmi_row_sums_check(const pm_row_sums *sums, const pm_graph *graph, const pm_split *split, const double *theta,
                             size_t n_theta, pm_error *err);

#endif
