/* Traces near and far: the disk cache in front of Redis, as one pm_trace_cache. */
#ifndef PM_REDIS_TRACES_H
#define PM_REDIS_TRACES_H

#include "cache/disk.h"
#include "redis/blob.h"

#define PM_SPACE_TRACE "trace"
#define PM_SPACE_RESULT "result"
#define PM_SPACE_BLOB "blob"
#define PM_SPACE_MANIFEST "manifest"

/* Both: `get` looks on disk (NULL: there is none), then in Redis; `put` writes Redis, then disk; `remove` removes from
 * both. What came from Redis goes on disk once it has shown itself to fit: when the next trace is asked for and this
 * one was not removed, or at pmi_traces_settle. A failure of the disk is one warning line until it works again: Redis
 * is what counts. Redis away is an error of the call: retry with base/retry.h. `warm` fetches many at once. */
typedef struct pm_traces {
    pm_redis *redis;
    pm_disk *disk;
    const pm_log *log;
    bool is_disk_failing[2];       /* reading, writing: said so */
    struct pm_traces_held *held;   /* fetched by warm, not yet asked for */
    struct pm_traces_given *given; /* from Redis, not yet on disk */
} pm_traces;
pm_trace_cache pmi_traces_cache(pm_traces *traces);

/* Holds those of n keys that are on disk or in Redis for later `get`s, each of which takes its trace out: many in one
 * round trip, many in one transaction of the disk. What is in neither place is not held. */
pm_status pmi_traces_warm(pm_traces *traces, const uint8_t (*keys)[PM_DIGEST_BYTES], size_t n, pm_error *err);
/* The caller is done with what it asked for: the last trace fitted as well, or is not known to. */
void pmi_traces_settle(pm_traces *traces, bool is_fit);
void pmi_traces_close(pm_traces *traces); /* frees what is held; the handles stay the caller's */

/* Which of n keys Redis has. Those that only the disk has are decoded, uploaded and count as known; one that does not
 * decode is removed from the disk, with an error line, and does not. `uploaded` (may be NULL) counts them. */
pm_status pmi_traces_known(pm_traces *traces, const uint8_t (*keys)[PM_DIGEST_BYTES], size_t n, bool *known,
                           size_t *uploaded, pm_error *err);

#endif
