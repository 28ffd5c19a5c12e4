/* A compute child: one unit at a time from its socket, until end of file. */
#ifndef PM_WORKER_CHILD_H
#define PM_WORKER_CHILD_H

#include "base/isa.h"
#include "redis/redis.h"
#include "worker/progress_page.h"

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

#endif
