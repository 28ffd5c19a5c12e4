#include "redis/traces.h"

#include <search.h>
#include <string.h>

#include "trace/codec.h"

/* A trace in memory. */
typedef struct held_trace {
    pm_digest key; /* first: compared by it */
    uint8_t *bytes;
    size_t size;
    bool is_far; /* it came from Redis */
} held_trace;

/* Traces from Redis that were handed out: all but the last have shown themselves to fit. */
#define MAX_GIVEN 256
typedef struct pm_traces_given {
    pm_cache_entry entries[MAX_GIVEN]; /* their bytes are ours */
    size_t n, bytes;
} pm_traces_given;

static int by_key(const void *a, const void *b) {
    return memcmp(a, b, PM_DIGEST_BYTES);
}

static void free_held(void *trace) {
    free(((held_trace *)trace)->bytes);
    free(trace);
}

/* The trace of a key, NULL when it is not held. */
static held_trace *find_held(const pm_traces *t, const pm_digest key) {
    held_trace *const *node = tfind(key, &t->held, by_key);
    return node != NULL ? *node : NULL;
}

/* Holds a copy; a key that is held already keeps its trace. */
static pm_status hold(pm_traces *t, const pm_digest key, pm_span bytes, bool is_far, pm_error *err) {
    held_trace *trace = pmi_malloc(1, sizeof *trace), *const *node = NULL;
    uint8_t *copy = pmi_malloc(bytes.size, 1);
    if (trace != NULL && copy != NULL) {
        *trace = (held_trace){.bytes = copy, .size = bytes.size, .is_far = is_far};
        memcpy(trace->key, key, PM_DIGEST_BYTES);
        memcpy(copy, bytes.bytes, bytes.size);
        node = tsearch(trace, &t->held, by_key);
    }
    if (node == NULL || *node != trace) {
        free(copy);
        free(trace);
    }
    return node != NULL ? PM_OK : pmi_fail_memory(err, "traces that were fetched", bytes.size);
}

static void drop_held(pm_traces *t, held_trace *trace) {
    if (trace != NULL) {
        tdelete(trace, &t->held, by_key);
        free_held(trace);
    }
}

/* ---- the disk, which may fail ---- */

typedef enum disk_use { READING, WRITING } disk_use;

/* One line for each change of state: a full disk can be read all the time. True when it worked. */
static bool note_disk(pm_traces *t, disk_use use, pm_status st, const pm_error *why) {
    if (st != PM_OK && !t->is_disk_failing[use]) {
        pmi_logf(t->log, PM_LOG_WARNING, "%s; %s until it works again", why->text,
                 use == READING ? "traces come from Redis alone" : "traces are not kept on disk");
    } else if (st == PM_OK && t->is_disk_failing[use]) {
        pmi_logf(t->log, PM_LOG_INFO, "trace cache on disk: %s works again", use == READING ? "reading" : "writing");
    }
    t->is_disk_failing[use] = st != PM_OK;
    return st == PM_OK;
}

/* False when it is not there, damaged (the disk has said so and removed it), or the disk fails. */
static bool get_from_disk(pm_traces *t, const pm_digest key, pm_buffer *value) {
    pm_error why;
    pm_cache_found found;
    size_t before = value->size;
    if (t->disk == NULL) {
        return false;
    }
    bool is_found = note_disk(t, READING, pmi_disk_get(t->disk, PM_CACHE_TRACE, key, value, &found, &why), &why) &&
                    found == PM_CACHE_FOUND;
    if (!is_found) {
        value->size = before;
    }
    return is_found;
}

static void put_to_disk(pm_traces *t, const pm_cache_entry *entries, size_t n) {
    pm_error why;
    if (t->disk != NULL && n > 0) {
        (void)note_disk(t, WRITING, pmi_disk_put(t->disk, entries, n, &why), &why);
    }
}

/* ---- what came from Redis and is to go on disk ---- */

#define GIVEN_BYTES ((size_t)8 << 20)

/* Puts the first n on disk, and forgets them. */
static void keep_given(pm_traces *t, size_t n) {
    pm_traces_given *given = t->given;
    put_to_disk(t, given->entries, n);
    for (size_t i = 0; i < n; i++) {
        given->bytes -= given->entries[i].size;
        free((void *)given->entries[i].bytes);
    }
    memmove(given->entries, given->entries + n, (given->n - n) * sizeof *given->entries);
    given->n -= n;
}

static void forget_given(pm_traces *t, const pm_digest key) {
    pm_traces_given *given = t->given;
    for (size_t i = given == NULL ? 0 : given->n; i-- > 0;) {
        pm_cache_entry *entry = &given->entries[i];
        if (memcmp(entry->key, key, PM_DIGEST_BYTES) == 0) {
            given->bytes -= entry->size;
            free((void *)entry->bytes);
            memmove(entry, entry + 1, (given->n - i - 1) * sizeof *entry);
            given->n--;
        }
    }
}

