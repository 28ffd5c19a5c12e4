/* pdf and cdf of the absorption time: uniformization (continuous) and stepping (discrete). */
#ifndef PM_EVAL_DENSITY_H
#define PM_EVAL_DENSITY_H

#include "base/isa.h"
#include "eval/chain.h"
#include "trace/program.h"

/* Errors: PM_EDATA for a time that is not finite, below zero or, when discrete, no whole number. */
pm_status pmi_density_check_times(const pm_request *request, bool is_discrete, pm_error *err);

/* Whether densities may be had with less work by contours, which need traces: they are asked for, or some row of theta
 * takes many steps. Errors: PM_EOSERR. */
pm_status pmi_density_wants_traces(const pm_graph *graph, const pm_request *request, bool *out, pm_error *err);

/* Evaluates request->pdf, cdf at the times into result->pdf, cdf, survival (each NULL or (B, T)), and sets
 * result->steps, nodes, error_bound and the numbers of rows of each method. `start` is (B, S), S = graph->n_starts: the
 * start distribution at each theta, already checked to sum to one (rescaled). `request` has been validated for shape
 * (pm_evaluate); times are checked here. Contours are taken where there is a `program` (else NULL) and they fit into
 * `memory` bytes. */
pm_status pmi_density_evaluate(const pm_chain *chain, const pm_program *program, size_t memory, pm_isa isa,
                               const pm_request *request, const double *start, pm_result *result, const pm_log *log,
                               pm_error *err);

#endif
