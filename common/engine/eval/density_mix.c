/* From steps to values at times: Poisson weights when continuous, one step when discrete. */
#include <float.h>
#include <math.h>

#include "eval/density_block.h"
#include "eval/extended.h"
#include "eval/poisson.h"

/* Windows may cut off PM_CUT_SHARE of the tolerance where the pdf is this part of its peak. */
#define SMALL_PART 1e-6

/* Rates above this are so large that a Poisson weight below the doubles may matter in a tail. */
#define SMALL_RATE 1024.0
#define MOST_SHIFT 400

/* The window of a time is its step. */
static void open_discrete(pm_lane *lane, size_t n_times) {
    for (size_t j = 0; j < n_times; j++) {
        double time = lane->times.time[j];
        pm_mixture *m = &lane->mixtures[j];
        m->first = time < (double)PM_POISSON_FAR ? (uint64_t)time : PM_POISSON_FAR - 1;
        m->last = m->first + 1;
        lane->ends = lane->limit = m->last;
    }
}

/* lambda * max a_k is at most 2.8 sqrt(k) peaks: some time k / lambda has pdf >= lambda a_k Pois(k; k). So this much
 * mass cut off on either side leaves the tolerance. */
static double mass_to_cut(double tolerance, double largest) {
    return PM_CUT_SHARE * tolerance * SMALL_PART / (3.0 * sqrt(fmin(largest, (double)PM_POISSON_FAR) + 64.0));
}

/* x^8 for x = high + low: the rounding of x itself would grow with every use. */
static double eighth_power(double x, double low) {
    for (int i = 0; i < 3; i++) {
        double square = x * x, rest = pmi_product_rest(x, x, square);
        low = 2.0 * x * low + rest;
        x = square;
    }
    return x + low;
}

void pmi_lane_set_mixture(const pm_lane *lane, double time, double exponent, pm_mixture *m) {
    double after = time - lane->from, back = after - time;
    double after_low = (time - (after - back)) - (lane->from + back); /* Knuth's TwoSum */
    m->x = lane->lambda * after;
    if (m->x < (double)PM_POISSON_FAR) {
        m->x_low = fma(lane->lambda, after, -m->x) + lane->lambda * after_low;
        m->x8 = eighth_power(m->x, m->x_low);
    }
    pmi_poisson_window(m->x, exponent, &m->first, &m->last);
}

void pmi_lane_set_windows(const pm_block *b, pm_lane *lane) {
    size_t n_times = b->job->request->n_times;
    for (size_t j = lane->settled; j < n_times; j++) {
        pmi_lane_set_mixture(lane, lane->times.time[j], lane->exponent, &lane->mixtures[j]);
    }
    lane->ends = lane->limit = lane->mixtures[n_times - 1].last;
    lane->pending = lane->settled;
}

pm_poisson_law pmi_mixture_law(const pm_block *b, const pm_lane *lane, const pm_mixture *m) {
    return (pm_poisson_law){
        .x = m->x, .x_low = m->x_low, .shift = lane->shift, .is_precise = b->job->request->tail_accuracy};
}

void pmi_lane_open(pm_block *b, unsigned l) {
    const pm_density_job *job = b->job;
    size_t n_times = job->request->n_times;
    pm_lane *lane = &b->lane[l];
    lane->mixtures = b->mixtures + l * n_times;
    lane->times = pmi_row_times(job, lane->theta_row);
    lane->cum = lane->carry = lane->atom;
    if (job->is_discrete) {
        open_discrete(lane, n_times);
        return;
    }
    if (job->request->tail_accuracy) {
        lane->shift = lane->lambda > SMALL_RATE ? (int)fmin(ceil(log2(lane->lambda)), MOST_SHIFT) : 0;
        lane->exponent = PM_FULL_EXPONENT + lane->shift * 0.7;
    } else {
        lane->cut = mass_to_cut(job->tolerance, lane->lambda * lane->times.time[n_times - 1]);
        lane->exponent = fmin(PM_FULL_EXPONENT, -log(lane->cut));
    }
    lane->may_restart = pmi_row_may_restart(job, lane->theta_row);
    pmi_lane_set_windows(b, lane);
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
    peak = fmax(peak, 0.5 * ((cum + low) - lane->atom) / ((double)end + lane->lambda * lane->from));
    lane->cum = cum;
    lane->cum_low = low;
    lane->most = most;
    lane->peak = peak;
}

