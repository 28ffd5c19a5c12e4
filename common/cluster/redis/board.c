/* Writing and reading messages of the board. */
#include "redis/board_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

void pmi_stored_free(pm_stored *note) {
    pmi_buffer_free(&note->bytes);
    pmi_message_memory_free(&note->memory);
    *note = (pm_stored){0};
}

/* ---- writing ---- */

pm_status pmi_board_encode(const pm_redis *r, pm_span key, const pm_message_type *type, const void *message,
                           pm_buffer *out, pm_error *err) {
    size_t before = out->size;
    PM_TRY(pmi_sealed_encode(r->options.seal, key, type, message, out, err));
    if (out->size - before > PM_REDIS_VALUE) {
        return pmi_fail(err, PM_ESOFTWARE, "a %s of %zu bytes, expected at most %zu", type->name, out->size - before,
                        PM_REDIS_VALUE);
    }
    return PM_OK;
}

pm_status pmi_board_queue_set(pm_redis *r, pm_span key, const pm_message_type *type, const void *message, double ttl,
                              bool only_new, pm_error *err) {
    pm_buffer encoded = {0};
    pm_redis_ttl milliseconds;
    pmi_redis_ttl_of(ttl, &milliseconds);
    pm_status st = pmi_board_encode(r, key, type, message, &encoded, err);
    if (st == PM_OK) {
        const pm_span value = {encoded.bytes, encoded.size};
        const pm_span argv[] = {pmi_span_of("SET"), key, value, pmi_span_of("PX"), milliseconds.span,
                                pmi_span_of("NX")};
        st = pmi_redis_queue(r, argv, only_new ? 6 : 5, err);
    }
    pmi_buffer_free(&encoded);
    return st;
}

pm_status pmi_board_queue_expire(pm_redis *r, pm_span key, double ttl, pm_error *err) {
    pm_redis_ttl milliseconds;
    pmi_redis_ttl_of(ttl, &milliseconds);
    const pm_span argv[] = {pmi_span_of("PEXPIRE"), key, milliseconds.span};
    return pmi_redis_queue(r, argv, 3, err);
}

pm_status pmi_board_queue_unlink(pm_redis *r, const char *const *spaces, const uint8_t digest[PM_DIGEST_BYTES],
                                 pm_error *err) {
    for (size_t i = 0; spaces[i] != NULL; i++) {
        pm_redis_key key;
        pmi_redis_key_of(r, spaces[i], digest, &key);
        const pm_span argv[] = {pmi_span_of("UNLINK"), key.span};
        PM_TRY(pmi_redis_queue(r, argv, 2, err));
    }
    return PM_OK;
}

pm_status pmi_board_send(pm_redis *r, pm_status st, pm_error *err) {
    if (st != PM_OK) {
        pmi_redis_abandon(r);
        return st;
    }
    return pmi_redis_flush(r, NULL, NULL, err);
}

/* ---- bad values ---- */

/* FNV-1a; never 0. */
static uint64_t hash_of(const char *text) {
    uint64_t hash = 14695981039346656037u;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    }
    return hash | 1;
}

void pmi_board_tell_bad(pm_redis *r, const char *key, const char *what, const char *text) {
    uint64_t hash = hash_of(key);
    for (size_t i = 0; i < PM_REDIS_TOLD; i++) {
        if (r->told[i] == hash) {
            return;
        }
    }
    r->told[r->n_told++ % PM_REDIS_TOLD] = hash;
    pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: %s %s: %s", r->options.address, key, what, text);
}

pm_status pmi_board_see_mended(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    pm_redis *r = ctx;
    (void)i;
    PM_TRY(pmi_redis_reply_status(r, reply, err));
    if (reply->type == REDIS_REPLY_STRING && reply->len > 0) {
        pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: of the wrong type, and made anew:%s", r->options.address,
                 reply->str);
    }
    return PM_OK;
}

/* ---- reading ---- */

pm_status pmi_board_queue_get(pm_redis *r, pm_span key, pm_error *err) {
    char last[24];
    (void)snprintf(last, sizeof last, "%zu", PM_REDIS_VALUE);
    const pm_span argv[] = {pmi_span_of("GETRANGE"), key, pmi_span_of("0"), pmi_span_of(last)};
    return pmi_redis_queue(r, argv, 4, err);
}

