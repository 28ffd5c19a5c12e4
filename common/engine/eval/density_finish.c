#include <float.h>
#include <math.h>

#include "eval/density_block.h"
#include "eval/poisson.h"

/* ---- bounds of rounding ---- */

/* Bounds of rounding. Every value is a sum of products of numbers that are 0 or more, so relative errors of factors add
 * up and those of terms do not: what follows counts roundings on the way of any term to the result (Higham 2002,
 * "Accuracy and stability of numerical algorithms", chapter 3). */

/* Probabilities: weights over lambda, rounded once, and little more (density_block.c); discrete: weights, rounded. */
#define JUMP_ROUNDINGS 1.01

/* The start distribution: a weight, over a compensated sum; a single one is 1. */
#define START_ROUNDINGS 4.0

/* A recurrence of Poisson weights for eight steps: x^8, a table's value, two products; the factor of each of the seven
 * steps before: x, a quotient, a product. Recurrences begin anew at every chunk but the first few, which go on from one
 * another. */
#define RECURRENCE_ROUNDINGS 4.0
#define FIRST_ROUNDINGS (7.0 * (3.0 - RECURRENCE_ROUNDINGS / 8.0))
#define MOST_STARTS 4

/* fmin and fmax are calls. */
static double larger(double a, double b) {
    return a > b ? a : b;
}

static double smaller(double a, double b) {
    return a < b ? a : b;
}

/* Roundings of values once, whatever the number of steps: the start, sums over states and exits. */
static double once(const pm_block *b) {
    const pm_chain *c = b->job->chain;
    double states = c->n < PM_CHAIN_BLOCK ? (double)c->n : PM_CHAIN_BLOCK;
    double sums = b->extended ? 2.0 : larger(states, (double)c->most_exits + 1.0) + (c->n_blocks > 1 ? 3.0 : 1.0);
    return sums + (c->graph->n_starts > 1 ? START_ROUNDINGS + (double)c->most_starts : 1.0);
}

/* Of each step in double precision: in-edges are added up one after the other, or, many, side by side in two
 * sums in groups, and a compensated sum of these, to what stays; products are rounded on their own without fused
 * multiply-add; staying is rounded. In twice the precision: eval/step.h. */
static double per_step(const pm_block *b) {
    size_t edges = b->job->chain->most_in;
    if (b->extended) {
        return ((double)edges + 5.0) * ((double)edges + 5.0) * PM_ROUNDING;
    }
    double sums = edges > PM_CHAIN_PLAIN ? larger(PM_CHAIN_PLAIN, fmin((double)edges, PM_CHAIN_GROUP) / 2.0 + 4.0)
                                         : (double)edges;
    double staying = b->job->is_discrete ? 2.0 : 1.0; /* of steps that are no jump per_jump counts one */
    return sums + (b->job->isa == PM_ISA_X86_64_V2 ? 1.0 : 0.0) + staying;
}

/* Rounded rates are those of another chain, which loses no mass: a path of j jumps and time t has its density changed
 * by (1 + e)^j exp(e lambda t) at most. Rounded probabilities of a discrete chain: by (1 + e)^j, and staying by itself.
 */
static double per_jump(const pm_block *b) {
    bool is_exact = b->job->is_discrete && b->job->chain->constant_weights;
    return is_exact ? 0.0 : b->extended ? 8.0 * PM_ROUNDING : JUMP_ROUNDINGS;
}

void pmi_count_roundings(pm_block *b) {
    b->once = once(b);
    b->per_step = per_step(b);
    b->per_jump = per_jump(b);
}

double pmi_step_rounding(const pm_block *b, const pm_lane *lane, double steps, double jumps) {
    double roundings = b->once + steps * b->per_step + jumps * b->per_jump;
    return lane->rounding + PM_HIGHER_ORDER * (PM_ROUNDING * roundings + steps * lane->keep_rounding);
}

/* Of a group, in 2^-53. Horner's rule and powers of the base take one rounding for each step from the first on, or two
 * without fused multiply-add; the base is rounded, which moves the mean that it stands for: a term by as many as its
 * step is away from it. Of the ratio: three of a product with a logarithm, one of another, one of their sum, one of
 * x_low, each of x - least at most; and its exponential. */
static double group_rounding(const pm_block *b, const pm_mixture *m, double window) {
    double per_step = b->job->isa == PM_ISA_X86_64_V2 ? 3.0 : 2.0;
    return per_step * window + 6.0 * (m->x - m->least) + 2.0 * m->starts + 8.0;
}

