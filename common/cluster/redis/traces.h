/* Traces near and far: the disk cache in front of Redis, as one pm_trace_cache. */
#ifndef PM_REDIS_TRACES_H
#define PM_REDIS_TRACES_H

#include "cache/disk.h"
#include "redis/blob.h"

#define PM_SPACE_TRACE "trace"
#define PM_SPACE_RESULT "result"
#define PM_SPACE_BLOB "blob"
#define PM_SPACE_MANIFEST "manifest"

/* `get` looks on disk (NULL: none), then in Redis; `put` and `remove` do both. What came from Redis goes on disk once
 * it has shown itself to fit: when the next one is asked for, or at pmi_traces_settle. A failing disk is one warning
 * line until it works again. Redis away is an error of the call: retry with base/retry.h. */
typedef struct pm_traces {
    pm_redis *redis;
    pm_disk *disk;
    const pm_log *log;
    bool is_disk_failing[2];       /* reading, writing: said so */
    void *held;                    /* fetched by warm, not yet asked for: a tree of search.h */
    struct pm_traces_given *given; /* from Redis, not yet on disk */
} pm_traces;
pm_trace_cache pmi_traces_cache(pm_traces *traces);

/* Holds those of n keys that are on disk or in Redis for later `get`s, each of which takes its trace out. */
pm_status pmi_traces_warm(pm_traces *traces, const pm_digest *keys, size_t n, pm_error *err);
/* The caller is done with what it asked for: the last trace fitted as well, or is not known to. */
void pmi_traces_settle(pm_traces *traces, bool is_fit);
void pmi_traces_close(pm_traces *traces); /* frees what is held; the handles stay the caller's */

/* Which of n keys Redis has. Those that only the disk has are decoded, uploaded and count as known; one that does not
 * decode is removed from the disk, with an error line, and does not. `uploaded` (may be NULL) counts them. */
pm_status pmi_traces_known(pm_traces *traces, const pm_digest *keys, size_t n, bool *known, size_t *uploaded,
                           pm_error *err);

/* The keys of a job's traces, in the order of the classes; free(). */
pm_status pmi_trace_keys(const pm_classes *classes, pm_digest **keys, pm_error *err);

#endif
