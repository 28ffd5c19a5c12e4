/* Poisson probabilities and the windows of steps that carry their mass. */
#ifndef PM_EVAL_POISSON_H
#define PM_EVAL_POISSON_H

#include <stdbool.h>
#include <stdint.h>

/* exp(-x) x^k / k!, for finite x >= 0, by the saddle-point method of C. Loader (2000), "Fast and accurate computation
 * of binomial probabilities": relative error below 1e-14 near the mode, below 1e-12 wherever the value is normal.
 * k is below 2^53. */
double pmi_poisson(uint64_t k, double x);

/* Weights 2^shift exp(-y) y^k / k! with y = x + x_low, finite and 0 or more, |x_low| at most half a unit of x. */
typedef struct pm_poisson_law {
    double x, x_low;
    int shift;
    bool is_precise; /* as long double has it: relative error below 2^-50 also where the value is near 1e-308 */
} pm_poisson_law;

/* What weights of the law may be off by at step k, relatively, in units of 2^-53. */
double pmi_poisson_rounding(const pm_poisson_law *law, uint64_t k);

/* The first k in [first, last) whose weight is at least the smallest normal number; *weight is that weight. False when
 * there is none. Left of the mode it bisects, as weights rise there. */
bool pmi_poisson_start(const pm_poisson_law *law, uint64_t first, uint64_t last, uint64_t *k, double *weight);

/* Steps [*first, *last) outside of which the probability is at most exp(-exponent) on either side: Bernstein's
 * inequality, P(N >= x + y) <= exp(-y^2 / (2 (x + y/3))) and P(N <= x - y) <= exp(-y^2 / (2x)) (Boucheron, Lugosi and
 * Massart 2013, section 2.4 with 2.7). Both ends stop at PM_POISSON_FAR. */
#define PM_POISSON_FAR ((uint64_t)1 << 52)

/* The step that a whole time is, which stops there, too. */
static inline uint64_t pmi_step_of(double time) {
    return time < (double)PM_POISSON_FAR ? (uint64_t)time : PM_POISSON_FAR - 1;
}

void pmi_poisson_window(double x, double exponent, uint64_t *first, uint64_t *last);

/* An upper bound of P(N >= k), a geometric series from its first term; 1 for k <= x. */
double pmi_poisson_right_bound(uint64_t k, double x);

/* P(N >= k) for k > x, summed upwards, in about sqrt(x) terms. */
double pmi_poisson_right_tail(uint64_t k, double x);

#endif
