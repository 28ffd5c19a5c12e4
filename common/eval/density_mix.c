/* From steps to values at times: Poisson weights when continuous, one step when discrete; and when to stop. */
#include <float.h>
#include <math.h>

#include "eval/density_block.h"
#include "eval/poisson.h"

/* Each of the few parts of the truncation error may take this much of the tolerance. */
#define SHARE (1.0 / 64)

/* A pdf below this part of its peak is not resolved unless tails are asked for. */
#define SMALL_PART 1e-6

/* With tail_accuracy: what may be missing, relative to the value. */
#define TAIL_MISSING 1e-13

/* Whatever the vector still holds at this size is gone: results below 1e-290 have no relative accuracy. */
#define NOTHING_LEFT 1e-292

/* A chain that absorbs nothing for so many steps, and for more than it has states, will not absorb what it holds. */
#define IDLE_STEPS 10000000

static bool in_tails(const pm_block *b) {
    return b->job->request->tail_accuracy;
}

double pm_lane_scale(const pm_lane *lane) {
    return fmax(lane->asked, SMALL_PART * lane->peak);
}

static void open_discrete(pm_lane *lane, size_t n_times) {
    double last = lane->times.time[n_times - 1];
    lane->limit = last < (double)PM_POISSON_FAR ? (uint64_t)last + 1 : PM_POISSON_FAR;
}

/* lambda * max a_k is at most 2.8 sqrt(k) peaks: some time k / lambda has pdf >= lambda a_k Pois(k; k). So this much
 * mass cut off on either side leaves the tolerance. */
static double mass_to_cut(double tolerance, double largest) {
    return SHARE * tolerance * SMALL_PART / (3.0 * sqrt(fmin(largest, (double)PM_POISSON_FAR) + 64.0));
}

void pm_lane_open(pm_block *b, unsigned l) {
    const pm_density_job *job = b->job;
    size_t n_times = job->request->n_times;
    pm_lane *lane = &b->lane[l];
    lane->sums = b->sums + l * n_times * 3;
    size_t at = job->request->times_per_theta ? lane->theta_row * n_times : 0;
    lane->times = (pm_times){.time = job->times.time + at, .order = job->times.order + at};
    lane->cum = lane->carry = lane->atom;
    if (job->is_discrete) {
        open_discrete(lane, n_times);
        return;
    }
    double largest = lane->lambda * lane->times.time[n_times - 1];
    lane->cut = in_tails(b) ? 0.0 : mass_to_cut(job->tolerance, largest);
    lane->exponent = in_tails(b) ? PM_FULL_EXPONENT : fmin(PM_FULL_EXPONENT, -log(lane->cut));
    uint64_t first;
    pm_poisson_window(largest, lane->exponent, &first, &lane->limit);
}

/* c_k for the steps at..end-1 (Neumaier's sum), and what the steps say about the peak. */
static void accumulate(pm_block *b, pm_lane *lane, const double *a, uint64_t end) {
    size_t j = (size_t)(lane->at - b->chunk), n = (size_t)(end - b->chunk);
    double cum = lane->cum, low = lane->cum_low, most = lane->most, peak = lane->peak;
    for (; j < n; j++) {
        b->chunk_c[j] = cum + low;
        double sum = cum + a[j];
        low += cum >= a[j] ? (cum - sum) + a[j] : (a[j] - sum) + cum;
        cum = sum;
        most = a[j] > most ? a[j] : most;
        lane->idle = a[j] > 0.0 ? 0 : lane->idle + 1;
        double height = lane->lambda * a[j] * b->mode[j];
        peak = height > peak ? height : peak;
    }
    /* pdf averages (cdf(t) - atom) / t over [0, t], and cdf(k / lambda) >= c_k / 2: the median of Pois(k) is k */
    peak = fmax(peak, 0.5 * lane->lambda * ((cum + low) - lane->atom) / (double)end);
    lane->cum = cum;
    lane->cum_low = low;
    lane->most = most;
    lane->peak = peak;
}

static void mix_time(pm_block *b, pm_lane *lane, unsigned l, size_t j, double x, uint64_t first, uint64_t last) {
    uint64_t k;
    pm_mix_terms terms;
    if (!pm_poisson_start(x, first, last, &k, &terms.start[0])) {
        return;
    }
    size_t at = (size_t)(k - b->chunk);
    for (size_t i = 1; i < 8; i++) {
        terms.start[i] = terms.start[i - 1] * (x * b->inverse[at + i]);
    }
    double x2 = x * x, x4 = x2 * x2;
    terms.x8 = x4 * x4;
    terms.n = (size_t)(last - k);
    terms.absorbed = b->chunk_a + (size_t)l * PM_CHUNK + at;
    terms.mass = b->chunk_s + (size_t)l * PM_CHUNK + at;
    terms.cdf = b->chunk_c + at;
    terms.ratio = b->ratio + at;
    b->job->mix(&terms, lane->sums + j * 3);
    lane->asked = fmax(lane->asked, lane->lambda * lane->sums[j * 3]);
}

