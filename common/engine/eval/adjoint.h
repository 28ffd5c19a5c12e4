/* Derivatives in theta of a weighted sum of densities, whatever the number of parameters: by adjoint steps.
 *
 * Per row of theta, L = sum_t (pdf_t' pdf(t) + cdf_t' cdf(t) + survival_t' survival(t)) + atom' atom, where the primed
 * are given: cotangents. With v_{k+1} = v_k P and lambda held fixed, L is linear in the a_k, c_k and s_k of
 * eval/density_block.h, so that all times come together in one weight for each step. Backwards from the last step,
 *     z_k = P z_{k+1} + what L takes of v_k,      dL/dP_ij = sum_k v_k,i z_{k+1},j,
 * and a rate w from i to j changes L by v_k,i (z_{k+1},j - z_{k+1},i) / lambda. Where there is no room for all v_k,
 * some are kept and the others computed again. docs/gradients.md has an example. */
#ifndef PM_EVAL_ADJOINT_H
#define PM_EVAL_ADJOINT_H

#include "eval/adjoint_kernel.h"

typedef struct pm_adjoint_call {
    const pm_chain *chain;
    const pm_out_edges *out;
    pm_isa isa;
    const pm_request *request; /* theta, times, threads and lanes of it, accepted by pmi_density_evaluate */
    const double *start;       /* (B, S) as for pmi_density_evaluate */
    pm_cotangents cotangents;  /* those of moments are not looked at */
    size_t memory;             /* bytes for all threads */
    const pm_log *log;
    double *gradient; /* out (B, P): dL / d theta */
    double *hessian;  /* out (B, P, P) or NULL: the second derivatives of L with the cotangents held fixed */
} pm_adjoint_call;

/* Errors: PM_EDATA naming a row of theta whose steps would take too long or whose derivatives overflow; PM_EOSERR. */
pm_status pmi_density_adjoint(const pm_adjoint_call *call, pm_error *err);

#endif
