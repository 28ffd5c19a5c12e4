/* Bounds of rounding. Every value is a sum of products of numbers that are 0 or more, so relative errors of factors add
 * up and those of terms do not: what follows counts roundings on the way of any term to the result (Higham 2002,
 * "Accuracy and stability of numerical algorithms", chapter 3). */
#include <math.h>

#include "eval/density_block.h"

/* Second-order terms. */
#define HIGHER_ORDER 1.01

/* Probabilities: weights over lambda, rounded once, and little more (density_setup.c); discrete: weights, rounded. */
#define JUMP_ROUNDINGS 1.01

/* The start distribution: a weight, over a compensated sum; a single one is 1. */
#define START_ROUNDINGS 4.0

/* A recurrence of Poisson weights for eight steps: x^8, a table's value, two products; the factor of each of the seven
 * steps before: x, a quotient, a product. Recurrences begin anew at every chunk but the first few, which go on from one
 * another. */
#define RECURRENCE_ROUNDINGS 4.0
#define FIRST_ROUNDINGS (7.0 * (3.0 - RECURRENCE_ROUNDINGS / 8.0))
#define MOST_STARTS 4

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
    return lane->rounding + HIGHER_ORDER * (PM_ROUNDING * roundings + steps * lane->keep_rounding);
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
    return HIGHER_ORDER * PM_ROUNDING * (weights + sums);
}
