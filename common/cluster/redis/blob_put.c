/* Writing blobs: chunks first, then SET NX of the blobs, many at a time; what was there is compared. */
#include <string.h>

#include "base/mem.h"
#include "redis/blob_impl.h"

/* A key that is there when set, gone when read, and so on: expiry, or another writer; not for long. */
#define ROUNDS 4

/* ---- chunks ---- */

typedef struct chunking {
    pm_redis *r;
    bool is_there[PM_BLOB_BATCH];
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
        pm_blob_key key;
        pmi_blob_chunk_key_of(c->r, item->digest, value, i, &key);
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
        pm_blob_key key;
        pmi_blob_chunk_key_of(c->r, item->digest, value, i, &key);
        const pm_span bytes = {item->bytes + (size_t)i * PM_BLOB_PIECE, pmi_blob_chunk_size(item->size, i)};
        const pm_span argv[] = {pmi_span_of("SET"), key.span, bytes, pmi_span_of("PX"), ttl->span};
        st = pmi_redis_queue(c->r, argv, 5, err);
        if (st == PM_OK && ++waiting == PM_BLOB_WRITE_AHEAD) {
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
    uint64_t n = pmi_blob_n_chunks(item->size);
    pmi_redis_ttl_of(2.0 * r->options.ttl, &ttl);
    for (uint64_t first = 0; first < n; first += PM_BLOB_BATCH) {
        uint64_t end = n - first < PM_BLOB_BATCH ? n : first + PM_BLOB_BATCH;
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
    draft drafts[PM_BLOB_BATCH];
    size_t n, bytes;
    bool is_there;                                /* the key whose value comes next */
    size_t in_flight[PM_BLOB_BATCH], n_in_flight; /* drafts of the pipeline, in order */
    pm_buffer encoded;
} batch;

static pm_status queue_set(batch *b, const draft *d, bool only_new, pm_error *err) {
    const pm_blob_item *item = d->item;
    pm_blob_message blob = {.size = item->size, .chunks = pmi_blob_n_chunks(item->size)};
    memcpy(blob.digest, d->value, sizeof blob.digest);
    if (blob.chunks == 0) {
        blob.bytes = (pm_span){item->bytes, item->size};
    }
    b->encoded.size = 0;
    pm_blob_key key;
    pm_redis_ttl ttl;
    pmi_blob_key_of(b->r, b->space, item->digest, &key);
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
        pm_blob_key key;
        char there[PM_DIGEST_HEX], ours[PM_DIGEST_HEX];
        pmi_blob_key_of(b->r, b->space, d->item->digest, &key);
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
        return pmi_blob_see_refresh(b->r, reply, &b->is_there, err);
    }
    const pm_blob_place place = {b->space, d->item->digest, b->is_there};
    PM_TRY(pmi_blob_open(b->r, &place, reply, SIZE_MAX, &blob, &memory, &found, &why, err));
    if (found == PM_BLOB_FOUND) {
        compare(b, d, &blob);
    } else if (found == PM_BLOB_DAMAGED) {
        pmi_blob_say_damaged(b->r, b->space, d->item->digest, &why);
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
            pm_blob_key key;
            pmi_blob_key_of(b->r, b->space, d->item->digest, &key);
            st = pmi_blob_queue_get(b->r, key.span, PM_BLOB_VALUE, b->r->options.ttl, err);
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
            st = pmi_blob_unlink(b->r, b->space, d->item->digest, NULL, err);
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
    if (b->n == PM_BLOB_BATCH || (b->n > 0 && b->bytes + inside > PM_BLOB_BATCH_BYTES)) {
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
