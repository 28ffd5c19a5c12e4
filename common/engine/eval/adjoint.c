#include "eval/adjoint.h"

#include <float.h>
#include <math.h>
#include <omp.h>

#include "base/float_env.h"
#include "eval/adjoint_block.h"
#include "eval/density_gradient.h"
#include "eval/theta.h"

/* Rows of more steps are done by eval/density_gradient.h, in long doubles. */
#define MANY_STEPS ((uint64_t)1 << 19)

/* Lanes of a block may differ by this much in their steps. */
#define STEPS_SPREAD 1.5

/* Multiply-adds for each edge and step: forwards, again, backwards; and with a direction. */
#define PLAIN_WORK 4.0
#define DUAL_WORK 11.0

/* ---- rows of many steps ---- */

/* The derivative by parameter p of what is absorbed at the start. */
static pm_status atom_change(const pm_chain *c, const double *theta, size_t p, long double *out, pm_error *err) {
    pm_wide *change;
    PM_TRY(PM_NEW(&change, c->graph->n_starts, "the start distribution", err));
    pmi_start_derivative(c->graph, theta, p, change);
    *out = 0;
    for (size_t s = 0; s < c->graph->n_starts; s++) {
        *out += c->start_state[s] == PM_START_ABSORBED ? (long double)pmi_wide_double(change[s]) : 0;
    }
    free(change);
    return PM_OK;
}

static pm_status contract_row(const pm_adjoint_call *call, size_t row, const pm_result *derivatives, pm_error *err) {
    const pm_graph *g = call->chain->graph;
    const pm_cotangents *c = &call->cotangents;
    const struct {
        const double *cotangent, *derivative;
    } parts[] = {{c->pdf, derivatives->pdf_gradient},
                 {c->cdf, derivatives->cdf_gradient},
                 {c->survival, derivatives->survival_gradient}};
    for (size_t p = 0; p < g->n_params; p++) {
        long double sum = 0;
        if (c->atom != NULL) {
            PM_TRY(atom_change(call->chain, call->request->theta + row * g->n_params, p, &sum, err));
            sum *= c->atom[row];
        }
        for (size_t i = 0; i < 3; i++) {
            for (size_t t = 0; parts[i].cotangent != NULL && t < call->request->n_times; t++) {
                sum += (long double)pmi_adjoint_cotangent(call->request, parts[i].cotangent, row, t) *
                       parts[i].derivative[t * g->n_params + p];
            }
        }
        PM_TRY(pmi_adjoint_write(row, p, sum, call->gradient + row * g->n_params + p, err));
    }
    return PM_OK;
}

/* By the Jacobian, in long doubles. */
static pm_status run_long_row(const pm_adjoint_call *call, size_t row, pm_error *err) {
    const pm_graph *g = call->chain->graph;
    pm_request r = *call->request;
    pm_pool pool = {0};
    size_t n = 0;
    bool fits = pmi_mul(r.n_times, g->n_params, &n);
    pm_result derivatives = {.pdf_gradient = pmi_pool_array(&pool, fits ? n : SIZE_MAX, sizeof(double)),
                             .cdf_gradient = pmi_pool_array(&pool, fits ? n : SIZE_MAX, sizeof(double)),
                             .survival_gradient = pmi_pool_array(&pool, fits ? n : SIZE_MAX, sizeof(double))};
    r.n_theta = 1;
    r.theta += row * g->n_params;
    r.times += r.times_per_theta ? row * r.n_times : 0;
    r.pdf = call->cotangents.pdf != NULL;
    r.cdf = call->cotangents.cdf != NULL || call->cotangents.survival != NULL;
    r.tail_accuracy = true;
    pm_status st = pmi_pool_check(&pool, err, "the derivatives of densities", 3 * n * sizeof(double));
    if (st == PM_OK) {
        st = pmi_density_gradient(call->chain, &r, call->start + row * g->n_starts, call->memory, call->log,
                                  &derivatives, err);
        if (st != PM_OK && err != NULL) {
            pmi_error_shift_row(err, row);
        }
    }
    PM_THEN(st, contract_row(call, row, &derivatives, err));
    pmi_pool_free(&pool);
    return st;
}

/* ---- the plan ---- */

