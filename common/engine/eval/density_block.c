#include "eval/density_block.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/float_env.h"
#include "base/mem.h"
#include "eval/chain.h"
#include "eval/extended.h"

/* ---- the chain at the thetas of a block ---- */

/* The chain at the thetas of a block: probabilities of a step, rates, the vector it starts from. */

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
    pmi_pool_free(&room.pool);
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

static pm_status block_setup(pm_block *b, pm_error *err) {
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

/* ---- what has drained ---- */

/* Mass moves to later levels and does not come back: early states are worth their steps for a short time only. Ahead of
 * the front there is nothing, or next to nothing. */

static double level_mass(const pm_block *b, unsigned l, uint32_t level) {
    const uint32_t *first = b->job->chain->level_first;
    double sum = 0.0;
    for (size_t i = first[level]; i < first[level + 1]; i++) {
        sum += b->now[i * b->lanes + l];
    }
    return sum;
}

static void clear_states(const pm_block *b, unsigned l, size_t first, size_t last) {
    for (size_t i = first; i < last; i++) {
        b->now[i * b->lanes + l] = 0.0;
        if (b->extended) {
            b->now_low[i * b->lanes + l] = 0.0;
        }
    }
}

/* Half of what may be dropped is for the levels, a part for each; the last one stays. Not while vectors are blended:
 * what the first of them hold there is in the sum. */
void pmi_lane_drain(const pm_block *b, pm_lane *lane, unsigned l) {
    const pm_chain *c = b->job->chain;
    while (lane->level + 1 < c->n_levels) {
        double part = pmi_step_work(c, 0, c->level_first[lane->level + 1]) / pmi_step_work(c, 0, c->n);
        double dropped = lane->dropped + level_mass(b, l, lane->level);
        if (dropped > 0.5 * lane->may_drop * part) {
            return;
        }
        clear_states(b, l, c->level_first[lane->level], c->level_first[lane->level + 1]);
        lane->dropped = dropped;
        lane->level++;
    }
}

/* The part of all steps, or of all time, that has passed. */
static double progress(const pm_block *b, const pm_lane *lane, uint64_t step) {
    double all = b->job->is_discrete ? (double)lane->limit : lane->lambda * pmi_last_time(b->job, lane->theta_row);
    return fmin(1.0, ((double)step + lane->lambda * lane->from) / fmax(all, 1.0));
}

/* The other half is for the front, which refills what is taken from it: a part for each step on the way. */
static void trim_front(pm_block *b, pm_lane *lane, unsigned l, uint64_t step) {
    double budget = 0.5 * lane->may_drop * progress(b, lane, step);
    size_t first = b->job->chain->level_first[lane->level], last = b->step.last;
    while (last > first) {
        double v = b->now[(last - 1) * b->lanes + l];
        if (lane->dropped_ahead + v > budget && v > 0.0) {
            break;
        }
        lane->dropped_ahead += v;
        last--;
    }
    clear_states(b, l, last, b->step.last);
    lane->last = (uint32_t)last;
}

static void clear_slots(pm_block *b, size_t first, size_t last) {
    double *arrays[] = {b->now, b->next, b->now_low, b->next_low};
    for (size_t i = 0; i < (b->extended ? 4 : 2); i++) {
        memset(arrays[i] + first * b->lanes, 0, (last - first) * b->lanes * sizeof(double));
    }
}

static void block_drain(pm_block *b, uint64_t step) {
    const pm_chain *c = b->job->chain;
    uint32_t level = c->n_levels, last = 0;
    for (unsigned l = 0; l < b->count; l++) {
        pm_lane *lane = &b->lane[l];
        if (!lane->done && !lane->waits) {
            if (!lane->goal.is_set) {
                pmi_lane_drain(b, lane, l);
            }
            trim_front(b, lane, l, step);
            level = lane->level < level ? lane->level : level;
            last = lane->last > last ? lane->last : last;
        }
    }
    size_t first = c->level_first[level];
    if (first > b->step.first) {
        clear_slots(b, b->step.first, first);
        b->step.first = first;
    }
    if (last < b->step.last) {
        last = last < b->step.first ? (uint32_t)b->step.first : last;
        clear_slots(b, last, b->step.last);
        b->step.last = last;
    }
}

/* ---- steps ---- */

/* Steps between two looks at what has drained. */
#define DRAIN_EVERY 32

typedef struct array {
    double **values;
    size_t size;
    bool is_wanted;
} array;

static pm_status block_new(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes, state = (size_t)c->n * lanes, weights = c->graph->n_weights * lanes, n_mixtures = 0;
    if (!pmi_mul(b->job->request->n_times, lanes, &n_mixtures)) {
        return pmi_fail_memory(err, "the times", SIZE_MAX);
    }
    const array arrays[] = {{&b->theta, lanes * c->graph->n_params, true},
                            {&b->table, weights, true},
                            {&b->table_low, weights, true},
                            {&b->keep, state, true},
                            {&b->keep_low, state, b->extended},
                            {&b->now, state, true},
                            {&b->next, state, true},
                            {&b->now_low, state, b->extended},
                            {&b->next_low, state, b->extended},
                            {&b->partial, c->n_blocks * 2 * lanes, true},
                            {&b->mass, lanes, true},
                            {&b->absorbed, lanes, true},
                            {&b->chunk_a, lanes * PM_CHUNK_STRIDE, true},
                            {&b->chunk_s, lanes * PM_CHUNK_STRIDE, true},
                            {&b->chunk_c, PM_CHUNK, true},
                            {&b->fastest, c->n_levels * lanes, b->may_restart},
                            {&b->blend, state, b->may_restart},
                            {&b->blend_low, state, b->may_restart && b->extended},
                            {&b->weight, lanes, b->may_restart}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (arrays[i].is_wanted) {
            *arrays[i].values = pmi_pool_aligned(&b->pool, arrays[i].size, sizeof(double));
        }
    }
    b->mixtures = pmi_pool_zeros(&b->pool, n_mixtures, sizeof *b->mixtures);
    b->points = pmi_pool_array(&b->pool, n_mixtures, sizeof *b->points);
    b->later = pmi_pool_array(&b->pool, 1, sizeof *b->later);
    size_t times = sizeof *b->mixtures + sizeof *b->points;
    PM_TRY(pmi_pool_check(&b->pool, err, "densities", 3 * state * sizeof(double) + n_mixtures * times));
    b->step =
        (pm_step){.chain = c, .table = b->table, .keep = b->keep, .table_low = b->table_low, .keep_low = b->keep_low};
    return PM_OK;
}

/* The sums of blocks, added up by Knuth's TwoSum. */
static void add_up(const pm_block *b, size_t offset, double *out) {
    size_t lanes = b->lanes, last = (b->step.last + PM_CHAIN_BLOCK - 1) / PM_CHAIN_BLOCK;
    double error[PM_STEP_MAX_LANES] = {0};
    memset(out, 0, lanes * sizeof *out);
    for (size_t i = b->step.first / PM_CHAIN_BLOCK; i < last; i++) {
        const double *p = b->partial + i * 2 * lanes + offset;
        for (size_t l = 0; l < lanes; l++) {
            double sum = out[l] + p[l], part = sum - out[l];
            error[l] += (out[l] - (sum - part)) + (p[l] - part);
            out[l] = sum;
        }
    }
    for (size_t l = 0; l < lanes; l++) {
        out[l] += error[l];
    }
}

static void add_up_partials(pm_block *b) {
    if (b->job->chain->n_blocks != 1) {
        add_up(b, 0, b->mass);
        add_up(b, b->lanes, b->absorbed);
    }
}

/* Where block i of the chain puts its mass and what it absorbs: where the sums are wanted, if there is no other. */
static double *mass_of(const pm_block *b, size_t i) {
    return b->job->chain->n_blocks != 1 ? b->partial + i * 2 * b->lanes : b->mass;
}

static double *absorbed_of(const pm_block *b, size_t i) {
    return b->job->chain->n_blocks != 1 ? b->partial + (i * 2 + 1) * b->lanes : b->absorbed;
}

static void measure_start(pm_block *b) {
    for (size_t i = 0; i < b->job->chain->n_blocks; i++) {
        double *mass = mass_of(b, i), *absorbed = absorbed_of(b, i);
        if (b->extended) {
            b->extended_kernels->measure(&b->step, i, b->now, b->now_low, mass, absorbed);
        } else {
            b->kernels->measure(&b->step, i, b->now, mass, absorbed);
        }
    }
    add_up_partials(b);
}

static void step_block(const pm_block *b, size_t i) {
    double *mass = mass_of(b, i), *absorbed = absorbed_of(b, i);
    if (b->is_blending && b->extended) {
        b->extended_kernels->blend(&b->step, i, b->now, b->now_low, b->weight, b->blend, b->blend_low);
    } else if (b->is_blending) {
        b->kernels->blend(&b->step, i, b->now, b->weight, b->blend);
    }
    if (b->extended) {
        b->extended_kernels->rows(&b->step, i, b->now, b->now_low, b->next, b->next_low, mass, absorbed);
    } else {
        b->kernels->rows(&b->step, i, b->now, b->next, mass, absorbed);
    }
}

static void exchange(double **a, double **b) {
    double *before = *a;
    *a = *b;
    *b = before;
}

/* Of the states that hold something now: few of a long chain. */
static double work_of_step(const pm_block *b) {
    return pmi_step_work(b->job->chain, (uint32_t)b->step.first, (uint32_t)b->step.last) * b->lanes;
}

static void take_step(pm_block *b) {
    if (b->step.last > b->step.first) {
        b->step.last = b->job->chain->reach[b->step.last - 1];
    }
    size_t first = b->step.first / PM_CHAIN_BLOCK, last = (b->step.last + PM_CHAIN_BLOCK - 1) / PM_CHAIN_BLOCK;
    if (last == 0 && b->job->chain->n_blocks == 1) {
        last = 1; /* nothing is left: the block finds a mass of zero */
    }
    bool is_shared = b->job->step_threads > 1 && work_of_step(b) >= PM_SHARED_STEP_WORK;
    if (!is_shared) {
        for (size_t i = first; i < last; i++) {
            step_block(b, i);
        }
    } else {
#pragma omp parallel num_threads(b->job->step_threads)
        {
            pm_float_env before = pmi_float_enter();
            pm_float_mode mode = pmi_denormals_flush();
#pragma omp for schedule(static)
            for (size_t i = first; i < last; i++) {
                step_block(b, i);
            }
            pmi_denormals_restore(mode);
            pmi_float_leave(before);
        }
    }
    exchange(&b->now, &b->next);
    exchange(&b->now_low, &b->next_low);
    add_up_partials(b);
}

/* Chunks end at 64, 128, 256, 512, and then at every 512: the same steps for every block. */
static uint64_t chunk_end(uint64_t k) {
    uint64_t end = 64;
    while (end <= k && end < PM_CHUNK) {
        end *= 2;
    }
    return end <= k ? (k / PM_CHUNK + 1) * PM_CHUNK : end;
}

/* Pois(k; k) is above 0.36 / sqrt(k). */
void pmi_step_table_set(pm_step_table *t, uint64_t first) {
    for (size_t j = 0; j < PM_CHUNK; j++) {
        double step = (double)(first + j);
        long double product = 1.0L; /* below 2^424, and the ratio is rounded to double but once */
        for (int i = 1; i <= 8; i++) {
            product *= (long double)(step + i);
        }
        t->ratio[j] = (double)(1.0L / product);
        t->mode[j] = step > 0.0 ? 0.36 / sqrt(step) : 1.0;
    }
}

static void begin_chunk(pm_block *b, uint64_t first) {
    b->chunk = first;
    if (first < PM_CHUNK) {
        b->ratio = b->job->early.ratio + first;
        b->mode = b->job->early.mode + first;
    } else {
        pmi_step_table_set(b->later, first);
        b->ratio = b->later->ratio;
        b->mode = b->later->mode;
    }
}

static void record_steps(pm_block *b, uint64_t end) {
    for (uint64_t k = b->recorded; k < end; k++) {
        size_t j = (size_t)(k - b->chunk);
        for (unsigned l = 0; l < b->lanes; l++) {
            b->chunk_a[(size_t)l * PM_CHUNK_STRIDE + j] = b->absorbed[l];
        }
        for (unsigned l = 0; b->records_all && l < b->lanes; l++) {
            b->chunk_s[(size_t)l * PM_CHUNK_STRIDE + j] = b->mass[l];
        }
        b->is_blending = b->may_restart && pmi_block_weigh(b, k);
        take_step(b);
        if ((k + 1) % DRAIN_EVERY == 0) {
            block_drain(b, k + 1);
        }
    }
    b->recorded = end;
}

/* Takes the recorded steps into account and judges, at the lane's own limit and where chunks end for everybody. */
static pm_status follow_chunk(pm_block *b, unsigned l, pm_error *err) {
    pm_lane *lane = &b->lane[l];
    if (lane->done || lane->waits || (b->recorded != lane->limit && b->recorded != chunk_end(b->chunk))) {
        return PM_OK;
    }
    pmi_lane_take(b, l, b->recorded);
    lane->mass = b->mass[l];
    return pmi_lane_judge(b, lane, err);
}

/* The smallest and the largest number of steps that a lane asks for; 0 when all are done, or wait. */
static void find_limits(const pm_block *b, uint64_t *least, uint64_t *most) {
    *least = UINT64_MAX;
    *most = 0;
    for (unsigned l = 0; l < b->count; l++) {
        const pm_lane *lane = &b->lane[l];
        if (!lane->done && !lane->waits) {
            *least = lane->limit < *least ? lane->limit : *least;
            *most = lane->limit > *most ? lane->limit : *most;
        }
    }
}

/* Steps are recorded up to where the first lane is judged and no further, so that a judgement finds the lane as it
 * would be alone; chunks begin where they do for every block. */
static pm_status run_segment(pm_block *b, pm_error *err) {
    pm_status st = PM_OK;
    uint64_t least, most;
    measure_start(b);
    begin_chunk(b, 0);
    for (find_limits(b, &least, &most); st == PM_OK && most > 0; find_limits(b, &least, &most)) {
        uint64_t end = chunk_end(b->chunk);
        record_steps(b, least < end ? least : end);
        for (unsigned l = 0; l < b->count && st == PM_OK; l++) {
            st = follow_chunk(b, l, err);
        }
        if (b->recorded == end) {
            begin_chunk(b, end);
        }
        pmi_progress_tell(b->job->progress, fmin(1.0, (double)b->recorded / (double)most), b->count);
    }
    return st;
}

static pm_status run_steps(pm_block *b, pm_error *err) {
    bool again = true;
    pm_status st = PM_OK;
    while (st == PM_OK && again) {
        st = run_segment(b, err);
        PM_THEN(st, pmi_block_restart(b, &again, err));
    }
    return st;
}

/* A lane whose bound turns out too large is done again with more digits. */
static pm_status finish_lane(const pm_block *b, pm_lane *lane, uint64_t *steps, double *bound, pm_error *err) {
    double own = 0.0;
    pm_status st = PM_OK;
    if (lane->next == PM_METHOD_NONE) {
        st = pmi_lane_finish(b, lane, &own, err);
        if (st == PM_OK && own > b->job->tolerance) {
            st = pmi_lane_more_digits(b, lane, own, err);
        }
    }
    if (st == PM_OK && lane->next == PM_METHOD_NONE) {
        *bound = fmax(*bound, own);
        *steps = lane->steps + lane->at > *steps ? lane->steps + lane->at : *steps;
    }
    b->job->rows[lane->theta_row].method = lane->next;
    return st;
}

pm_status pmi_density_block(const pm_density_job *job, const size_t *rows, size_t count, unsigned lanes, bool extended,
                            uint64_t *steps, double *bound, pm_error *err) {
    pm_block b = {.job = job,
                  .rows = rows,
                  .count = count,
                  .lanes = lanes,
                  .extended = extended,
                  .kernels = pmi_step_kernels_get(job->isa, lanes),
                  .extended_kernels = pmi_extended_kernels_get(job->isa, lanes)};
    *steps = 0;
    *bound = 0.0;
    for (size_t i = 0; i < count; i++) {
        b.may_restart = b.may_restart || pmi_row_may_restart(job, rows[i]);
    }
    b.records_all = job->wants_cdf || job->is_discrete || b.may_restart;
    pm_float_mode mode = pmi_denormals_flush();
    pmi_count_roundings(&b);
    pm_status st = block_new(&b, err);
    PM_THEN(st, block_setup(&b, err));
    if (st == PM_OK) {
        for (unsigned l = 0; l < count; l++) {
            pmi_lane_open(&b, l);
        }
        st = run_steps(&b, err);
    }
    for (unsigned l = 0; st == PM_OK && l < count; l++) {
        st = finish_lane(&b, &b.lane[l], steps, bound, err);
    }
    pmi_pool_free(&b.pool);
    pmi_denormals_restore(mode);
    return st;
}
