/* Bounds of rounding. Every value is a sum of products of numbers that are 0 or more, so relative errors of factors add
 * up and those of terms do not: what follows counts roundings on the way of any term to the result (Higham 2002,
 * "Accuracy and stability of numerical algorithms", chapter 3). */
#include <math.h>

#include "eval/density_block.h"

/* Second-order terms. */
#define HIGHER_ORDER 1.01

/* Weights: rounded once, or Dot2 and little more. Probabilities: weights over lambda, rounded. */
#define WEIGHT_ROUNDINGS 1.25

/* The start distribution: a weight, over a compensated sum. */
#define START_ROUNDINGS 4.0

/* A chunk's recurrence: 64 times x^8, a table's value, and two products; seven factors before; the start's own. */
#define CHUNK_ROUNDINGS (4.0 * 64 + 3.0 * 7)
#define START_WEIGHT_ROUNDINGS 24.0
#define EXPONENT_ROUNDINGS 8.0

/* Eight sums side by side over a chunk, then one; and of c_k. */
#define CHUNK_SUM_ROUNDINGS (64.0 + 3.0 + 3.0)

static double larger(double a, double b) {
    return a > b ? a : b;
}

/* Roundings of values once, whatever the number of steps: the start, sums over states and exits. */
static double once(const pm_block *b) {
    const pm_chain *c = b->job->chain;
    double states = c->n < PM_CHAIN_BLOCK ? (double)c->n : PM_CHAIN_BLOCK;
    double sums = b->extended ? 2.0 : larger(states, (double)c->most_exits) + 4.0;
    return sums + START_ROUNDINGS + (double)c->most_starts;
}

/* Of each step in double precision: as many additions as there are edges (or a group of them, and the compensated sum
 * of groups), their products, and staying. In twice the precision: eval/step.h. */
static double per_step(const pm_block *b) {
    double edges = (double)b->job->chain->most_in;
    if (b->extended) {
        return (edges + 5.0) * (edges + 5.0) * PM_ROUNDING;
    }
    return (edges < PM_CHAIN_GROUP ? edges : PM_CHAIN_GROUP + 2.0) + 4.0;
}

/* Rounded rates are those of another chain, which loses no mass: a path of j jumps and time t has its density changed
 * by (1 + e)^j exp(e lambda t) at most. Rounded probabilities of a discrete chain: by (1 + e)^j, and staying by itself.
 */
static double per_jump(const pm_block *b) {
    bool constant = b->job->chain->constant_weights;
    if (b->extended) {
        return 8.0 * PM_ROUNDING;
    }
    return (constant ? 0.0 : WEIGHT_ROUNDINGS) + (b->job->is_discrete ? 0.0 : 1.0);
}

double pm_step_rounding(const pm_block *b, const pm_lane *lane, double steps, double jumps) {
    double roundings = once(b) + steps * per_step(b) + jumps * per_jump(b);
    return HIGHER_ORDER * (PM_ROUNDING * roundings + steps * lane->keep_rounding);
}

double pm_mixing_rounding(const pm_block *b, const pm_lane *lane, double steps) {
    if (b->job->is_discrete) {
        return 4.0 * PM_ROUNDING;
    }
    double exponent = b->job->request->tail_accuracy ? 0.0 : EXPONENT_ROUNDINGS * lane->exponent;
    double chunks = steps / PM_CHUNK + 8.0;
    return HIGHER_ORDER * PM_ROUNDING *
           (CHUNK_ROUNDINGS + START_WEIGHT_ROUNDINGS + exponent + CHUNK_SUM_ROUNDINGS + chunks);
}
