/* Collecting: a job's traces, wherever they were recorded, become the model that `run` would have made. */
#ifndef PM_COLLECTOR_COLLECT_H
#define PM_COLLECTOR_COLLECT_H

#include "collector/watch.h"
#include "model/model.h"
#include "store/manifest.h"

typedef struct pm_collect_options {
    double timeout;
    const pm_model_options *model; /* isa, memory, normalize_start, log; its cache fields are not read */
} pm_collect_options;

/* Watches the job until all its traces are there, fetches and stitches. A trace that was altered in Redis is named in a
 * log line, removed, and recorded again. `job` (from pm_manifest_get) is left empty: its graph and split move into the
 * model. */
pm_status pm_collect(pm_producer *producer, pm_reader *reader, pm_job *job, const pm_collect_options *options,
                     pm_model **model, pm_model_report *report, pm_error *err);

/* Evaluates on the cluster: theta cut into slices by cost, a unit each; results keyed by content, so that what was
 * asked before is not computed again. The arrays are the same bits as pm_evaluate's. `slots`: of the live workers. */
pm_status pm_evaluate_on_cluster(pm_producer *producer, pm_reader *reader, const pm_model *model,
                                 const pm_request *request, size_t slots, double timeout, pm_result *result,
                                 pm_error *err);

#endif
