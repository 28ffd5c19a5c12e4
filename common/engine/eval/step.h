/* The kernels of a uniformized (or discrete) chain: one step of all states, and the mixing of steps by Poisson weights.
 *
 * Every value array is [slot][lane]: `lanes` rows of theta side by side. A sum is one multiply-add after the other in
 * the order of the edges, of more than PM_CHAIN_PLAIN edges in groups that are added up with their rounding errors; so
 * results do not depend on lanes or threads; with fused multiply-add (x86-64-v3, -v4, arm64) they are the same bits on
 * every such processor, and on x86-64-v2, which has none, they differ by its rounding. */
#ifndef PM_EVAL_STEP_H
#define PM_EVAL_STEP_H

#include "base/isa.h"
#include "eval/chain.h"

#define PM_STEP_MAX_LANES 16

/* A chain at the thetas of one block. */
typedef struct pm_step {
    const pm_chain *chain;
    const double *table; /* [weight][lane]: probability of an edge per step */
    /* [state][lane]: c >= 0 is the probability of staying, c < 0 minus that of leaving: the smaller of the two, as
     * v - leave * v keeps digits that 1 - leave would have lost */
    const double *keep;
    /* extended kernels: what `table` and `keep` leave of values of twice the precision; keep >= 0 is of staying */
    const double *table_low, *keep_low;
    size_t first, last; /* states outside of first..last-1 hold nothing, in `from` and `to`, and are left out */
} pm_step;

typedef struct pm_step_kernels {
    unsigned lanes;

    /* to = from * P for the states of block b; mass[lane]: their sum, absorbed[lane]: the probability of absorption
     * from them in the next step. */
    void (*rows)(const pm_step *step, size_t b, const double *from, double *to, double *mass, double *absorbed);

    /* mass and absorbed as above, of a vector that is there already. */
    void (*measure)(const pm_step *step, size_t b, const double *v, double *mass, double *absorbed);

    /* sum += weight[lane] * v for the states of block b. */
    void (*blend)(const pm_step *step, size_t b, const double *v, const double *weight, double *sum);
} pm_step_kernels;

/* The same in twice the precision: vectors are sums of two arrays, every product and sum is followed by what it rounds
 * off (Dot2 of Ogita, Rump and Oishi 2005, algorithm 5.3); mass and absorbed are rounded once. After a step each value
 * has a relative error of at most (d + 5)^2 2^-106 more, d in-edges. */
typedef struct pm_extended_kernels {
    void (*rows)(const pm_step *step, size_t b, const double *from, const double *from_low, double *to, double *to_low,
                 double *mass, double *absorbed);
    void (*measure)(const pm_step *step, size_t b, const double *v, const double *low, double *mass, double *absorbed);
    void (*blend)(const pm_step *step, size_t b, const double *v, const double *low, const double *weight, double *sum,
                  double *sum_low);
} pm_extended_kernels;

/* A dense row times a dense matrix in twice the precision, all values 0 or more:
 * out + out_low = (sum over k < n of (row[k] + row_low[k]) times row k of matrix + matrix_low) * scale, a power of two.
 * Zeros of the row are left out. Arrays have n values, matrices n x n; out may not be the row. */
typedef void (*pmi_dense_row)(const double *row, const double *row_low, const double *matrix, const double *matrix_low,
                              size_t n, double scale, double *out, double *out_low);

/* Steps that are kept before they are mixed, at most. */
#define PM_CHUNK 512

/* Poisson weights w_j of n steps: w_0..w_7 are given; w_{j+8} = w_j * x8 * ratio[j], with x8 = x^8 and
 * ratio[j] = k! / (k+8)! for the step k of term j. n is at most PM_CHUNK; series after one that is NULL are not read.
 */
typedef struct pm_mix_terms {
    const double *series[3], *ratio;
    double start[8];
    double x8;
    size_t n;
} pm_mix_terms;

/* Times whose weights are ratio[i] base[i]^j w_j. */
#define PM_MIX_TIMES 32
typedef struct pm_mix_group {
    size_t n; /* 1 to PM_MIX_TIMES; what is behind has ratio and base 0 */
    double base[PM_MIX_TIMES], ratio[PM_MIX_TIMES], sums[3][PM_MIX_TIMES];
} pm_mix_group;

/* Of values that are 0 or more: their sum; most, and peak of the value times the mode, are raised to the largest. */
typedef struct pm_step_totals {
    double sum, most, peak;
} pm_step_totals;

typedef struct pm_mixing {
    /* sums[s] += the sum over j < n of w_j series[s][j]. Returns w_n. */
    double (*mix)(const pm_mix_terms *terms, double sums[3]);
    /* Raises the ratios by `skipped` steps; then sums[s] of each time = its sums by Horner's rule, and ratios are those
     * of step n. Returns w_n. */
    double (*mix_group)(const pm_mix_terms *terms, size_t skipped, pm_mix_group *group);
    void (*total)(size_t n, const double *value, const double *mode, pm_step_totals *totals);
    /* x[i] = exp(x[i]) for |x[i]| < 700, i < n: the error is below two units in the last place. x has room for a
     * multiple of 8. */
    void (*exponentials)(double *x, size_t n);
} pm_mixing;

/* The kernels for 1, 4, 8 or 16 lanes; NULL for another number. */
const pm_step_kernels *pmi_step_kernels_get(pm_isa isa, unsigned lanes);
const pm_extended_kernels *pmi_extended_kernels_get(pm_isa isa, unsigned lanes);
const pm_mixing *pmi_mixing_get(pm_isa isa);
pmi_dense_row pmi_dense_row_get(pm_isa isa);

/* Denormal numbers become zero in the calling thread until pmi_denormals_restore: vectors decay into them, and each
 * operation on one costs a hundred others. What is lost is below 3e-308 a value. */
typedef uint64_t pm_float_mode;
pm_float_mode pmi_denormals_flush(void);
void pmi_denormals_restore(pm_float_mode mode);

#endif