static double lambda_of(const pm_chain *c, const pm_out_edges *out, const double *table) {
    double most = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        double sum = 0;
        for (size_t e = out->first[i]; e < out->first[i + 1]; e++) {
            sum += table[out->weight[e]];
        }
        most = fmax(most, sum);
    }
    return c->graph->is_discrete || most == 0 ? 1.0 : PM_EXTENDED_LAMBDA * most;
}

static uint64_t steps_of(const pm_adjoint_call *call, size_t row, double lambda) {
    uint64_t steps = 1;
    for (size_t t = 0; t < call->request->n_times; t++) {
        uint64_t begin, end;
        if (call->chain->graph->is_discrete) {
            end = pmi_step_of(pmi_adjoint_time(call->request, row, t)) + 1;
        } else {
            pmi_adjoint_window(call, row, t, lambda, &begin, &end);
        }
        steps = end > steps ? end : steps;
    }
    return steps;
}

static pm_status check_row(const pm_adjoint_call *call, size_t row, double lambda, uint64_t steps, pm_error *err) {
    const pm_chain *c = call->chain;
    double work = (call->hessian != NULL ? DUAL_WORK : PLAIN_WORK) * pmi_step_work(c, 0, c->n) * (double)steps;
    if (!(lambda <= 0.25 * DBL_MAX)) {
        return pmi_fail(err, PM_EDATA, "theta row %zu: the largest rate is %g; scale time so that it fits a double",
                        row, lambda);
    }
    if (work > pmi_most_work(call->request) || (call->hessian != NULL && steps > MANY_STEPS)) {
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: the %s derivatives of its densities take %.3g steps (rate %g), about %.2g s of "
                        "one processor; at most %.3g steps and %g s are done; ask for smaller times, or for rates that "
                        "differ less",
                        row, call->hessian != NULL ? "second" : "first", (double)steps, lambda,
                        work / PM_WORK_PER_SECOND, (double)MANY_STEPS,
                        pmi_most_work(call->request) / PM_WORK_PER_SECOND);
    }
    return PM_OK;
}

typedef struct plan {
    pm_adjoint_item *items;
    size_t n_items; /* rows of many steps are not among them */
    size_t *long_rows;
    size_t n_long;
    unsigned lanes, threads;
    size_t *first; /* n_blocks + 1: the first item of each block */
    size_t n_blocks;
    pm_pool pool;
} plan;

static int by_steps(const void *a, const void *b) {
    const pm_adjoint_item *x = a, *y = b;
    if (x->steps != y->steps) {
        return x->steps > y->steps ? -1 : 1;
    }
    if (x->row != y->row) {
        return x->row < y->row ? -1 : 1;
    }
    return x->direction < y->direction ? -1 : x->direction > y->direction;
}

static pm_status plan_row(const pm_adjoint_call *call, size_t row, double *table, plan *p, pm_error *err) {
    const pm_chain *c = call->chain;
    size_t directions = call->hessian != NULL ? c->graph->n_params : 1;
    PM_TRY(pmi_weights_fill(c->graph, call->request->theta, row, 1, 1, table, err));
    double lambda = lambda_of(c, call->out, table);
    uint64_t steps = steps_of(call, row, lambda);
    if (steps > MANY_STEPS && call->hessian == NULL) {
        p->long_rows[p->n_long++] = row;
        return PM_OK;
    }
    PM_TRY(check_row(call, row, lambda, steps, err));
    for (size_t d = 0; d < directions; d++) {
        p->items[p->n_items++] = (pm_adjoint_item){.row = row, .direction = d, .lambda = lambda, .steps = steps};
    }
    return PM_OK;
}

/* As many lanes as the items fill, fewer where memory is short or threads would idle. */
static pm_status choose_lanes(const pm_adjoint_call *call, plan *p, pm_error *err) {
    const pm_request *r = call->request;
    p->lanes = r->lanes != 0 ? r->lanes : 16;
    p->threads = r->threads;
    while (r->lanes == 0 && p->lanes > 1 && p->n_items <= p->lanes / 2 * p->threads) {
        p->lanes = p->lanes == 16 ? 8 : p->lanes == 8 ? 4 : 1;
    }
    while (r->lanes == 0 && p->lanes > 1 && pmi_adjoint_bytes(call, p->lanes, p->items[0].steps) > call->memory) {
        p->lanes = p->lanes == 16 ? 8 : p->lanes == 8 ? 4 : 1;
    }
    size_t bytes = pmi_adjoint_bytes(call, p->lanes, p->items[0].steps);
    while (p->threads > 1 && (double)bytes * p->threads > (double)call->memory) {
        p->threads--;
    }
    return bytes <= call->memory
               ? PM_OK
               : pmi_fail(err, PM_EOSERR,
                          "the derivatives of densities take %zu bytes a thread, but --memory is %zu; give more memory",
                          bytes, call->memory);
}