/* The weight of the first step that counts, and that step: where the sums have come to, while steps are few, or from
 * Loader's formula. */
static bool first_weight(const pm_block *b, const pm_lane *lane, pm_mixture *m, uint64_t first, uint64_t last,
                         uint64_t *k, double *weight) {
    const pm_poisson_law law = pmi_mixture_law(b, lane, m);
    if (m->next == first && first > 0 && first < PM_CHUNK && m->weight >= DBL_MIN) {
        *k = first;
        *weight = m->weight;
        return true;
    }
    if (!pmi_poisson_start(&law, first, last, k, weight)) {
        return false;
    }
    double rounding = pmi_poisson_rounding(&law, *k);
    m->start_rounding = rounding > m->start_rounding ? rounding : m->start_rounding;
    return true;
}

static void mix_time(const pm_block *b, const pm_lane *lane, unsigned l, pm_mixture *m, uint64_t first, uint64_t last) {
    uint64_t k;
    pm_mix_terms terms;
    if (!first_weight(b, lane, m, first, last, &k, &terms.start[0])) {
        return;
    }
    size_t at = (size_t)(k - b->chunk);
    for (size_t i = 1; i < 8; i++) {
        terms.start[i] = terms.start[i - 1] * (m->x / (double)(k + i));
    }
    terms.x8 = m->x8;
    terms.n = (size_t)(last - k);
    terms.absorbed = b->chunk_a + (size_t)l * PM_CHUNK_STRIDE + at;
    terms.mass = b->chunk_s + (size_t)l * PM_CHUNK_STRIDE + at;
    terms.cdf = b->chunk_c + at;
    terms.ratio = b->ratio + at;
    m->weight = b->job->mix(&terms, m->sums);
    m->next = last;
    m->starts++;
}

static void mix_steps(const pm_block *b, const pm_lane *lane, unsigned l, pm_mixture *m, uint64_t end) {
    if (m->last > lane->at && m->first < end) {
        mix_time(b, lane, l, m, m->first > lane->at ? m->first : lane->at, m->last < end ? m->last : end);
    }
}

static void mix_times(const pm_block *b, pm_lane *lane, unsigned l, uint64_t end) {
    size_t n_times = b->job->request->n_times;
    for (size_t j = lane->pending; j < n_times && lane->mixtures[j].first < end; j++) {
        pm_mixture *m = &lane->mixtures[j];
        mix_steps(b, lane, l, m, end);
        lane->asked = fmax(lane->asked, lane->shift == 0 ? m->sums[0] : ldexp(m->sums[0], -lane->shift));
        if (m->last <= end && j == lane->pending) {
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
            double *sums = lane->mixtures[lane->pending].sums;
            sums[0] = lane->carry;
            sums[1] = b->chunk_c[j];
            sums[2] = s[j];
            lane->asked = fmax(lane->asked, lane->carry);
        }
        lane->peak = fmax(lane->peak, lane->carry);
        lane->carry = a[j];
    }
}

void pmi_lane_take(pm_block *b, unsigned l, uint64_t end) {
    pm_lane *lane = &b->lane[l];
    const double *a = b->chunk_a + (size_t)l * PM_CHUNK_STRIDE, *s = b->chunk_s + (size_t)l * PM_CHUNK_STRIDE;
    accumulate(b, lane, a, end);
    if (b->job->is_discrete) {
        look_up_times(b, lane, a, s, end);
    } else {
        mix_times(b, lane, l, end);
        if (lane->goal.is_set) {
            mix_steps(b, lane, l, &lane->goal.mixture, end);
        }
    }
    lane->at = end;
}
