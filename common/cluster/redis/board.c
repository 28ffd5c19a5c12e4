/* Writing and reading messages of the board. */
#include "redis/board_impl.h"

#include <string.h>

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
    pm_status st = pmi_board_encode(r, key, type, message, &encoded, err);
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("SET"), key,         {encoded.bytes, encoded.size},
                                pmi_span_of("PX"),  PM_TTL(ttl), pmi_span_of("NX")};
        st = pmi_redis_queue(r, argv, only_new ? 6 : 5, err);
    }
    pmi_buffer_free(&encoded);
    return st;
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

void pmi_board_tell_bad(pm_redis *r, pm_span key, const char *what, const char *text) {
    uint64_t hash = hash_of(PM_TEXT(key));
    for (size_t i = 0; i < PM_REDIS_TOLD; i++) {
        if (r->told[i] == hash) {
            return;
        }
    }
    r->told[r->n_told++ % PM_REDIS_TOLD] = hash;
    pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: %s %s: %s", r->options.address, PM_TEXT(key), what, text);
}

static pm_status see_mended(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    pm_redis *r = ctx;
    (void)i;
    PM_TRY(pmi_redis_reply_status(r, reply, err));
    if (reply->type == REDIS_REPLY_STRING && reply->len > 0) {
        pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: of the wrong type, and made anew:%s", r->options.address,
                 reply->str);
    }
    return PM_OK;
}

pm_status pmi_board_send(pm_redis *r, pm_status st, pm_error *err) {
    if (st != PM_OK) {
        pmi_redis_abandon(r);
        return st;
    }
    return pmi_redis_flush(r, see_mended, r, err);
}

/* ---- reading ---- */

pm_status pmi_board_queue_get(pm_redis *r, pm_span key, pm_error *err) {
    return PM_QUEUE(r, err, pmi_span_of("GETRANGE"), key, pmi_span_of("0"), PM_COUNT(PM_REDIS_VALUE));
}

pm_status pmi_board_decode(const pm_redis *r, pm_span key, const redisReply *reply, const pm_message_type *type,
                           void *out, pm_message_memory *memory, bool *found, pm_error *err) {
    *found = false;
    pm_status st = pmi_redis_reply_status(r, reply, err);
    if (st == PM_OK && reply->type != REDIS_REPLY_STRING) {
        st = pmi_redis_unexpected(r, reply, "a string", err);
    } else if (st == PM_OK && reply->len > PM_REDIS_VALUE) {
        st = pmi_fail(err, PM_EDATA, "it has more than %zu bytes", PM_REDIS_VALUE);
    } else if (st == PM_OK && reply->len > 0) {
        st = pmi_sealed_decode(r->options.seal, key, type, (const uint8_t *)reply->str, reply->len, out, memory, err);
        *found = st == PM_OK;
    }
    return st == PM_EDATA ? pmi_fail_prefix(err, "Redis at %s: %s", r->options.address, PM_TEXT(key)) : st;
}

typedef struct read_one {
    const pm_redis *r;
    pm_span key;
    const pm_message_type *type;
    void *out;
    pm_stored *note;
} read_one;

/* What is decoded borrows from its bytes, so that they must outlive the reply. */
static pm_status see_one(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    read_one *one = ctx;
    pm_stored *note = one->note;
    redisReply copy = *reply;
    (void)i;
    if (reply->type == REDIS_REPLY_STRING) {
        PM_TRY(pmi_buffer_add(&note->bytes, reply->str, reply->len, err));
        copy.str = (char *)note->bytes.bytes;
    }
    return pmi_board_decode(one->r, one->key, &copy, one->type, one->out, &note->memory, &note->found, err);
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

pm_status pmi_board_digests(pm_redis *r, pm_span key, const redisReply *reply, pm_digest **digests, size_t *n,
                            pm_error *err) {
    *digests = NULL;
    *n = 0;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return pmi_redis_unexpected(r, reply, "an array", err);
    }
    pm_digest *list = pmi_malloc(reply->elements, sizeof *list);
    PM_TRY(list != NULL ? PM_OK : pmi_fail_memory(err, "a list from Redis", reply->elements * sizeof *list));
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

pm_status pmi_board_exist(pm_redis *r, const char *space, const pm_digest *digests, size_t n, bool *exist,
                          pm_error *err) {
    for (size_t first = 0; first < n; first += PM_BOARD_BATCH) {
        size_t end = n - first < PM_BOARD_BATCH ? n : first + PM_BOARD_BATCH;
        for (size_t i = first; i < end; i++) {
            PM_TRY(PM_QUEUE(r, err, pmi_span_of("EXISTS"), PM_KEY(r, space, digests[i])));
        }
        pm_redis_asked a = {.r = r, .exist = exist + first};
        PM_TRY(pmi_redis_flush(r, pmi_redis_see_existing, &a, err));
    }
    return PM_OK;
}