static void make_blocks(plan *p) {
    for (size_t i = 0; i < p->n_items; i++) {
        size_t begin = p->n_blocks > 0 ? p->first[p->n_blocks - 1] : 0;
        if (p->n_blocks == 0 || i - begin == p->lanes ||
            (double)p->items[begin].steps > STEPS_SPREAD * (double)p->items[i].steps) {
            p->first[p->n_blocks++] = i;
        }
    }
    p->first[p->n_blocks] = p->n_items;
}

static pm_status make_plan(const pm_adjoint_call *call, plan *p, pm_error *err) {
    const pm_graph *g = call->chain->graph;
    size_t rows = call->request->n_theta, n = 0;
    bool fits = pmi_mul(rows, call->hessian != NULL ? g->n_params : 1, &n) && n < SIZE_MAX;
    double *table = pmi_pool_array(&p->pool, g->n_weights, sizeof *table);
    p->items = pmi_pool_array(&p->pool, fits ? n : SIZE_MAX, sizeof *p->items);
    p->first = pmi_pool_array(&p->pool, fits ? n + 1 : SIZE_MAX, sizeof *p->first);
    p->long_rows = pmi_pool_array(&p->pool, rows, sizeof *p->long_rows);
    PM_TRY(pmi_pool_check(&p->pool, err, "the plan of derivatives", n * sizeof *p->items));
    for (size_t row = 0; row < rows; row++) {
        PM_TRY(plan_row(call, row, table, p, err));
    }
    if (p->n_items > 0) {
        qsort(p->items, p->n_items, sizeof *p->items, by_steps);
        PM_TRY(choose_lanes(call, p, err));
        make_blocks(p);
    }
    return PM_OK;
}

/* ---- the call ---- */

static void run_share(const pm_adjoint_call *call, const plan *p, pm_progress *progress, pm_failure *failed) {
    pm_adjoint_block *b;
    pm_error err;
    bool has_room = pmi_adjoint_block_new(call, p->lanes, p->items[0].steps, call->memory / p->threads, progress, &b,
                                          &err) == PM_OK;
    if (!has_room) {
        pmi_failure_note(failed, 0, &err);
    }
#pragma omp for schedule(dynamic, 1)
    for (size_t i = 0; i < p->n_blocks; i++) {
        const pm_adjoint_item *items = p->items + p->first[i];
        size_t count = p->first[i + 1] - p->first[i];
        size_t row;
        if (has_room && pmi_adjoint_block_run(b, items, count, &row, &err) != PM_OK) {
            pmi_failure_note(failed, row, &err);
        }
        pmi_progress_add(progress, count);
    }
    pmi_adjoint_block_free(b);
}

static pm_status run_plan(const pm_adjoint_call *call, const plan *p, pm_error *err) {
    pm_progress progress;
    pm_failure failed;
    pmi_progress_start(&progress, call->log, p->n_items);
    pmi_failure_start(&failed);
#pragma omp parallel num_threads(p->threads)
    {
        pm_float_env before = pmi_float_enter();
        run_share(call, p, &progress, &failed);
        pmi_float_leave(before);
    }
    return pmi_failure_end(&failed, err);
}

pm_status pmi_density_adjoint(const pm_adjoint_call *call, pm_error *err) {
    plan p = {0};
    if (call->chain->graph->n_params == 0 || call->request->n_theta == 0) {
        return PM_OK;
    }
    pm_status st = make_plan(call, &p, err);
    PM_THEN(st, p.n_items > 0 ? run_plan(call, &p, err) : PM_OK);
    for (size_t i = 0; st == PM_OK && i < p.n_long; i++) {
        st = run_long_row(call, p.long_rows[i], err);
    }
    pmi_pool_free(&p.pool);
    return st;
}
