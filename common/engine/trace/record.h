/* Recording: the best pivot order found for one SCC, as a trace that has passed its own check. */
#ifndef PM_TRACE_RECORD_H
#define PM_TRACE_RECORD_H

#include "trace/program.h"

typedef struct pm_record_options {
    pm_effort effort;
    size_t memory; /* bytes that the trace and one lane of its replay may take */
    pm_isa isa;    /* of the kernels that replay the check */
} pm_record_options;

/* Records the trace of a canonical SCC: tries the pivot orders of the effort, keeps the one of fewest flops, replays it
 * at random positive rates and checks the residual. Errors: PM_EOSERR when no order's trace and replay fit the memory,
 * with the figures predicted; PM_ESOFTWARE when the check fails (such a trace is never returned). Free with
 * pmi_plan_free. */
pm_status pmi_record(const pm_canon *canon, const pm_record_options *options, pm_plan *out, pm_error *err);

/* The check alone; `topology` is the canonical SCC of the plan. */
pm_status pmi_plan_check(const pm_plan *plan, const pm_topology *topology, pm_isa isa, pm_error *err);

/* Eliminates `topology` in the order `pivot` (n vertices, each once): out->pivot, the patterns, n_edges and flops; the
 * digest is left zero. Gives up once |L| + |U| exceeds max_fill: then *fits is false and `out` is empty. Time grows
 * with the fill, not with the flops: rows are pruned symmetrically (Eisenstat and Liu 1992). Free with pmi_trace_free.
 */
pm_status pmi_symbolic(const pm_topology *topology, const uint32_t *pivot, size_t max_fill, pm_trace *out, bool *fits,
                       pm_error *err);

#endif
