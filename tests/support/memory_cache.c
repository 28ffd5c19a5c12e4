#include "memory_cache.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

memory_shelf *memory_cache_find(memory_cache *memory, const uint8_t key[PM_DIGEST_BYTES]) {
    for (size_t i = 0; i < memory->n; i++) {
        if (memcmp(memory->shelves[i].key, key, PM_DIGEST_BYTES) == 0) {
            return &memory->shelves[i];
        }
    }
    return NULL;
}

static pm_status cache_remove(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    (void)err;
    memory_cache *m = ctx;
    memory_shelf *s = memory_cache_find(m, key);
    m->removes++;
    if (s != NULL) {
        free(s->bytes);
        *s = m->shelves[--m->n];
    }
    return PM_OK;
}

static pm_status cache_get(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                           pm_error *err) {
    memory_cache *m = ctx;
    m->gets++;
    if (m->fails_get) {
        return pmi_fail(err, PM_EIO, "the cache cannot be read");
    }
    memory_shelf *s = memory_cache_find(m, key);
    *found = s == NULL ? PM_CACHE_MISSING : PM_CACHE_FOUND;
    if (s != NULL && m->says_damaged) {
        *found = PM_CACHE_DAMAGED;
        return cache_remove(ctx, key, err);
    }
    return s == NULL ? PM_OK : pmi_buffer_add(value, s->bytes, s->size, err);
}

static void set_bytes(memory_shelf *s, const uint8_t *bytes, size_t size) {
    s->size = size;
    s->bytes = pmi_malloc(size, 1);
    cr_assert_not_null(s->bytes);
    memcpy(s->bytes, bytes, size);
}

static pm_status cache_put(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    memory_cache *m = ctx;
    m->puts++;
    if (m->refuses_put) {
        return pmi_fail(err, PM_EIO, "the disk is full");
    }
    for (size_t i = 0; i < n; i++) {
        cr_assert_null(memory_cache_find(m, entries[i].key), "a key is put twice");
        cr_assert_lt(m->n, (size_t)MEMORY_SHELVES);
        memory_shelf *s = &m->shelves[m->n++];
        memcpy(s->key, entries[i].key, PM_DIGEST_BYTES);
        set_bytes(s, entries[i].bytes, entries[i].size);
    }
    return PM_OK;
}

pm_trace_cache memory_cache_of(memory_cache *memory) {
    return (pm_trace_cache){.ctx = memory, .get = cache_get, .put = cache_put, .remove = cache_remove};
}

void memory_cache_replace(memory_cache *memory, const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t size) {
    memory_shelf *s = memory_cache_find(memory, key);
    cr_assert_not_null(s);
    free(s->bytes);
    set_bytes(s, bytes, size);
}

void memory_cache_empty(memory_cache *memory) {
    while (memory->n > 0) {
        free(memory->shelves[--memory->n].bytes);
    }
}
