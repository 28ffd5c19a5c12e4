/* Sums of products without rounding, whatever the sizes of the terms are, by an accumulator of fixed point that is as
 * long as the products of doubles (Kulisch 1981, "Computer Arithmetic in Theory and Practice"). */
#ifndef PM_GRAPH_EXACT_H
#define PM_GRAPH_EXACT_H

#include <stddef.h>

#include "base/wide.h"

/* coef[0] + sum over k < n of coef[1+k] * x[k], all finite, n below 2^60: *high is that sum rounded once, *low what is
 * left of it, rounded once (both once more where they are denormal). *high is infinite, *low zero, when the sum leaves
 * the doubles. */
void pmi_exact_dot(const double *coef, size_t n, const double *x, double *high, double *low);

/* The same sum as a wide number. */
pm_wide pmi_exact_dot_wide(const double *coef, size_t n, const double *x);

#endif
