/* Keys and layout of blobs; removing and asking after them. Reading is in blob_get.c, writing in blob_put.c. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "redis/blob_impl.h"

void pmi_blob_key_of(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], pm_blob_key *out) {
    out->span = pmi_redis_key(r, space, digest, out->text);
}

void pmi_blob_chunk_key_of(const pm_redis *r, const uint8_t digest[PM_DIGEST_BYTES],
                           const uint8_t value[PM_DIGEST_BYTES], uint64_t i, pm_blob_key *out) {
    char hex[PM_DIGEST_HEX];
    size_t used = pmi_redis_key(r, "chunk", digest, out->text).size;
    pmi_hex(value, hex);
    (void)snprintf(out->text + used, sizeof out->text - used, ":%.16s:%llu", hex, (unsigned long long)i);
    out->span = pmi_span_of(out->text);
}

uint64_t pmi_blob_n_chunks(uint64_t size) {
    return size <= PM_BLOB_PIECE ? 0 : (size - 1) / PM_BLOB_PIECE + 1;
}

size_t pmi_blob_chunk_size(uint64_t size, uint64_t i) {
    uint64_t left = size - i * PM_BLOB_PIECE;
    return left < PM_BLOB_PIECE ? (size_t)left : PM_BLOB_PIECE;
}

pm_status pmi_blob_queue_get(pm_redis *r, pm_span key, size_t most, double ttl, pm_error *err) {
    pm_redis_ttl milliseconds;
    char last[24];
    pmi_redis_ttl_of(ttl, &milliseconds);
    (void)snprintf(last, sizeof last, "%zu", most);
    const pm_span refresh[] = {pmi_span_of("PEXPIRE"), key, milliseconds.span};
    const pm_span get[] = {pmi_span_of("GETRANGE"), key, pmi_span_of("0"), pmi_span_of(last)};
    PM_TRY(pmi_redis_queue(r, refresh, 3, err));
    return pmi_redis_queue(r, get, 4, err);
}

pm_status pmi_blob_see_refresh(const pm_redis *r, const redisReply *reply, bool *is_there, pm_error *err) {
    *is_there = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return pmi_redis_reply_status(r, reply, err);
}

/* ---- looking into a blob ---- */

static pm_status check_blob(const pm_blob_message *blob, size_t limit, pm_error *why) {
    uint8_t digest[PM_DIGEST_BYTES];
    if (blob->size > limit || blob->size > PM_BLOB_MOST) {
        return pmi_fail(why, PM_EDATA, "it has %llu bytes, expected at most %llu", (unsigned long long)blob->size,
                        (unsigned long long)(limit < PM_BLOB_MOST ? limit : PM_BLOB_MOST));
    }
    if (blob->chunks != pmi_blob_n_chunks(blob->size)) {
        return pmi_fail(why, PM_EDATA, "%llu bytes in %llu chunks, expected %llu", (unsigned long long)blob->size,
                        (unsigned long long)blob->chunks, (unsigned long long)pmi_blob_n_chunks(blob->size));
    }
    uint64_t inside = blob->chunks == 0 ? blob->size : 0;
    if (blob->bytes.size != inside) {
        return pmi_fail(why, PM_EDATA, "it holds %zu bytes, expected %llu", blob->bytes.size,
                        (unsigned long long)inside);
    }
    if (blob->chunks > 0) {
        return PM_OK;
    }
    PM_TRY(pmi_digest(PM_SHA256, blob->bytes.bytes, blob->bytes.size, digest, why));
    if (memcmp(digest, blob->digest, sizeof digest) != 0) {
        return pmi_fail(why, PM_EDATA, "its bytes do not have its SHA-256");
    }
    return PM_OK;
}

pm_status pmi_blob_open(const pm_redis *r, const pm_blob_place *place, const redisReply *reply, size_t limit,
                        pm_blob_message *out, pm_message_memory *memory, pm_blob_found *found, pm_error *why,
                        pm_error *err) {
    *found = PM_BLOB_MISSING;
    if (reply->type == REDIS_REPLY_STRING && reply->len == 0 && !place->is_there) {
        return PM_OK;
    }
    *found = PM_BLOB_DAMAGED;
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0) {
        (void)pmi_fail(why, PM_EDATA, "it is no string");
        return PM_OK;
    }
    pm_status st = pmi_redis_reply_status(r, reply, err);
    if (st != PM_OK || reply->type != REDIS_REPLY_STRING) {
        return st != PM_OK ? st : pmi_redis_unexpected(r, reply, "a string", err);
    }
    if (reply->len > PM_BLOB_VALUE) {
        (void)pmi_fail(why, PM_EDATA, "it has more than %zu bytes", PM_BLOB_VALUE);
        return PM_OK;
    }
    pm_blob_key key;
    pmi_blob_key_of(r, place->space, place->digest, &key);
    st = pmi_sealed_decode(r->options.seal, key.span, &pmi_blob_type, (const uint8_t *)reply->str, reply->len, out,
                           memory, why);
    if (st == PM_OK) {
        st = check_blob(out, limit, why);
        if (st != PM_OK) {
            pmi_message_memory_free(memory);
        }
    }
    if (st == PM_OK) {
        *found = PM_BLOB_FOUND;
    } else if (st != PM_EDATA) {
        return why->code == st ? pmi_fail(err, st, "%s", why->text) : st;
    }
    return PM_OK;
}

