/* The numeric kernels of a replay: one SCC at a time, `lanes` rows of theta side by side.
 *
 * Every value array is [slot][lane]. Sums are taken in the order of the trace and of the edges, one
 * multiply-add after the other, so results do not depend on lanes or threads; with fused multiply-add (x86-64-v3, -v4,
 * arm64) they are the same bits on every such processor, and on x86-64-v2, which has none, they differ by its rounding.
 *
 * With Lambda the diagonal of total outflow and W the inner rates of the SCC, elimination without subtraction
 * (Grassmann, Taksar and Heyman 1985) gives Lambda - W = (D - L)(I - P): L holds the raw rates that are substituted,
 * D the pivots (each the *sum* of what leaves), P the rates of U divided by the pivots. All are non-negative. */
#ifndef PM_TRACE_KERNEL_H
#define PM_TRACE_KERNEL_H

#include "base/isa.h"
#include "trace/trace.h"

/* One SCC of two states or more, as the kernels see it: rows in pivot order. */
typedef struct pm_scc_view {
    const pm_trace *trace;
    const uint32_t *chain_end; /* n: rows i..chain_end[i]-1 form a chain, U(r) = {r+1} + U(r+1) (trace/program.h) */
    const size_t *inner_row;   /* n + 1: into inner_col and inner_weight */
    const uint32_t *inner_col; /* target rows of this SCC */
    const uint32_t *inner_weight;
} pm_scc_view;

/* Scratch of one thread, for the largest SCC of the program. */
typedef struct pm_factors {
    double *u;                           /* |U| slots: P */
    double *l;                           /* |L| slots, or NULL when no second solve will use them */
    double *leave;                       /* n slots: exit rate; after factoring, exit probability */
    double *inverse;                     /* n slots: 1 / pivot; 0 where the pivot is zero */
    double *work;                        /* n slots */
    int64_t zero_pivot[16], huge_pivot[16]; /* by lane: not 0 once a pivot was zero or infinite */
} pm_factors;

typedef struct pm_kernels {
    unsigned lanes;

    /* exits[j] = sum of weight[edge] over row[j]..row[j+1], added to what is there */
    void (*add_weights)(size_t n, const size_t *row, const uint32_t *weight, const double *values, double *exits);

    /* rhs[j] += sum of weight[edge] * x[to[edge]] over row[j]..row[j+1] */
    void (*add_flows)(size_t n, const size_t *row, const uint32_t *to, const uint32_t *weight, const double *values,
                      const double *x, double *rhs);

    /* inflow[to[edge]] += weight[edge] * z[j] over row[j]..row[j+1] */
    void (*push_flows)(size_t n, const size_t *row, const uint32_t *to, const uint32_t *weight, const double *values,
                       const double *z, double *inflow);

    /* Factors (f->leave holds the exit rates) and, where x is not NULL, solves (Lambda - W) x = rhs in place. */
    void (*factor)(const pm_scc_view *scc, const double *values, pm_factors *f, double *x);
    /* Solves again with the same factors (f->l needed). */
    void (*solve)(const pm_scc_view *scc, const pm_factors *f, double *x);
    /* Solves z (Lambda - W) = rhs in place (f->l needed). */
    void (*solve_transposed)(const pm_scc_view *scc, const pm_factors *f, double *z);

    /* to[j] += k * factor[j] * from[j]; with from NULL, of ones */
    void (*add_scaled)(size_t n, double k, const double *factor, const double *from, double *to);

    /* A single state: f->leave holds its outflow; writes f->inverse. Then x[i] *= f->inverse[i]. */
    void (*invert)(size_t n, pm_factors *f);
    void (*scale)(size_t n, const double *factor, double *x);
} pm_kernels;

/* The kernels for 1, 4, 8 or 16 lanes; NULL for another number. */
const pm_kernels *pm_kernels_get(pm_isa isa, unsigned lanes);

#endif
