/* Inside the evaluation of moments: what eval/moments.c, moments_wide.c and covariance.c share. */
#ifndef PM_EVAL_MOMENTS_IMPL_H
#define PM_EVAL_MOMENTS_IMPL_H

#include "eval/replay.h"

/* The fewest lanes that hold so many rows, 16 for more than that; and the next number below. */
unsigned pmi_lanes_for(size_t rows);
unsigned pmi_fewer_lanes(unsigned lanes);

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

/* What rows first..first+count-1 are evaluated for in wide numbers. */
typedef struct pm_wide_task {
    size_t first, count;
    bool moments, covariance;
} pm_wide_task;

pm_replay_setup pmi_wide_setup(const pm_evaluation *e, bool moments, bool covariance);

/* Writes moments and covariances of the rows, lane by lane right to the last digit or refused. Errors: PM_EDATA naming
 * row, moment and reward vector; PM_EOSERR when the memory of a thread does not hold one lane. */
pm_status pmi_wide_rows(const pm_evaluation *e, const pm_wide_task *task, pm_error *err);

/* The start distribution at one row of theta, in wide numbers: `value` has n_starts entries. */
void pmi_wide_start(const pm_evaluation *e, size_t row, pm_wide *value);

/* The sum over the start distribution of the k-th moment of a part at one lane. */
pm_wide pmi_wide_at_start(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b,
                          const pm_wide *start, size_t part, size_t k, size_t lane);

/* Covariances of the rows of a block whose means have been solved in wide numbers. */
pm_status pmi_covariances(const pm_evaluation *e, const pm_replay_setup *s, pm_replay_block *b,
                          pm_replay_scratch *scratch, size_t first, size_t count, pm_error *err);

/* Lanes whose pivot is zero: an error unless the state cannot be reached. */
pm_status pmi_check_pivots(const pm_evaluation *e, const pm_replay_scratch *scratch, size_t first, size_t count,
                           pm_error *err);

#endif
