/* The values of all distinct weights for a block of theta rows: what replay and densities read instead of
 * coefficients. */
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

#endif
