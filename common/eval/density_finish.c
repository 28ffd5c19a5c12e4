/* From sums to results: which of cdf and survival is taken as it is, their order in time, the error bound. */
#include <float.h>
#include <math.h>

#include "eval/density_block.h"
#include "eval/poisson.h"

/* Of the roundings of the steps, either sign is as likely: they grow with the square root of the number of steps. One
 * part in 64 may yet be of one sign, in vectors that hardly change. */
#define STEP_ROUNDING (0.5 * DBL_EPSILON)
#define RANDOM_STEPS 16.0
#define SIGNED_STEPS (1.0 / 64)

/* Poisson weights, over at most PM_CHUNK steps from an exact start, and the sums of one step. */
#define MIXING_STEPS 512

/* What windows and stopping leave out with tail_accuracy, relative to the value. */
#define TAIL_CUT 4e-13

/* Below this, double precision has no relative accuracy to give (denormal numbers are taken as zero). */
#define SMALLEST_RELATIVE 1e-290

typedef struct point {
    double pdf, cdf, survival;
} point;

double pm_lane_rounding(const pm_lane *lane, uint64_t steps) {
    double k = (double)steps;
    return STEP_ROUNDING * (SIGNED_STEPS * k + RANDOM_STEPS * sqrt(k) + MIXING_STEPS) + lane->drift * k;
}

pm_status pm_lane_refuse(const pm_block *b, const pm_lane *lane, double bound, pm_error *err) {
    const pm_density_job *job = b->job;
    bool tails = job->request->tail_accuracy;
    double last = lane->times.time[job->request->n_times - 1];
    return pm_fail(err, PM_EDATA,
                   "theta row %zu: after %llu %s (rate %g, largest time %g) the error bound is %.3g, more than the %s "
                   "%.3g; ask for %s",
                   lane->theta_row, (unsigned long long)lane->at, job->is_discrete ? "steps" : "uniformization steps",
                   lane->lambda, last, bound, tails ? "relative tolerance" : "tolerance", job->tolerance,
                   tails ? "no tail accuracy, or smaller times" : "a larger --tolerance, or smaller times");
}

static void window_of(const pm_block *b, const pm_lane *lane, size_t j, uint64_t *first, uint64_t *last) {
    double time = lane->times.time[j];
    if (b->job->is_discrete) {
        *first = time < (double)PM_POISSON_FAR ? (uint64_t)time : PM_POISSON_FAR;
        *last = *first + 1;
    } else {
        pm_poisson_window(lane->lambda * time, lane->exponent, first, last);
    }
}

/* Whether the cdf at a time is known as a sum. Where the steps stopped inside the window, all mass that will ever count
 * is absorbed, and the rest of the window adds its Poisson probability. Beyond the mode the survival is the smaller. */
static bool cdf_is_known(const pm_block *b, const pm_lane *lane, size_t j, double *cdf) {
    uint64_t first, last;
    double x = lane->lambda * lane->times.time[j];
    window_of(b, lane, j, &first, &last);
    if (last <= lane->at) {
        return true;
    }
    if (b->job->is_discrete || (double)lane->at <= x) {
        return false;
    }
    *cdf += (lane->cum + lane->cum_low) * pm_poisson_right_tail(lane->at, x);
    return true;
}

/* The smaller of cdf and survival is a sum of positive terms and keeps its accuracy; the other is its complement. */
static point point_of(const pm_block *b, const pm_lane *lane, size_t j) {
    const double *sums = lane->sums + j * 3;
    point p = {.pdf = lane->lambda * sums[0], .cdf = sums[1], .survival = sums[2]};
    if (cdf_is_known(b, lane, j, &p.cdf) && p.cdf < p.survival) {
        p.survival = 1.0 - p.cdf;
    } else {
        p.cdf = 1.0 - p.survival;
    }
    return p;
}

static uint64_t steps_of(const pm_block *b, const pm_lane *lane, size_t j) {
    uint64_t first, last;
    window_of(b, lane, j, &first, &last);
    return last < lane->at ? last : lane->at;
}

