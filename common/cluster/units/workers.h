/* Who works: the workers that are alive, and waiting for one. */
#ifndef PM_UNITS_WORKERS_H
#define PM_UNITS_WORKERS_H

#include "units/producer.h"

/* Live workers and their slots. */
pm_status pmi_count_workers(pm_redis *r, size_t *workers, size_t *slots, pm_error *err);
/* The same; without any, waits for one at most PM_WORKER_WAIT (Redis may have been emptied), by the deadline. */
pm_status pmi_wait_for_workers(pm_producer *producer, size_t *workers, size_t *slots, pm_error *err);

#endif
