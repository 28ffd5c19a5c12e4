/* From steps to values: Poisson weights when continuous, one step when discrete. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/density_block.h"
#include "eval/extended.h"
#include "eval/poisson.h"

/* ---- windows ---- */

/* Rates above this are so large that a Poisson weight below the doubles may matter in a tail. */
#define SMALL_RATE 1024.0
#define MOST_SHIFT 400

/* Fewer times are mixed one by one; so are those whose windows go so far that weights may leave the doubles. */
#define FEW_TIMES 4
#define GROUP_EXPONENT 100.0

/* The window of a time is its step. */
static void open_discrete(pm_lane *lane, size_t n_times) {
    for (size_t j = 0; j < n_times; j++) {
        pm_mixture *m = &lane->mixtures[j];
        m->first = pmi_step_of(lane->times.time[j]);
        m->last = m->first + 1;
        m->leader = j;
        lane->ends = lane->limit = m->last;
    }
}

/* lambda * max a_k is at most 2.8 sqrt(k) peaks: some time k / lambda has pdf >= lambda a_k Pois(k; k). So this much
 * mass cut off on either side leaves the tolerance. */
static double mass_to_cut(double tolerance, double largest) {
    return PM_CUT_SHARE * tolerance * PM_SMALL_PART / (3.0 * sqrt(fmin(largest, (double)PM_POISSON_FAR) + 64.0));
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

static void set_mean(const pm_lane *lane, double time, pm_mixture *m) {
    double after = time - lane->from, back = after - time;
    double after_low = (time - (after - back)) - (lane->from + back); /* Knuth's TwoSum */
    m->x = lane->lambda * after;
    if (m->x < (double)PM_POISSON_FAR) {
        m->x_low = fma(lane->lambda, after, -m->x) + lane->lambda * after_low;
    }
}

static void set_power(pm_mixture *m) {
    if (m->x < (double)PM_POISSON_FAR) {
        m->x8 = eighth_power(m->x, m->x_low);
    }
}

void pmi_lane_set_mixture(const pm_lane *lane, double time, double exponent, pm_mixture *m) {
    set_mean(lane, time, m);
    set_power(m);
    pmi_poisson_window(m->x, exponent, &m->first, &m->last);
}

/* The last of the times from number j on that are mixed together: the square roots of their means are within 4, so that
 * their windows, of some 9 such units on either side, have most steps in common. */
static size_t find_leader(const pm_block *b, const pm_lane *lane, size_t j) {
    size_t n_times = b->job->request->n_times, last = j;
    double least = lane->mixtures[j].x, most = least + 8.0 * sqrt(least) + 16.0;
    if (b->extended || b->job->request->tail_accuracy || lane->exponent > GROUP_EXPONENT || least == 0.0 ||
        most >= (double)PM_POISSON_FAR) {
        return j;
    }
    while (last + 1 < n_times && last + 1 - j < PM_MIX_TIMES && lane->mixtures[last + 1].x <= most) {
        last++;
    }
    return last - j < FEW_TIMES ? j : last;
}

/* Weights of a time are those of the leader times base^k and a factor: with q the quotient of means, as rounded,
 * Pois(k; q x) = Pois(k; x) q^k exp(x - q x). Of these, exponent is the logarithm of the last two at k = first. */
static void follow_leader(const pm_mixture *leader, double inverse, pm_mixture *m) {
    double q = m->x * inverse;
    q += (fma(-q, leader->x, m->x) + (m->x_low - q * leader->x_low)) * inverse;
    double less = 1.0 - q;
    m->base = q;
    m->ratio = leader->x * less + (leader->first > 0 ? (double)leader->first * log1p(-less) : 0.0);
}

/* The leader's window holds those of all. Logarithms of ratios are within some 150. */
static void set_group(const pm_block *b, const pm_lane *lane, size_t j, size_t last) {
    pm_mixture *leader = &lane->mixtures[last];
    set_power(leader);
    pmi_poisson_window(leader->x, lane->exponent, &leader->first, &leader->last);
    leader->least = lane->mixtures[j].x;
    leader->leader = last;
    leader->is_group = j < last;
    if (j == last) {
        return;
    }
    uint64_t unused;
    pmi_poisson_window(leader->least, lane->exponent, &leader->first, &unused);
    double inverse = 1.0 / leader->x, exponents[PM_MIX_TIMES] = {0};
    for (size_t i = j; i <= last; i++) {
        lane->mixtures[i].leader = last;
        follow_leader(leader, inverse, &lane->mixtures[i]);
        exponents[i - j] = lane->mixtures[i].ratio;
    }
    b->job->mixing->exponentials(exponents, last + 1 - j);
    for (size_t i = j; i <= last; i++) {
        lane->mixtures[i].ratio = exponents[i - j];
    }
    leader->next = leader->first; /* which ratios belong to */
}

void pmi_lane_set_windows(const pm_block *b, pm_lane *lane) {
    size_t n_times = b->job->request->n_times, last;
    for (size_t j = lane->settled; j < n_times; j++) {
        set_mean(lane, lane->times.time[j], &lane->mixtures[j]);
    }
    for (size_t j = lane->settled; j < n_times; j = last + 1) {
        last = find_leader(b, lane, j);
        set_group(b, lane, j, last);
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

/* ---- mixing ---- */

/* c_k for the steps at..end-1 (Neumaier's sum). */
static void accumulate(pm_block *b, pm_lane *lane, const double *a, uint64_t end) {
    size_t j = (size_t)(lane->at - b->chunk), n = (size_t)(end - b->chunk);
    double cum = lane->cum, low = lane->cum_low;
    for (; j < n; j++) {
        b->chunk_c[j] = cum + low;
        double sum = cum + a[j];
        low += cum >= a[j] ? (cum - sum) + a[j] : (a[j] - sum) + cum;
        cum = sum;
    }
    lane->cum = cum;
    lane->cum_low = low;
}

/* What the steps at..end-1 say about the peak; and c_k. */
static void look_at_steps(pm_block *b, pm_lane *lane, const double *a, uint64_t end) {
    size_t j = (size_t)(lane->at - b->chunk);
    pm_step_totals totals = {.most = lane->most, .peak = lane->peak};
    b->job->mixing->total((size_t)(end - lane->at), a + j, b->mode + j, &totals);
    if (b->records_all) {
        accumulate(b, lane, a, end);
    } else {
        lane->cum += totals.sum;
    }
    lane->most = totals.most;
    /* pdf averages (cdf(t) - atom) / t over [0, t], and cdf(k / lambda) >= c_k / 2: the median of Pois(k) is k */
    double absorbed = (lane->cum + lane->cum_low) - lane->atom;
    lane->peak = fmax(totals.peak, 0.5 * absorbed / ((double)end + lane->lambda * lane->from));
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

/* The weights of steps first..last-1, and what they are for; false where all are below the doubles. *k: the first step
 * that counts. */
static bool set_terms(const pm_block *b, const pm_lane *lane, unsigned l, pm_mixture *m, uint64_t first, uint64_t last,
                      uint64_t *k, pm_mix_terms *terms) {
    if (!first_weight(b, lane, m, first, last, k, &terms->start[0])) {
        return false;
    }
    size_t at = (size_t)(*k - b->chunk);
    for (size_t i = 1; i < 8; i++) {
        terms->start[i] = terms->start[i - 1] * (m->x / (double)(*k + i));
    }
    terms->x8 = m->x8;
    terms->n = (size_t)(last - *k);
    terms->series[0] = b->chunk_a + (size_t)l * PM_CHUNK_STRIDE + at;
    terms->series[1] = b->records_all ? b->chunk_c + at : NULL;
    terms->series[2] = b->records_all ? b->chunk_s + (size_t)l * PM_CHUNK_STRIDE + at : NULL;
    terms->ratio = b->ratio + at;
    return true;
}

static void mix_time(const pm_block *b, const pm_lane *lane, unsigned l, pm_mixture *m, uint64_t first, uint64_t last) {
    uint64_t k;
    pm_mix_terms terms;
    if (set_terms(b, lane, l, m, first, last, &k, &terms)) {
        m->weight = b->job->mixing->mix(&terms, m->sums);
        m->next = last;
        m->starts++;
    }
}

/* The times up to the leader's, side by side. */
static void mix_group(const pm_block *b, const pm_lane *lane, unsigned l, size_t from, pm_mixture *leader,
                      uint64_t first, uint64_t last) {
    uint64_t k;
    pm_mix_terms terms;
    pm_mix_group group;
    if (!set_terms(b, lane, l, leader, first, last, &k, &terms)) {
        return;
    }
    pm_mixture *m = &lane->mixtures[from];
    group.n = leader->leader + 1 - from;
    for (size_t i = 0; i < PM_MIX_TIMES; i++) {
        group.base[i] = i < group.n ? m[i].base : 0.0;
        group.ratio[i] = i < group.n ? m[i].ratio : 0.0;
    }
    leader->weight = b->job->mixing->mix_group(&terms, (size_t)(k - leader->next), &group);
    for (size_t i = 0; i < group.n; i++) {
        m[i].ratio = group.ratio[i];
        for (size_t s = 0; s < 3 && terms.series[s] != NULL; s++) {
            m[i].sums[s] += group.sums[s][i];
        }
    }
    leader->next = last;
    leader->starts++;
}

static void mix_steps(const pm_block *b, const pm_lane *lane, unsigned l, pm_mixture *m, uint64_t end) {
    if (m->last > lane->at && m->first < end) {
        mix_time(b, lane, l, m, m->first > lane->at ? m->first : lane->at, m->last < end ? m->last : end);
    }
}

static void mix_times(const pm_block *b, pm_lane *lane, unsigned l, uint64_t end) {
    size_t n_times = b->job->request->n_times;
    for (size_t j = lane->pending; j < n_times;) {
        size_t last = lane->mixtures[j].leader;
        pm_mixture *leader = &lane->mixtures[last];
        if (leader->first >= end) {
            return;
        }
        if (last == j) {
            mix_steps(b, lane, l, leader, end);
        } else if (leader->last > lane->at) {
            mix_group(b, lane, l, j, leader, leader->first > lane->at ? leader->first : lane->at,
                      leader->last < end ? leader->last : end);
        }
        for (size_t i = j; i <= last; i++) {
            double pdf = lane->mixtures[i].sums[0];
            pdf = lane->shift == 0 ? pdf : ldexp(pdf, -lane->shift);
            lane->asked = pdf > lane->asked ? pdf : lane->asked;
        }
        if (leader->last <= end && j == lane->pending) {
            lane->pending = last + 1;
        }
        j = last + 1;
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
    look_at_steps(b, lane, a, end);
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
