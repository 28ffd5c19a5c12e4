/* The chain at the thetas of a block: probabilities of a step, rates, the vector it starts from. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/density_block.h"
#include "eval/extended.h"
#include "eval/stay.h"

/* What pairs of doubles may round off in a sum of `edges` weights, relative to one. */
#define PAIR_ROUNDING 0x1p-104

/* hi + lo += w, lane by lane, without losing what hi cannot hold (Knuth's TwoSum). */
static void add_exactly(unsigned lanes, double *hi, double *lo, const double *w, const double *w_low) {
    for (unsigned l = 0; l < lanes; l++) {
        double sum = hi[l] + w[l];
        double part = sum - hi[l];
        lo[l] += ((hi[l] - (sum - part)) + (w[l] - part)) + (w_low == NULL ? 0.0 : w_low[l]);
        hi[l] = sum;
    }
}

/* hi + lo: the total of the table's values out of each state, of what the steps make of them: in double precision a
 * continuous chain is one of rounded probabilities. */
static void sum_outflow(const pm_block *b, double *hi, double *lo) {
    const pm_chain *c = b->job->chain;
    const double *low = b->extended || b->job->is_discrete ? b->table_low : NULL;
    size_t lanes = b->lanes;
    memset(hi, 0, c->n * lanes * sizeof *hi);
    memset(lo, 0, c->n * lanes * sizeof *lo);
    for (size_t e = 0; e < c->in_first[c->n]; e++) {
        size_t at = c->in_source[e] * lanes, w = c->in_weight[e] * lanes;
        add_exactly(b->lanes, hi + at, lo + at, b->table + w, low == NULL ? NULL : low + w);
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        size_t at = c->exit_state[e] * lanes, w = c->exit_weight[e] * lanes;
        add_exactly(b->lanes, hi + at, lo + at, b->table + w, low == NULL ? NULL : low + w);
    }
}

static pm_status fill_weights(pm_block *b, pm_error *err) {
    const pm_density_job *job = b->job;
    const pm_graph *g = job->chain->graph;
    size_t n_params = g->n_params;
    for (size_t l = 0; l < b->count; l++) {
        memcpy(b->theta + l * n_params, job->request->theta + b->rows[l] * n_params, n_params * sizeof(double));
    }
    return pmi_weights_fill_pairs(g, b->theta, 0, b->count, b->lanes, b->table, b->table_low, err);
}

/* Weights become probabilities: over lambda. Those of states that are not reached may be above one; they are never
 * used. */
static void divide_by_lambda(pm_block *b) {
    size_t lanes = b->lanes;
    for (size_t w = 0; w < b->job->chain->graph->n_weights * lanes; w++) {
        double lambda = b->lane[w % lanes].lambda;
        pm_pair p = {0};
        if (b->table[w] >= lambda) {
            p.high = b->table[w] > 0.0 ? 1.0 : 0.0;
        } else {
            p = pmi_divide((pm_pair){b->table[w], b->table_low[w]}, lambda);
        }
        b->table[w] = p.high;
        b->table_low[w] = p.low;
    }
}

/* Staying is one minus the sum hi + lo of leaving; in double precision the smaller of the two is kept (eval/step.h). */
static double keep_of(const pm_block *b, pm_lane *lane, double hi, double lo, double *low) {
    double leave = hi + lo, stay = (1.0 - hi) - lo;
    if (leave <= 0.0) {
        return 1.0;
    }
    stay = stay > 0.0 ? stay : 0.0;
    if (b->extended) {
        double one = 1.0 - hi, rest = ((1.0 - one) - hi) - lo;
        stay = one + rest > 0.0 ? one + rest : 0.0;
        *low = stay > 0.0 ? rest - (stay - one) : 0.0;
    }
    if (b->job->is_discrete && stay > PM_SMALL_STAY) {
        double edges = (double)b->job->chain->most_out + 1.0;
        lane->keep_rounding = fmax(lane->keep_rounding, edges * edges * PAIR_ROUNDING / stay);
    }
    return !b->extended && leave < 0.5 ? -leave : stay;
}

/* Discrete: what stays where next to nothing does, which a sum of pairs would know to few digits. What a row exceeds
 * one by is made in every step. */
static pm_status keep_exactly(pm_block *b, pm_error *err) {
    size_t n = b->job->chain->n;
    pm_stay_room room = {0};
    pm_status st = pmi_stay_room_new(b->job->chain, &room, err);
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        for (unsigned l = 0; l < b->count; l++) {
            size_t at = i * b->lanes + l;
            if (b->keep[at] < 0.0 || b->keep[at] > PM_SMALL_STAY) {
                continue;
            }
            pm_lane *lane = &b->lane[l];
            const double *theta = b->theta + l * b->job->chain->graph->n_params;
            pm_pair stay = pmi_exact_stay(b->job->chain, theta, (uint32_t)i, &room);
            lane->excess = fmax(lane->excess, -stay.high);
            b->keep[at] = stay.high > 0.0 ? stay.high : 0.0;
            if (b->extended) {
                b->keep_low[at] = stay.high > 0.0 ? stay.low : 0.0;
            }
        }
    }
    pmi_stay_room_free(&room);
    return st;
}

