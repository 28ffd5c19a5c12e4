/* Contours for the inverse Laplace transform: nodes and weights of the trapezoidal rule, in units of the earliest time
 * of a window.
 *
 * For times t in [tau, ratio tau], f(t) = Re sum_j w_j exp(s_j t / tau) F(s_j / tau) / tau. What a contour does to a
 * transform that has no singularity to its right is told by two sums without any F: the step function,
 * theta(t) = Re sum_j w_j exp(s_j t / tau) / s_j, which should be 1, and the impulse, its derivative, which should be
 * 0. eval/contour.c bounds errors of densities by these two. */
#ifndef PM_EVAL_CONTOUR_NODES_H
#define PM_EVAL_CONTOUR_NODES_H

#include "base/mem.h"

typedef struct pm_contour {
    double ratio;
    size_t n;             /* nodes, a multiple of PM_NODES; those past the last have weight zero */
    double *s_re, *s_im;  /* n */
    double *w_re, *w_im;  /* n */
    double step_error;    /* the most that theta is off from 1 in the window */
    double impulse_error; /* the most that tau times its derivative is off from 0 */
    pm_pool pool;         /* of the arrays: freed by the caller, also after a failure */
} pm_contour;

/* A hyperbola (Weideman and Trefethen 2007, "Parabolic and hyperbolic contours for computing the Bromwich integral")
 * with all in its inside whose argument differs from that of the negative axis by `sector` at most; exp(-digits): the
 * error to reach. Errors: PM_EOSERR. */
pm_status pmi_contour_hyperbola(double sector, double ratio, double digits, pm_contour *out, pm_error *err);

/* The parabola s = c - u^2 / (2 rate) + i u, which stays outside of the disc |s + rate| <= rate: no eigenvalue of a
 * chain with rates out of a state of `rate` (per tau) at most is outside of that disc (Gershgorin). */
pm_status pmi_contour_parabola(double rate, double ratio, double digits, pm_contour *out, pm_error *err);
/* The nodes it takes. */
double pmi_contour_parabola_nodes(double rate, double ratio, double digits);

/* w_j exp(s_j r), r = t / tau. */
void pmi_contour_weight(const pm_contour *contour, size_t j, double r, double *re, double *im);

#endif