/* Takes the bytes over. That the disk does not get them, where there is no memory for it, harms nobody. */
static void note_given(pm_traces *t, const pm_digest key, uint8_t *bytes, size_t size) {
    if (t->given == NULL) {
        t->given = pmi_calloc(1, sizeof *t->given);
    }
    if (t->given == NULL || bytes == NULL) {
        free(bytes);
        return;
    }
    if (t->given->n == MAX_GIVEN || t->given->bytes + size > GIVEN_BYTES) {
        keep_given(t, t->given->n);
    }
    pm_cache_entry *entry = &t->given->entries[t->given->n++];
    *entry = (pm_cache_entry){.bytes = bytes, .size = size};
    memcpy(entry->key, key, PM_DIGEST_BYTES);
    t->given->bytes += size;
}

void pmi_traces_settle(pm_traces *t, bool is_fit) {
    if (t->given != NULL && !is_fit && t->given->n > 0) {
        pm_digest last;
        memcpy(last, t->given->entries[t->given->n - 1].key, sizeof last);
        forget_given(t, last);
    }
    if (t->given != NULL) {
        keep_given(t, t->given->n);
    }
    free(t->given);
    t->given = NULL;
}

/* ---- one ---- */

static pm_status get_from_redis(pm_traces *t, const pm_digest key, pm_buffer *value, pm_cache_found *found,
                                pm_error *err) {
    size_t before = value->size;
    pm_blob_found there;
    pm_status st = pmi_blob_get(t->redis, PM_SPACE_TRACE, key, PM_BLOB_READ, value, &there, err);
    *found = there == PM_BLOB_FOUND ? PM_CACHE_FOUND : there == PM_BLOB_DAMAGED ? PM_CACHE_DAMAGED : PM_CACHE_MISSING;
    if (st == PM_OK && there == PM_BLOB_FOUND && t->disk != NULL) {
        size_t size = value->size - before;
        uint8_t *copy = pmi_malloc(size, 1);
        if (copy != NULL) {
            memcpy(copy, value->bytes + before, size);
        }
        note_given(t, key, copy, size);
    }
    return st;
}

static pm_status take_held(pm_traces *t, held_trace *held, pm_buffer *value, pm_error *err) {
    pm_status st = pmi_buffer_add(value, held->bytes, held->size, err);
    if (st == PM_OK && held->is_far && t->disk != NULL) {
        note_given(t, held->key, held->bytes, held->size);
        held->bytes = NULL;
    }
    drop_held(t, held);
    return st;
}

static pm_status get(void *ctx, const pm_digest key, pm_buffer *value, pm_cache_found *found, pm_error *err) {
    pm_traces *t = ctx;
    held_trace *held = find_held(t, key);
    *found = PM_CACHE_FOUND;
    if (held != NULL) {
        return take_held(t, held, value, err);
    }
    return get_from_disk(t, key, value) ? PM_OK : get_from_redis(t, key, value, found, err);
}

static pm_status put(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    pm_traces *t = ctx;
    pm_blob_item *items;
    PM_TRY(PM_NEW(&items, n, "the traces to keep", err));
    for (size_t i = 0; i < n; i++) {
        items[i] = (pm_blob_item){.bytes = entries[i].bytes, .size = entries[i].size};
        memcpy(items[i].digest, entries[i].key, PM_DIGEST_BYTES);
    }
    pm_status st = pmi_blob_put(t->redis, PM_SPACE_TRACE, items, n, false, err);
    if (st == PM_OK) {
        put_to_disk(t, entries, n);
    }
    free(items);
    return st;
}

static pm_status remove_both(void *ctx, const pm_digest key, pm_error *err) {
    pm_traces *t = ctx;
    bool removed;
    pm_error why;
    drop_held(t, find_held(t, key));
    forget_given(t, key);
    if (t->disk != NULL) {
        (void)note_disk(t, WRITING, pmi_disk_remove(t->disk, PM_CACHE_TRACE, key, &removed, &why), &why);
    }
    return pmi_blob_remove(t->redis, PM_SPACE_TRACE, key, err);
}

pm_trace_cache pmi_traces_cache(pm_traces *traces) {
    return (pm_trace_cache){.ctx = traces, .get = get, .put = put, .remove = remove_both};
}

void pmi_traces_close(pm_traces *traces) {
    pmi_traces_settle(traces, false);
    tdestroy(traces->held, free_held);
    traces->held = NULL;
}

/* ---- many ---- */

#define BATCH 256 /* traces uploaded together */
#define BATCH_BYTES ((size_t)8 << 20)

typedef struct warming {
    pm_traces *t;
    pm_digest *far; /* keys to ask Redis for */
    size_t n_far;
} warming;

static pm_status see_far(void *ctx, size_t i, pm_blob_found found, pm_span value, pm_error *err) {
    warming *w = ctx;
    return found == PM_BLOB_FOUND ? hold(w->t, w->far[i], value, true, err) : PM_OK;
}

