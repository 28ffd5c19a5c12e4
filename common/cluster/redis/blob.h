/* Values of any size in Redis, written once.
 *
 * A value is at "PREFIX:space:{hex}" as a phasemill.blob: with its bytes where they fit, else with a number of chunks
 * that are at "PREFIX:chunk:{hex}:<first 16 hex digits of the value's SHA-256>:<i>". No Redis value is over 1 MiB.
 * Chunks go first; SET NX of the blob is the commit point, so that a reader sees all or nothing. Chunk keys carry the
 * value's own digest: a second writer with other bytes cannot disturb the first. Every key has a TTL, set with the
 * value and refreshed on a hit; chunks live twice as long as their blob. Every read checks size and SHA-256. */
#ifndef PM_REDIS_BLOB_H
#define PM_REDIS_BLOB_H

#include "redis/redis.h"

#define PM_BLOB_PIECE ((size_t)1040384) /* bytes of a chunk, and the most that stays inside: 1 MiB less 8 KiB */

/* The most that is read of a trace, a manifest, or a unit behind a claim check. */
#define PM_BLOB_READ ((size_t)4 << 30)

typedef enum pm_blob_found { PM_BLOB_MISSING, PM_BLOB_FOUND, PM_BLOB_DAMAGED } pm_blob_found;

typedef enum pm_blob_put_how {
    PM_BLOB_STORED, /* it was not there */
    PM_BLOB_SAME,   /* the same bytes were there; their TTL is refreshed */
    PM_BLOB_DIFFERS /* other bytes were there, and stay; an error line says so: an alarm, for values are deterministic.
                       With `replace` they were replaced, and no line is written */
} pm_blob_put_how;

typedef struct pm_blob_item {
    pm_digest digest; /* of the key */
    const uint8_t *bytes;
    size_t size;
    pm_blob_put_how how; /* out */
} pm_blob_item;

/* Puts n values in as few round trips as their sizes allow, each from its own memory and a few megabytes more. Chunks
 * that are there already (of a writer that was interrupted) are not sent again. With `replace`, other bytes are
 * replaced, not kept (a job's manifest). Errors: those of pmi_redis_call; then any of the items may be there or not. */
pm_status pmi_blob_put(pm_redis *r, const char *space, pm_blob_item *items, size_t n, bool replace, pm_error *err);

/* Appends the value. PM_BLOB_DAMAGED: it was there and was refused (a warning line says why), and was removed. Values
 * over `limit` bytes are PM_BLOB_DAMAGED too. */
pm_status pmi_blob_get(pm_redis *r, const char *space, const pm_digest digest, size_t limit, pm_buffer *value,
                       pm_blob_found *found, pm_error *err);

/* The bytes of a value, as far as its blob tells; 0 when it is not there, or damaged. */
pm_status pmi_blob_size(pm_redis *r, const char *space, const pm_digest digest, uint64_t *size, pm_error *err);

/* Gets n values, small ones many at a time: `visit` sees each once, in any order; `value` is empty unless found. */
typedef pm_status (*pm_blob_visit)(void *ctx, size_t i, pm_blob_found found, pm_span value, pm_error *err);
pm_status pmi_blob_get_many(pm_redis *r, const char *space, const pm_digest *digests, size_t n, size_t limit,
                            pm_blob_visit visit, void *ctx, pm_error *err);

pm_status pmi_blob_remove(pm_redis *r, const char *space, const pm_digest digest, pm_error *err);

#endif
