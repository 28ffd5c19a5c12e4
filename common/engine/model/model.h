/* A model inside: what phasemill.h keeps opaque, for the command line's `inspect`, tests and benchmarks. */
#ifndef PM_MODEL_MODEL_H
#define PM_MODEL_MODEL_H

#include "base/isa.h"
#include "eval/row_sums.h"
#include "trace/library.h"

struct pm_model {
    pm_graph *graph; /* held, see pmi_graph_hold */
    pm_split split;
    pm_row_sums row_sums;
    pm_library library;
    pm_program program; /* borrows the library's plans */
    pm_isa isa;
    size_t memory;
    unsigned processors; /* threads of an evaluation that does not name them */
    bool normalize_start;
    struct pm_restriction *restriction; /* of a defective model with states that no theta lets be absorbed; else NULL */
    bool defective;
    pm_effort effort;
    bool densities_only; /* no traces: library and program are empty */
    const pm_log *log;
};

/* A model from parts that are known already: holds the graph, and takes the split and what it needs of the classes,
 * which are left empty for pmi_split_free and pmi_classes_free; after a failure they are as before. Traces come from
 * `cache`; with `cached_only` nothing is recorded: a missing trace is PM_EUNAVAILABLE, naming its key. The cache fields
 * of `options` are not read. `report` may be NULL. */
pm_status pmi_model_of_parts(pm_graph *graph, pm_split *split, pm_classes *classes, const pm_trace_cache *cache,
                             bool cached_only, const pm_model_options *options, pm_model **out, pm_model_report *report,
                             pm_error *err);

/* What pm_evaluate checks of a request before it begins: shapes, buffers, numbers that are not finite. */
pm_status pmi_request_check(const pm_graph *graph, const pm_request *request, const pm_result *result, pm_error *err);

#endif
