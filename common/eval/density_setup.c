/* The chain at the thetas of a block: probabilities of a step, rates, the vector it starts from. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/density_block.h"

/* A discrete row may exceed one by the rounding of its probabilities. */
#define ROW_SUM_SLACK 1e-12

/* hi + lo += w, lane by lane, without losing what hi cannot hold (Knuth's TwoSum). */
static void add_exactly(unsigned lanes, double *hi, double *lo, const double *w) {
    for (unsigned l = 0; l < lanes; l++) {
        double sum = hi[l] + w[l];
        double part = sum - hi[l];
        lo[l] += (hi[l] - (sum - part)) + (w[l] - part);
        hi[l] = sum;
    }
}

/* hi + lo: the total weight out of each state. */
static void sum_outflow(const pm_block *b, double *hi, double *lo) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes;
    memset(hi, 0, c->n * lanes * sizeof *hi);
    memset(lo, 0, c->n * lanes * sizeof *lo);
    for (size_t e = 0; e < c->in_first[c->n]; e++) {
        size_t at = c->in_source[e] * lanes;
        add_exactly(b->lanes, hi + at, lo + at, b->table + c->in_weight[e] * lanes);
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        size_t at = c->exit_state[e] * lanes;
        add_exactly(b->lanes, hi + at, lo + at, b->table + c->exit_weight[e] * lanes);
    }
}

static void find_exit_rates(pm_block *b) {
    const pm_chain *c = b->job->chain;
    double sum[PM_STEP_MAX_LANES] = {0};
    uint32_t state = PM_NONE;
    for (size_t e = 0; e < c->n_exits; e++) {
        if (c->exit_state[e] != state) {
            state = c->exit_state[e];
            memset(sum, 0, sizeof sum);
        }
        const double *w = b->table + (size_t)c->exit_weight[e] * b->lanes;
        for (unsigned l = 0; l < b->lanes; l++) {
            sum[l] += w[l];
            b->lane[l].exit_rate = sum[l] > b->lane[l].exit_rate ? sum[l] : b->lane[l].exit_rate;
        }
    }
}

static pm_status find_rates(pm_block *b, const double *outflow, pm_error *err) {
    const pm_chain *c = b->job->chain;
    for (size_t i = 0; i < c->n; i++) {
        for (unsigned l = 0; l < b->lanes; l++) {
            pm_lane *lane = &b->lane[l];
            double rate = outflow[i * b->lanes + l];
            if (!(rate <= 0.5 * DBL_MAX)) {
                char name[200];
                pm_graph_describe(c->graph, c->row_of[i], name, sizeof name);
                return pm_fail(err, PM_EDATA,
                               "theta row %zu: the rates out of %s add up to %g; scale time so that they fit a double",
                               lane->theta_row, name, rate);
            }
            rate *= 1.0 + 4.0 * DBL_EPSILON;
            lane->lambda = rate > lane->lambda ? rate : lane->lambda;
        }
    }
    return PM_OK;
}

/* How a state stays, from the sum hi + lo of its probabilities of leaving: the smaller of staying and leaving
 * (eval/step.h). What this rounds off is mass made or lost in every step. */
static double keep_of(pm_lane *lane, double hi, double lo) {
    double leave = hi + lo, stay = (1.0 - hi) - lo;
    if (leave <= 0.0) {
        return 1.0;
    }
    stay = stay > 0.0 ? stay : 0.0;
    bool by_leaving = leave < 0.5;
    double drift = fabs(by_leaving ? (hi - leave) + lo : ((1.0 - hi) - stay) - lo);
    lane->drift = drift > lane->drift ? drift : lane->drift;
    return by_leaving ? -leave : stay;
}

/* Probabilities are rates over lambda, rounded; what stays is the complement of the rounded ones. So rounding changes
 * rates, by one part in 2^53, and hardly any mass is made or lost, however many steps are taken. lambda is a few units
 * above the largest rate, so that no complement is negative. */
