/* The values of all distinct weights for a block of theta rows. */
#ifndef PM_GRAPH_WEIGHTS_H
#define PM_GRAPH_WEIGHTS_H

#include "graph/graph.h"

/* values[w * lanes + lane] = weight w at row `first + lane` of theta (B, P), divided by the sum of its row
 * where the graph's rows are normalized; lanes beyond `count` repeat the last row.
 * Errors: PM_EDATA for a negative or non-finite weight that an edge uses, naming the row of theta and the edge. */
pm_status pmi_weights_fill(const pm_graph *graph, const double *theta, size_t first, size_t count, unsigned lanes,
                           double *values, pm_error *err);

/* The same to twice the precision: the exact weight, rounded once, is high[...], and low[...] what that leaves, rounded
 * once. */
pm_status pmi_weights_fill_pairs(const pm_graph *graph, const double *theta, size_t first, size_t count, unsigned lanes,
                                 double *high, double *low, pm_error *err);

/* Whether the weight does not depend on theta. */
bool pmi_weight_is_constant(const pm_graph *graph, uint32_t w);

/* The error of a weight that is negative or not finite at this theta (P values), as pmi_weights_fill reports it. */
pm_status pmi_weight_refuse(const pm_graph *graph, uint32_t weight, const double *theta, size_t row, pm_error *err);

/* Terms of an exact sum (graph/exact.h): coef[0] + sum over k < n of coef[1 + k] x[k]. */
typedef struct pm_terms {
    double *coef, *x; /* room for 1 + n, and for n */
    size_t n;
} pm_terms;

/* Subtracts n_weights weights at theta: adds up to 1 + n_params terms for each. */
void pmi_terms_subtract(pm_terms *terms, const pm_graph *graph, const double *theta, const uint32_t *weight,
                        size_t n_weights);

/* ---- graphs whose rows are normalized ---- */

/* The weights out of each row, self-loops included, are divided by their sum at every theta, as phasic does where
 * was_dph is set; a row of zeros stays as it is. Numbers the weights anew, so that two edges have the same number only
 * if their quotients are the same at every theta, and fills sum_first and times. Weights of the start distribution come
 * first and are not divided: it has a sum of its own (eval/theta.h). */
pm_status pmi_normalize_prepare(pm_graph *g, pm_error *err);

/* Divides values (as pmi_weights_fill lays them out, `count` lanes of them in use), that are 0 or more and finite.
 * `low` may be NULL, or holds what `values` leave of weights in twice the precision: then quotients are in twice the
 * precision, too. `first` is the row of theta of lane 0, for messages. Errors: PM_EDATA for a sum that is no normal
 * double, naming the row of theta and of the graph. */
pm_status pmi_normalize_values(const pm_graph *g, size_t first, size_t count, unsigned lanes, double *values,
                               double *low, pm_error *err);

#endif
