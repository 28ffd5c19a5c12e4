/* Writing and reading messages of the board. */
#include "store/board_impl.h"

#include <string.h>

#include "base/mem.h"

void pm_note_free(pm_note *note) {
    pm_buffer_free(&note->bytes);
    pm_message_memory_free(&note->memory);
    *note = (pm_note){0};
}

void pm_board_key_of(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], pm_board_key *out) {
    out->span = pm_redis_key(r, space, digest, out->text);
}

void pm_board_plain_key(const pm_redis *r, const char *name, pm_board_key *out) {
    out->span = pm_redis_plain_key(r, name, out->text);
}

/* ---- writing ---- */

pm_status pm_board_queue_set(pm_redis *r, pm_span key, const pm_message_type *type, const void *message, double ttl,
                             bool only_new, pm_error *err) {
    pm_buffer encoded = {0};
    pm_redis_ttl milliseconds;
    pm_redis_ttl_of(ttl, &milliseconds);
    pm_status st = pm_message_encode(type, message, &encoded, err);
    if (st == PM_OK && encoded.size > PM_BOARD_VALUE) {
        st = pm_fail(err, PM_ESOFTWARE, "a %s of %zu bytes, expected at most %zu", type->name, encoded.size,
                     PM_BOARD_VALUE);
    }
    if (st == PM_OK) {
        const pm_span value = {encoded.bytes, encoded.size};
        const pm_span argv[] = {pm_span_of("SET"), key, value, pm_span_of("PX"), milliseconds.span, pm_span_of("NX")};
        st = pm_redis_queue(r, argv, only_new ? 6 : 5, err);
    }
    pm_buffer_free(&encoded);
    return st;
}

pm_status pm_board_queue_expire(pm_redis *r, pm_span key, double ttl, pm_error *err) {
    pm_redis_ttl milliseconds;
    pm_redis_ttl_of(ttl, &milliseconds);
    const pm_span argv[] = {pm_span_of("PEXPIRE"), key, milliseconds.span};
    return pm_redis_queue(r, argv, 3, err);
}

pm_status pm_board_queue_unlink(pm_redis *r, const char *const *spaces, const uint8_t digest[PM_DIGEST_BYTES],
                                pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && spaces[i] != NULL; i++) {
        pm_board_key key;
        pm_board_key_of(r, spaces[i], digest, &key);
        const pm_span argv[] = {pm_span_of("UNLINK"), key.span};
        st = pm_redis_queue(r, argv, 2, err);
    }
    return st;
}

pm_status pm_board_send(pm_redis *r, pm_status st, pm_error *err) {
    if (st != PM_OK) {
        pm_redis_abandon(r);
        return st;
    }
    return pm_redis_flush(r, NULL, NULL, err);
}

/* ---- reading ---- */

pm_status pm_board_decode(const pm_redis *r, const char *key, const redisReply *reply, const pm_message_type *type,
                          void *out, pm_message_memory *memory, bool *found, pm_error *err) {
    *found = false;
    pm_status st = pm_redis_reply_status(r, reply, err);
    if (st != PM_OK || reply->type == REDIS_REPLY_NIL) {
        return st;
    }
    if (reply->type != REDIS_REPLY_STRING) {
        return pm_redis_unexpected(r, reply, "a string", err);
    }
    st = pm_message_decode(type, (const uint8_t *)reply->str, reply->len, out, memory, err);
    if (st != PM_OK) {
        (void)pm_fail_prefix(err, "Redis at %s: %s", r->options.address, key);
        return st;
    }
    *found = true;
    return PM_OK;
}

pm_status pm_board_read(pm_redis *r, pm_span key, const pm_message_type *type, void *out, pm_note *note,
                        pm_error *err) {
    const pm_span argv[] = {pm_span_of("GET"), key};
    redisReply *reply = NULL;
    pm_note_free(note);
    pm_status st = pm_redis_call(r, argv, 2, &reply, err);
    if (st == PM_OK && reply->type == REDIS_REPLY_STRING) {
        /* what is decoded borrows from its bytes, so that they must outlive the reply */
        st = pm_buffer_add(&note->bytes, reply->str, reply->len, err);
        redisReply copy = {.type = REDIS_REPLY_STRING, .str = (char *)note->bytes.bytes, .len = note->bytes.size};
        if (st == PM_OK) {
            st = pm_board_decode(r, (const char *)key.bytes, &copy, type, out, &note->memory, &note->found, err);
        }
    } else if (st == PM_OK && reply->type != REDIS_REPLY_NIL) {
        st = pm_redis_unexpected(r, reply, "a string", err);
    }
    freeReplyObject(reply);
    if (st != PM_OK) {
        pm_note_free(note);
    }
    return st;
}

pm_status pm_board_digests(const pm_redis *r, const char *key, const redisReply *reply,
                           uint8_t (**digests)[PM_DIGEST_BYTES], size_t *n, pm_error *err) {
    *digests = NULL;
    *n = 0;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return pm_redis_unexpected(r, reply, "an array", err);
    }
    uint8_t(*list)[PM_DIGEST_BYTES] = pm_malloc(reply->elements, sizeof *list);
    if (list == NULL) {
        return pm_fail_memory(err, "a list from Redis", reply->elements * sizeof *list);
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *member = reply->element[i];
        if (member->type != REDIS_REPLY_STRING || member->len != PM_DIGEST_BYTES) {
            free(list);
            return pm_fail(err, PM_EDATA, "Redis at %s: %s: member %zu has %zu bytes, expected %d", r->options.address,
                           key, i, member->len, PM_DIGEST_BYTES);
        }
        memcpy(list[i], member->str, PM_DIGEST_BYTES);
    }
    *digests = list;
    *n = reply->elements;
    return PM_OK;
}

/* ---- what is there ---- */

pm_status pm_board_exist(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                         bool *exist, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t first = 0; st == PM_OK && first < n; first += PM_BOARD_BATCH) {
        size_t end = n - first < PM_BOARD_BATCH ? n : first + PM_BOARD_BATCH;
        for (size_t i = first; st == PM_OK && i < end; i++) {
            pm_board_key key;
            pm_board_key_of(r, space, digests[i], &key);
            const pm_span argv[] = {pm_span_of("EXISTS"), key.span};
            st = pm_redis_queue(r, argv, 2, err);
        }
        if (st == PM_OK) {
            pm_redis_asked a = {.r = r, .exist = exist + first};
            st = pm_redis_flush(r, pm_redis_see_existing, &a, err);
        }
    }
    return st;
}
