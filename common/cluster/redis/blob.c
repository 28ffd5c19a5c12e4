#include "redis/blob.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "redis/redis_impl.h"
#include "wire/messages.h"

/* Chunks read, and written, in one round trip: enough that its time does not count, few enough for the memory of both
 * ends. */
#define READ_AHEAD 4
#define WRITE_AHEAD 2
/* No value is larger, whatever a damaged blob may say. */
#define MAX_BLOB ((uint64_t)1 << 40)
/* A pipeline of small values is sent when it holds so many bytes or commands. */
#define BATCH_BYTES ((size_t)2 << 20)
#define BATCH 512

/* A blob's place in Redis, and whether its key is there. */
typedef struct blob_place {
    const char *space;
    const uint8_t *digest;
    bool is_there;
} blob_place;

/* Chunk `i` of the value that has the digest `value`, under the key's hash tag. */
static void chunk_key_of(const pm_redis *r, const uint8_t digest[PM_DIGEST_BYTES], const uint8_t value[PM_DIGEST_BYTES],
                         uint64_t i, pm_redis_key *out) {
    char hex[PM_DIGEST_HEX];
    size_t used = pmi_redis_key(r, "chunk", digest, out->text).size;
    pmi_hex(value, hex);
    (void)snprintf(out->text + used, sizeof out->text - used, ":%.16s:%llu", hex, (unsigned long long)i);
    out->span = pmi_span_of(out->text);
}

static uint64_t chunks_of(uint64_t size) {
    return size <= PM_BLOB_PIECE ? 0 : (size - 1) / PM_BLOB_PIECE + 1;
}

static size_t chunk_size(uint64_t size, uint64_t i) {
    uint64_t left = size - i * PM_BLOB_PIECE;
    return left < PM_BLOB_PIECE ? (size_t)left : PM_BLOB_PIECE;
}

/* Queues PEXPIRE and GETRANGE of a key: reading refreshes. (GETEX does both at once, but only since 6.2; both go in one
 * round trip.) At most `max_bytes` bytes and one more come, whatever somebody has put there. */
static pm_status queue_get(pm_redis *r, pm_span key, size_t max_bytes, double ttl, pm_error *err) {
    pm_redis_ttl milliseconds;
    char last[24];
    pmi_redis_ttl_of(ttl, &milliseconds);
    (void)snprintf(last, sizeof last, "%zu", max_bytes);
    const pm_span refresh[] = {pmi_span_of("PEXPIRE"), key, milliseconds.span};
    const pm_span get[] = {pmi_span_of("GETRANGE"), key, pmi_span_of("0"), pmi_span_of(last)};
    PM_TRY(pmi_redis_queue(r, refresh, 3, err));
    return pmi_redis_queue(r, get, 4, err);
}

/* The reply to the first of the two: whether the key is there. */
static pm_status see_refresh(const pm_redis *r, const redisReply *reply, bool *is_there, pm_error *err) {
    *is_there = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return pmi_redis_reply_status(r, reply, err);
}

/* ---- looking into a blob ---- */

