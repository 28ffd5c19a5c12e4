/* Steps that begin anew. Once the first levels are drained, lambda is that of states that hold nothing any more. The
 * vector at a time T is a mixture of the vectors of the steps around lambda T; from it, steps at the rates of the
 * states that are left lead to all times after T. Both are sums of non-negative terms, so that bounds of rounding add
 * up, as does the mass that was left out. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/density_block.h"

/* Rows that take fewer steps do not gain. */
#define RESTART_STEPS 1024.0

/* Beginning anew should save this part of the steps that are left. A step that is blended counts twice. */
#define SAVING 0.5
#define BLENDED_STEP 2.0

/* About how many standard deviations steps go beyond the mean, and how many steps at least. */
#define DEVIATIONS 9.0
#define LEAST_STEPS 64.0

/* Weights of a vector's mixture are computed anew at every step that is a multiple of this. */
#define FRESH_WEIGHT 16
#define WEIGHT_ROUNDINGS (3.0 * FRESH_WEIGHT + 1.0)

/* Values over lambda grow with 1 / lambda. */
#define LARGEST_VALUE 0x1p900

#define HIGHER_ORDER 1.01

bool pmi_row_may_restart(const pm_density_job *job, size_t row) {
    return !job->is_discrete && !job->request->tail_accuracy && job->chain->n_levels > 1 &&
           job->rows[row].predicted > RESTART_STEPS;
}

static double leaving(const pm_block *b, size_t at) {
    return b->keep[at] < 0.0 ? -b->keep[at] : 1.0 - b->keep[at];
}

static void find_fastest(const pm_block *b, const pm_lane *lane, unsigned l) {
    const pm_chain *c = b->job->chain;
    double most = 0.0;
    for (uint32_t level = c->n_levels; level-- > 0;) {
        for (size_t i = c->level_first[level]; i < c->level_first[level + 1]; i++) {
            most = fmax(most, leaving(b, i * b->lanes + l));
        }
        b->fastest[(size_t)level * b->lanes + l] = lane->lambda * most;
    }
}

static void clear_blend(const pm_block *b, unsigned l) {
    for (size_t i = 0; i < b->job->chain->n; i++) {
        b->blend[i * b->lanes + l] = 0.0;
        if (b->extended) {
            b->blend_low[i * b->lanes + l] = 0.0;
        }
    }
}

/* Mean steps to absorption, where no state is passed twice; infinite otherwise. From the last state to the first, each
 * adds its mean to those that lead to it. */
static double mean_steps(const pm_block *b, unsigned l) {
    const pm_chain *c = b->job->chain;
    double *mean = b->blend + l, sum = 0.0;
    for (size_t i = c->n; i-- > 0;) {
        double leave = leaving(b, i * b->lanes + l), own = leave > 0.0 ? (mean[i * b->lanes] + 1.0) / leave : 0.0;
        mean[i * b->lanes] = own;
        for (size_t e = c->in_first[i]; e < c->in_first[i + 1]; e++) {
            size_t source = c->in_source[e];
            if (source >= i) {
                return HUGE_VAL;
            }
            mean[source * b->lanes] += b->table[(size_t)c->in_weight[e] * b->lanes + l] * own;
        }
    }
    const double *start = b->job->start + b->lane[l].theta_row * c->graph->n_starts;
    for (size_t s = 0; s < c->graph->n_starts; s++) {
        sum += c->start_state[s] < c->n ? start[s] * mean[c->start_state[s] * b->lanes] : 0.0;
    }
    return sum;
}

/* Half of those that are not absorbed at once are so by twice their mean time, in which the pdf has some value that is
 * as large as its average. Known before any mass is absorbed. */
static void expect_peak(const pm_block *b, pm_lane *lane, unsigned l) {
    double part = 1.0 - lane->atom / PM_UNIT;
    clear_blend(b, l);
    double peak = 0.249 * part * part / mean_steps(b, l);
    if (peak > 0.0) {
        lane->peak = fmax(lane->peak, peak * PM_UNIT);
    }
}

/* The mean of the law whose window begins at `step`, for this exponent: x - sqrt(2 x exponent) = step. */
static double law_from(double step, double exponent) {
    double root = 0.5 * (sqrt(2.0 * exponent) + sqrt(2.0 * exponent + 4.0 * step));
    return root * root;
}

void pmi_lane_seek_goal(const pm_block *b, pm_lane *lane, double steps_left) {
    unsigned l = (unsigned)(lane - b->lane);
    if (!lane->may_restart || lane->goal.is_set) {
        return;
    }
    if (!lane->knows_rates) {
        find_fastest(b, lane, l);
        lane->knows_rates = true;
        if (b->job->wants_pdf) {
            expect_peak(b, lane, l);
        }
    }
    double ratio = b->fastest[(size_t)lane->level * b->lanes + l] / lane->lambda;
    double exponent = lane->exponent + PM_RESTART_EXPONENT, x = law_from((double)lane->at + 1.0, exponent);
    pm_goal goal = {.is_set = true, .time = lane->from + x / lane->lambda};
    if (!(ratio > 0.0 && ratio <= SAVING) || fmax(lane->asked, lane->peak) > LARGEST_VALUE * ratio ||
        !(goal.time < pmi_last_time(b->job, lane->theta_row)) || !(goal.time > lane->from)) {
        return;
    }
    pmi_lane_set_mixture(lane, goal.time, exponent, &goal.mixture);
    double later = fmax(0.0, steps_left - (x - (double)lane->at)) * ratio;
    double cost =
        BLENDED_STEP * (double)(goal.mixture.last - lane->at) + later + DEVIATIONS * sqrt(later) + LEAST_STEPS;
    if (goal.mixture.first < lane->at || goal.mixture.last >= lane->ends || cost > SAVING * steps_left) {
        return;
    }
    clear_blend(b, l);
    lane->goal = goal;
    lane->limit = goal.mixture.last;
}

