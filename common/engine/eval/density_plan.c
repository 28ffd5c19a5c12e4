/* What can be said of rows of theta before any step: rates, which states are reached, how many steps to expect. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/absorption.h"
#include "eval/density_block.h"

/* Rows that are looked at side by side. */
#define LANES 16

/* A discrete row may exceed one by the rounding of its probabilities. */
#define ROW_SUM_SLACK 1e-12

/* Multiply-adds in double precision that one in twice the precision takes. */
#define EXTENDED_WORK 6.0

/* Doublings of a matrix; a double's integer part and the squarings that follow from it have no more. */
#define MOST_SQUARINGS 60.0

pm_times pmi_row_times(const pm_density_job *job, size_t row) {
    size_t at = job->request->times_per_theta ? row * job->request->n_times : 0;
    return (pm_times){.time = job->times.time + at, .order = job->times.order + at};
}

double pmi_last_time(const pm_density_job *job, size_t row) {
    return pmi_row_times(job, row).time[job->request->n_times - 1];
}

double pmi_squaring_work(const pm_density_job *job, size_t row) {
    double n = (double)job->chain->n + 1.0, times = (double)job->request->n_times;
    double doublings = ceil(log2(fmax(4.0 * job->rows[row].predicted, 2.0)));
    if (job->chain->n > PM_SQUARING_STATES || !(doublings <= MOST_SQUARINGS)) {
        return HUGE_VAL;
    }
    double per_time = n * n * 0.5 * doublings + n * (n + 40.0);
    return EXTENDED_WORK * (n * n * n * doublings + times * per_time) + 100.0 * n;
}

pm_status pmi_reached_states(const pm_density_job *job, size_t row, bool **out, pm_error *err) {
    const pm_chain *c = job->chain;
    bool *rows = NULL;
    *out = pmi_calloc(c->n, sizeof **out);
    if (*out == NULL) {
        return pmi_fail_memory(err, "the states that are reached", c->n);
    }
    const double *theta = job->request->theta + row * c->graph->n_params;
    pm_status st = pmi_reachable_rows(c->graph, c->split, theta, &rows, err);
    for (uint32_t i = 0; st == PM_OK && i < c->n; i++) {
        (*out)[i] = rows[c->row_of[i]];
    }
    free(rows);
    return st;
}

typedef struct plan {
    pm_density_job *job;
    size_t first, count;
    double *table;    /* n_weights x LANES */
    double *outflow;  /* n x LANES: total weight out of each state, self-loops left out */
    bool *can_vanish; /* n_weights: not a constant */
} plan;

static void sum_outflow(const plan *p) {
    const pm_chain *c = p->job->chain;
    memset(p->outflow, 0, (size_t)c->n * LANES * sizeof *p->outflow);
    for (size_t e = 0; e < c->in_first[c->n]; e++) {
        double *to = p->outflow + (size_t)c->in_source[e] * LANES;
        const double *w = p->table + (size_t)c->in_weight[e] * LANES;
        for (size_t l = 0; l < LANES; l++) {
            to[l] += w[l];
        }
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        double *to = p->outflow + (size_t)c->exit_state[e] * LANES;
        const double *w = p->table + (size_t)c->exit_weight[e] * LANES;
        for (size_t l = 0; l < LANES; l++) {
            to[l] += w[l];
        }
    }
}

static pm_status bad_rate(const plan *p, size_t l, uint32_t state, double rate, pm_error *err) {
    char name[200];
    pmi_graph_describe(p->job->chain->graph, p->job->chain->row_of[state], name, sizeof name);
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: the rates out of %s add up to %g; scale time so that they fit a double",
                    p->first + l, name, rate);
}

double pmi_rate_above(const pm_chain *c, double most) {
    return most * (1.0 + ((double)c->most_out + 4.0) * DBL_EPSILON);
}

/* lambda: the largest rate of a state that is reached. */
static pm_status find_rates(const plan *p, size_t l, const bool *reached, pm_error *err) {
    const pm_chain *c = p->job->chain;
    double most = 0.0;
    for (uint32_t i = 0; i < c->n; i++) {
        double rate = p->outflow[(size_t)i * LANES + l];
        if (reached != NULL && !reached[i]) {
            continue;
        }
        if (!(rate <= 0.25 * DBL_MAX)) {
            return bad_rate(p, l, i, rate, err);
        }
        most = rate > most ? rate : most;
    }
    p->job->rows[p->first + l].lambda = pmi_rate_above(c, most);
    return PM_OK;
}

