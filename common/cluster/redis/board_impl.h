/* What the files of the board share. */
#ifndef PM_REDIS_BOARD_IMPL_H
#define PM_REDIS_BOARD_IMPL_H

#include "redis/board.h"
#include "redis/redis_impl.h"

/* Commands sent together; a pipeline of records is some hundred kilobytes. */
#define PM_BOARD_BATCH 512

/* Appends a message as it is stored under `key`. */
pm_status pmi_board_encode(const pm_redis *r, pm_span key, const pm_message_type *type, const void *message,
                           pm_buffer *out, pm_error *err);
/* Queues SET of an encoded message, with NX where only the first is to stay. */
pm_status pmi_board_queue_set(pm_redis *r, pm_span key, const pm_message_type *type, const void *message, double ttl,
                              bool only_new, pm_error *err);
/* Sends what is queued unless `st` is a failure already; then it is abandoned. No reply may be an error; a text is of a
 * script that mends: the keys of the wrong type that it removed, which a warning line names. */
pm_status pmi_board_send(pm_redis *r, pm_status st, pm_error *err);

/* A warning line about a bad value at a key, once for each key and connection: looks are repeated. */
void pmi_board_tell_bad(pm_redis *r, pm_span key, const char *what, const char *text);

/* The beginning of a script: add(key, field, n) counts in a hash of counts; mend(i, type) removes what stands at
 * KEYS[i] and is of another type (these keys are lists and counts that can be made anew). The script returns `mended`.
 * The first write of a script should be one that a full server refuses: after any other it refuses none. */
#define PM_BOARD_MENDING                                                                                               \
    "local mended = '' "                                                                                               \
    "local function mend(i, type) local is = redis.call('TYPE', KEYS[i]).ok "                                          \
    "if is ~= type and is ~= 'none' then redis.call('UNLINK', KEYS[i]) mended = mended .. ' ' .. KEYS[i] end end "     \
    "local function add(key, field, n) local reply = redis.pcall('HINCRBY', key, field, n) "                           \
    "if type(reply) == 'table' and reply.err then redis.call('HSET', key, field, 0) end end "

/* GETRANGE of as much as a value of ours may have, and one byte more: whatever somebody has put there. */
pm_status pmi_board_queue_get(pm_redis *r, pm_span key, pm_error *err);

/* A message from the reply to GETRANGE of `key`; *found is false for nothing. It borrows from reply and `memory`. */
pm_status pmi_board_decode(const pm_redis *r, pm_span key, const redisReply *reply, const pm_message_type *type,
                           void *out, pm_message_memory *memory, bool *found, pm_error *err);
/* The value of one key; the message borrows from `note`. */
pm_status pmi_board_read(pm_redis *r, pm_span key, const pm_message_type *type, void *out, pm_stored *note,
                         pm_error *err);

/* The members of a set as digests; free(*digests). One of another size is a warning line that names `key`. */
pm_status pmi_board_digests(pm_redis *r, pm_span key, const redisReply *reply, pm_digest **digests, size_t *n,
                            pm_error *err);
/* A field of a hash of counts: digits, or nil for none. */
bool pmi_board_count(const redisReply *field, uint64_t *out);
/* EXISTS of "PREFIX:space:{digest}" for each of n. */
pm_status pmi_board_exist(pm_redis *r, const char *space, const pm_digest *digests, size_t n, bool *exist,
                          pm_error *err);

#endif