/* Holds what the disk has; lists the others. */
static pm_status look_near(warming *w, const pm_digest *keys, size_t n, pm_error *err) {
    pm_buffer value = {0};
    pm_status st = PM_OK;
    if (w->t->disk != NULL) {
        pmi_disk_hold(w->t->disk);
    }
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        value.size = 0;
        if (find_held(w->t, keys[i]) != NULL) {
            continue;
        }
        if (get_from_disk(w->t, keys[i], &value)) {
            st = hold(w->t, keys[i], (pm_span){value.bytes, value.size}, false, err);
        } else {
            memcpy(w->far[w->n_far++], keys[i], PM_DIGEST_BYTES);
        }
    }
    if (w->t->disk != NULL) {
        pmi_disk_release(w->t->disk);
    }
    pmi_buffer_free(&value);
    return st;
}

pm_status pmi_traces_warm(pm_traces *traces, const pm_digest *keys, size_t n, pm_error *err) {
    warming w = {.t = traces, .far = pmi_malloc(n, sizeof *w.far)};
    pm_status st =
        w.far != NULL ? look_near(&w, keys, n, err) : pmi_fail_memory(err, "the traces to fetch", n * sizeof *w.far);
    PM_THEN(st, pmi_blob_get_many(traces->redis, PM_SPACE_TRACE, (const pm_digest *)w.far, w.n_far, PM_BLOB_READ,
                                  see_far, &w, err));
    free(w.far);
    return st;
}

/* ---- what Redis knows ---- */

typedef struct upload {
    pm_traces *t;
    pm_blob_item items[BATCH]; /* their bytes are ours */
    size_t n, bytes, total;
} upload;

static pm_status send(upload *u, pm_error *err) {
    pm_status st = pmi_blob_put(u->t->redis, PM_SPACE_TRACE, u->items, u->n, false, err);
    u->total += st == PM_OK ? u->n : 0;
    for (size_t i = 0; i < u->n; i++) {
        free((void *)u->items[i].bytes);
    }
    u->n = u->bytes = 0;
    return st;
}

/* The disk is this machine's; what others are to rely on is looked at first. */
static bool is_sound(pm_traces *t, const pm_digest key, const pm_buffer *value) {
    pm_trace trace = {0};
    pm_error why;
    pm_digest stored;
    bool removed;
    pm_status st = pmi_trace_decode(value->bytes, value->size, false, &trace, stored, &why);
    if (st == PM_OK && memcmp(stored, key, sizeof stored) != 0) {
        st = pmi_fail(&why, PM_EDATA, "it is the trace of another SCC");
    }
    pmi_trace_free(&trace);
    if (st != PM_OK) {
        pmi_logf(t->log, PM_LOG_ERROR, "trace cache on disk: %s is damaged and is removed: %s", PM_HEX(key), why.text);
        (void)note_disk(t, WRITING, pmi_disk_remove(t->disk, PM_CACHE_TRACE, key, &removed, &why), &why);
    }
    return st == PM_OK;
}

static pm_status upload_one(upload *u, const pm_digest key, bool *known, pm_error *err) {
    pm_buffer value = {0};
    if (!get_from_disk(u->t, key, &value) || !is_sound(u->t, key, &value)) {
        pmi_buffer_free(&value);
        return PM_OK;
    }
    pm_blob_item *item = &u->items[u->n++];
    *item = (pm_blob_item){.bytes = value.bytes, .size = value.size};
    memcpy(item->digest, key, PM_DIGEST_BYTES);
    u->bytes += value.size;
    *known = true;
    return u->n == BATCH || u->bytes >= BATCH_BYTES ? send(u, err) : PM_OK;
}

pm_status pmi_traces_known(pm_traces *traces, const pm_digest *keys, size_t n, bool *known, size_t *uploaded,
                           pm_error *err) {
    if (uploaded != NULL) {
        *uploaded = 0;
    }
    pm_status st = pmi_redis_exist(traces->redis, PM_SPACE_TRACE, keys, n, true, known, err);
    if (st != PM_OK || traces->disk == NULL) {
        return st;
    }
    upload *u = pmi_calloc(1, sizeof *u);
    PM_TRY(u != NULL ? PM_OK : pmi_fail_memory(err, "the traces to upload", sizeof *u));
    u->t = traces;
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        if (!known[i]) {
            st = upload_one(u, keys[i], &known[i], err);
        }
    }
    PM_THEN(st, send(u, err));
    for (size_t i = 0; i < u->n; i++) {
        free((void *)u->items[i].bytes);
    }
    if (uploaded != NULL) {
        *uploaded = u->total;
    }
    free(u);
    return st;
}

pm_status pmi_trace_keys(const pm_classes *classes, pm_digest **keys, pm_error *err) {
    *keys = pmi_malloc(classes->n_classes, sizeof **keys);
    for (size_t i = 0; *keys != NULL && i < classes->n_classes; i++) {
        memcpy((*keys)[i], classes->canon[i].key, PM_DIGEST_BYTES);
    }
    return *keys != NULL ? PM_OK : pmi_fail_memory(err, "the keys of a job", classes->n_classes * sizeof **keys);
}