/* ---- removing ---- */

static pm_status queue_unlink(pm_redis *r, pm_span key, pm_error *err) {
    const pm_span argv[] = {pmi_span_of("UNLINK"), key};
    return pmi_redis_queue(r, argv, 2, err);
}

static pm_status queue_unlink_chunks(pm_redis *r, const uint8_t digest[PM_DIGEST_BYTES], const pm_blob_message *blob,
                                     pm_error *err) {
    for (uint64_t i = 0; i < blob->chunks; i++) {
        pm_blob_key key;
        pmi_blob_chunk_key_of(r, digest, blob->digest, i, &key);
        PM_TRY(queue_unlink(r, key.span, err));
        if ((i + 1) % PM_BLOB_BATCH == 0) {
            PM_TRY(pmi_redis_flush(r, NULL, NULL, err));
        }
    }
    return PM_OK;
}

/* The blob first, so that nobody finds it with half of its chunks. */
pm_status pmi_blob_unlink(pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES],
                          const pm_blob_message *blob, pm_error *err) {
    pm_blob_key key;
    pmi_blob_key_of(r, space, digest, &key);
    PM_TRY(queue_unlink(r, key.span, err));
    if (blob != NULL) {
        PM_TRY(queue_unlink_chunks(r, digest, blob, err));
    }
    return pmi_redis_flush(r, NULL, NULL, err);
}

void pmi_blob_say_damaged(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES],
                          const pm_error *why) {
    pm_blob_key key;
    pmi_blob_key_of(r, space, digest, &key);
    pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: %s is damaged and is removed: %s", r->options.address, key.text,
             why->text);
}

typedef struct glance {
    const pm_redis *r;
    pm_blob_place place;
    pm_blob_message blob; /* borrows nothing that is used */
    pm_blob_found found;
} glance;

static pm_status see_blob(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    glance *g = ctx;
    pm_message_memory memory = {0};
    pm_error why;
    if (i == 0) {
        return pmi_blob_see_refresh(g->r, reply, &g->place.is_there, err);
    }
    pm_status st = pmi_blob_open(g->r, &g->place, reply, SIZE_MAX, &g->blob, &memory, &g->found, &why, err);
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status look_at(pm_redis *r, const char *space, const uint8_t *digest, glance *g, pm_error *err) {
    pm_blob_key key;
    *g = (glance){.r = r, .place = {.space = space, .digest = digest}};
    pmi_blob_key_of(r, space, digest, &key);
    PM_TRY(pmi_blob_queue_get(r, key.span, PM_BLOB_VALUE, r->options.ttl, err));
    return pmi_redis_flush(r, see_blob, g, err);
}

pm_status pmi_blob_size(pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], uint64_t *size,
                        pm_error *err) {
    glance g;
    pm_status st = look_at(r, space, digest, &g, err);
    *size = st == PM_OK && g.found == PM_BLOB_FOUND ? g.blob.size : 0;
    return st;
}

pm_status pmi_blob_remove(pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    glance g;
    pm_status st = look_at(r, space, digest, &g, err);
    if (st != PM_OK || g.found == PM_BLOB_MISSING) {
        return st;
    }
    return pmi_blob_unlink(r, space, digest, g.found == PM_BLOB_FOUND ? &g.blob : NULL, err);
}

/* ---- asking ---- */

static pm_status ask(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                     const pm_redis_ttl *ttl, bool *exist, pm_error *err) {
    for (size_t first = 0; first < n; first += PM_BLOB_BATCH) {
        size_t end = n - first < PM_BLOB_BATCH ? n : first + PM_BLOB_BATCH;
        for (size_t i = first; i < end; i++) {
            pm_blob_key key;
            pmi_blob_key_of(r, space, digests[i], &key);
            const pm_span argv[] = {pmi_span_of(ttl != NULL ? "PEXPIRE" : "EXISTS"), key.span,
                                    ttl != NULL ? ttl->span : (pm_span){0}};
            PM_TRY(pmi_redis_queue(r, argv, ttl != NULL ? 3 : 2, err));
        }
        pm_redis_asked a = {.r = r, .exist = exist + first};
        PM_TRY(pmi_redis_flush(r, pmi_redis_see_existing, &a, err));
    }
    return PM_OK;
}

pm_status pmi_blob_exist(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                         bool *exist, pm_error *err) {
    pm_redis_ttl ttl;
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    return ask(r, space, digests, n, &ttl, exist, err);
}

pm_status pmi_blob_look(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                        bool *exist, pm_error *err) {
    return ask(r, space, digests, n, NULL, exist, err);
}