/* A row that is normalized lacks nothing to one: what stays is its self-loops, or all where the row has no weight. */
static void keep_loops(pm_block *b) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes, bytes = c->n * lanes * sizeof *b->now;
    for (size_t i = 0; i < c->n * lanes; i++) {
        b->keep[i] += b->next[i];
    }
    memset(b->now, 0, bytes);
    memset(b->next, 0, bytes);
    for (size_t e = 0; e < c->n_loops; e++) {
        size_t at = c->loop_state[e] * lanes, w = c->loop_weight[e] * lanes;
        add_exactly(b->lanes, b->now + at, b->next + at, b->table + w, b->table_low + w);
    }
    for (size_t i = 0; i < c->n * lanes; i++) {
        double leave = b->keep[i], stay = b->now[i] + b->next[i];
        b->keep[i] = !b->extended && leave < 0.5 ? -leave : stay;
        if (leave == 0.0) {
            b->keep[i] = 1.0;
        }
        if (b->extended) {
            b->keep_low[i] = leave == 0.0 ? 0.0 : b->next[i] - (stay - b->now[i]);
        }
    }
}

/* Continuous: probabilities are rates over lambda, rounded, and what stays is the complement of the rounded ones. So
 * rounding changes rates, by a part in 2^53, and hardly any mass is made or lost, however many steps are taken.
 * Discrete: the graph's probabilities are used as they are; what a row lacks stays put, its self-loops included. */
static pm_status setup_keep(pm_block *b, pm_error *err) {
    size_t lanes = b->lanes;
    if (!b->job->is_discrete) {
        divide_by_lambda(b);
    }
    sum_outflow(b, b->keep, b->next);
    if (b->job->chain->graph->normalizes_rows) {
        keep_loops(b);
        return PM_OK;
    }
    for (size_t i = 0; i < b->job->chain->n * lanes; i++) {
        double low = 0.0;
        b->keep[i] = keep_of(b, &b->lane[i % lanes], b->keep[i], b->next[i], &low);
        if (b->extended) {
            b->keep_low[i] = low;
        }
    }
    return b->job->is_discrete ? keep_exactly(b, err) : PM_OK;
}

static void find_exit_parts(pm_block *b) {
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
            b->lane[l].exit_part = sum[l] > b->lane[l].exit_part ? sum[l] : b->lane[l].exit_part;
        }
    }
}

/* States that are not reached do not move, whatever their rates are over a lambda that does not count them. */
static pm_status hold_unreached(pm_block *b, unsigned l, pm_error *err) {
    bool *reached;
    pm_status st = pmi_reached_states(b->job, b->lane[l].theta_row, &reached, err);
    for (size_t i = 0; st == PM_OK && i < b->job->chain->n; i++) {
        if (!reached[i]) {
            b->keep[i * b->lanes + l] = 1.0;
            if (b->extended) {
                b->keep_low[i * b->lanes + l] = 0.0;
            }
        }
    }
    free(reached);
    return st;
}

static pm_status fill_start(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t n_starts = c->graph->n_starts, bytes = c->n * b->lanes * sizeof *b->now;
    memset(b->now, 0, bytes);
    memset(b->next, 0, bytes);
    if (b->extended) {
        memset(b->now_low, 0, bytes);
        memset(b->next_low, 0, bytes);
    }
    for (unsigned l = 0; l < b->lanes; l++) {
        pm_lane *lane = &b->lane[l];
        const double *mass = b->job->start + lane->theta_row * n_starts;
        for (size_t s = 0; s < n_starts; s++) {
            if (c->start_state[s] == PM_START_ABSORBED) {
                lane->atom += PM_UNIT * mass[s];
            } else if (c->start_state[s] != PM_START_UNREACHABLE) {
                b->now[(size_t)c->start_state[s] * b->lanes + l] += PM_UNIT * mass[s];
            } else if (mass[s] != 0.0) {
                return pmi_fail(err, PM_ESOFTWARE, "theta row %zu: start edge %zu has probability %g and leads nowhere",
                                lane->theta_row, s, mass[s]);
            }
        }
    }
    return PM_OK;
}

static void find_support(pm_block *b) {
    const pm_chain *c = b->job->chain;
    b->step.first = 0;
    b->step.last = 0;
    for (size_t s = 0; s < c->graph->n_starts; s++) {
        size_t state = c->start_state[s];
        if (state < c->n && state >= b->step.last) {
            b->step.last = state + 1;
        }
    }
    for (unsigned l = 0; l < b->lanes; l++) {
        b->lane[l].last = (uint32_t)b->step.last;
    }
}

pm_status pmi_block_set_rates(pm_block *b, pm_error *err) {
    pm_status st = fill_weights(b, err);
    if (st != PM_OK) {
        return st;
    }
    st = setup_keep(b, err);
    for (unsigned l = 0; st == PM_OK && l < b->count; l++) {
        if (b->job->rows[b->lane[l].theta_row].partial) {
            st = hold_unreached(b, l, err);
        }
    }
    return st;
}

pm_status pmi_block_setup(pm_block *b, pm_error *err) {
    const pm_density_job *job = b->job;
    for (unsigned l = 0; l < b->lanes; l++) {
        pm_lane *lane = &b->lane[l];
        lane->theta_row = b->rows[l < b->count ? l : b->count - 1];
        lane->lambda =
            job->rows[lane->theta_row].lambda * (b->extended && !job->is_discrete ? PM_EXTENDED_LAMBDA : 1.0);
        lane->next = PM_METHOD_NONE;
    }
    pm_status st = pmi_block_set_rates(b, err);
    PM_THEN(st, fill_start(b, err));
    find_exit_parts(b);
    find_support(b);
    return st;
}
