/* Collecting: a job's traces, wherever they were recorded, become the model that `run` would have made. */
#ifndef PM_COLLECTOR_COLLECT_H
#define PM_COLLECTOR_COLLECT_H

#include "collector/watch.h"
#include "model/model.h"
#include "redis/manifest.h"

typedef struct pm_collect_options {
    const pm_buffer *manifest;     /* encoded, put back where Redis has lost it; NULL: it is encoded again */
    const pm_model_options *model; /* isa, memory, normalize_start, log; its cache fields are not read */
} pm_collect_options;

typedef struct pm_collect_report {
    pm_model_report model; /* sccs_recorded: traces that were missing at the first look; seconds_record: until all were
                              there */
    pm_watch_report watch;
    size_t rounds; /* more than one: traces were altered or went missing once they had been there */
} pm_collect_report;

/* Waits for all traces of the job, fetches and stitches. An altered trace is named in a log line, removed, and recorded
 * again. The model takes the job, which is empty then. `model` NULL: only waits. */
pm_status pmi_collect(pm_producer *producer, pm_reader *reader, pm_analysis *job, const pm_collect_options *options,
                      pm_model **model, pm_collect_report *report, pm_error *err);

typedef struct pm_evaluate_report {
    size_t slices, known, units; /* known: results that were there already */
    pm_watch_report watch;
} pm_evaluate_report;

/* Evaluates on the cluster: theta cut into slices by cost, a unit each; results keyed by content. The arrays are the
 * same bits as pm_evaluate's. Traces and `manifest` are put into Redis where they are gone. Errors: as pm_evaluate's,
 * naming the row of the whole batch; those of pmi_watch. */
pm_status pmi_evaluate_on_cluster(pm_producer *producer, pm_reader *reader, const pm_model *model,
                                  const pm_request *request, const pm_buffer *manifest, pm_result *result,
                                  pm_evaluate_report *report, pm_error *err);

#endif