static void mix_times(pm_block *b, pm_lane *lane, unsigned l, uint64_t end) {
    size_t n_times = b->job->request->n_times;
    for (size_t j = lane->pending; j < n_times; j++) {
        double x = lane->lambda * lane->times.time[j];
        uint64_t first, last;
        pm_poisson_window(x, lane->exponent, &first, &last);
        if (first >= end) {
            break;
        }
        if (last > lane->at) {
            mix_time(b, lane, l, j, x, first > lane->at ? first : lane->at, last < end ? last : end);
        }
        if (last <= end && j == lane->pending) {
            lane->pending++;
        }
    }
}

/* pmf(k) is what step k absorbs: carry holds it from the step before. */
static void look_up_times(pm_block *b, pm_lane *lane, const double *a, const double *s, uint64_t end) {
    size_t n_times = b->job->request->n_times;
    for (uint64_t k = lane->at; k < end; k++) {
        size_t j = (size_t)(k - b->chunk);
        for (; lane->pending < n_times && lane->times.time[lane->pending] == (double)k; lane->pending++) {
            double *sums = lane->sums + lane->pending * 3;
            sums[0] = lane->carry;
            sums[1] = b->chunk_c[j];
            sums[2] = s[j];
            lane->asked = fmax(lane->asked, lane->carry);
        }
        lane->peak = fmax(lane->peak, lane->carry);
        lane->carry = a[j];
    }
}

void pm_lane_take(pm_block *b, unsigned l, uint64_t end) {
    pm_lane *lane = &b->lane[l];
    const double *a = b->chunk_a + (size_t)l * PM_CHUNK, *s = b->chunk_s + (size_t)l * PM_CHUNK;
    accumulate(b, lane, a, end);
    if (b->job->is_discrete) {
        look_up_times(b, lane, a, s, end);
    } else {
        mix_times(b, lane, l, end);
    }
    lane->at = end;
}

/* All later terms together cannot matter. */
static bool rest_is_negligible(const pm_block *b, const pm_lane *lane) {
    double share = SHARE * b->job->tolerance;
    if (lane->mass > share) {
        return false;
    }
    return !b->job->wants_pdf || lane->mass == 0.0 || lane->exit_rate * lane->mass <= share * pm_lane_scale(lane);
}

/* What all later terms add to a time; to its cdf they add c_at as well, which point_of does. */
static bool time_is_exact(const pm_block *b, const pm_lane *lane, size_t j) {
    const double *sums = lane->sums + j * 3;
    double rest = lane->mass * pm_poisson_right_bound(lane->at, lane->lambda * lane->times.time[j]);
    if (b->job->wants_pdf && lane->exit_rate * rest > TAIL_MISSING * lane->lambda * sums[0]) {
        return false;
    }
    if (b->job->wants_cdf && rest > TAIL_MISSING * sums[2]) {
        return false;
    }
    return !b->job->wants_cdf || sums[2] <= 0.5 || rest <= TAIL_MISSING * sums[1];
}

static bool tails_are_exact(const pm_block *b, const pm_lane *lane) {
    if (lane->mass < NOTHING_LEFT) {
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
    return lane->exit_rate * lane->mass * exp(-lane->exponent) <= SHARE * b->job->tolerance * pm_lane_scale(lane);
}

static void widen_windows(const pm_block *b, pm_lane *lane) {
    double largest = lane->lambda * lane->times.time[b->job->request->n_times - 1];
    uint64_t first, before = lane->limit;
    lane->exponent = fmin(PM_FULL_EXPONENT, 2.0 * lane->exponent);
    pm_poisson_window(largest, lane->exponent, &first, &lane->limit);
    if (lane->limit <= before) {
        lane->limit = before + 1;
    }
    lane->pending = 0;
}

/* The rounding error that the steps so far leave to any time beyond them. Where little is absorbed the error of the cdf
 * is small with it, but the steps must come to an end: so at least a tenth of what remains counts. */
static pm_status check_rounding(const pm_block *b, const pm_lane *lane, pm_error *err) {
    double absorbed = lane->cum - lane->atom;
    double part = fmax(fmin(absorbed, lane->mass), 0.1 * lane->mass);
    double bound = pm_lane_rounding(lane, lane->at) * (in_tails(b) ? 1.0 : part);
    if (lane->idle > IDLE_STEPS && lane->idle > b->job->chain->n) {
        return pm_fail(err, PM_EDATA,
                       "theta row %zu: nothing was absorbed in %llu steps, though a probability of %g remains; is "
                       "absorption possible at this theta?",
                       lane->theta_row, (unsigned long long)lane->idle, lane->mass);
    }
    return bound > b->job->tolerance ? pm_lane_refuse(b, lane, bound, err) : PM_OK;
}

/* As much mass as the tolerance leaves: where tails count, none. Set at judgements, which do not depend on what else is
 * in the block. */
static void allow_dropping(const pm_block *b, pm_lane *lane) {
    if (in_tails(b)) {
        return;
    }
    lane->may_drop = SHARE * b->job->tolerance;
    if (b->job->wants_pdf && lane->exit_rate > 0.0) {
        lane->may_drop *= fmin(1.0, pm_lane_scale(lane) / lane->exit_rate);
    }
}

pm_status pm_lane_judge(const pm_block *b, pm_lane *lane, pm_error *err) {
    if (in_tails(b) ? tails_are_exact(b, lane) : rest_is_negligible(b, lane)) {
        lane->cut_short = true;
        lane->done = true;
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
    return check_rounding(b, lane, err);
}