double pmi_mixing_rounding(const pm_block *b, const pm_mixture *m, double mean, double window) {
    if (b->job->is_discrete) {
        return 4.0 * PM_ROUNDING;
    }
    unsigned starts = m->starts < MOST_STARTS ? m->starts : MOST_STARTS;
    double recurrence = RECURRENCE_ROUNDINGS / 8.0 * smaller(smaller(mean, window), PM_CHUNK);
    double weights = m->start_rounding + FIRST_ROUNDINGS * starts + recurrence;
    /* eight sums side by side over a chunk, then one of them, then of chunks; and c_k */
    double sums = smaller(window, PM_CHUNK) / 8.0 + 1.0 + 3.0 + m->starts + 3.0;
    if (m->is_group) {
        sums += group_rounding(b, m, window);
    }
    return PM_HIGHER_ORDER * PM_ROUNDING * (weights + sums);
}

/* ---- points ---- */

/* From sums to results: which of cdf and survival is taken as it is, their order in time, the error bound. */

/* What windows and stopping leave out with tail_accuracy, relative to the value. */
#define TAIL_CUT 4e-15

/* Below this, double precision has no relative accuracy to give. */
#define SMALLEST_RELATIVE 1e-290

pm_status pmi_refuse_bound(const pm_density_job *job, size_t row, double steps, double excess, double bound,
                           pm_error *err) {
    bool tails = job->request->tail_accuracy;
    if (excess * steps > bound / 4.0) {
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: a row's probabilities add up to %.3g more than one, which %.10g steps make an "
                        "error of up to %.3g, more than the %s %.3g; give probabilities that add up to one",
                        row, excess, steps, bound, tails ? "relative tolerance" : "tolerance", job->tolerance);
    }
    return pmi_fail(
        err, PM_EDATA,
        "theta row %zu: after %.10g %s (rate %g, largest time %g) the error bound is %.3g, more than the %s "
        "%.3g; ask for %s",
        row, steps, job->is_discrete ? "steps" : "uniformization steps", job->rows[row].lambda, pmi_last_time(job, row),
        bound, tails ? "relative tolerance" : "tolerance", job->tolerance,
        tails ? "no tail accuracy, or smaller times" : "a larger --tolerance, or smaller times");
}

/* Whether the cdf at a time is known as a sum. Where the steps stopped inside the window, all mass that will ever count
 * is absorbed, and the rest of the window adds its Poisson probability. Beyond the mode the survival is the smaller. */
static bool cdf_is_known(const pm_block *b, const pm_lane *lane, size_t j, double *cdf) {
    const pm_mixture *m = &lane->mixtures[j];
    if (lane->mixtures[m->leader].last <= lane->at) {
        return true;
    }
    if (b->job->is_discrete || (double)lane->at <= m->x) {
        return false;
    }
    *cdf += (lane->cum + lane->cum_low) / PM_UNIT * pmi_poisson_right_tail(lane->at, m->x);
    return true;
}

/* sum * unit * lambda, whatever the size of the first product. */
static double pdf_of(const pm_lane *lane, double sum, double unit) {
    if (sum * unit >= DBL_MIN) {
        return sum * unit * lane->lambda;
    }
    int exponent = 0, own = 0;
    double mantissa = frexp(sum, &exponent) * frexp(lane->lambda, &own);
    return ldexp(mantissa, exponent + own - PM_UNIT_EXPONENT - lane->shift);
}

/* The smaller of cdf and survival is a sum of positive terms and keeps its accuracy; the other is its complement. */
static pm_point point_of(const pm_block *b, const pm_lane *lane, size_t j) {
    const double *sums = lane->mixtures[j].sums;
    double unit = lane->shift == 0 ? 1.0 / PM_UNIT : ldexp(1.0 / PM_UNIT, -lane->shift);
    pm_point p = {.pdf = pdf_of(lane, sums[0], unit), .cdf = sums[1] * unit, .survival = sums[2] * unit};
    if (cdf_is_known(b, lane, j, &p.cdf) && p.cdf < p.survival) {
        p.survival = 1.0 - p.cdf;
    } else {
        p.cdf = 1.0 - p.survival;
    }
    return p;
}

static double rounding_after(const pm_block *b, const pm_lane *lane, const pm_mixture *m, double mean_steps) {
    double most = (double)(m->last < lane->at ? m->last : lane->at), steps = smaller(mean_steps, most);
    double jumps = steps + (b->job->is_discrete ? 0.0 : m->x);
    double window = m->last > m->first ? smaller((double)(m->last - m->first), most) : 0.0;
    return pmi_step_rounding(b, lane, steps, jumps) + pmi_mixing_rounding(b, m, steps, window);
}

