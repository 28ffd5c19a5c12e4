/* What a child does with each kind of units. */
#ifndef PM_WORKER_KINDS_H
#define PM_WORKER_KINDS_H

#include "base/retry.h"
#include "redis/traces.h"
#include "units/kinds.h"
#include "wire/units.h"
#include "worker/progress_page.h"

/* What a child has at hand, from its fork to its end. */
typedef struct pm_child_context {
    pm_traces traces; /* its own Redis connection and disk cache */
    pm_isa isa;
    size_t memory;          /* bytes for one unit */
    pm_progress_page *page; /* shared with the parent: phase and current item */
    const pm_log *log;
    struct pm_program_cache *models; /* programs of jobs under evaluation, the least recently used dropped */
} pm_child_context;

typedef struct pm_unit_result {
    uint64_t items, recorded, known;
    uint8_t scc[PM_DIGEST_BYTES]; /* the item at fault */
    bool has_scc;
} pm_unit_result;

/* What a child does with a unit. Errors and what they mean: PM_EUNAVAILABLE and PM_ETEMPORARY do not occur (they are
 * waited out inside); PM_EOSERR is a fault that counts; PM_EPERMISSION and PM_ECONFIG are the worker's and not the
 * unit's; all others are permanent. */
typedef pm_status (*pm_unit_work)(pm_child_context *bench, const pm_unit_message *unit, pm_unit_result *yield,
                                  pm_error *err);
/* NULL for a kind that is not known. */
pm_unit_work pmi_unit_work_of(pm_span kind);

/* Waits on Redis for as long as it takes; the parent, which has its own connection, says so in the log, and kills whom
 * it no longer waits for. */
pm_retry pmi_child_patience(pm_child_context *bench);

pm_status pmi_work_record(pm_child_context *bench, const pm_unit_message *unit, pm_unit_result *yield, pm_error *err);
pm_status pmi_work_evaluate(pm_child_context *bench, const pm_unit_message *unit, pm_unit_result *yield, pm_error *err);
pm_status pmi_work_probe(pm_child_context *bench, const pm_unit_message *unit, pm_unit_result *yield, pm_error *err);

#endif