/* What a row of a discrete chain lacks to one stays put; it may not exceed one. */
static pm_status check_row_sums(const plan *p, size_t l, const bool *reached, double *loop, pm_error *err) {
    const pm_chain *c = p->job->chain;
    memset(loop, 0, c->n * sizeof *loop);
    for (size_t e = 0; e < c->n_loops; e++) {
        loop[c->loop_state[e]] += p->table[(size_t)c->loop_weight[e] * LANES + l];
    }
    for (uint32_t i = 0; i < c->n; i++) {
        double leave = p->outflow[(size_t)i * LANES + l];
        if ((reached == NULL || reached[i]) && !(leave + loop[i] <= 1.0 + ROW_SUM_SLACK)) {
            char name[200];
            pmi_graph_describe(c->graph, c->row_of[i], name, sizeof name);
            return pmi_fail(err, PM_EDATA,
                            "theta row %zu: the probabilities out of %s add up to %.17g (self-loops %.17g of it), "
                            "expected at most 1",
                            p->first + l, name, leave + loop[i], loop[i]);
        }
    }
    p->job->rows[p->first + l].lambda = 1.0;
    return PM_OK;
}

/* Whether some weight, or some start, is zero here and not everywhere. */
static bool is_partial(const plan *p, size_t l) {
    const pm_graph *g = p->job->chain->graph;
    for (size_t w = 0; w < g->n_weights; w++) {
        if (p->can_vanish[w] && p->table[w * LANES + l] == 0.0) {
            return true;
        }
    }
    const double *start = p->job->start + (p->first + l) * g->n_starts;
    for (size_t s = 0; s < g->n_starts; s++) {
        if (start[s] == 0.0) {
            return true;
        }
    }
    return false;
}

static pm_status plan_row(const plan *p, size_t l, double *loop, pm_error *err) {
    pm_density_job *job = p->job;
    pm_row *row = &job->rows[p->first + l];
    bool *reached = NULL;
    pm_status st = PM_OK;
    row->partial = is_partial(p, l);
    row->method = PM_METHOD_STEPS;
    if (row->partial) {
        st = pmi_reached_states(job, p->first + l, &reached, err);
    }
    PM_THEN(st, job->is_discrete ? check_row_sums(p, l, reached, loop, err) : find_rates(p, l, reached, err));
    free(reached);
    row->predicted = row->lambda * pmi_last_time(job, p->first + l);
    return st;
}

static pm_status plan_rows(plan *p, double *loop, pm_error *err) {
    const pm_graph *g = p->job->chain->graph;
    size_t total = p->job->request->n_theta;
    for (p->first = 0; p->first < total; p->first += LANES) {
        size_t left = total - p->first, count = left < LANES ? left : LANES;
        PM_TRY(pmi_weights_fill(g, p->job->request->theta, p->first, count, LANES, p->table, err));
        sum_outflow(p);
        for (size_t l = 0; l < count; l++) {
            PM_TRY(plan_row(p, l, loop, err));
        }
    }
    return PM_OK;
}

pm_status pmi_density_plan(pm_density_job *job, pm_error *err) {
    const pm_graph *g = job->chain->graph;
    plan p = {.job = job,
              .table = pmi_malloc_aligned(g->n_weights * LANES, sizeof *p.table),
              .outflow = pmi_malloc_aligned((size_t)job->chain->n * LANES, sizeof *p.outflow),
              .can_vanish = pmi_malloc(g->n_weights, sizeof *p.can_vanish)};
    double *loop = pmi_malloc(job->chain->n, sizeof *loop);
    pm_status st = PM_OK;
    if (p.table == NULL || p.outflow == NULL || p.can_vanish == NULL || loop == NULL) {
        st = pmi_fail_memory(err, "the rates", (g->n_weights + job->chain->n) * LANES * sizeof(double));
    } else {
        for (size_t w = 0; w < g->n_weights; w++) {
            p.can_vanish[w] = !pmi_graph_weight_is_zero(g, (uint32_t)w);
        }
        st = plan_rows(&p, loop, err);
    }
    free(p.table);
    free(p.outflow);
    free(p.can_vanish);
    free(loop);
    return st;
}
