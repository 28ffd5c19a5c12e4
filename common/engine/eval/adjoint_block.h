/* The adjoint steps of some rows of theta side by side; private to eval/adjoint*.c. */
#ifndef PM_EVAL_ADJOINT_BLOCK_H
#define PM_EVAL_ADJOINT_BLOCK_H

#include "eval/adjoint.h"
#include "eval/density_block.h"

/* Fewer vectors than this are never kept. */
#define PM_FEWEST_KEPT 8

/* A row of theta, in the direction of one parameter where second derivatives are wanted. */
typedef struct pm_adjoint_item {
    size_t row, direction;
    double lambda;
    uint64_t steps; /* K: vectors v_0 .. v_{K-1} count */
} pm_adjoint_item;

/* One thread's arrays, for blocks of at most `lanes` items of at most `steps` steps; `memory` is what they may take,
 * where that is at least pmi_adjoint_bytes. Errors: PM_EOSERR. Free with pmi_adjoint_block_free, which accepts NULL. */
typedef struct pm_adjoint_block pm_adjoint_block;
pm_status pmi_adjoint_block_new(const pm_adjoint_call *call, unsigned lanes, uint64_t steps, size_t memory,
                                pm_progress *progress, pm_adjoint_block **out, pm_error *err);
void pmi_adjoint_block_free(pm_adjoint_block *block);

size_t pmi_adjoint_bytes(const pm_adjoint_call *call, unsigned lanes, uint64_t steps);

/* Writes the derivatives of these items, the first of which has the most steps. Errors: PM_EDATA, for the first row
 * that fails, which *row is. */
pm_status pmi_adjoint_block_run(pm_adjoint_block *block, const pm_adjoint_item *items, size_t count, size_t *row,
                                pm_error *err);

/* Time number t of a row, and the cotangent of what is there (0 where `values` is NULL). */
static inline double pmi_adjoint_time(const pm_request *r, size_t row, size_t t) {
    return r->times[(r->times_per_theta ? row * r->n_times : 0) + t];
}

static inline double pmi_adjoint_cotangent(const pm_request *r, const double *values, size_t row, size_t t) {
    return values == NULL ? 0.0 : values[row * r->n_times + t];
}

/* The steps whose Poisson weights count for time number t of a row: more of them where its cotangents are large. */
void pmi_adjoint_window(const pm_adjoint_call *call, size_t row, size_t t, double lambda, uint64_t *begin,
                        uint64_t *end);

/* Errors: PM_EDATA for what no double holds. */
pm_status pmi_adjoint_write(size_t row, size_t p, long double value, double *to, pm_error *err);

#endif
