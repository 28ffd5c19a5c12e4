/* What workers need of a job to evaluate it, put back where Redis has lost it. */
#ifndef PM_COLLECTOR_RESTORE_H
#define PM_COLLECTOR_RESTORE_H

#include "model/model.h"
#include "units/send.h"

/* Sees that manifest and traces of the model's job are in Redis (which refreshes their TTL), and puts back what is not:
 * a model has them all. *n_restored: how many. Waits out Redis. `manifest`: encoded (redis/manifest.h). */
pm_status pmi_restore_job(pm_producer *p, const pm_model *model, const pm_buffer *manifest, size_t *n_restored,
                          pm_error *err);

#endif
