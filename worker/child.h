/* A compute child: one unit at a time from its socket, until end of file. */
#ifndef PM_WORKER_CHILD_H
#define PM_WORKER_CHILD_H

#include "base/retry.h"
#include "model/model.h"
#include "redis/traces.h"
#include "units/kinds.h"
#include "wire/units.h"
#include "worker/task.h"

/* Made before the spawner is forked; a child sees it as it was then. */
typedef struct pm_child_options {
    const pm_redis_options *redis;
    const char *worker; /* id, for log lines */
    const char *cache_dir;
    size_t cache_limit;
    pm_isa isa;
    size_t unit_memory;      /* bytes beyond what the child has when a unit begins */
    pm_progress_page *pages; /* shared, one for each slot */
    const pm_log *log;
} pm_child_options;

/* A pm_child_main; ctx is the pm_child_options. */
int pmi_child_run(void *ctx, size_t slot, int fd);

/* ---- what a child does with each kind of units ---- */

/* What a child has at hand, from its fork to its end. */
typedef struct pm_child_context {
    pm_traces traces; /* its own Redis connection and disk cache */
    pm_isa isa;
    size_t memory;          /* bytes for one unit */
    pm_progress_page *page; /* shared with the parent: phase and current item */
    const pm_log *log;
    struct pm_program_cache *models; /* programs of jobs under evaluation, the least recently used dropped */
} pm_child_context;

/* What a child does with a unit. Transient errors are waited out inside; PM_EOSERR is a fault that counts;
 * PM_EPERMISSION and PM_ECONFIG are the worker's, not the unit's; all others are permanent. */
typedef pm_status (*pm_unit_work)(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *result,
                                  pm_error *err);
/* NULL for a kind that is not known. */
pm_unit_work pmi_unit_work_of(pm_span kind);

/* Waits on Redis for as long as it takes; the parent says so, and kills whom it no longer waits for. */
pm_retry pmi_child_patience(pm_child_context *context);

pm_status pmi_work_record(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *result,
                          pm_error *err);
pm_status pmi_work_evaluate(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *result,
                            pm_error *err);
pm_status pmi_work_probe(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *result, pm_error *err);

/* Of models of `bytes` in all, and the newest one at any rate. Free with pmi_program_cache_free. */
typedef struct pm_program_cache pm_program_cache;
pm_status pmi_program_cache_new(size_t bytes, pm_program_cache **out, pm_error *err);
void pmi_program_cache_free(pm_program_cache *models);

#endif