static pm_status check_blob(const pm_blob_message *blob, size_t limit, pm_error *why) {
    uint8_t digest[PM_DIGEST_BYTES];
    if (blob->size > limit || blob->size > MAX_BLOB) {
        return pmi_fail(why, PM_EDATA, "it has %llu bytes, expected at most %llu", (unsigned long long)blob->size,
                        (unsigned long long)(limit < MAX_BLOB ? limit : MAX_BLOB));
    }
    if (blob->chunks != chunks_of(blob->size)) {
        return pmi_fail(why, PM_EDATA, "%llu bytes in %llu chunks, expected %llu", (unsigned long long)blob->size,
                        (unsigned long long)blob->chunks, (unsigned long long)chunks_of(blob->size));
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

/* Opens what is stored there, from the reply to its GETRANGE. PM_BLOB_DAMAGED puts the reason into `why`; it stays
 * PM_BLOB_FOUND with chunks that are not looked at here. Errors: those of the reply, PM_EOSERR. */
static pm_status open_blob(const pm_redis *r, const blob_place *place, const redisReply *reply, size_t limit,
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
    if (reply->len > PM_REDIS_VALUE) {
        (void)pmi_fail(why, PM_EDATA, "it has more than %zu bytes", PM_REDIS_VALUE);
        return PM_OK;
    }
    pm_redis_key key;
    pmi_redis_key_of(r, place->space, place->digest, &key);
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
        pm_redis_key key;
        chunk_key_of(r, digest, blob->digest, i, &key);
        PM_TRY(queue_unlink(r, key.span, err));
        if ((i + 1) % BATCH == 0) {
            PM_TRY(pmi_redis_flush(r, NULL, NULL, err));
        }
    }
    return PM_OK;
}

/* The blob first, so that nobody finds it with half of its chunks. `blob` NULL: it did not decode, its
 * chunks run out by themselves. */
static pm_status unlink_blob(pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES],
                             const pm_blob_message *blob, pm_error *err) {
    pm_redis_key key;
    pmi_redis_key_of(r, space, digest, &key);
    PM_TRY(queue_unlink(r, key.span, err));
    if (blob != NULL) {
        PM_TRY(queue_unlink_chunks(r, digest, blob, err));
    }
    return pmi_redis_flush(r, NULL, NULL, err);
}

static void say_damaged(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES],
                        const pm_error *why) {
    pm_redis_key key;
    pmi_redis_key_of(r, space, digest, &key);
    pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: %s is damaged and is removed: %s", r->options.address, key.text,
             why->text);
}

typedef struct glance {
    const pm_redis *r;
    blob_place place;
    pm_blob_message blob; /* borrows nothing that is used */
    pm_blob_found found;
} glance;