static pm_status decode(const pm_redis *r, const char *key, const redisReply *reply, const pm_message_type *type,
                        void *out, pm_message_memory *memory, pm_error *err) {
    if (reply->len > PM_REDIS_VALUE) {
        return pmi_fail(err, PM_EDATA, "it has more than %zu bytes", PM_REDIS_VALUE);
    }
    return pmi_sealed_decode(r->options.seal, pmi_span_of(key), type, (const uint8_t *)reply->str, reply->len, out,
                             memory, err);
}

pm_status pmi_board_decode(const pm_redis *r, const char *key, const redisReply *reply, const pm_message_type *type,
                           void *out, pm_message_memory *memory, bool *found, pm_error *err) {
    *found = false;
    pm_status st = pmi_redis_reply_status(r, reply, err);
    if (st == PM_OK && reply->type != REDIS_REPLY_STRING) {
        st = pmi_redis_unexpected(r, reply, "a string", err);
    }
    if (st == PM_OK && reply->len == 0) {
        return PM_OK;
    }
    if (st == PM_OK) {
        st = decode(r, key, reply, type, out, memory, err);
        *found = st == PM_OK;
    }
    return st == PM_EDATA ? pmi_fail_prefix(err, "Redis at %s: %s", r->options.address, key) : st;
}

/* What is decoded borrows from its bytes, so that they must outlive the reply. */
static pm_status see_note(const pm_redis *r, pm_span key, const pm_message_type *type, void *out,
                          const redisReply *reply, pm_stored *note, pm_error *err) {
    redisReply copy = *reply;
    if (reply->type == REDIS_REPLY_STRING) {
        PM_TRY(pmi_buffer_add(&note->bytes, reply->str, reply->len, err));
        copy.str = (char *)note->bytes.bytes;
    }
    return pmi_board_decode(r, (const char *)key.bytes, &copy, type, out, &note->memory, &note->found, err);
}

typedef struct read_one {
    const pm_redis *r;
    pm_span key;
    const pm_message_type *type;
    void *out;
    pm_stored *note;
} read_one;

static pm_status see_one(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    read_one *one = ctx;
    (void)i;
    return see_note(one->r, one->key, one->type, one->out, reply, one->note, err);
}

pm_status pmi_board_read(pm_redis *r, pm_span key, const pm_message_type *type, void *out, pm_stored *note,
                         pm_error *err) {
    pmi_stored_free(note);
    read_one one = {.r = r, .key = key, .type = type, .out = out, .note = note};
    pm_status st = pmi_board_queue_get(r, key, err);
    PM_THEN(st, pmi_redis_flush(r, see_one, &one, err));
    if (st != PM_OK) {
        pmi_stored_free(note);
    }
    return st;
}

pm_status pmi_board_digests(pm_redis *r, const char *key, const redisReply *reply, uint8_t (**digests)[PM_DIGEST_BYTES],
                            size_t *n, pm_error *err) {
    *digests = NULL;
    *n = 0;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return pmi_redis_unexpected(r, reply, "an array", err);
    }
    uint8_t(*list)[PM_DIGEST_BYTES] = pmi_malloc(reply->elements, sizeof *list);
    if (list == NULL) {
        return pmi_fail_memory(err, "a list from Redis", reply->elements * sizeof *list);
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *member = reply->element[i];
        if (member->type == REDIS_REPLY_STRING && member->len == PM_DIGEST_BYTES) {
            memcpy(list[(*n)++], member->str, PM_DIGEST_BYTES);
        } else {
            pmi_board_tell_bad(r, key, "has a member that is left out", "it is no id of 32 bytes");
        }
    }
    *digests = list;
    return PM_OK;
}

/* ---- what is there ---- */

pm_status pmi_board_exist(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                          bool *exist, pm_error *err) {
    for (size_t first = 0; first < n; first += PM_BOARD_BATCH) {
        size_t end = n - first < PM_BOARD_BATCH ? n : first + PM_BOARD_BATCH;
        for (size_t i = first; i < end; i++) {
            pm_redis_key key;
            pmi_redis_key_of(r, space, digests[i], &key);
            const pm_span argv[] = {pmi_span_of("EXISTS"), key.span};
            PM_TRY(pmi_redis_queue(r, argv, 2, err));
        }
        pm_redis_asked a = {.r = r, .exist = exist + first};
        PM_TRY(pmi_redis_flush(r, pmi_redis_see_existing, &a, err));
    }
    return PM_OK;
}
