/* Defective distributions: chains that are never absorbed with some probability.
 *
 * With h_i the probability of absorption from state i, the chain conditioned on its absorption is a chain again, of
 * rates w_ij h_j / h_i (Doob's h-transform), in which absorption is certain. So h is solved for by one replay, and
 * moments and covariances are those of the transformed chain, by the same formulas. It has the states that can be
 * absorbed, a *gate* through which every absorption goes, and a sink; what is lost to states that cannot be absorbed
 * goes to the sink past the gate, so that h is the expected number of visits of the gate. Densities need none of this:
 * states that are never absorbed keep their mass. */
#ifndef PM_MODEL_DEFECTIVE_H
#define PM_MODEL_DEFECTIVE_H

#include "eval/theta.h"
#include "model/model.h"

/* The chain of the states of a graph that can be absorbed. */
typedef struct pm_restriction {
    pm_graph *graph; /* weight w at theta is theta[w]; NULL where nothing moves that can be absorbed */
    pm_model *model; /* of `graph` */
    uint32_t *row;   /* of each vertex of the original: its row here (absorbing ones: the sink), or PM_NONE */
    size_t *edge;    /* graph->n_edges - 1: the original's, or its n_edges + v for what the row of vertex v lacks to one
                      * and stays, a self-loop here; the last edge leads from the gate to the sink */
    size_t *start;   /* graph->n_starts: the original's rows of the start distribution */
    uint32_t gate;
    pm_pool pool; /* of all arrays */
} pm_restriction;

/* `value`: of each weight at the theta that it is for, where edges of weight zero are left out; NULL: for every theta
 * at which no weight is zero. Free with pmi_restriction_free, also after a failure. */
pm_status pmi_restriction_new(const pm_analysis *analysis, const double *value, const pm_model_options *options,
                              pm_restriction *out, pm_model_report *report, pm_error *err);
void pmi_restriction_free(pm_restriction *r);

/* Moments and covariances given absorption, and the probability of absorption (B), for rows of theta with the start
 * distributions (B, n_starts). Errors: PM_EDATA where absorption has probability zero and a moment is wanted, and those
 * of pm_evaluate. */
pm_status pmi_restriction_evaluate(const pm_restriction *r, const pm_model *original, const pm_request *request,
                                   const double *start, size_t first_row, pm_result *result, pm_error *err);

#endif