static pm_status see_blob(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    glance *g = ctx;
    pm_message_memory memory = {0};
    pm_error why;
    if (i == 0) {
        return see_refresh(g->r, reply, &g->place.is_there, err);
    }
    pm_status st = open_blob(g->r, &g->place, reply, SIZE_MAX, &g->blob, &memory, &g->found, &why, err);
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status look_at(pm_redis *r, const char *space, const uint8_t *digest, glance *g, pm_error *err) {
    pm_redis_key key;
    *g = (glance){.r = r, .place = {.space = space, .digest = digest}};
    pmi_redis_key_of(r, space, digest, &key);
    PM_TRY(queue_get(r, key.span, PM_REDIS_VALUE, r->options.ttl, err));
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
    return unlink_blob(r, space, digest, g.found == PM_BLOB_FOUND ? &g.blob : NULL, err);
}

/* ---- asking ---- */

static pm_status ask(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                     const pm_redis_ttl *ttl, bool *exist, pm_error *err) {
    for (size_t first = 0; first < n; first += BATCH) {
        size_t end = n - first < BATCH ? n : first + BATCH;
        for (size_t i = first; i < end; i++) {
            pm_redis_key key;
            pmi_redis_key_of(r, space, digests[i], &key);
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

/* ---- reading one --------------------------------------------------------------------------------------- */

/* ---- one value ---- */

typedef struct reading {
    pm_redis *r;
    size_t limit;
    pm_buffer *value;
    pm_blob_message blob; /* its bytes are gone after the visit */
    pm_blob_found found;
    blob_place place; /* of the blob */
    bool is_there;    /* the chunk that comes next */
    pm_error why;     /* it is damaged */
    pm_hasher *hasher;
    uint64_t chunk; /* the next one */
} reading;

static pm_status see_head(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    reading *g = ctx;
    pm_message_memory memory = {0};
    if (i == 0) {
        return see_refresh(g->r, reply, &g->place.is_there, err);
    }
    pm_status st = open_blob(g->r, &g->place, reply, g->limit, &g->blob, &memory, &g->found, &g->why, err);
    if (st == PM_OK && g->found == PM_BLOB_FOUND && g->blob.chunks == 0) {
        st = pmi_buffer_add(g->value, g->blob.bytes.bytes, g->blob.bytes.size, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status take_chunk(reading *g, const redisReply *reply, pm_error *err) {
    size_t size = chunk_size(g->blob.size, g->chunk);
    if (!g->is_there) {
        g->found = PM_BLOB_DAMAGED;
        (void)pmi_fail(&g->why, PM_EDATA, "chunk %llu of %llu is missing", (unsigned long long)g->chunk,
                       (unsigned long long)g->blob.chunks);
        return PM_OK;
    }
    if (reply->type != REDIS_REPLY_STRING || reply->len != size) {
        g->found = PM_BLOB_DAMAGED;
        (void)pmi_fail(&g->why, PM_EDATA, "chunk %llu of %llu has %zu bytes%s, expected %zu",
                       (unsigned long long)g->chunk, (unsigned long long)g->blob.chunks, reply->len,
                       reply->len > size ? " or more" : "", size);
        return PM_OK;
    }
    PM_TRY(pmi_hasher_add(g->hasher, reply->str, size, err));
    return pmi_buffer_add(g->value, reply->str, size, err);
}

static pm_status see_chunk(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    reading *g = ctx;
    bool is_wrong_type = reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0;
    if (i % 2 == 0) {
        return see_refresh(g->r, reply, &g->is_there, err);
    }
    pm_status st = is_wrong_type ? PM_OK : pmi_redis_reply_status(g->r, reply, err);
    if (st != PM_OK || g->found != PM_BLOB_FOUND) {
        return st;
    }
    st = take_chunk(g, reply, err);
    g->chunk++;
    return st;
}

static pm_status read_chunks(reading *g, const uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    pm_status st = PM_OK;
    for (uint64_t first = 0; st == PM_OK && g->found == PM_BLOB_FOUND && first < g->blob.chunks; first += READ_AHEAD) {
        for (uint64_t i = first; st == PM_OK && i < first + READ_AHEAD && i < g->blob.chunks; i++) {
            pm_redis_key key;
            chunk_key_of(g->r, digest, g->blob.digest, i, &key);
            st = queue_get(g->r, key.span, chunk_size(g->blob.size, i), 2.0 * g->r->options.ttl, err);
        }
        PM_THEN(st, pmi_redis_flush(g->r, see_chunk, g, err));
    }
    return st;
}

static pm_status read_value(reading *g, const uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    uint8_t found[PM_DIGEST_BYTES];
    size_t need;
    if (!pmi_add(g->value->size, (size_t)g->blob.size, &need)) {
        return pmi_fail_memory(err, "a value from Redis", (size_t)g->blob.size);
    }
    if (g->value->capacity < need) { /* exactly: a growing buffer would take up to twice as much */
        uint8_t *bytes = realloc(g->value->bytes, need);
        if (bytes == NULL) {
            return pmi_fail_memory(err, "a value from Redis", need);
        }
        g->value->bytes = bytes;
        g->value->capacity = need;
    }
    pm_status st = pmi_hasher_new(PM_SHA256, &g->hasher, err);
    PM_THEN(st, read_chunks(g, digest, err));
    if (st == PM_OK && g->found == PM_BLOB_FOUND) {
        st = pmi_hasher_finish(g->hasher, found, err);
        if (st == PM_OK && memcmp(found, g->blob.digest, sizeof found) != 0) {
            g->found = PM_BLOB_DAMAGED;
            (void)pmi_fail(&g->why, PM_EDATA, "the bytes of its %llu chunks do not have its SHA-256",
                           (unsigned long long)g->blob.chunks);
        }
    }
    pmi_hasher_free(g->hasher);
    return st;
}

pm_status pmi_blob_get(pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], size_t limit,
                       pm_buffer *value, pm_blob_found *found, pm_error *err) {
    reading g = {.r = r, .limit = limit, .value = value, .place = {.space = space, .digest = digest}};
    size_t before = value->size;
    pm_redis_key key;
    pmi_redis_key_of(r, space, digest, &key);
    pm_status st = queue_get(r, key.span, PM_REDIS_VALUE, r->options.ttl, err);
    PM_THEN(st, pmi_redis_flush(r, see_head, &g, err));
    bool is_open = st == PM_OK && g.found == PM_BLOB_FOUND;
    if (is_open && g.blob.chunks > 0) {
        st = read_value(&g, digest, err);
    }
    if (st == PM_OK && g.found == PM_BLOB_DAMAGED) {
        say_damaged(r, space, digest, &g.why);
        st = unlink_blob(r, space, digest, is_open ? &g.blob : NULL, err);
    }
    if (st != PM_OK || g.found != PM_BLOB_FOUND) {
        value->size = before;
    }
    *found = g.found;
    return st;
}

/* ---- many ---- */

typedef struct many {
    pm_redis *r;
    size_t limit;
    pm_blob_visit visit;
    void *ctx;
    size_t first;     /* number of the batch's first value */
    size_t bytes;     /* of the batch's replies */
    blob_place place; /* of the value that comes next */
    const uint8_t (*digests)[PM_DIGEST_BYTES];
    size_t n_later;      /* of the batch */
    size_t later[BATCH]; /* values to be read by themselves: in chunks, or damaged */
} many;

static pm_status see_one_of_many(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    many *m = ctx;
    pm_blob_message blob;
    pm_message_memory memory = {0};
    pm_blob_found found;
    pm_error why;
    if (i % 2 == 0) {
        m->place.digest = m->digests[m->first + i / 2];
        return see_refresh(m->r, reply, &m->place.is_there, err);
    }
    m->bytes += reply->len;
    pm_status st = open_blob(m->r, &m->place, reply, m->limit, &blob, &memory, &found, &why, err);
    PM_TRY(st);
    if (found == PM_BLOB_DAMAGED || (found == PM_BLOB_FOUND && blob.chunks > 0)) {
        m->later[m->n_later++] = m->first + i / 2;
    } else {
        pm_span value = found == PM_BLOB_FOUND ? blob.bytes : (pm_span){0};
        st = m->visit(m->ctx, m->first + i / 2, found, value, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status visit_later(many *m, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], pm_error *err) {
    for (size_t k = 0; k < m->n_later; k++) {
        pm_buffer value = {0};
        pm_blob_found found;
        size_t i = m->later[k];
        pm_status st = pmi_blob_get(m->r, space, digests[i], m->limit, &value, &found, err);
        PM_THEN(st, m->visit(m->ctx, i, found, (pm_span){value.bytes, value.size}, err));
        pmi_buffer_free(&value);
        PM_TRY(st);
    }
    return PM_OK;
}

/* As many as have about the bytes of a batch, going by the sizes of the last ones. */
static size_t next_batch(size_t last, size_t bytes) {
    size_t each = bytes / last + 1, fit = BATCH_BYTES / each;
    fit = fit > 2 * last ? 2 * last : fit;
    return fit < 1 ? 1 : fit > BATCH ? BATCH : fit;
}

pm_status pmi_blob_get_many(pm_redis *r, const char *space, const uint8_t (*digests)[PM_DIGEST_BYTES], size_t n,
                            size_t limit, pm_blob_visit visit, void *ctx, pm_error *err) {
    many *m = pmi_calloc(1, sizeof *m);
    if (m == NULL) {
        return pmi_fail_memory(err, "reading values from Redis", sizeof *m);
    }
    *m = (many){.r = r, .limit = limit, .visit = visit, .ctx = ctx, .place.space = space, .digests = digests};
    pm_status st = PM_OK;
    for (size_t batch = 16; st == PM_OK && m->first < n;) {
        size_t end = n - m->first < batch ? n : m->first + batch;
        m->bytes = m->n_later = 0;
        for (size_t i = m->first; st == PM_OK && i < end; i++) {
            pm_redis_key key;
            pmi_redis_key_of(r, space, digests[i], &key);
            st = queue_get(r, key.span, PM_REDIS_VALUE, r->options.ttl, err);
        }
        PM_THEN(st, pmi_redis_flush(r, see_one_of_many, m, err));
        PM_THEN(st, visit_later(m, space, digests, err));
        batch = next_batch(end - m->first, m->bytes);
        m->first = end;
    }
    free(m);
    return st;
}

/* ---- writing: chunks first, then SET NX of the blobs, many at a time; what was there is compared ------- */

/* A key that is there when set, gone when read, and so on: expiry, or another writer; not for long. */
#define ROUNDS 4

/* ---- chunks ---- */

typedef struct chunking {
    pm_redis *r;
    bool is_there[BATCH];
} chunking;

static pm_status see_there(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    chunking *c = ctx;
    c->is_there[i] = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return pmi_redis_reply_status(c->r, reply, err);
}

/* Chunks that an interrupted writer left behind are not sent again: their key has the digest of the whole value. */
static pm_status find_chunks(chunking *c, const pm_blob_item *item, const uint8_t value[PM_DIGEST_BYTES],
                             uint64_t first, uint64_t end, const pm_redis_ttl *ttl, pm_error *err) {
    for (uint64_t i = first; i < end; i++) {
        pm_redis_key key;
        chunk_key_of(c->r, item->digest, value, i, &key);
        const pm_span argv[] = {pmi_span_of("PEXPIRE"), key.span, ttl->span};
        PM_TRY(pmi_redis_queue(c->r, argv, 3, err));
    }
    return pmi_redis_flush(c->r, see_there, c, err);
}

static pm_status send_chunks(chunking *c, const pm_blob_item *item, const uint8_t value[PM_DIGEST_BYTES],
                             uint64_t first, uint64_t end, const pm_redis_ttl *ttl, pm_error *err) {
    pm_status st = PM_OK;
    size_t waiting = 0;
    for (uint64_t i = first; st == PM_OK && i < end; i++) {
        if (c->is_there[i - first]) {
            continue;
        }
        pm_redis_key key;
        chunk_key_of(c->r, item->digest, value, i, &key);
        const pm_span bytes = {item->bytes + (size_t)i * PM_BLOB_PIECE, chunk_size(item->size, i)};
        const pm_span argv[] = {pmi_span_of("SET"), key.span, bytes, pmi_span_of("PX"), ttl->span};
        st = pmi_redis_queue(c->r, argv, 5, err);
        if (st == PM_OK && ++waiting == WRITE_AHEAD) {
            waiting = 0;
            st = pmi_redis_flush(c->r, NULL, NULL, err);
        }
    }
    PM_TRY(st);
    return pmi_redis_flush(c->r, NULL, NULL, err);
}

static pm_status put_chunks(pm_redis *r, const pm_blob_item *item, const uint8_t value[PM_DIGEST_BYTES],
                            pm_error *err) {
    chunking c = {.r = r};
    pm_redis_ttl ttl;
    uint64_t n = chunks_of(item->size);
    pmi_redis_ttl_of(2.0 * r->options.ttl, &ttl);
    for (uint64_t first = 0; first < n; first += BATCH) {
        uint64_t end = n - first < BATCH ? n : first + BATCH;
        PM_TRY(find_chunks(&c, item, value, first, end, &ttl, err));
        PM_TRY(send_chunks(&c, item, value, first, end, &ttl, err));
    }
    return PM_OK;
}

/* ---- blobs ---- */

typedef enum draft_state { DRAFT_TO_SET, DRAFT_TO_COMPARE, DRAFT_TO_DISCARD, DRAFT_TO_REPLACE, DRAFT_DONE } draft_state;

typedef struct draft {
    pm_blob_item *item;
    uint8_t value[PM_DIGEST_BYTES]; /* digest of the bytes */
    draft_state state;
} draft;

typedef struct batch {
    pm_redis *r;
    const char *space;
    bool replace;
    draft drafts[BATCH];
    size_t n, bytes;
    bool is_there;                        /* the key whose value comes next */
    size_t in_flight[BATCH], n_in_flight; /* drafts of the pipeline, in order */
    pm_buffer encoded;
} batch;

static pm_status queue_set(batch *b, const draft *d, bool only_new, pm_error *err) {
    const pm_blob_item *item = d->item;
    pm_blob_message blob = {.size = item->size, .chunks = chunks_of(item->size)};
    memcpy(blob.digest, d->value, sizeof blob.digest);
    if (blob.chunks == 0) {
        blob.bytes = (pm_span){item->bytes, item->size};
    }
    b->encoded.size = 0;
    pm_redis_key key;
    pm_redis_ttl ttl;
    pmi_redis_key_of(b->r, b->space, item->digest, &key);
    PM_TRY(pmi_sealed_encode(b->r->options.seal, key.span, &pmi_blob_type, &blob, &b->encoded, err));
    pmi_redis_ttl_of(b->r->options.ttl, &ttl);
    const pm_span value = {b->encoded.bytes, b->encoded.size};
    const pm_span argv[] = {pmi_span_of("SET"), key.span, value, pmi_span_of("PX"), ttl.span, pmi_span_of("NX")};
    return pmi_redis_queue(b->r, argv, only_new ? 6 : 5, err);
}

static pm_status see_set(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    batch *b = ctx;
    draft *d = &b->drafts[b->in_flight[i]];
    PM_TRY(pmi_redis_reply_status(b->r, reply, err));
    if (reply->type == REDIS_REPLY_NIL) {
        d->state = DRAFT_TO_COMPARE;
        return PM_OK;
    }
    if (d->state == DRAFT_TO_SET) {
        d->item->how = PM_BLOB_STORED;
    }
    d->state = DRAFT_DONE;
    return PM_OK;
}

static void compare(batch *b, draft *d, const pm_blob_message *blob) {
    if (blob->size == d->item->size && memcmp(blob->digest, d->value, sizeof d->value) == 0) {
        d->item->how = PM_BLOB_SAME;
        d->state = DRAFT_DONE;
        return;
    }
    d->item->how = PM_BLOB_DIFFERS;
    d->state = b->replace ? DRAFT_TO_REPLACE : DRAFT_DONE;
    if (!b->replace) {
        pm_redis_key key;
        char there[PM_DIGEST_HEX], ours[PM_DIGEST_HEX];
        pmi_redis_key_of(b->r, b->space, d->item->digest, &key);
        pmi_hex(blob->digest, there);
        pmi_hex(d->value, ours);
        pmi_logf(
            b->r->log, PM_LOG_ERROR,
            "Redis at %s: %s holds %llu bytes with SHA-256 %s, and this process made %zu bytes with SHA-256 %s for "
            "it: what should be the same everywhere is not; compare the versions of the programs that share this "
            "Redis",
            b->r->options.address, key.text, (unsigned long long)blob->size, there, d->item->size, ours);
    }
}

static pm_status see_present(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    batch *b = ctx;
    draft *d = &b->drafts[b->in_flight[i / 2]];
    pm_blob_message blob;
    pm_message_memory memory = {0};
    pm_blob_found found;
    pm_error why;
    if (i % 2 == 0) {
        return see_refresh(b->r, reply, &b->is_there, err);
    }
    const blob_place place = {b->space, d->item->digest, b->is_there};
    PM_TRY(open_blob(b->r, &place, reply, SIZE_MAX, &blob, &memory, &found, &why, err));
    if (found == PM_BLOB_FOUND) {
        compare(b, d, &blob);
    } else if (found == PM_BLOB_DAMAGED) {
        say_damaged(b->r, b->space, d->item->digest, &why);
        d->state = DRAFT_TO_DISCARD;
    } else {
        d->state = DRAFT_TO_SET;
    }
    pmi_message_memory_free(&memory);
    return PM_OK;
}

/* Sends the drafts of one state. */
static pm_status step(batch *b, draft_state state, pm_redis_visit visit, pm_error *err) {
    pm_status st = PM_OK;
    b->n_in_flight = 0;
    for (size_t i = 0; st == PM_OK && i < b->n; i++) {
        draft *d = &b->drafts[i];
        if (d->state != state) {
            continue;
        }
        b->in_flight[b->n_in_flight++] = i;
        if (state == DRAFT_TO_COMPARE) {
            pm_redis_key key;
            pmi_redis_key_of(b->r, b->space, d->item->digest, &key);
            st = queue_get(b->r, key.span, PM_REDIS_VALUE, b->r->options.ttl, err);
        } else {
            st = queue_set(b, d, state == DRAFT_TO_SET, err);
        }
    }
    if (st != PM_OK) {
        pmi_redis_abandon(b->r);
        return st;
    }
    return pmi_redis_flush(b->r, visit, b, err);
}

static pm_status discard_damaged(batch *b, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < b->n; i++) {
        draft *d = &b->drafts[i];
        if (d->state == DRAFT_TO_DISCARD) {
            st = unlink_blob(b->r, b->space, d->item->digest, NULL, err);
            d->state = DRAFT_TO_SET;
        }
    }
    return st;
}

static bool has_state(const batch *b, draft_state state) {
    for (size_t i = 0; i < b->n; i++) {
        if (b->drafts[i].state == state) {
            return true;
        }
    }
    return false;
}

static pm_status put_batch(batch *b, pm_error *err) {
    pm_status st = PM_OK;
    for (int round = 0; st == PM_OK && round < ROUNDS && has_state(b, DRAFT_TO_SET); round++) {
        st = step(b, DRAFT_TO_SET, see_set, err);
        PM_THEN(st, step(b, DRAFT_TO_COMPARE, see_present, err));
        PM_THEN(st, step(b, DRAFT_TO_REPLACE, see_set, err));
        PM_THEN(st, discard_damaged(b, err));
    }
    if (st == PM_OK && has_state(b, DRAFT_TO_SET)) {
        st = pmi_fail(err, PM_ETEMPORARY, "Redis at %s: a value of %s:%s comes and goes while it is written",
                      b->r->options.address, b->r->options.prefix, b->space);
    }
    b->n = b->bytes = 0;
    return st;
}

static pm_status put_item(batch *b, pm_blob_item *item, pm_error *err) {
    size_t inside = item->size <= PM_BLOB_PIECE ? item->size : 0;
    pm_status st = PM_OK;
    draft d = {.item = item, .state = DRAFT_TO_SET};
    if (b->n == BATCH || (b->n > 0 && b->bytes + inside > BATCH_BYTES)) {
        st = put_batch(b, err);
    }
    PM_THEN(st, pmi_digest(PM_SHA256, item->bytes, item->size, d.value, err));
    if (st == PM_OK && inside < item->size) {
        st = put_chunks(b->r, item, d.value, err);
    }
    b->drafts[b->n++] = d;
    b->bytes += inside;
    return st;
}

pm_status pmi_blob_put(pm_redis *r, const char *space, pm_blob_item *items, size_t n, bool replace, pm_error *err) {
    batch *b = pmi_calloc(1, sizeof *b);
    if (b == NULL) {
        return pmi_fail_memory(err, "writing values to Redis", sizeof *b);
    }
    b->r = r;
    b->space = space;
    b->replace = replace;
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        st = put_item(b, &items[i], err);
    }
    PM_THEN(st, put_batch(b, err));
    pmi_buffer_free(&b->encoded);
    free(b);
    return st;
}
