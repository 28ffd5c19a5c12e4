#include "eval/density_gradient.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/float_env.h"
#include "eval/density_block.h"
#include "eval/poisson.h"
#include "eval/theta.h"
#include "graph/weights.h"

/* Steps that are kept before they are mixed, and steps after which a Poisson weight is computed anew. */
#define CHUNK 256
#define FRESH 64

/* Windows of steps: the mass outside of them, as exp(-EXPONENT); with tail accuracy all that a double can hold. */
#define EXPONENT 60.0

/* What is left below this is nothing. */
#define NOTHING 0x1p-1000

/* Each step in doubles may leave a third of a unit in the last place of a derivative, always to the same side: so many
 * of them leave 2e-11. Rows of more steps are done in long doubles, which have 11 bits more. */
#define MANY_STEPS ((uint64_t)1 << 19)

/* What the rows of a call share. */
typedef struct gradient_call {
    const pm_chain *chain;
    const pm_request *request;
    const double *start; /* (B, S) */
    pm_progress *progress;
    pm_result *result;
} gradient_call;

#define NAME(name) PM_JOIN(name, _double)
#define REAL double
#include "eval/density_gradient_row.inc"

#define NAME(name) PM_JOIN(name, _long)
#define REAL long double
#include "eval/density_gradient_row.inc"

/* ---- all rows ---- */

static pm_status check_work(const row_at_work_double *r, pm_error *err) {
    const pm_chain *c = r->chain;
    double work = (2.0 * (double)r->width - 1.0) * pmi_step_work(c, 0, c->n) * (double)r->steps;
    work *= r->steps > MANY_STEPS ? PM_EXTENDED_WORK : 1.0;
    if (work <= pmi_most_work(r->call->request)) {
        return PM_OK;
    }
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the derivatives of its densities take %.3g steps (rate %g), about %.2g s of one "
                    "processor, more than the %g s that a row may take; ask for smaller times, for rates that differ "
                    "less, or for no derivatives",
                    r->row, (double)r->steps, r->lambda, work / PM_WORK_PER_SECOND,
                    pmi_most_work(r->call->request) / PM_WORK_PER_SECOND);
}

/* One thread's arrays; those of long doubles once they are needed. */
typedef struct rows {
    row_at_work_double plain;
    row_at_work_long precise;
    bool has_precise;
} rows;

static pm_status run_row(rows *r, size_t row, pm_error *err) {
    prepare_double(&r->plain, row);
    PM_TRY(check_work(&r->plain, err));
    if (r->plain.steps <= MANY_STEPS) {
        return finish_double(&r->plain, err);
    }
    if (!r->has_precise) {
        r->has_precise = true;
        PM_TRY(row_new_long(r->plain.call, &r->precise, err));
    }
    prepare_long(&r->precise, row);
    return finish_long(&r->precise, err);
}

static unsigned choose_threads(const pm_request *request, size_t bytes, size_t memory) {
    unsigned threads = request->threads;
    if (request->n_theta < threads) {
        threads = (unsigned)request->n_theta;
    }
    while (threads > 1 && (double)bytes * threads > (double)memory) {
        threads--;
    }
    return threads;
}

static void run_share(const gradient_call *call, pm_failure *failed) {
    rows r = {0};
    pm_error err;
    bool has_room = row_new_double(call, &r.plain, &err) == PM_OK;
    if (!has_room) {
        pmi_failure_note(failed, 0, &err);
    }
#pragma omp for schedule(dynamic, 1)
    for (size_t row = 0; row < call->request->n_theta; row++) {
        if (has_room && run_row(&r, row, &err) != PM_OK) {
            pmi_failure_note(failed, row, &err);
        }
        pmi_progress_add(call->progress, 1);
    }
    pmi_pool_free(&r.plain.pool);
    pmi_pool_free(&r.precise.pool);
}

pm_status pmi_density_gradient(const pm_chain *chain, const pm_request *request, const double *start, size_t memory,
                               const pm_log *log, pm_result *result, pm_error *err) {
    pm_progress progress;
    const gradient_call call = {
        .chain = chain, .request = request, .start = start, .progress = &progress, .result = result};
    size_t bytes = row_bytes_double(&call) + row_bytes_long(&call);
    pm_failure failed;
    if (bytes > memory) {
        return pmi_fail(err, PM_EOSERR,
                        "the derivatives of densities take %.3g bytes a thread, but --memory is %zu; give more memory "
                        "or ask for fewer times at once",
                        (double)bytes, memory);
    }
    unsigned threads = choose_threads(request, bytes, memory);
    if (threads == 0) {
        return PM_OK;
    }
    pmi_progress_start(&progress, log, request->n_theta);
    pmi_failure_start(&failed);
#pragma omp parallel num_threads(threads)
    {
        pm_float_env before = pmi_float_enter();
        run_share(&call, &failed);
        pmi_float_leave(before);
    }
    return pmi_failure_end(&failed, err);
}
