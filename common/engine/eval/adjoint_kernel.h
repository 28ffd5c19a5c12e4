/* Kernels of the adjoint steps of densities (eval/adjoint.h): slots of some lanes, one for each row of theta. */
#ifndef PM_EVAL_ADJOINT_KERNEL_H
#define PM_EVAL_ADJOINT_KERNEL_H

#include "base/isa.h"
#include "eval/chain.h"

/* Slots and their derivatives in one direction of theta; `dot` is NULL where none is wanted. */
typedef struct pm_dual {
    double *value, *dot;
} pm_dual;

typedef struct pm_adjoint_step {
    const pm_chain *chain;
    const pm_out_edges *out;
    pm_dual table;       /* n_weights slots: probabilities of an edge in a step */
    pm_dual keep;        /* n slots: of staying */
    pm_dual keep_back;   /* the same, without what self-loops among the edges keep */
    bool stays_by_edges; /* rows are normalized: leaving more does not mean staying less */
} pm_adjoint_step;

typedef struct pm_adjoint_kernels {
    unsigned lanes;
    /* to = from P, for states first..last-1 of `to` */
    void (*forward)(const pm_adjoint_step *step, pm_dual from, pm_dual to, uint32_t first, uint32_t last);
    /* before = P z + mass for states first..last-1, where z has n + 1 slots; and slope[e] += v_i (z_j - z_i) for each
     * edge e from such a state i to j. `mass` is a slot, whose derivative is zero. */
    void (*backward)(const pm_adjoint_step *step, pm_dual v, pm_dual z, const double *mass, pm_dual before,
                     pm_dual slope, uint32_t first, uint32_t last);
    void (*forward_dual)(const pm_adjoint_step *step, pm_dual from, pm_dual to, uint32_t first, uint32_t last);
    void (*backward_dual)(const pm_adjoint_step *step, pm_dual v, pm_dual z, const double *mass, pm_dual before,
                          pm_dual slope, uint32_t first, uint32_t last);
} pm_adjoint_kernels;

/* For 1, 4, 8 or 16 lanes; NULL for another number. */
const pm_adjoint_kernels *pmi_adjoint_kernels_get(pm_isa isa, unsigned lanes);

#endif
