/* From steps to values at times: Poisson weights when continuous, one step when discrete. */
#include <math.h>

#include "eval/density_block.h"
#include "eval/poisson.h"

/* Windows may cut off this much of the tolerance, where the pdf is this part of its peak. */
#define SHARE (1.0 / 64)
#define SMALL_PART 1e-6

/* Rates above this are so large that a Poisson weight below the doubles may matter in a tail. */
#define SMALL_RATE 1024.0
#define MOST_SHIFT 400

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
    lane->times = pm_row_times(job, lane->theta_row);
    lane->cum = lane->carry = lane->atom;
    if (job->is_discrete) {
        open_discrete(lane, n_times);
        return;
    }
    double largest = lane->lambda * lane->times.time[n_times - 1];
    uint64_t first;
    if (job->request->tail_accuracy) {
        lane->shift = lane->lambda > SMALL_RATE ? (int)fmin(ceil(log2(lane->lambda)), MOST_SHIFT) : 0;
        lane->exponent = PM_FULL_EXPONENT + lane->shift * 0.7;
    } else {
        lane->cut = mass_to_cut(job->tolerance, largest);
        lane->exponent = fmin(PM_FULL_EXPONENT, -log(lane->cut));
    }
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
        double height = a[j] * b->mode[j];
        peak = height > peak ? height : peak;
    }
    /* pdf averages (cdf(t) - atom) / t over [0, t], and cdf(k / lambda) >= c_k / 2: the median of Pois(k) is k */
    peak = fmax(peak, 0.5 * ((cum + low) - lane->atom) / (double)end);
    lane->cum = cum;
    lane->cum_low = low;
    lane->most = most;
    lane->peak = peak;
}

/* x^8 for x = high + low: the rounding of x itself would grow with every use. */
static double eighth_power(double x, double low) {
    for (int i = 0; i < 3; i++) {
        double square = x * x, rest = fma(x, x, -square);
        low = 2.0 * x * low + rest;
        x = square;
    }
    return x + low;
}

static void mix_time(pm_block *b, pm_lane *lane, unsigned l, size_t j, const pm_poisson_law *law, uint64_t first,
                     uint64_t last) {
    uint64_t k;
    pm_mix_terms terms;
    if (!pm_poisson_start(law, first, last, &k, &terms.start[0])) {
        return;
    }
    size_t at = (size_t)(k - b->chunk);
    for (size_t i = 1; i < 8; i++) {
        terms.start[i] = terms.start[i - 1] * (law->x * b->inverse[at + i]);
    }
    terms.x8 = eighth_power(law->x, law->x_low);
    terms.n = (size_t)(last - k);
    terms.absorbed = b->chunk_a + (size_t)l * PM_CHUNK + at;
    terms.mass = b->chunk_s + (size_t)l * PM_CHUNK + at;
    terms.cdf = b->chunk_c + at;
    terms.ratio = b->ratio + at;
    b->job->mix(&terms, lane->sums + j * 3);
    lane->asked = fmax(lane->asked, ldexp(lane->sums[j * 3], -lane->shift));
}

static void mix_times(pm_block *b, pm_lane *lane, unsigned l, uint64_t end) {
    size_t n_times = b->job->request->n_times;
    for (size_t j = lane->pending; j < n_times; j++) {
        double time = lane->times.time[j], x = lane->lambda * time;
        uint64_t first, last;
        pm_poisson_window(x, lane->exponent, &first, &last);
        if (first >= end) {
            break;
        }
        if (last > lane->at) {
            pm_poisson_law law = {.x = x,
                                  .x_low = fma(lane->lambda, time, -x),
                                  .shift = lane->shift,
                                  .is_precise = b->job->request->tail_accuracy};
            mix_time(b, lane, l, j, &law, first > lane->at ? first : lane->at, last < end ? last : end);
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
