/* Reading blobs. */
#include <string.h>

#include "base/mem.h"
#include "redis/blob_impl.h"

/* ---- one value ---- */

typedef struct reading {
    pm_redis *r;
    size_t limit;
    pm_buffer *value;
    pm_blob_message blob; /* its bytes are gone after the visit */
    pm_blob_found found;
    pm_blob_place place; /* of the blob */
    bool is_there;       /* the chunk that comes next */
    pm_error why;        /* it is damaged */
    pm_hasher *hasher;
    uint64_t chunk; /* the next one */
} reading;

static pm_status see_head(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    reading *g = ctx;
    pm_message_memory memory = {0};
    if (i == 0) {
        return pmi_blob_see_refresh(g->r, reply, &g->place.is_there, err);
    }
    pm_status st = pmi_blob_open(g->r, &g->place, reply, g->limit, &g->blob, &memory, &g->found, &g->why, err);
    if (st == PM_OK && g->found == PM_BLOB_FOUND && g->blob.chunks == 0) {
        st = pmi_buffer_add(g->value, g->blob.bytes.bytes, g->blob.bytes.size, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status take_chunk(reading *g, const redisReply *reply, pm_error *err) {
    size_t size = pmi_blob_chunk_size(g->blob.size, g->chunk);
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
        return pmi_blob_see_refresh(g->r, reply, &g->is_there, err);
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
    for (uint64_t first = 0; st == PM_OK && g->found == PM_BLOB_FOUND && first < g->blob.chunks;
         first += PM_BLOB_READ_AHEAD) {
        for (uint64_t i = first; st == PM_OK && i < first + PM_BLOB_READ_AHEAD && i < g->blob.chunks; i++) {
            pm_blob_key key;
            pmi_blob_chunk_key_of(g->r, digest, g->blob.digest, i, &key);
            st = pmi_blob_queue_get(g->r, key.span, pmi_blob_chunk_size(g->blob.size, i), 2.0 * g->r->options.ttl, err);
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
    pm_blob_key key;
    pmi_blob_key_of(r, space, digest, &key);
    pm_status st = pmi_blob_queue_get(r, key.span, PM_BLOB_VALUE, r->options.ttl, err);
    PM_THEN(st, pmi_redis_flush(r, see_head, &g, err));
    bool is_open = st == PM_OK && g.found == PM_BLOB_FOUND;
    if (is_open && g.blob.chunks > 0) {
        st = read_value(&g, digest, err);
    }
    if (st == PM_OK && g.found == PM_BLOB_DAMAGED) {
        pmi_blob_say_damaged(r, space, digest, &g.why);
        st = pmi_blob_unlink(r, space, digest, is_open ? &g.blob : NULL, err);
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
    size_t first;        /* number of the batch's first value */
    size_t bytes;        /* of the batch's replies */
    pm_blob_place place; /* of the value that comes next */
    const uint8_t (*digests)[PM_DIGEST_BYTES];
    size_t n_later;              /* of the batch */
    size_t later[PM_BLOB_BATCH]; /* values to be read by themselves: in chunks, or damaged */
} many;

static pm_status see_one_of_many(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    many *m = ctx;
    pm_blob_message blob;
    pm_message_memory memory = {0};
    pm_blob_found found;
    pm_error why;
    if (i % 2 == 0) {
        m->place.digest = m->digests[m->first + i / 2];
        return pmi_blob_see_refresh(m->r, reply, &m->place.is_there, err);
    }
    m->bytes += reply->len;
    pm_status st = pmi_blob_open(m->r, &m->place, reply, m->limit, &blob, &memory, &found, &why, err);
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
    size_t each = bytes / last + 1, fit = PM_BLOB_BATCH_BYTES / each;
    fit = fit > 2 * last ? 2 * last : fit;
    return fit < 1 ? 1 : fit > PM_BLOB_BATCH ? PM_BLOB_BATCH : fit;
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
            pm_blob_key key;
            pmi_blob_key_of(r, space, digests[i], &key);
            st = pmi_blob_queue_get(r, key.span, PM_BLOB_VALUE, r->options.ttl, err);
        }
        PM_THEN(st, pmi_redis_flush(r, see_one_of_many, m, err));
        PM_THEN(st, visit_later(m, space, digests, err));
        batch = next_batch(end - m->first, m->bytes);
        m->first = end;
    }
    free(m);
    return st;
}
