#include "redis/blob.h"

#include <stdio.h>
#include <string.h>

#include "redis/redis_impl.h"

/* Chunks in one round trip: its time should not count, nor the memory of both ends. */
#define READ_AHEAD 4
#define WRITE_AHEAD 2
/* No value is larger, whatever a damaged blob may say. */
#define MAX_BLOB ((uint64_t)1 << 40)
/* A pipeline of small values is sent when it holds so many bytes or commands. */
#define BATCH_BYTES ((size_t)2 << 20)
#define BATCH 512

/* Chunk `i` of the value that has the digest `value`, under the key's hash tag. Lives as PM_KEY does. */
#define CHUNK_KEY(r, digest, value, i) chunk_key(r, digest, value, i, (char[PM_REDIS_KEY]){0})
static pm_span chunk_key(const pm_redis *r, const pm_digest digest, const pm_digest value, uint64_t i,
                         char key[PM_REDIS_KEY]) {
    size_t used = pmi_redis_key(r, "chunk", digest, key).size;
    (void)snprintf(key + used, PM_REDIS_KEY - used, ":%.16s:%llu", PM_HEX(value), (unsigned long long)i);
    return pmi_span_of(key);
}

static uint64_t chunks_of(uint64_t size) {
    return size <= PM_BLOB_PIECE ? 0 : (size - 1) / PM_BLOB_PIECE + 1;
}

static size_t chunk_size(uint64_t size, uint64_t i) {
    uint64_t left = size - i * PM_BLOB_PIECE;
    return left < PM_BLOB_PIECE ? (size_t)left : PM_BLOB_PIECE;
}

/* Queues PEXPIRE and GETRANGE (GETEX came with 6.2): reading refreshes. At most `max_bytes` bytes and one more come. */
static pm_status queue_get(pm_redis *r, pm_span key, size_t max_bytes, double ttl, pm_error *err) {
    PM_TRY(PM_QUEUE(r, err, pmi_span_of("PEXPIRE"), key, PM_TTL(ttl)));
    return PM_QUEUE(r, err, pmi_span_of("GETRANGE"), key, pmi_span_of("0"), PM_COUNT(max_bytes));
}

/* The reply to the first of the two: whether the key is there. */
static pm_status see_refresh(const pm_redis *r, const redisReply *reply, bool *is_there, pm_error *err) {
    *is_there = reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return pmi_redis_reply_status(r, reply, err);
}

/* ---- looking into a blob ---- */

static pm_status check_blob(const pm_blob_message *blob, size_t limit, pm_error *why) {
    pm_digest digest;
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

static bool is_of_wrong_type(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0;
}

/* Opens what is stored, from the reply to GETRANGE. PM_BLOB_DAMAGED: `why` tells. Chunks are not looked at here. */
static pm_status open_blob(const pm_redis *r, pm_span key, bool is_there, const redisReply *reply, size_t limit,
                           pm_blob_message *out, pm_message_memory *memory, pm_blob_found *found, pm_error *why,
                           pm_error *err) {
    *found = PM_BLOB_MISSING;
    if (reply->type == REDIS_REPLY_STRING && reply->len == 0 && !is_there) {
        return PM_OK;
    }
    pm_status st;
    *found = PM_BLOB_DAMAGED;
    if (is_of_wrong_type(reply)) {
        st = pmi_fail(why, PM_EDATA, "it is no string");
    } else {
        PM_TRY(pmi_redis_reply_status(r, reply, err));
        PM_TRY(reply->type == REDIS_REPLY_STRING ? PM_OK : pmi_redis_unexpected(r, reply, "a string", err));
        st = reply->len > PM_REDIS_VALUE ? pmi_fail(why, PM_EDATA, "it has more than %zu bytes", PM_REDIS_VALUE)
                                         : pmi_sealed_decode(r->options.seal, key, &pmi_blob_type,
                                                             (const uint8_t *)reply->str, reply->len, out, memory, why);
        PM_THEN(st, check_blob(out, limit, why));
    }
    if (st == PM_OK) {
        *found = PM_BLOB_FOUND;
        return PM_OK;
    }
    pmi_message_memory_free(memory);
    return st == PM_EDATA ? PM_OK : pmi_fail(err, st, "%s", why->text);
}

/* ---- removing ---- */

static pm_status queue_unlink(pm_redis *r, pm_span key, pm_error *err) {
    return PM_QUEUE(r, err, pmi_span_of("UNLINK"), key);
}

/* The blob first, so that nobody finds it with half of its chunks. `blob` NULL: its chunks expire by themselves. */
static pm_status unlink_blob(pm_redis *r, pm_span key, const pm_digest digest, const pm_blob_message *blob,
                             pm_error *err) {
    PM_TRY(queue_unlink(r, key, err));
    for (uint64_t i = 0; blob != NULL && i < blob->chunks; i++) {
        PM_TRY(queue_unlink(r, CHUNK_KEY(r, digest, blob->digest, i), err));
        if ((i + 1) % BATCH == 0) {
            PM_TRY(pmi_redis_flush(r, NULL, NULL, err));
        }
    }
    return pmi_redis_flush(r, NULL, NULL, err);
}

static void say_damaged(const pm_redis *r, pm_span key, const pm_error *why) {
    pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: %s is damaged and is removed: %s", r->options.address, PM_TEXT(key),
             why->text);
}

