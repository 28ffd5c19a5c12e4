#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/density_block.h"
#include "eval/extended.h"
#include "eval/poisson.h"

/* ---- beginning anew ---- */

/* Steps that begin anew. Once the first levels are drained, lambda is that of states that hold nothing any more. The
 * vector at a time T is a mixture of the vectors of the steps around lambda T; from it, steps at the rates of the
 * states that are left lead to all times after T. Both are sums of non-negative terms, so that bounds of rounding add
 * up, as does the mass that was left out. */

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

static void lane_seek_goal(const pm_block *b, pm_lane *lane, double steps_left) {
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
           fmax(PM_HIGHER_ORDER * PM_ROUNDING * blend, pmi_mixing_rounding(b, m, window, window));
}

static void rescale(pm_lane *lane, double ratio) {
    lane->asked *= ratio;
    lane->peak *= ratio;
    lane->exit_part *= ratio;
    lane->error.pdf *= ratio;
    lane->error.beyond *= ratio;
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
    rescale(lane, before / lane->lambda);
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

/* ---- judging ---- */

/* When a lane's steps may end, and when they should not go on: decided from that lane alone. */

/* Each of the few parts of the truncation error may take this much of the tolerance: few steps more make it small
 * beside what rounding leaves. */
#define SHARE 0x1p-18

/* Of what is emptied: levels that go early save steps. */
#define DROP_SHARE 0x1p-8

/* With tail_accuracy: what may be missing, relative to the value. */
#define TAIL_MISSING 1e-15

/* Whatever the vector still holds at this size is gone: results below 1e-290 have no relative accuracy. */
#define NOTHING_LEFT 1e-292

/* Multiply-adds that are done before a forecast may end a row. */
#define PROBE_WORK 1.5e8

/* After so many steps the bound of rounding is hundreds of times the error: squaring, whose bound is not, is taken
 * where it is at most this many times the work of all steps. */
#define MANY_STEPS 1024
#define CHEAP_DIGITS 2.0

/* A forecast from the last fall of the mass: it may fall more slowly later on. */
#define SLOWER 1.5

static bool in_tails(const pm_block *b) {
    return b->job->request->tail_accuracy;
}

double pmi_lane_scale(const pm_lane *lane) {
    return fmax(lane->asked, PM_SMALL_PART * lane->peak);
}

/* What the vector, and the last step of a discrete chain, may yet add to a pdf, over lambda. */
static double pdf_left(const pm_block *b, const pm_lane *lane) {
    double left = lane->exit_part * lane->mass;
    return b->job->is_discrete ? fmax(left, lane->carry) : left;
}

/* All later terms together cannot matter. */
static bool rest_is_negligible(const pm_block *b, const pm_lane *lane) {
    double share = SHARE * b->job->tolerance;
    if (lane->mass > share * PM_UNIT) {
        return false;
    }
    return !b->job->wants_pdf || pdf_left(b, lane) <= share * pmi_lane_scale(lane);
}

/* What all later terms add to a time; to its cdf they add c_at as well, which point_of does. */
static bool time_is_exact(const pm_block *b, const pm_lane *lane, size_t j) {
    const double *sums = lane->mixtures[j].sums;
    double rest = lane->mass * pmi_poisson_right_bound(lane->at, lane->mixtures[j].x);
    rest = ldexp(rest, lane->shift);
    if (b->job->wants_pdf && lane->exit_part * rest > TAIL_MISSING * sums[0]) {
        return false;
    }
    if (b->job->wants_cdf && rest > TAIL_MISSING * sums[2]) {
        return false;
    }
    return !b->job->wants_cdf || sums[2] <= 0.5 * ldexp(PM_UNIT, lane->shift) || rest <= TAIL_MISSING * sums[1];
}

static bool tails_are_exact(const pm_block *b, const pm_lane *lane) {
    double gone = NOTHING_LEFT * PM_UNIT;
    if (lane->mass < gone && pdf_left(b, lane) * fmax(1.0, lane->lambda) < gone) {
        return true;
    }
    if (b->job->is_discrete) {
        return false;
    }
    for (size_t j = b->job->request->n_times; j-- > lane->pending;) {
        if (!time_is_exact(b, lane, j)) {
            return false;
        }
    }
    return true;
}

/* Past the last window: the steps not taken may matter where the pdf is far below anything seen. */
static bool windows_suffice(const pm_block *b, const pm_lane *lane) {
    if (b->job->is_discrete || !b->job->wants_pdf || lane->exponent >= PM_FULL_EXPONENT) {
        return true;
    }
    return lane->exit_part * lane->mass * exp(-lane->exponent) <= SHARE * b->job->tolerance * pmi_lane_scale(lane);
}

static void widen_windows(const pm_block *b, pm_lane *lane) {
    uint64_t before = lane->limit;
    lane->exponent = fmin(PM_FULL_EXPONENT, 2.0 * lane->exponent);
    pmi_lane_set_windows(b, lane);
    if (lane->limit <= before) {
        lane->ends = lane->limit = before + 1;
    }
}

/* As much mass as the tolerance leaves: where tails count, none. */
static void allow_dropping(const pm_block *b, pm_lane *lane) {
    if (in_tails(b)) {
        return;
    }
    double share = DROP_SHARE * b->job->tolerance;
    lane->may_drop = share * PM_UNIT;
    if (b->job->wants_pdf && lane->exit_part > 0.0) {
        lane->may_drop = fmin(lane->may_drop, share * pmi_lane_scale(lane) / lane->exit_part);
    }
}

/* Steps to the last window's end, or until nothing that counts is left, if the mass goes on falling as it did. */
static double steps_left(const pm_block *b, const pm_lane *lane) {
    double left = (double)(lane->ends - lane->at);
    double target = PM_UNIT * (in_tails(b) ? NOTHING_LEFT : SHARE * b->job->tolerance);
    if (lane->at_before > 0 && lane->mass < lane->mass_before) {
        double rate = log(lane->mass_before / lane->mass) / (double)(lane->at - lane->at_before);
        left = fmin(left, SLOWER * log(fmax(lane->mass / target, 1.0)) / rate + PM_CHUNK);
    }
    return left;
}

static pm_status refuse_work(const pm_block *b, const pm_lane *lane, double steps, double work, pm_error *err) {
    const pm_density_job *job = b->job;
    return pmi_fail(
        err, PM_EDATA,
        "theta row %zu: some %.2g %s (rate %g, largest time %g) are left to take, about %.2g s of one "
        "processor, more than the %g s that a row may take; ask for smaller times, or rates that differ less",
        lane->theta_row, steps, job->is_discrete ? "steps" : "uniformization steps", lane->lambda,
        pmi_last_time(job, lane->theta_row), work / PM_WORK_PER_SECOND,
        pmi_most_work(b->job->request) / PM_WORK_PER_SECOND);
}

static void leave(pm_lane *lane, pm_method method) {
    lane->next = method;
    lane->done = true;
}

static double work_of_a_step(const pm_block *b, const pm_lane *lane) {
    uint32_t first = b->job->chain->level_first[lane->level];
    return pmi_step_work(b->job->chain, first, lane->last > first ? lane->last : first);
}

/* Of a step to come, between that over all that holds mass now and that over the largest level alone: levels drain. */
static double work_to_come(const pm_block *b, const pm_lane *lane) {
    double all = work_of_a_step(b, lane), least = fmin(all, b->job->chain->level_work);
    return sqrt(all * least);
}

pm_status pmi_lane_more_digits(const pm_block *b, pm_lane *lane, double bound, pm_error *err) {
    double squaring = pmi_squaring_work(b->job, lane->theta_row);
    double steps = (double)(lane->steps + lane->at) + (lane->done ? 0.0 : steps_left(b, lane));
    double work = PM_EXTENDED_WORK * steps * work_to_come(b, lane);
    if (b->extended && squaring > pmi_most_work(b->job->request)) {
        return pmi_refuse_bound(b->job, lane->theta_row, (double)(lane->steps + lane->at), lane->excess, bound, err);
    }
    if (b->extended || squaring <= work) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    if (work > pmi_most_work(b->job->request)) {
        return refuse_work(b, lane, steps, work, err);
    }
    leave(lane, PM_METHOD_EXTENDED);
    return PM_OK;
}

/* The rounding error that the steps so far leave to any time beyond them. Where little is absorbed the error of the cdf
 * is small with it. */
static double rounding_so_far(const pm_block *b, const pm_lane *lane) {
    double absorbed = lane->cum - lane->atom, at = (double)lane->at;
    double part = in_tails(b) ? 1.0 : fmin(absorbed, lane->mass) / PM_UNIT;
    return part * pmi_step_rounding(b, lane, at, at);
}

/* Whether so many steps more will take twice the precision. */
static bool needs_digits(const pm_block *b, const pm_lane *lane, double steps) {
    double all = (double)lane->at + steps;
    return !b->extended && in_tails(b) && pmi_step_rounding(b, lane, all, all) > b->job->tolerance;
}

/* Another way where it takes less work than has been done already and than is left to do. */
static pm_status go_on(const pm_block *b, pm_lane *lane, pm_error *err) {
    double times = b->extended ? PM_EXTENDED_WORK : 1.0, steps = steps_left(b, lane);
    double work = steps * (needs_digits(b, lane, steps) ? PM_EXTENDED_WORK : times) * work_to_come(b, lane);
    lane->work += times * work_of_a_step(b, lane) * (double)(lane->at - lane->at_before);
    lane->at_before = lane->at;
    lane->mass_before = lane->mass;
    lane_seek_goal(b, lane, steps);
    if (lane->goal.is_set) {
        return PM_OK;
    }
    double squaring = pmi_squaring_work(b->job, lane->theta_row);
    double contour = pmi_contour_work(b->job, lane->theta_row), most = pmi_most_work(b->job->request);
    if (contour <= fmin(squaring, most) && lane->work >= contour && work > 2.0 * contour) {
        leave(lane, PM_METHOD_CONTOUR);
        return PM_OK;
    }
    if (lane->work >= squaring && work > squaring) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    if (work > most && squaring <= most && (!lane->may_restart || lane->work >= fmin(PROBE_WORK, most))) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    if (lane->work >= fmin(PROBE_WORK, most) && lane->work + work > most) {
        return refuse_work(b, lane, steps, work, err);
    }
    if (!b->extended && lane->steps + lane->at >= MANY_STEPS && squaring <= CHEAP_DIGITS * (lane->work + work)) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    double bound = rounding_so_far(b, lane);
    return bound > b->job->tolerance ? pmi_lane_more_digits(b, lane, bound, err) : PM_OK;
}

pm_status pmi_lane_judge(const pm_block *b, pm_lane *lane, pm_error *err) {
    if (in_tails(b) ? tails_are_exact(b, lane) : rest_is_negligible(b, lane)) {
        lane->cut_short = true;
        lane->done = true;
        return PM_OK;
    }
    if (lane->at >= lane->limit && lane->goal.is_set) {
        lane->waits = true;
        return PM_OK;
    }
    if (lane->at >= lane->limit) {
        if (windows_suffice(b, lane)) {
            lane->done = true;
            return PM_OK;
        }
        widen_windows(b, lane);
    }
    allow_dropping(b, lane);
    return go_on(b, lane, err);
}
