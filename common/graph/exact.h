/* Sums of products without rounding. */
#ifndef PM_GRAPH_EXACT_H
#define PM_GRAPH_EXACT_H

#include <stddef.h>

/* coef[0] + sum over k < n of coef[1+k] * x[k], all finite: *high is that sum rounded once, *low what is left of it,
 * rounded once, by expansions (Shewchuk 1997, "Adaptive precision floating-point arithmetic", section 2.4). Terms below
 * 2^-900 of the largest may lose digits. *high is infinite, *low zero, when the sum leaves the doubles. */
void pm_exact_dot(const double *coef, size_t n, const double *x, double *high, double *low);

/* The same sum, of any size, is 2^s (*high + *low) for the s that is returned. */
int pm_exact_dot_scaled(const double *coef, size_t n, const double *x, double *high, double *low);

#endif