/* ---- reading one --------------------------------------------------------------------------------------- */

typedef struct reading {
    pm_redis *r;
    pm_span key;
    size_t limit;
    pm_buffer *value;     /* NULL: the blob is only looked at */
    pm_blob_message blob; /* its bytes are gone after the visit */
    pm_blob_found found;
    bool is_there; /* the key that comes next */
    pm_error why;  /* it is damaged */
    pm_hasher *hasher;
    uint64_t chunk; /* the next one */
} reading;

static pm_status see_head(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    reading *g = ctx;
    pm_message_memory memory = {0};
    if (i == 0) {
        return see_refresh(g->r, reply, &g->is_there, err);
    }
    pm_status st = open_blob(g->r, g->key, g->is_there, reply, g->limit, &g->blob, &memory, &g->found, &g->why, err);
    if (st == PM_OK && g->value != NULL && g->found == PM_BLOB_FOUND && g->blob.chunks == 0) {
        st = pmi_buffer_add(g->value, g->blob.bytes.bytes, g->blob.bytes.size, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status read_head(reading *g, pm_error *err) {
    PM_TRY(queue_get(g->r, g->key, PM_REDIS_VALUE, g->r->options.ttl, err));
    return pmi_redis_flush(g->r, see_head, g, err);
}

pm_status pmi_blob_size(pm_redis *r, const char *space, const pm_digest digest, uint64_t *size, pm_error *err) {
    reading g = {.r = r, .key = PM_KEY(r, space, digest), .limit = SIZE_MAX};
    pm_status st = read_head(&g, err);
    *size = st == PM_OK && g.found == PM_BLOB_FOUND ? g.blob.size : 0;
    return st;
}

pm_status pmi_blob_remove(pm_redis *r, const char *space, const pm_digest digest, pm_error *err) {
    reading g = {.r = r, .key = PM_KEY(r, space, digest), .limit = SIZE_MAX};
    pm_status st = read_head(&g, err);
    return st == PM_OK && g.found != PM_BLOB_MISSING
               ? unlink_blob(r, g.key, digest, g.found == PM_BLOB_FOUND ? &g.blob : NULL, err)
               : st;
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
    if (i % 2 == 0) {
        return see_refresh(g->r, reply, &g->is_there, err);
    }
    PM_TRY(is_of_wrong_type(reply) ? PM_OK : pmi_redis_reply_status(g->r, reply, err));
    if (g->found != PM_BLOB_FOUND) {
        return PM_OK;
    }
    pm_status st = take_chunk(g, reply, err);
    g->chunk++;
    return st;
}

static pm_status read_chunks(reading *g, const pm_digest digest, pm_error *err) {
    pm_status st = PM_OK;
    for (uint64_t first = 0; st == PM_OK && g->found == PM_BLOB_FOUND && first < g->blob.chunks; first += READ_AHEAD) {
        for (uint64_t i = first; st == PM_OK && i < first + READ_AHEAD && i < g->blob.chunks; i++) {
            st = queue_get(g->r, CHUNK_KEY(g->r, digest, g->blob.digest, i), chunk_size(g->blob.size, i),
                           2.0 * g->r->options.ttl, err);
        }
        PM_THEN(st, pmi_redis_flush(g->r, see_chunk, g, err));
    }
    return st;
}

static pm_status read_value(reading *g, const pm_digest digest, pm_error *err) {
    pm_digest found;
    size_t need;
    if (!pmi_add(g->value->size, (size_t)g->blob.size, &need)) {
        return pmi_fail_memory(err, "a value from Redis", (size_t)g->blob.size);
    }
    if (g->value->capacity < need) { /* exactly: a growing buffer would take up to twice as much */
        uint8_t *bytes = realloc(g->value->bytes, need);
        PM_TRY(bytes != NULL ? PM_OK : pmi_fail_memory(err, "a value from Redis", need));
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

pm_status pmi_blob_get(pm_redis *r, const char *space, const pm_digest digest, size_t limit, pm_buffer *value,
                       pm_blob_found *found, pm_error *err) {
    reading g = {.r = r, .key = PM_KEY(r, space, digest), .limit = limit, .value = value};
    size_t before = value->size;
    pm_status st = read_head(&g, err);
    bool is_open = st == PM_OK && g.found == PM_BLOB_FOUND;
    if (is_open && g.blob.chunks > 0) {
        st = read_value(&g, digest, err);
    }
    if (st == PM_OK && g.found == PM_BLOB_DAMAGED) {
        say_damaged(r, g.key, &g.why);
        st = unlink_blob(r, g.key, digest, is_open ? &g.blob : NULL, err);
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
    const char *space;
    const pm_digest *digests;
    size_t limit;
    pm_blob_visit visit;
    void *ctx;
    size_t first;        /* number of the batch's first value */
    size_t bytes;        /* of the batch's replies */
    bool is_there;       /* the key whose value comes next */
    size_t n_later;      /* of the batch */
    size_t later[BATCH]; /* values to be read by themselves: in chunks, or damaged */
} many;

static pm_status see_one_of_many(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    many *m = ctx;
    size_t number = m->first + i / 2;
    pm_blob_message blob;
    pm_message_memory memory = {0};
    pm_blob_found found;
    pm_error why;
    if (i % 2 == 0) {
        return see_refresh(m->r, reply, &m->is_there, err);
    }
    m->bytes += reply->len;
    pm_status st = PM_OK;
    PM_TRY(open_blob(m->r, PM_KEY(m->r, m->space, m->digests[number]), m->is_there, reply, m->limit, &blob, &memory,
                     &found, &why, err));
    if (found == PM_BLOB_DAMAGED || (found == PM_BLOB_FOUND && blob.chunks > 0)) {
        m->later[m->n_later++] = number;
    } else {
        st = m->visit(m->ctx, number, found, found == PM_BLOB_FOUND ? blob.bytes : (pm_span){0}, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status visit_later(many *m, pm_error *err) {
    for (size_t k = 0; k < m->n_later; k++) {
        pm_buffer value = {0};
        pm_blob_found found;
        size_t i = m->later[k];
        pm_status st = pmi_blob_get(m->r, m->space, m->digests[i], m->limit, &value, &found, err);
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

pm_status pmi_blob_get_many(pm_redis *r, const char *space, const pm_digest *digests, size_t n, size_t limit,
                            pm_blob_visit visit, void *ctx, pm_error *err) {
    many m = {.r = r, .space = space, .digests = digests, .limit = limit, .visit = visit, .ctx = ctx};
    for (size_t batch = 16; m.first < n;) {
        size_t end = n - m.first < batch ? n : m.first + batch;
        m.bytes = m.n_later = 0;
        for (size_t i = m.first; i < end; i++) {
            PM_TRY(queue_get(r, PM_KEY(r, space, digests[i]), PM_REDIS_VALUE, r->options.ttl, err));
        }
        PM_TRY(pmi_redis_flush(r, see_one_of_many, &m, err));
        PM_TRY(visit_later(&m, err));
        batch = next_batch(end - m.first, m.bytes);
        m.first = end;
    }
    return PM_OK;
}

/* ---- writing: chunks first, then SET NX of the blobs, many at a time; what was there is compared ------- */

/* A key that is there when set, gone when read, and so on: expiry, or another writer; not for long. */
#define ROUNDS 4

/* ---- chunks ---- */

/* Chunks that an interrupted writer left behind are not sent again: their key has the digest of the whole value. */
static pm_status find_chunks(pm_redis *r, const pm_blob_item *item, const pm_digest value, uint64_t first, uint64_t end,
                             pm_span ttl, bool *is_there, pm_error *err) {
    for (uint64_t i = first; i < end; i++) {
        PM_TRY(PM_QUEUE(r, err, pmi_span_of("PEXPIRE"), CHUNK_KEY(r, item->digest, value, i), ttl));
    }
    pm_redis_asked a = {.r = r, .exist = is_there};
    return pmi_redis_flush(r, pmi_redis_see_existing, &a, err);
}

static pm_status send_chunks(pm_redis *r, const pm_blob_item *item, const pm_digest value, uint64_t first, uint64_t end,
                             pm_span ttl, const bool *is_there, pm_error *err) {
    size_t waiting = 0;
    for (uint64_t i = first; i < end; i++) {
        if (is_there[i - first]) {
            continue;
        }
        const pm_span bytes = {item->bytes + (size_t)i * PM_BLOB_PIECE, chunk_size(item->size, i)};
        PM_TRY(
            PM_QUEUE(r, err, pmi_span_of("SET"), CHUNK_KEY(r, item->digest, value, i), bytes, pmi_span_of("PX"), ttl));
        if (++waiting == WRITE_AHEAD) {
            waiting = 0;
            PM_TRY(pmi_redis_flush(r, NULL, NULL, err));
        }
    }
    return pmi_redis_flush(r, NULL, NULL, err);
}

static pm_status put_chunks(pm_redis *r, const pm_blob_item *item, const pm_digest value, pm_error *err) {
    bool is_there[BATCH];
    uint64_t n = chunks_of(item->size);
    const pm_span ttl = PM_TTL(2.0 * r->options.ttl);
    for (uint64_t first = 0; first < n; first += BATCH) {
        uint64_t end = n - first < BATCH ? n : first + BATCH;
        PM_TRY(find_chunks(r, item, value, first, end, ttl, is_there, err));
        PM_TRY(send_chunks(r, item, value, first, end, ttl, is_there, err));
    }
    return PM_OK;
}

/* ---- blobs ---- */

typedef enum draft_state { DRAFT_TO_SET, DRAFT_TO_COMPARE, DRAFT_TO_DISCARD, DRAFT_TO_REPLACE, DRAFT_DONE } draft_state;

typedef struct draft {
    pm_blob_item *item;
    pm_digest value; /* digest of the bytes */
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

static pm_status queue_set(batch *b, const draft *d, pm_span key, bool only_new, pm_error *err) {
    const pm_blob_item *item = d->item;
    pm_blob_message blob = {.size = item->size, .chunks = chunks_of(item->size)};
    memcpy(blob.digest, d->value, sizeof blob.digest);
    if (blob.chunks == 0) {
        blob.bytes = (pm_span){item->bytes, item->size};
    }
    b->encoded.size = 0;
    PM_TRY(pmi_sealed_encode(b->r->options.seal, key, &pmi_blob_type, &blob, &b->encoded, err));
    const pm_span argv[] = {
        pmi_span_of("SET"), key, {b->encoded.bytes, b->encoded.size}, pmi_span_of("PX"), PM_TTL(b->r->options.ttl),
        pmi_span_of("NX")};
    return pmi_redis_queue(b->r, argv, only_new ? 6 : 5, err);
}

static pm_status see_set(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    batch *b = ctx;
    draft *d = &b->drafts[b->in_flight[i]];
    PM_TRY(pmi_redis_reply_status(b->r, reply, err));
    if (d->state == DRAFT_TO_DISCARD) {
        d->state = DRAFT_TO_SET;
    } else if (reply->type == REDIS_REPLY_NIL) {
        d->state = DRAFT_TO_COMPARE;
    } else {
        d->item->how = d->state == DRAFT_TO_SET ? PM_BLOB_STORED : d->item->how;
        d->state = DRAFT_DONE;
    }
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
        const pm_span key = PM_KEY(b->r, b->space, d->item->digest);
        pmi_logf(
            b->r->log, PM_LOG_ERROR,
            "Redis at %s: %s holds %llu bytes with SHA-256 %s, and this process made %zu bytes with SHA-256 %s for "
            "it: what should be the same everywhere is not; compare the versions of the programs that share this "
            "Redis",
            b->r->options.address, PM_TEXT(key), (unsigned long long)blob->size, PM_HEX(blob->digest), d->item->size,
            PM_HEX(d->value));
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
    const pm_span key = PM_KEY(b->r, b->space, d->item->digest);
    PM_TRY(open_blob(b->r, key, b->is_there, reply, SIZE_MAX, &blob, &memory, &found, &why, err));
    if (found == PM_BLOB_FOUND) {
        compare(b, d, &blob);
    } else if (found == PM_BLOB_DAMAGED) {
        say_damaged(b->r, key, &why);
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
        if (d->state == state) {
            const pm_span key = PM_KEY(b->r, b->space, d->item->digest);
            b->in_flight[b->n_in_flight++] = i;
            st = state == DRAFT_TO_COMPARE   ? queue_get(b->r, key, PM_REDIS_VALUE, b->r->options.ttl, err)
                 : state == DRAFT_TO_DISCARD ? queue_unlink(b->r, key, err)
                                             : queue_set(b, d, key, state == DRAFT_TO_SET, err);
        }
    }
    if (st != PM_OK) {
        pmi_redis_abandon(b->r);
        return st;
    }
    return pmi_redis_flush(b->r, visit, b, err);
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
        PM_THEN(st, step(b, DRAFT_TO_DISCARD, see_set, err));
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
    PM_TRY(b != NULL ? PM_OK : pmi_fail_memory(err, "writing values to Redis", sizeof *b));
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
