/* Models of the jobs that a child evaluates: made from the manifest and the traces, the last few kept. */
#ifndef PM_WORKER_PROGRAM_CACHE_H
#define PM_WORKER_PROGRAM_CACHE_H

#include "model/model.h"
#include "worker/kinds.h"

#define PM_PROGRAMS_KEPT 4

typedef struct pm_program_cache pm_program_cache;

/* Keeps models of `bytes` in all, and the newest one at any rate. Free with pmi_program_cache_free. */
pm_status pmi_program_cache_new(size_t bytes, pm_program_cache **out, pm_error *err);
void pmi_program_cache_free(pm_program_cache *models);

/* The model of a job, borrowed until the next call; *was_kept: from an earlier call. Waits out Redis. Errors: PM_EDATA
 * when the manifest or a trace is missing or altered, saying what to do; those of making a model. */
pm_status pmi_program_cache_get(pm_child_context *bench, const uint8_t job[PM_DIGEST_BYTES], pm_isa isa,
                                bool normalize_start, const pm_model **out, bool *was_kept, pm_error *err);
/* Drops a model that is not to be used again. */
void pmi_program_cache_forget(pm_program_cache *models, const pm_model *model);

#endif