static double tail_bound(const pm_block *b, const pm_lane *lane, size_t j, const point *p) {
    double smaller = fmin(p->cdf, p->survival), bound = 0.0;
    double relative = pm_lane_rounding(lane, steps_of(b, lane, j)) + (b->job->is_discrete ? 0.0 : TAIL_CUT);
    if (b->job->wants_pdf && p->pdf > SMALLEST_RELATIVE) {
        bound = relative;
    }
    if (b->job->wants_cdf && smaller > SMALLEST_RELATIVE) {
        bound = relative;
    }
    return bound;
}

/* What windows and stopping leave out of any value. */
static void missing_parts(const pm_block *b, const pm_lane *lane, double *pdf, double *cdf) {
    double rest = lane->dropped + (lane->cut_short ? lane->mass : 0.0);
    double right = b->job->is_discrete ? 0.0 : exp(-lane->exponent);
    *cdf = 2.0 * lane->cut + rest;
    *pdf = lane->lambda * lane->most * 2.0 * lane->cut + lane->exit_rate * (rest + lane->mass * right);
}

static double plain_bound(const pm_block *b, const pm_lane *lane, size_t j, const point *p) {
    double missing_pdf, missing_cdf, bound = 0.0;
    double scale = pm_lane_scale(lane), rounding = pm_lane_rounding(lane, steps_of(b, lane, j));
    missing_parts(b, lane, &missing_pdf, &missing_cdf);
    /* a scale of zero: nothing of the pdf is above the smallest number */
    if (b->job->wants_pdf && scale > 0.0) {
        bound = rounding * p->pdf / scale + missing_pdf / scale;
    }
    if (b->job->wants_cdf) {
        bound = fmax(bound, rounding * fmin(p->cdf, p->survival) + missing_cdf);
    }
    return bound;
}

/* Neighbours that rounding left out of order share the earlier value. */
static pm_status put_in_order(const pm_block *b, const pm_lane *lane, size_t j, double bound, const point *before,
                              point *p, pm_error *err) {
    double fall = before->cdf - p->cdf, rise = p->survival - before->survival;
    if (fall <= 0.0 && rise <= 0.0) {
        return PM_OK;
    }
    bool tails = b->job->request->tail_accuracy;
    double allowed = 4.0 * DBL_EPSILON + 2.0 * bound * (tails ? fmin(before->cdf, before->survival) : 1.0);
    if (fmax(fall, rise) > allowed) {
        return pm_fail(
            err, PM_ESOFTWARE,
            "theta row %zu: the distribution function falls by %g to %.17g at time %.17g, more than its error "
            "bound %g",
            lane->theta_row, fall, p->cdf, lane->times.time[j], bound);
    }
    p->cdf = before->cdf;
    p->survival = before->survival;
    return PM_OK;
}

static void write_point(const pm_block *b, const pm_lane *lane, size_t j, const point *p) {
    const pm_result *result = b->job->result;
    size_t at = lane->theta_row * b->job->request->n_times + lane->times.order[j];
    if (b->job->wants_pdf) {
        result->pdf[at] = p->pdf;
    }
    if (result->cdf != NULL) {
        result->cdf[at] = p->cdf;
    }
    if (result->survival != NULL) {
        result->survival[at] = p->survival;
    }
}

pm_status pm_lane_finish(const pm_block *b, pm_lane *lane, double *bound, pm_error *err) {
    size_t n_times = b->job->request->n_times;
    *bound = 0.0;
    for (size_t j = 0; j < n_times; j++) {
        point p = point_of(b, lane, j);
        double own = b->job->request->tail_accuracy ? tail_bound(b, lane, j, &p) : plain_bound(b, lane, j, &p);
        *bound = fmax(*bound, own);
    }
    if (*bound > b->job->tolerance) {
        return pm_lane_refuse(b, lane, *bound, err);
    }
    point before = {.cdf = 0.0, .survival = 1.0};
    for (size_t j = 0; j < n_times; j++) {
        point p = point_of(b, lane, j);
        pm_status st = put_in_order(b, lane, j, *bound, &before, &p, err);
        if (st != PM_OK) {
            return st;
        }
        write_point(b, lane, j, &p);
        before = p;
    }
    return PM_OK;
}
