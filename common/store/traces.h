/* Traces near and far: the disk cache in front of Redis, as one pm_trace_cache. */
#ifndef PM_STORE_TRACES_H
#define PM_STORE_TRACES_H

#include "store/blob.h"
#include "store/disk.h"
#include "trace/library.h"

#define PM_SPACE_TRACE "trace"
#define PM_SPACE_RESULT "result"
#define PM_SPACE_BLOB "blob"
#define PM_SPACE_MANIFEST "manifest"

/* The disk cache alone, as the library sees it. */
pm_trace_cache pm_disk_traces(pm_disk *disk);

/* Both: `get` looks on disk (NULL: there is none), then in Redis, and keeps on disk what came from there; `put` writes
 * Redis, then disk (a failure of the disk is a warning); `remove` removes from both. Redis away is an error of the
 * call: retry with base/retry.h. `warm` fetches many at once. */
typedef struct pm_traces {
    pm_redis *redis;
    pm_disk *disk;
    const pm_log *log;
    struct pm_traces_held *held; /* fetched by warm, not yet asked for */
} pm_traces;
pm_trace_cache pm_traces_cache(pm_traces *traces);

/* Fetches those of n keys that the disk does not have from Redis, many in one round trip, for later `get`. */
pm_status pm_traces_warm(pm_traces *traces, const uint8_t (*keys)[PM_DIGEST_BYTES], size_t n, pm_error *err);
void pm_traces_close(pm_traces *traces); /* frees what is held; the handles stay the caller's */

/* Which of n keys Redis has. Those that only the disk has are uploaded and count as known. */
pm_status pm_traces_known(pm_traces *traces, const uint8_t (*keys)[PM_DIGEST_BYTES], size_t n, bool *known,
                          size_t *uploaded, pm_error *err);

#endif
