/* The worker: takes units, has them computed in children, stores what came of them, and forgets everything. */
#ifndef PM_WORKER_WORKER_H
#define PM_WORKER_WORKER_H

#include "kafka/kafka.h"
#include "redis/redis.h"

typedef struct pm_worker_options {
    const pm_kafka_options *kafka;
    const pm_redis_options *redis;
    const char *id; /* "HOST-PID-XXXX" */
    size_t slots;
    size_t attempts;     /* faults of one unit until it is a dead letter */
    size_t unit_memory;  /* bytes */
    double unit_seconds; /* of compute */
    double drain_seconds;
    double idle_seconds; /* ends after so long without a unit; 0: never */
    size_t max_units;    /* ends after so many; 0: never */
    /* Ends the process, not returning: called from another thread when the worker should have ended and did not. */
    void (*end)(void *ctx, pm_status code, const char *why);
    void *ctx;
    const char *cache_dir; /* NULL: no disk cache */
    size_t cache_limit;
    const char *isa;
    const pm_log *log;
} pm_worker_options;

/* Runs until SIGTERM or SIGINT (drains until the deadline; a second signal kills what runs, a third ends the process at
 * once), max_units or idle_seconds; two seconds after the deadline `end` is called. Forks the spawner first: no thread,
 * no OpenMP region, no connection may exist. Errors: PM_EPERMISSION, PM_ECONFIG, PM_EUSAGE, PM_ESOFTWARE. */
pm_status pmi_worker_run(const pm_worker_options *options, pm_error *err);

#endif