/* What rounding leaves of the pdf, relatively, where its sum is at most `sum`. An error that grows with the number k of
 * steps counts with the mean of k under the terms of the sum. Terms beyond the window of a smaller exponent, of which
 * the pdf is e^-1 at most even if they were as large as the largest a_k, add no more than that of the mean. */
static double pdf_rounding(const pm_block *b, const pm_lane *lane, const pm_mixture *m, double sum) {
    double most = (double)m->last;
    sum = lane->shift == 0 ? sum : ldexp(sum, -lane->shift);
    if (!b->job->is_discrete && sum > 0.0) {
        double exponent = 1.0 + larger(0.0, log(larger(lane->most / sum, 1.0) * (most / larger(m->least, 1.0))));
        uint64_t first, last;
        pmi_poisson_window(m->x, smaller(exponent, lane->exponent), &first, &last);
        most = smaller(most, (double)last + 0.4 * larger(m->x, 1.0));
    }
    return rounding_after(b, lane, m, most);
}

/* Of the smaller of cdf and survival, by the windows of the leader. With weights w_k = Pois(k; x), k w_k = x w_{k-1}:
 * the mean of k under w_k c_k is x sum(w_k c_{k+1}) / sum(w_k c_k) = x + t pdf(t) / cdf(t), and under w_k s_k it is
 * below x. */
static double cdf_rounding(const pm_block *b, const pm_lane *lane, size_t j) {
    const pm_mixture *m = &lane->mixtures[j], *leader = &lane->mixtures[m->leader];
    double most = (double)leader->last;
    if (!b->job->is_discrete) {
        most = m->x + (m->sums[1] < m->sums[2] && m->sums[1] > 0.0 ? m->x * m->sums[0] / m->sums[1] : 0.0) + 1.0;
    }
    return rounding_after(b, lane, leader, most);
}

/* Rows that exceed one make mass: no path's probability is larger by a greater part, and cdf and survival, of which the
 * larger one is a complement, add up to no more beyond one. */
static double mass_made(const pm_lane *lane, const pm_mixture *m) {
    return PM_HIGHER_ORDER * lane->excess * (double)(m->last < lane->at ? m->last : lane->at);
}

static pm_point_error tail_error(const pm_block *b, const pm_lane *lane, size_t j, const pm_point *p) {
    const pm_mixture *m = &lane->mixtures[j];
    double cut = b->job->is_discrete ? 0.0 : TAIL_CUT;
    pm_point_error error = {0};
    if (b->job->wants_pdf && p->pdf > SMALLEST_RELATIVE) {
        error.pdf = pdf_rounding(b, lane, m, m->sums[0]) + mass_made(lane, m) + cut;
    }
    if (b->job->wants_cdf) {
        bool counts = fmin(p->cdf, p->survival) > SMALLEST_RELATIVE;
        double own = counts ? cdf_rounding(b, lane, j) + cut : PM_ROUNDING;
        error.cdf = own + 2.0 * mass_made(lane, m);
    }
    return error;
}

/* What windows, emptying and stopping leave out of any value. */
static pm_point_error missing_parts(const pm_block *b, const pm_lane *lane) {
    double rest = lane->dropped + lane->dropped_ahead + (lane->cut_short ? lane->mass : 0.0);
    double right = b->job->is_discrete ? 0.0 : exp(-lane->exponent);
    double before = lane->restarts * exp(-PM_RESTART_EXPONENT);
    pm_point_error missing = {.cdf = 2.0 * lane->cut * (1.0 + before) + rest / PM_UNIT,
                              .pdf = lane->most * 2.0 * lane->cut + lane->exit_part * rest,
                              .beyond = lane->exit_part * lane->mass * right};
    if (b->job->is_discrete && lane->cut_short) {
        missing.pdf = fmax(missing.pdf, lane->carry);
    }
    return missing;
}

/* Of the times from number `from` to their leader's. A smaller pdf sum has a larger relative error, but a smaller
 * absolute one. */
static pm_point_error group_error(const pm_block *b, const pm_lane *lane, size_t from, const pm_point *points,
                                  const pm_point_error *missing) {
    size_t last = lane->mixtures[from].leader;
    const pm_mixture *leader = &lane->mixtures[last];
    double made = mass_made(lane, leader), sum = 0.0, cdf = 0.0;
    pm_point_error error = *missing;
    for (size_t j = from; j <= last && b->job->wants_pdf; j++) {
        sum = larger(sum, lane->mixtures[j].sums[0]);
    }
    if (sum > 0.0) {
        error.pdf += (pdf_rounding(b, lane, leader, sum) + made) * sum;
    }
    for (size_t j = from; j <= last && b->job->wants_cdf; j++) {
        cdf = larger(cdf, cdf_rounding(b, lane, j) * smaller(points[j].cdf, points[j].survival) + made + PM_ROUNDING);
    }
    error.cdf += cdf;
    return error;
}