static pm_status setup_continuous(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes;
    sum_outflow(b, b->keep, b->next);
    pm_status st = find_rates(b, b->keep, err);
    if (st != PM_OK) {
        return st;
    }
    for (size_t w = 0; w < c->graph->n_weights * lanes; w++) {
        double lambda = b->lane[w % lanes].lambda;
        b->table[w] = lambda > 0.0 ? b->table[w] / lambda : 0.0;
    }
    sum_outflow(b, b->keep, b->next);
    for (size_t i = 0; i < c->n * lanes; i++) {
        b->keep[i] = keep_of(&b->lane[i % lanes], b->keep[i], b->next[i]);
    }
    return PM_OK;
}

static pm_status row_sum_error(const pm_block *b, size_t slot, double sum, double loop, pm_error *err) {
    const pm_chain *c = b->job->chain;
    char name[200];
    pm_graph_describe(c->graph, c->row_of[slot / b->lanes], name, sizeof name);
    return pm_fail(
        err, PM_EDATA,
        "theta row %zu: the probabilities out of %s add up to %.17g (self-loops %.17g of it), expected at most 1",
        b->lane[slot % b->lanes].theta_row, name, sum + loop, loop);
}

/* Where rows are normalized, what stays is the self-loops, whatever the others were rounded to: a state without one is
 * left for certain. */
static double keep_of_normalized(pm_lane *lane, double leave, double loop) {
    lane->drift = fmax(lane->drift, fabs((1.0 - leave) - loop));
    return leave <= 0.0 ? 1.0 : leave < 0.5 ? -leave : loop;
}

/* The graph's probabilities are used as they are; what a row lacks stays put, its self-loops included. */
static pm_status setup_discrete(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes;
    double *loop = b->now;
    sum_outflow(b, b->keep, b->next);
    memset(loop, 0, c->n * lanes * sizeof *loop);
    for (size_t e = 0; e < c->n_loops; e++) {
        for (size_t l = 0; l < lanes; l++) {
            loop[c->loop_state[e] * lanes + l] += b->table[c->loop_weight[e] * lanes + l];
        }
    }
    for (size_t i = 0; i < c->n * lanes; i++) {
        double leave = b->keep[i] + b->next[i];
        if (leave + loop[i] > 1.0 + ROW_SUM_SLACK) {
            return row_sum_error(b, i, leave, loop[i], err);
        }
        pm_lane *lane = &b->lane[i % lanes];
        b->keep[i] = c->graph->normalizes_rows ? keep_of_normalized(lane, leave, loop[i])
                                               : keep_of(lane, b->keep[i], b->next[i]);
    }
    for (size_t l = 0; l < lanes; l++) {
        b->lane[l].lambda = 1.0;
    }
    return PM_OK;
}

static pm_status fill_start(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t n_starts = c->graph->n_starts;
    memset(b->now, 0, c->n * b->lanes * sizeof *b->now);
    for (unsigned l = 0; l < b->lanes; l++) {
        pm_lane *lane = &b->lane[l];
        const double *mass = b->job->start + lane->theta_row * n_starts;
        for (size_t s = 0; s < n_starts; s++) {
            if (c->start_state[s] == PM_START_ABSORBED) {
                lane->atom += mass[s];
            } else if (c->start_state[s] != PM_START_UNREACHABLE) {
                b->now[(size_t)c->start_state[s] * b->lanes + l] += mass[s];
            } else if (mass[s] != 0.0) {
                return pm_fail(err, PM_ESOFTWARE, "theta row %zu: start edge %zu has probability %g and leads nowhere",
                               lane->theta_row, s, mass[s]);
            }
        }
    }
    return PM_OK;
}

pm_status pm_block_setup(pm_block *b, pm_error *err) {
    const pm_density_job *job = b->job;
    pm_status st = pm_weights_fill(job->chain->graph, job->request->theta, b->first, b->count, b->lanes, b->table, err);
    if (st != PM_OK) {
        return st;
    }
    for (unsigned l = 0; l < b->lanes; l++) {
        b->lane[l].theta_row = b->first + (l < b->count ? l : b->count - 1);
    }
    find_exit_rates(b);
    st = job->is_discrete ? setup_discrete(b, err) : setup_continuous(b, err);
    return st == PM_OK ? fill_start(b, err) : st;
}
