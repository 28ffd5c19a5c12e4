/* The complex kernels: one SCC at one row of theta, with s added to every exit rate, for PM_NODES complex s side by
 * side.
 *
 * x solves (s - Q) x = rates of absorption, by the elimination of trace/kernel.h: a pivot is s, plus what leaves the
 * SCC, plus the sum of what leads on; nothing is subtracted. x is the Laplace transform, at s, of the density of the
 * absorption time from each state. A slot is PM_NODES real parts, then PM_NODES imaginary parts. Sums are taken in the
 * order of the trace; results are the same bits on every processor with fused multiply-add. */
#ifndef PM_TRACE_COMPLEX_H
#define PM_TRACE_COMPLEX_H

#include "base/isa.h"
#include "trace/kernel.h"

#define PM_NODES 16
#define PM_COMPLEX_SLOT (2 * PM_NODES)

/* Scratch of one thread, for the largest SCC of the program; slots. */
typedef struct pm_complex_factors {
    double *u;     /* |U|: rates of U over the pivots */
    double *leave; /* n: exit rate over the pivot, s included */
    double *work;  /* n */
} pm_complex_factors;

/* Sums over nodes that are kept for each state. */
#define PM_NODE_SUMS 7

typedef struct pm_complex_kernels {
    /* Factors one SCC and solves it, into its part of `all` (slots by position), which holds the solutions of all
     * positions before it. `values`: the rate of each distinct weight. `s`: a slot. */
    void (*solve)(const pm_scc_view *scc, const double *values, const double *s, pm_complex_factors *f, double *all);
    /* For each of n states, sums[state][k] += the sum over nodes of Re(factor[k] x[state]), k < 6; and of
     * size (|Re x| + |Im x|), k = 6. `factor`: 6 slots; `size`: PM_NODES reals. */
    void (*add_up)(size_t n, const double *x, const double *factor, const double *size, double *sums);
} pm_complex_kernels;

const pm_complex_kernels *pmi_complex_kernels_get(pm_isa isa);

#endif
