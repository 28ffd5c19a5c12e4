/* Raw and factorial moments, and covariances, of rewards collected until absorption.
 *
 * Y is the integral of the reward over the path (continuous), or its sum over the steps (discrete). With x the solution
 * of (Lambda - W) x = rhs, moments follow by recursion over their order k, all terms non-negative.
 *
 * Continuous: rhs = r x_{k-1}, and m_k = k! x_k (Rojkjaer, Hobolth and Munch 2022, section 2).
 *
 * Discrete: rhs_k = sum_{l<k} C(k,l) r^(k-l) (P m_l) with m_0 = 1, from Y = r + Y' after one step; with falling powers
 * of r for factorial moments, by Vandermonde's identity.
 *
 * A reward with negative entries is split, r = r+ - r-, and each moment kept as a difference of two non-negative
 * recursions. Rows of theta that leave the range of doubles on the way, programs too long for 13 digits in doubles, and
 * all covariances (eval/covariance.c) are computed in wide numbers (base/wide.inc). */
#ifndef PM_EVAL_MOMENTS_H
#define PM_EVAL_MOMENTS_H

#include "eval/replay.h"
#include "eval/theta.h"

/* Fills result->moments and result->covariance (each NULL where not wanted). The request has been checked for shape.
 * Errors: PM_EDATA naming the row of theta and the weight, state or moment (over- or underflow of the result). */
pm_status pmi_moments_evaluate(const pm_moments_context *context, const pm_request *request, const pm_start *start,
                               pm_result *result, pm_error *err);

/* Bytes that one lane of a block takes, for the prediction of `inspect`. */
size_t pmi_moments_lane_bytes(const pm_moments_context *context, const pm_request *request);

/* The lanes that a batch of n_theta rows runs with. */
unsigned pmi_moments_lanes(const pm_moments_context *context, const pm_request *request, unsigned threads);

/* ---- what eval/moments.c, gradient.c and covariance.c share ---- */

typedef struct pm_evaluation {
    const pm_moments_context *context;
    const pm_request *request;
    const pm_start *start;
    pm_result *result;
    pm_rewards rewards;
    pm_replay_setup fast; /* moments in doubles; kernels NULL where wide numbers are needed throughout */
    unsigned lanes;       /* of a block */
    unsigned threads;
    size_t n_blocks;
} pm_evaluation;

/* Rows first..first+count-1 whose pivot is zero in some SCC. Errors: PM_EDATA where the state can be reached, or where
 * derivatives are wanted, which are not defined then. */
pm_status pmi_moments_check_pivots(const pm_evaluation *e, const pm_replay_scratch *scratch, size_t first, size_t count,
                                   pm_error *err);

/* The start distribution at one row of theta, in wide numbers: `value` has n_starts entries. */
void pmi_wide_start(const pm_evaluation *e, size_t row, pm_wide *value);

/* The sum over the start distribution of the k-th moment of a part at one lane. */
pm_wide pmi_wide_at_start(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b,
                          const pm_wide *start, size_t part, size_t k, size_t lane);

/* Covariances of the rows of a block whose means have been solved in wide numbers. */
pm_status pmi_covariances(const pm_evaluation *e, const pm_replay_setup *s, pm_replay_block *b,
                          pm_replay_scratch *scratch, size_t first, size_t count, pm_error *err);

#endif
