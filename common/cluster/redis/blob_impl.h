/* What the files of the blobs share: keys and layout. */
#ifndef PM_REDIS_BLOB_IMPL_H
#define PM_REDIS_BLOB_IMPL_H

#include "redis/blob.h"
#include "redis/redis_impl.h"
#include "wire/messages.h"

/* Chunks read, and written, in one round trip: enough that its time does not count, few enough for the memory of both
 * ends. */
#define PM_BLOB_READ_AHEAD 4
#define PM_BLOB_WRITE_AHEAD 2
/* No value is larger, whatever a damaged blob may say. */
#define PM_BLOB_MOST ((uint64_t)1 << 40)
/* A pipeline of small values is sent when it holds so many bytes or commands. */
#define PM_BLOB_BATCH_BYTES ((size_t)2 << 20)
#define PM_BLOB_BATCH 512

typedef struct pm_blob_key {
    char text[PM_REDIS_KEY];
    pm_span span;
} pm_blob_key;

void pmi_blob_key_of(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], pm_blob_key *out);
/* Chunk `i` of the value that has the digest `value`, under the key's hash tag. */
void pmi_blob_chunk_key_of(const pm_redis *r, const uint8_t digest[PM_DIGEST_BYTES],
                           const uint8_t value[PM_DIGEST_BYTES], uint64_t i, pm_blob_key *out);

/* Chunks of a value of `size` bytes: 0 when it stays inside. And the size of the i-th. */
uint64_t pmi_blob_n_chunks(uint64_t size);
size_t pmi_blob_chunk_size(uint64_t size, uint64_t i);

/* No Redis value of ours is larger. */
#define PM_BLOB_VALUE ((size_t)1 << 20)

/* Queues PEXPIRE and GETRANGE of a key: reading refreshes. (GETEX does both at once, but only since 6.2; both go in one
 * round trip.) At most `most` bytes and one more come, whatever somebody has put there. */
pm_status pmi_blob_queue_get(pm_redis *r, pm_span key, size_t most, double ttl, pm_error *err);
/* The reply to the first of the two: whether the key is there. */
pm_status pmi_blob_see_refresh(const pm_redis *r, const redisReply *reply, bool *is_there, pm_error *err);

/* A blob's place in Redis, and whether its key is there. */
typedef struct pm_blob_place {
    const char *space;
    const uint8_t *digest;
    bool is_there;
} pm_blob_place;

/* Opens what is stored there, from the reply to its GETRANGE. PM_BLOB_DAMAGED puts the reason into `why`; it stays
 * PM_BLOB_FOUND with chunks that are not looked at here. Errors: those of the reply, PM_EOSERR. */
pm_status pmi_blob_open(const pm_redis *r, const pm_blob_place *place, const redisReply *reply, size_t limit,
                        pm_blob_message *out, pm_message_memory *memory, pm_blob_found *found, pm_error *why,
                        pm_error *err);

/* The warning line about a damaged blob; and its removal, with its chunks. `blob` NULL: it did not decode, its chunks
 * run out by themselves. */
void pmi_blob_say_damaged(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES],
                          const pm_error *why);
pm_status pmi_blob_unlink(pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES],
                          const pm_blob_message *blob, pm_error *err);

#endif
