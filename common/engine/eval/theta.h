/* What a row of theta must give before anything is evaluated at it: a start distribution, certain absorption, rows of
 * probabilities that do not exceed one. Some weights may be zero there that are not zero in general. */
#ifndef PM_EVAL_THETA_H
#define PM_EVAL_THETA_H

#include "base/mem.h"
#include "scc/split.h"

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

/* The start distribution at one theta in wide numbers, and its derivative by parameter p: of a_s / sum a it is
 * (a_s' - a_s sum a' / sum a) / sum a. All have n_starts entries. */
void pmi_start_wide(const pm_graph *graph, const double *theta, pm_wide *value);
void pmi_start_derivative(const pm_graph *graph, const double *theta, size_t p, pm_wide *change);
/* The second derivative by parameters p and q, from the first ones by each: -(a_q' sum a_p + a_p' sum a_q) / sum a. */
void pmi_start_second(const pm_graph *graph, const double *theta, size_t p, size_t q, const pm_wide *by_p,
                      const pm_wide *by_q, pm_wide *change);

/* Errors: PM_EDATA naming the row of theta and a state that can be reached at this theta and cannot reach absorption.
 */
pm_status pmi_absorption_check(const pm_graph *graph, const pm_split *split, const double *theta, size_t row,
                               pm_error *err);

/* Which rows can be reached from the start distribution at one theta: n_vertices flags. The caller frees *out. */
pm_status pmi_reachable_rows(const pm_graph *graph, const pm_split *split, const double *theta, bool **out,
                             pm_error *err);

/* Which rows lead to absorption along edges of weights that are there: n_vertices flags, all false before. The start
 * vertex of a graph that has one is no absorbing state. */
pm_status pmi_absorbable_rows(const pm_graph *graph, const pm_split *split, const bool *is_there, bool *absorbed,
                              pm_error *err);

/* Rows of a discrete graph may exceed one by rounding only. */
#define PM_ROW_SUM_SLACK 1e-12

/* Rows of a discrete graph that no evaluation adds up on its way: those of absorbing states, which only have
 * self-loops, and in a defective model all rows, for moments are those of another chain. */
typedef struct pm_row_sums {
    uint32_t n;
    uint32_t *row;    /* n: rows of the graph */
    size_t *first;    /* n + 1 */
    uint32_t *weight; /* the weights out of row[i]: weight[first[i]..first[i + 1]), self-loops included */
    pm_pool pool;     /* of all arrays */
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
