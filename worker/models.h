/* Models of the jobs that a child evaluates: made from the manifest and the traces, the last few kept. */
#ifndef PM_WORKER_MODELS_H
#define PM_WORKER_MODELS_H

#include "model/model.h"
#include "worker/kinds.h"

#define PM_MODELS_KEPT 4

typedef struct pm_models pm_models;

/* Keeps models of `bytes` in all, and the newest one at any rate. Free with pm_models_free. */
pm_status pm_models_new(size_t bytes, pm_models **out, pm_error *err);
void pm_models_free(pm_models *models);

/* The model of a job, borrowed until the next call; *was_kept: from an earlier call. Waits out Redis. Errors: PM_EDATA
 * when the manifest or a trace is missing or altered, saying what to do; those of making a model. */
pm_status pm_models_get(pm_bench *bench, const uint8_t job[PM_DIGEST_BYTES], pm_isa isa, bool normalize_start,
                        const pm_model **out, bool *was_kept, pm_error *err);
/* Drops a model that is not to be used again. */
void pm_models_forget(pm_models *models, const pm_model *model);

#endif
