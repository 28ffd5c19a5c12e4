/* The self-check of a trace: replayed at random positive rates, its solution must satisfy the equations. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "trace/program.h"
#include "trace/record.h"

/* A missing entry of a pattern leaves a residual of the order of the rates, rounding one of 1e-15 for each operation.
 */
#define RESIDUAL_LIMIT 1e-10

typedef struct check {
    const pm_trace *trace;
    const pm_topology *topology;
    pm_plan plan;
    size_t *inner_row;
    uint32_t *inner_col, *inner_weight;
    double *rates; /* one for each edge of the topology */
    double *exits, *x;
    uint32_t *position;
    pm_factors factors;
} check;

static void check_free(check *c) {
    free(c->plan.chain_end);
    free(c->inner_row);
    free(c->inner_col);
    free(c->inner_weight);
    free(c->rates);
    free(c->exits);
    free(c->x);
    free(c->position);
    free(c->factors.u);
    free(c->factors.leave);
    free(c->factors.inverse);
    free(c->factors.work);
}

static pm_status check_new(const pm_trace *trace, const pm_topology *t, check *c, pm_error *err) {
    size_t n = t->n, edges = t->row[n];
    *c = (check){.trace = trace,
                 .topology = t,
                 .inner_row = pm_malloc(n + 1, sizeof *c->inner_row),
                 .inner_col = pm_malloc(edges, sizeof *c->inner_col),
                 .inner_weight = pm_malloc(edges, sizeof *c->inner_weight),
                 .rates = pm_malloc_aligned(edges, sizeof *c->rates),
                 .exits = pm_malloc(n, sizeof *c->exits),
                 .x = pm_malloc_aligned(n, sizeof *c->x),
                 .position = pm_malloc(n, sizeof *c->position),
                 .factors = {.u = pm_malloc_aligned(trace->u_row[n], sizeof(double)),
                             .leave = pm_malloc_aligned(n, sizeof(double)),
                             .inverse = pm_malloc_aligned(n, sizeof(double)),
                             .work = pm_malloc_aligned(n, sizeof(double))}};
    bool ok = c->inner_row != NULL && c->inner_col != NULL && c->inner_weight != NULL && c->rates != NULL &&
              c->exits != NULL && c->x != NULL && c->position != NULL && c->factors.u != NULL &&
              c->factors.leave != NULL && c->factors.inverse != NULL && c->factors.work != NULL;
    return ok ? PM_OK : pm_fail_memory(err, "the check of a trace", (edges + trace->u_row[n]) * 8);
}

static void draw(check *c) {
    const pm_trace *t = c->trace;
    pm_random random;
    pm_random_seed(&random, t->digest);
    for (uint32_t j = 0; j < t->n; j++) {
        c->position[t->pivot[j]] = j;
    }
    size_t edges = 0;
    for (uint32_t j = 0; j < t->n; j++) {
        uint32_t v = t->pivot[j];
        c->inner_row[j] = edges;
        for (size_t e = c->topology->row[v]; e < c->topology->row[v + 1]; e++) {
            c->inner_col[edges] = c->position[c->topology->col[e]];
            c->inner_weight[edges] = (uint32_t)edges;
            c->rates[edges++] = pm_random_rate(&random);
        }
        c->exits[j] = pm_random_rate(&random);
        c->x[j] = 1;
    }
    c->inner_row[t->n] = edges;
    memcpy(c->factors.leave, c->exits, t->n * sizeof *c->exits);
}

/* The largest |Lambda x - W x - 1| of a row, relative to its Lambda x; infinite where x is not positive. */
static double residual(const check *c) {
    double worst = 0;
    for (uint32_t j = 0; j < c->trace->n; j++) {
        double out = c->exits[j] * c->x[j], in = 1;
        for (size_t e = c->inner_row[j]; e < c->inner_row[j + 1]; e++) {
            out += c->rates[e] * c->x[j];
            in += c->rates[e] * c->x[c->inner_col[e]];
        }
        double relative = c->x[j] > 0 ? fabs(out - in) / out : HUGE_VAL;
        worst = relative > worst ? relative : worst;
    }
    return worst;
}

pm_status pm_trace_check(const pm_trace *trace, const pm_topology *topology, pm_isa isa, pm_error *err) {
    if (trace->n != topology->n || trace->n_edges != topology->row[topology->n]) {
        return pm_fail(
            err, PM_EDATA,
            "hash collision: a trace of %u states and %llu edges under the key of an SCC of %u states and %zu "
            "edges; clear the trace cache and report this",
            trace->n, (unsigned long long)trace->n_edges, topology->n, topology->row[topology->n]);
    }
    check c;
    pm_status st = check_new(trace, topology, &c, err);
    if (st == PM_OK) {
        pm_trace borrowed = *trace;
        st = pm_plan_new(&borrowed, &c.plan, err);
    }
    if (st == PM_OK) {
        draw(&c);
        pm_scc_view view = {.trace = trace,
                            .chain_end = c.plan.chain_end,
                            .inner_row = c.inner_row,
                            .inner_col = c.inner_col,
                            .inner_weight = c.inner_weight};
        pm_kernels_get(isa, 1)->factor(&view, c.rates, &c.factors, c.x);
        double worst = residual(&c);
        if (!(worst <= RESIDUAL_LIMIT)) {
            st = pm_fail(
                err, PM_ESOFTWARE,
                "the trace of an SCC of %u states fails its check: relative residual %.3g, at most %.0g expected; "
                "please report this",
                trace->n, worst, RESIDUAL_LIMIT);
        }
    }
    check_free(&c);
    return st;
}
