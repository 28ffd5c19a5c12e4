/* When a lane's steps may end, and when they should not go on: decided from that lane alone. */
#include <math.h>

#include "eval/density_block.h"
#include "eval/poisson.h"

/* Each of the few parts of the truncation error may take this much of the tolerance: few steps more make it small
 * beside what rounding leaves. */
#define SHARE 0x1p-18

/* Of what is emptied: levels that go early save steps. */
#define DROP_SHARE 0x1p-8

/* A pdf below this part of its peak is not resolved unless tails are asked for. */
#define SMALL_PART 1e-6

/* With tail_accuracy: what may be missing, relative to the value. */
#define TAIL_MISSING 1e-15

/* Whatever the vector still holds at this size is gone: results below 1e-290 have no relative accuracy. */
#define NOTHING_LEFT 1e-292

/* Multiply-adds: so many are done before a forecast may end a row; so many a row may take; so many are done in a
 * second, about. */
#define PROBE_WORK 1.5e8
#define MOST_WORK 1e12
#define WORK_PER_SECOND 1e9

/* Multiply-adds in double precision that one in twice the precision takes. */
#define EXTENDED_WORK 6.0

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
    return fmax(lane->asked, SMALL_PART * lane->peak);
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
        pmi_last_time(job, lane->theta_row), work / WORK_PER_SECOND, MOST_WORK / WORK_PER_SECOND);
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
    double work = EXTENDED_WORK * steps * work_to_come(b, lane);
    if (b->extended && squaring > MOST_WORK) {
        return pmi_refuse_bound(b->job, lane->theta_row, (double)(lane->steps + lane->at), lane->excess, bound, err);
    }
    if (b->extended || squaring <= work) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    if (work > MOST_WORK) {
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
    double times = b->extended ? EXTENDED_WORK : 1.0, steps = steps_left(b, lane);
    double work = steps * (needs_digits(b, lane, steps) ? EXTENDED_WORK : times) * work_to_come(b, lane);
    lane->work += times * work_of_a_step(b, lane) * (double)(lane->at - lane->at_before);
    lane->at_before = lane->at;
    lane->mass_before = lane->mass;
    pmi_lane_seek_goal(b, lane, steps);
    if (lane->goal.is_set) {
        return PM_OK;
    }
    double squaring = pmi_squaring_work(b->job, lane->theta_row);
    if (lane->work >= squaring && work > squaring) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    if (work > MOST_WORK && squaring <= MOST_WORK && (!lane->may_restart || lane->work >= PROBE_WORK)) {
        leave(lane, PM_METHOD_SQUARING);
        return PM_OK;
    }
    if (lane->work >= PROBE_WORK && lane->work + work > MOST_WORK) {
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
