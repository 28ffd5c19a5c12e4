/* The numeric kernels of a replay: one SCC at a time, `lanes` rows of theta side by side.
 *
 * Every value array is [slot][lane]. Sums are taken in the order of the trace and of the edges, so results do not
 * depend on lanes or threads; with fused multiply-add (all but x86-64-v2) they are the same bits on every processor.
 *
 * With Lambda the diagonal of total outflow and W the inner rates of the SCC, elimination without subtraction
 * (Grassmann, Taksar and Heyman 1985) gives Lambda - W = (D - L)(I - P): L holds the raw rates that are substituted,
 * D the pivots (each the *sum* of what leaves), P the rates of U divided by the pivots. All are non-negative.
 *
 * The wide kernels do the same in numbers of 31 digits and any size (base/wide.inc), about ten times slower; their
 * results are the same bits on every processor. The dual kernels carry a derivative beside each wide number, by the
 * rules of sums, products and quotients: as nothing is subtracted but derivatives, these are right to about 31 digits
 * of the largest relative change on the way, however stiff the rates are. */
#ifndef PM_TRACE_KERNEL_H
#define PM_TRACE_KERNEL_H

#include "base/isa.h"
#include "trace/trace.h"

/* How many exits ahead a target is fetched: exit_to has so many valid entries behind its end. */
#define PM_EXIT_AHEAD 16

/* One SCC as the kernels see it: rows in pivot order, edges as in trace/program.h with row arrays moved to its first.
 */
typedef struct pm_scc_view {
    uint32_t first, n;
    const pm_trace *trace;     /* NULL for a single state, which has no inner edges */
    const uint32_t *chain_end; /* n: rows i..chain_end[i]-1 form a chain, U(r) = {r+1} + U(r+1) */
    const size_t *fill_row;    /* n + 1 */
    const uint32_t *fill;      /* entries of the pattern that no edge starts: cleared before a row is eliminated */
    const size_t *inner_row, *inner_again; /* n + 1, n: edges from inner_again[j] on repeat a target */
    const uint32_t *inner_col, *inner_weight;
    const size_t *exit_row;
    const uint32_t *exit_to, *exit_weight;
    const size_t *absorb_row;
    const uint32_t *absorb_weight;
} pm_scc_view;

/* Scratch of one thread, for the largest SCC of the program. */
typedef struct pm_factors {
    double *u;              /* |U| slots: P */
    double *l;              /* |L| slots, or NULL when no second solve will use them (never, if wide) */
    double *leave;          /* n slots: exit probability of each pivot */
    double *inverse;        /* n slots: 1 / pivot; 0 where the pivot is zero (or infinite, if not wide) */
    double *work;           /* 2 n slots, written before */
    int64_t lost_pivot[16]; /* by lane: not 0 once an inverse was 0; set, never cleared, by factor */
} pm_factors;

typedef enum pm_number_kind { PM_NUMBER_DOUBLE, PM_NUMBER_WIDE, PM_NUMBER_DUAL } pm_number_kind;

typedef struct pm_kernels {
    unsigned lanes;
    /* doubles of one slot: lanes, or when wide three times as many: hi of all lanes, then lo, then limbs; dual ones
     * have those of the derivatives behind */
    unsigned stride;

    /* sum[j] += sum of weight[edge] over row[j]..row[j+1] */
    void (*add_weights)(size_t n, const size_t *row, const uint32_t *weight, const double *values, double *sum);
    /* rhs[j] += sum of weight[edge] * x[to[edge]] over row[j]..row[j+1] */
    void (*add_flows)(size_t n, const size_t *row, const uint32_t *to, const uint32_t *weight, const double *values,
                      const double *x, double *rhs);
    /* inflow[to[edge]] += weight[edge] * z[j] over row[j]..row[j+1] */
    void (*push_flows)(size_t n, const size_t *row, const uint32_t *to, const uint32_t *weight, const double *values,
                       const double *z, double *inflow);
    /* Not of wide kernels. For the edges of rows j, which lead to x[to[edge]]:
     * sum[weight[edge]] += sign z[j] (x[to] - x[j]), size[weight[edge]] += z[j] (x[to] + x[j]) */
    void (*edge_terms)(size_t n, const size_t *row, const uint32_t *to, const uint32_t *weight, const double *z,
                       const double *x, double sign, double *sum, double *size);
    /* Not of wide kernels. sum[weight[edge]] += sign y[j]; sign is 1 or -1 */
    void (*spread)(size_t n, const size_t *row, const uint32_t *weight, double sign, const double *y, double *sum);
    /* to[j] = factor[j] * from[j], or added to it; with from NULL, of ones. Of wide kernels only: factor[j] stands for
     * factor[j] 2^(512 limb[j]); limb may be NULL */
    void (*set_scaled)(size_t n, const double *factor, const double *limb, const double *from, double *to);
    void (*add_scaled)(size_t n, const double *factor, const double *limb, const double *from, double *to);
    /* x[j] *= factor[j], lane by lane */
    void (*scale)(size_t n, const double *factor, double *x);
    /* x[j] = 0; and the sum of x[j] y[j]: of wide kernels only */
    void (*clear)(size_t n, double *x);
    void (*dot)(size_t n, const double *x, const double *y, double *sum);

    /* Factors and solves (Lambda - W) x = rhs + flows from the exits, in place in the SCC's part of `all`, which holds
     * the solutions of all positions before it. */
    void (*factor_solve)(const pm_scc_view *scc, const double *values, pm_factors *f, double *all);
    /* Factors alone. */
    void (*factor)(const pm_scc_view *scc, const double *values, pm_factors *f);
    /* Solves again with the same factors (f->l needed), flows from the exits included. */
    void (*solve)(const pm_scc_view *scc, const double *values, const pm_factors *f, double *all);
    /* Solves z (Lambda - W) = rhs in place in the SCC's part of `all` (f->l needed); flows are not followed. */
    void (*solve_transposed)(const pm_scc_view *scc, const pm_factors *f, double *all);
} pm_kernels;

/* The kernels for 1, 4, 8 or 16 lanes (dual ones: 1 or 4); NULL for another number, or no instruction set. */
const pm_kernels *pmi_kernels_get(pm_isa isa, unsigned lanes, pm_number_kind kind);

#endif
