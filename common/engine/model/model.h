/* A model inside: what phasemill.h keeps opaque, for the command line's `inspect`, tests and benchmarks. */
#ifndef PM_MODEL_MODEL_H
#define PM_MODEL_MODEL_H

#include "base/isa.h"
#include "eval/adjoint.h"
#include "eval/theta.h"
#include "trace/library.h"

struct pm_model {
    pm_analysis analysis; /* without classes: the library has what it needs of them */
    pm_row_sums row_sums;
    pm_library library;
    pm_program program; /* borrows the library's plans */
    pm_isa isa;
    size_t memory;
    unsigned processors; /* threads of an evaluation that does not name them */
    bool normalize_start;
    struct pm_restriction *restriction; /* of a defective model with states that no theta lets be absorbed; else NULL */
    bool defective;
    bool densities_only;               /* no traces: library and program are empty */
    _Atomic(pm_chain *) chain;         /* for densities; NULL until the first evaluation that wants them */
    _Atomic(pm_out_edges *) out_edges; /* of the chain, for adjoint steps; likewise */
    const pm_log *log;
};

/* Where the traces of a model come from, instead of the disk that the options name. */
typedef struct pm_trace_source {
    struct pm_disk *disk;        /* opened by the caller, or NULL; else: */
    const pm_trace_cache *cache; /* NULL: none */
    bool cached_only;            /* nothing is recorded: a missing trace is PM_EUNAVAILABLE, naming its key */
} pm_trace_source;

/* pm_model_new of a graph that is analysed already: the model takes the analysis, which is empty then; after a failure
 * it has what was found. `source` may be NULL: then the cache is that of the options. `report` may be NULL. */
pm_status pmi_model_of(pm_analysis *analysis, const pm_trace_source *source, const pm_model_options *options,
                       pm_model **out, pm_model_report *report, pm_error *err);

/* The chain of a model, and its edges by the state that they leave, laid out at the first call; the model keeps them.
 * Any number of threads may call at once. */
pm_status pmi_model_chain(const pm_model *model, const pm_chain **out, pm_error *err);
pm_status pmi_model_out_edges(const pm_model *model, const pm_out_edges **out, pm_error *err);

/* The arrays of a result that have `width` values for each row of theta; *values is NULL for those not wanted. */
enum { PM_RESULT_ARRAYS = 13 };

typedef struct pm_row_array {
    const char *name;
    double **values;
    size_t width;
} pm_row_array;

void pmi_result_arrays(const pm_graph *graph, const pm_request *request, pm_result *result,
                       pm_row_array out[PM_RESULT_ARRAYS]);

/* What pm_evaluate checks of a request before it begins: shapes, buffers, numbers that are not finite. */
pm_status pmi_request_check(const pm_graph *graph, const pm_request *request, const pm_result *result, pm_error *err);

#endif
