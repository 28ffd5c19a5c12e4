/* What the files of the board share. */
#ifndef PM_STORE_BOARD_IMPL_H
#define PM_STORE_BOARD_IMPL_H

#include "store/board.h"
#include "store/redis_impl.h"

/* Commands sent together; a pipeline of records is some hundred kilobytes. */
#define PM_BOARD_BATCH 512
/* No Redis value is larger. */
#define PM_BOARD_VALUE ((size_t)1 << 20)

typedef struct pm_board_key {
    char text[PM_REDIS_KEY];
    pm_span span;
} pm_board_key;

void pm_board_key_of(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], pm_board_key *out);
void pm_board_plain_key(const pm_redis *r, const char *name, pm_board_key *out);

/* Queues SET of an encoded message, with NX where only the first is to stay. */
pm_status pm_board_queue_set(pm_redis *r, pm_span key, const pm_message_type *type, const void *message, double ttl,
                             bool only_new, pm_error *err);
pm_status pm_board_queue_expire(pm_redis *r, pm_span key, double ttl, pm_error *err);
/* Queues UNLINK of the key of each space, of which NULL ends the list. */
pm_status pm_board_queue_unlink(pm_redis *r, const char *const *spaces, const uint8_t digest[PM_DIGEST_BYTES],
                                pm_error *err);
/* Sends what is queued unless `st` is a failure already; then it is abandoned. No reply may be an error. */
pm_status pm_board_send(pm_redis *r, pm_status st, pm_error *err);

/* A message from the reply to GET of `key`; *found is false for nil. It borrows from the reply and from `memory`. */
pm_status pm_board_decode(const pm_redis *r, const char *key, const redisReply *reply, const pm_message_type *type,
                          void *out, pm_message_memory *memory, bool *found, pm_error *err);
/* GET of one key; the message borrows from `note`. */
pm_status pm_board_read(pm_redis *r, pm_span key, const pm_message_type *type, void *out, pm_note *note, pm_error *err);

/* The members of SMEMBERS or ZREVRANGE as digests; *digests is freed with free(). Errors: PM_EDATA for one of another
 * size, naming `key`. */
pm_status pm_board_digests(const pm_redis *r, const char *key, const redisReply *reply,
                           uint8_t (**digests)[PM_DIGEST_BYTES], size_t *n, pm_error *err);
/* The units that are listed under a job. */
pm_status pm_board_list_units(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], uint8_t (**units)[PM_DIGEST_BYTES],
                              size_t *n, pm_error *err);
/* EXISTS of "PREFIX:space:{digest}" for each of n. */
pm_status pm_board_exist(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                         bool *exist, pm_error *err);

#endif
