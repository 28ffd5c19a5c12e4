/* The self-check of a trace: replayed at random positive rates, its solution must satisfy the equations. */
#include <math.h>

#include "base/mem.h"
#include "base/random.h"
#include "trace/record.h"

/* A missing entry of a pattern leaves a residual of the order of the rates, rounding one of 1e-15 for each operation.
 */
#define RESIDUAL_LIMIT 1e-10

typedef struct check {
    const pm_plan *plan;
    const pm_topology *topology;
    size_t *inner_row, *no_row, *absorb_row;
    uint32_t *inner_col, *weight; /* weight i is rates[i] */
    double *rates;                /* of each edge of the topology, then of each state's exit */
    double *x;
    uint32_t *position;
    pm_factors factors;
} check;

static void check_free(check *c) {
    free(c->inner_row);
    free(c->no_row);
    free(c->absorb_row);
    free(c->inner_col);
    free(c->weight);
    free(c->rates);
    free(c->x);
    free(c->position);
    free(c->factors.u);
    free(c->factors.leave);
    free(c->factors.inverse);
    free(c->factors.work);
}

static pm_status check_new(const pm_plan *plan, const pm_topology *t, check *c, pm_error *err) {
    size_t n = t->n, edges = t->row[n], entries = plan->trace.u_row[n];
    *c = (check){.plan = plan,
                 .topology = t,
                 .inner_row = pmi_malloc(n + 1, sizeof *c->inner_row),
                 .no_row = pmi_calloc(n + 1, sizeof *c->no_row),
                 .absorb_row = pmi_malloc(n + 1, sizeof *c->absorb_row),
                 .inner_col = pmi_malloc(edges, sizeof *c->inner_col),
                 .weight = pmi_malloc(edges + n, sizeof *c->weight),
                 .rates = pmi_malloc_aligned(edges + n, sizeof *c->rates),
                 .x = pmi_malloc_aligned(n, sizeof *c->x),
                 .position = pmi_malloc(n, sizeof *c->position),
                 .factors = {.u = pmi_malloc_aligned(entries, sizeof(double)),
                             .leave = pmi_malloc_aligned(n, sizeof(double)),
                             .inverse = pmi_malloc_aligned(n, sizeof(double)),
                             .work = pmi_calloc(2 * n, sizeof(double))}};
    bool ok = c->inner_row != NULL && c->no_row != NULL && c->absorb_row != NULL && c->inner_col != NULL &&
              c->weight != NULL && c->rates != NULL && c->x != NULL && c->position != NULL && c->factors.u != NULL &&
              c->factors.leave != NULL && c->factors.inverse != NULL && c->factors.work != NULL;
    return ok ? PM_OK : pmi_fail_memory(err, "the check of a trace", (edges + entries) * 8);
}

static void draw(check *c) {
    const pm_trace *t = &c->plan->trace;
    pm_random random;
    pmi_random_seed(&random, t->digest);
    size_t edges = 0;
    for (uint32_t j = 0; j < t->n; j++) {
        c->position[t->pivot[j]] = j;
    }
    for (uint32_t j = 0; j < t->n; j++) {
        uint32_t v = t->pivot[j];
        c->inner_row[j] = edges;
        for (size_t e = c->topology->row[v]; e < c->topology->row[v + 1]; e++) {
            c->inner_col[edges++] = c->position[c->topology->col[e]];
        }
        c->absorb_row[j] = j;
        c->x[j] = 1;
    }
    c->inner_row[t->n] = edges;
    c->absorb_row[t->n] = t->n;
    for (size_t i = 0; i < edges + t->n; i++) {
        c->weight[i] = (uint32_t)i;
        c->rates[i] = pmi_random_rate(&random);
    }
}

/* The largest |Lambda x - W x - 1| of a row, relative to its Lambda x; infinite where x is not positive. */
static double residual(const check *c) {
    double worst = 0;
    size_t edges = c->topology->row[c->topology->n];
    for (uint32_t j = 0; j < c->topology->n; j++) {
        double out = c->rates[edges + j] * c->x[j], in = 1;
        for (size_t e = c->inner_row[j]; e < c->inner_row[j + 1]; e++) {
            out += c->rates[e] * c->x[j];
            in += c->rates[e] * c->x[c->inner_col[e]];
        }
        double relative = c->x[j] > 0 ? fabs(out - in) / out : HUGE_VAL;
        worst = relative > worst ? relative : worst;
    }
    return worst;
}

pm_status pmi_plan_check(const pm_plan *plan, const pm_topology *topology, pm_isa isa, pm_error *err) {
    check c;
    pm_status st = check_new(plan, topology, &c, err);
    if (st == PM_OK) {
        draw(&c);
        pm_scc_view view = {.n = topology->n,
                            .trace = &plan->trace,
                            .chain_end = plan->chain_end,
                            .fill_row = plan->fill_row,
                            .fill = plan->fill,
                            .inner_row = c.inner_row,
                            .inner_again = c.inner_row + 1,
                            .inner_col = c.inner_col,
                            .inner_weight = c.weight,
                            .exit_row = c.no_row,
                            .absorb_row = c.absorb_row,
                            .absorb_weight = c.weight + topology->row[topology->n]};
        pmi_kernels_get(isa, 1, false)->factor_solve(&view, c.rates, &c.factors, c.x);
        double worst = residual(&c);
        if (!(worst <= RESIDUAL_LIMIT)) {
            st = pmi_fail(
                err, PM_ESOFTWARE,
                "the trace of an SCC of %u states fails its check: relative residual %.3g, at most %.0g expected; "
                "please report this",
                topology->n, worst, RESIDUAL_LIMIT);
        }
    }
    check_free(&c);
    return st;
}