/* The pdf's is relative to what the tolerance is. What windows cut off is at most PM_CUT_SHARE of the tolerance on
 * either side (density_lane.c), those of vectors to begin anew from less. A scale of zero: nothing of the pdf is above
 * the smallest number. */
static double error_bound(const pm_block *b, const pm_lane *lane, const pm_point_error *error) {
    double scale = pmi_lane_scale(lane), cut = PM_CUT_SHARE * b->job->tolerance, pdf = 0.0;
    if (b->job->request->tail_accuracy) {
        return fmax(error->pdf, error->cdf);
    }
    if (b->job->wants_pdf && scale > 0.0) {
        double beyond = b->job->is_discrete ? error->beyond / scale : fmin(error->beyond / scale, cut);
        pdf = error->pdf / scale + beyond + 2.0 * cut * lane->restarts * exp(-PM_RESTART_EXPONENT);
    }
    return fmax(pdf, b->job->wants_cdf ? error->cdf : 0.0);
}

/* Neighbours that rounding left out of order share the earlier value. */
static pm_status put_in_order(const pm_density_job *job, size_t row, double time, double bound, const pm_point *before,
                              pm_point *p, pm_error *err) {
    double fall = before->cdf - p->cdf, rise = p->survival - before->survival;
    if (fall <= 0.0 && rise <= 0.0) {
        return PM_OK;
    }
    bool tails = job->request->tail_accuracy;
    double allowed = 4.0 * DBL_EPSILON + 2.0 * bound * (tails ? fmin(before->cdf, before->survival) : 1.0);
    if (fmax(fall, rise) > allowed) {
        return pmi_fail(
            err, PM_ESOFTWARE,
            "theta row %zu: the distribution function falls by %g to %.17g at time %.17g, more than its error "
            "bound %g",
            row, fall, p->cdf, time, bound);
    }
    p->cdf = before->cdf;
    p->survival = before->survival;
    return PM_OK;
}

static void write_point(const pm_density_job *job, size_t at, const pm_point *p) {
    const pm_result *result = job->result;
    if (job->wants_pdf) {
        result->pdf[at] = p->pdf;
    }
    if (job->wants_cdf && result->cdf != NULL) {
        result->cdf[at] = p->cdf;
    }
    if (result->survival != NULL) {
        result->survival[at] = p->survival;
    }
}

pm_status pmi_write_points(const pm_density_job *job, size_t row, double bound, const pm_point *points, pm_error *err) {
    size_t n_times = job->request->n_times;
    pm_times times = pmi_row_times(job, row);
    pm_point before = {.cdf = 0.0, .survival = 1.0};
    for (size_t j = 0; j < n_times; j++) {
        pm_point p = points[j];
        if (job->wants_cdf) {
            PM_TRY(put_in_order(job, row, times.time[j], bound, &before, &p, err));
        }
        write_point(job, row * n_times + times.order[j], &p);
        before = p;
    }
    return PM_OK;
}

void pmi_lane_settle(const pm_block *b, pm_lane *lane, size_t end) {
    pm_point *points = b->points + (size_t)(lane - b->lane) * b->job->request->n_times;
    pm_point_error missing = missing_parts(b, lane), *most = &lane->error;
    for (size_t j = lane->settled, last; j < end; j = last + 1) {
        last = lane->mixtures[j].leader;
        for (size_t i = j; i <= last; i++) {
            points[i] = point_of(b, lane, i);
        }
        pm_point_error own = b->job->request->tail_accuracy ? tail_error(b, lane, j, &points[j])
                                                            : group_error(b, lane, j, points, &missing);
        most->pdf = larger(most->pdf, own.pdf);
        most->cdf = larger(most->cdf, own.cdf);
        most->beyond = larger(most->beyond, own.beyond);
    }
    lane->settled = end;
}

pm_status pmi_lane_finish(const pm_block *b, pm_lane *lane, double *bound, pm_error *err) {
    size_t n_times = b->job->request->n_times, at = (size_t)(lane - b->lane) * n_times;
    pmi_lane_settle(b, lane, n_times);
    *bound = error_bound(b, lane, &lane->error);
    return *bound > b->job->tolerance ? PM_OK : pmi_write_points(b->job, lane->theta_row, *bound, b->points + at, err);
}