bool pmi_block_weigh(pm_block *b, uint64_t k) {
    bool any = false;
    for (unsigned l = 0; l < b->lanes; l++) {
        pm_lane *lane = &b->lane[l];
        pm_goal *goal = &lane->goal;
        b->weight[l] = 0.0;
        if (!goal->is_set || lane->done || lane->waits || k < goal->mixture.first || k >= goal->mixture.last) {
            continue;
        }
        if (k == goal->mixture.first || k % FRESH_WEIGHT == 0) {
            const pm_poisson_law law = pmi_mixture_law(b, lane, &goal->mixture);
            uint64_t at;
            if (!pmi_poisson_start(&law, k, k + 1, &at, &goal->weight)) {
                goal->weight = 0.0; /* below the doubles */
            }
            goal->mixture.start_rounding = fmax(goal->mixture.start_rounding, pmi_poisson_rounding(&law, k));
        } else {
            goal->weight *= goal->mixture.x / (double)k;
        }
        b->weight[l] = goal->weight;
        any = true;
    }
    return any;
}

/* Of the vector, whose states have as many roundings as the last step has, and one for each vector that is added. */
static double rounding_at_goal(const pm_block *b, const pm_lane *lane) {
    const pm_mixture *m = &lane->goal.mixture;
    double last = (double)m->last, window = (double)(m->last - m->first);
    double blend = (b->extended ? 2.0 : window) + 1.0 + m->start_rounding + WEIGHT_ROUNDINGS;
    return pmi_step_rounding(b, lane, last, last + m->x) +
           fmax(HIGHER_ORDER * PM_ROUNDING * blend, pmi_mixing_rounding(b, m, window, window));
}

static void rescale(const pm_block *b, pm_lane *lane, double ratio) {
    pm_point_error *errors = b->errors + (size_t)(lane - b->lane) * b->job->request->n_times;
    lane->asked *= ratio;
    lane->peak *= ratio;
    lane->exit_part *= ratio;
    for (size_t j = 0; j < lane->settled; j++) {
        errors[j].pdf *= ratio;
        errors[j].beyond *= ratio;
    }
}

static void reset_mixtures(const pm_block *b, pm_lane *lane) {
    for (size_t j = lane->settled; j < b->job->request->n_times; j++) {
        lane->mixtures[j] = (pm_mixture){0};
    }
}

/* The vector of one lane, without the levels that have drained by now, and the rates of what is left. */
static void load_lane(pm_block *b, pm_lane *lane, unsigned l) {
    const pm_chain *c = b->job->chain;
    lane->last = 0;
    for (size_t i = 0; i < c->n; i++) {
        size_t at = i * b->lanes + l;
        b->now[at] = b->blend[at];
        if (b->extended) {
            b->now_low[at] = b->blend_low[at];
        }
        lane->last = b->now[at] > 0.0 ? (uint32_t)i + 1 : lane->last;
    }
    pmi_lane_settle(b, lane, lane->pending);
    lane->rounding = rounding_at_goal(b, lane);
    double before = lane->lambda, rate = b->fastest[(size_t)lane->level * b->lanes + l];
    pmi_lane_drain(b, lane, l);
    if (b->fastest[(size_t)lane->level * b->lanes + l] > 0.0) { /* zero: of states that are not reached */
        rate = b->fastest[(size_t)lane->level * b->lanes + l];
    }
    lane->lambda = pmi_rate_above(c, rate) * (b->extended ? PM_EXTENDED_LAMBDA : 1.0);
    rescale(b, lane, before / lane->lambda);
}

static void begin_lane(const pm_block *b, pm_lane *lane) {
    const double *sums = lane->goal.mixture.sums;
    lane->from = lane->goal.time;
    lane->cum = sums[1];
    lane->mass = sums[2];
    lane->cum_low = lane->most = lane->mass_before = 0.0;
    lane->steps += lane->at;
    lane->at = lane->at_before = 0;
    lane->restarts++;
    lane->waits = lane->goal.is_set = false;
    reset_mixtures(b, lane);
    pmi_lane_set_windows(b, lane);
}

pm_status pmi_block_restart(pm_block *b, bool *any, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t values = (size_t)c->n * b->lanes, first = c->n, last = 0;
    *any = false;
    for (unsigned l = 0; l < b->count; l++) {
        *any = *any || b->lane[l].waits;
    }
    if (!*any) {
        return PM_OK;
    }
    memset(b->now, 0, values * sizeof *b->now);
    if (b->extended) {
        memset(b->now_low, 0, values * sizeof *b->now_low);
        memset(b->next_low, 0, values * sizeof *b->next_low);
    }
    for (unsigned l = 0; l < b->count; l++) {
        pm_lane *lane = &b->lane[l];
        if (lane->waits) {
            load_lane(b, lane, l);
            first = c->level_first[lane->level] < first ? c->level_first[lane->level] : first;
            last = lane->last > last ? lane->last : last;
        }
    }
    pm_status st = pmi_block_set_rates(b, err);
    memset(b->next, 0, values * sizeof *b->next);
    for (unsigned l = 0; l < b->count; l++) {
        if (b->lane[l].waits) {
            begin_lane(b, &b->lane[l]);
        }
    }
    b->step.first = first;
    b->step.last = last > first ? last : first;
    b->chunk = b->recorded = 0;
    return st;
}
