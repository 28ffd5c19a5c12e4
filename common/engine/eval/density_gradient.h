/* Derivatives of pdf, cdf and survival in theta, by forward differentiation of the steps (docs/gradients.md).
 *
 * With lambda held fixed, pdf(t) = lambda sum_k Pois(k; lambda t) a_k changes by that of a_k alone, and so on. The
 * vectors v_k of the steps and their derivatives by each parameter go side by side:
 *     v_{k+1} = v_k P,      dv_{k+1} = dv_k P + v_k dP.
 * What cdf gains survival loses: both have a sum of their own, and the smaller of the two gives the derivative of both.
 */
#ifndef PM_EVAL_DENSITY_GRADIENT_H
#define PM_EVAL_DENSITY_GRADIENT_H

#include "eval/chain.h"

/* Fills result->pdf_gradient, cdf_gradient and survival_gradient (each NULL or (B, T, P)) of request->pdf and cdf.
 * `start` is (B, S) as for pmi_density_evaluate, which has accepted the rows and times. `memory`: bytes for all
 * threads' arrays. Errors: PM_EDATA naming a row of theta whose steps would take too long; PM_EOSERR. */
pm_status pmi_density_gradient(const pm_chain *chain, const pm_request *request, const double *start, size_t memory,
                               const pm_log *log, pm_result *result, pm_error *err);

#endif
