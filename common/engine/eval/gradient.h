/* Derivatives of moments in theta (docs/gradients.md): by multipliers in doubles, and where what cancels there leaves
 * too few digits, by differentiating the replay itself, which subtracts nothing.
 *
 * A moment is m_k = k! a x_k with A x_l = r x_{l-1}, A = Lambda - W, x_0 = 1 (eval/moments.h; discrete moments
 * likewise). The multipliers are A' u_k = a and A' u_l = r u_{l+1}. An edge i -> j of weight w is part of the outflow
 * of i, too, so that with x = 0 where absorbed
 *
 *     d m_k / d w = k! sum_l u_l,i (x_l,j - x_l,i).
 *
 * Discrete: P x_l, of which the right-hand sides are made, changes by x_l,j - x_l,i as well, so that u_l is joined by
 * what the later right-hand sides take of it. */
#ifndef PM_EVAL_GRADIENT_H
#define PM_EVAL_GRADIENT_H

#include "eval/moments.h"

/* One thread's arrays, for a block in doubles. */
typedef struct pm_gradient_room {
    double *multiplier; /* K x 2 x n slots: of each order, of both parts of a signed reward */
    double *solved;     /* discrete: K x 2 slots for each state of an SCC: multipliers of the solves alone */
    double *joined;     /* discrete: 2 x 2 slots for each state of an SCC */
    double *sum, *size; /* n_weights slots: the derivatives by weight, and the same of absolute terms */
    double *product;    /* n slots */
    double *by_start, *size_by_start; /* n_starts: the same by weight of the start distribution, of one lane */
    pm_pool pool;
} pm_gradient_room;

/* Free with pmi_pool_free of the pool, also after a failure. */
pm_status pmi_gradient_room_new(const pm_replay_setup *setup, pm_gradient_room *out, pm_error *err);
size_t pmi_gradient_lane_bytes(const pm_replay_setup *setup);

/* Writes result->moments_gradient of rows first..first+count-1, whose moments `block` holds, in doubles.
 * imprecise[lane] is set where what cancels leaves less than ten digits. */
void pmi_gradient_write(const pm_evaluation *e, const pm_replay_setup *setup, const pm_replay_block *block,
                        pm_replay_scratch *scratch, pm_gradient_room *room, size_t first, size_t count,
                        bool *imprecise);

/* Writes result->moments_gradient of one row in dual numbers (trace/kernel.h). Errors: PM_EDATA where a derivative
 * leaves the doubles or is not defined; PM_EOSERR for memory. */
pm_status pmi_gradient_precise(const pm_evaluation *e, size_t row, pm_error *err);

#endif
