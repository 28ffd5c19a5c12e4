/* Densities of one row of theta from contours of the Laplace transform, with a bound of the error that needs nothing of
 * the spectrum.
 *
 * With X(t) the vector of densities, or of distribution functions, from every state, what a contour gives instead,
 * Y(t) = sum_j w_j exp(s_j t) (s_j - Q)^-1 q (over s_j for the distribution function), satisfies exactly
 *     Y' = Q Y + q eps(t),
 * where eps(t) is what the same sum without (s_j - Q)^-1 q gives: 0 (or 1 less than 1), but for the contour's own
 * error, which needs no chain to know. So the error e = Y - X at a time t after tau is exp(Q (t - tau)) e(tau) and an
 * integral of eps against a density: no component of it is larger than the largest of e(tau) and of eps. From tau_0 on,
 * where few steps give X, windows follow one another; at the start of each its Y is compared, in all states, with that
 * of the one before. A contour that misses a part of the spectrum that matters shows there, as X of the window before
 * has it. */
#ifndef PM_EVAL_CONTOUR_H
#define PM_EVAL_CONTOUR_H

#include "eval/contour_nodes.h"
#include "eval/density_block.h"
#include "trace/complex.h"
#include "trace/program.h"

/* Hyperbolas that are tried one after the other, each with more room for oscillations than the one before. */
#define PM_HYPERBOLAS 4

/* Rows of fewer steps are inverted only where contours are asked for, so that they are done alike where nothing has
 * been recorded. */
#define PM_FEWEST_STEPS 1024.0

/* What is the same for all rows of a call. */
typedef struct pm_contours {
    const pm_program *program;
    const pm_complex_kernels *kernels;
    pm_contour hyperbola[PM_HYPERBOLAS];
    double rounding;             /* of a solution, relative */
    double fewest_steps;         /* of a row that may be inverted */
    double node_work, step_work; /* multiply-adds of one node, and of one step of all states */
    size_t bytes;                /* that one row takes while it is inverted */
    size_t memory;               /* that all threads may take */
} pm_contours;

/* Free with pmi_contours_free, also after a failure. */
pm_status pmi_contours_new(const pm_program *program, pm_isa isa, pm_contours *out, pm_error *err);
void pmi_contours_free(pm_contours *contours);

typedef struct pm_inverted {
    bool is_done;  /* else nothing is written: the bound is not below the tolerance, or more work than allowed */
    bool parabola; /* some window took one */
    uint64_t nodes;
    double bound; /* also where it is too large; HUGE_VAL where no contour passed */
} pm_inverted;

/* Inverts one row and writes its results, in at most `most_work` multiply-adds. Errors: PM_EOSERR, and those of
 * pmi_write_points. */
pm_status pmi_density_invert(const pm_density_job *job, size_t row, double most_work, pm_inverted *out, pm_error *err);

#endif
