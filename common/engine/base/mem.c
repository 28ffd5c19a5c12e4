#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Arrays that are read here and there miss the address cache less on pages of 2 MiB. */
#define HUGE_PAGE ((size_t)2 << 20)

bool pmi_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

bool pmi_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

void *pmi_malloc(size_t count, size_t size) {
    size_t bytes;
    if (!pmi_mul(count, size, &bytes)) {
        return NULL;
    }
    return malloc(bytes == 0 ? 1 : bytes);
}

void *pmi_calloc(size_t count, size_t size) {
    size_t bytes;
    if (!pmi_mul(count, size, &bytes)) {
        return NULL;
    }
    return bytes == 0 ? calloc(1, 1) : calloc(count, size);
}

void *pmi_malloc_aligned(size_t count, size_t size) {
    size_t bytes, padded;
    if (!pmi_mul(count, size, &bytes)) {
        return NULL;
    }
    size_t alignment = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    if (!pmi_add(bytes, alignment, &padded)) {
        return NULL;
    }
    size_t whole = padded / alignment * alignment;
    void *memory = aligned_alloc(alignment, whole);
    if (memory != NULL && alignment == HUGE_PAGE) {
        /* A hint: where the system has no huge pages to give, nothing changes but the speed. */
        (void)madvise(memory, whole, MADV_HUGEPAGE);
    }
    return memory;
}

bool pmi_reserve(void **array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity) {
        return true;
    }
    size_t grown = *capacity < 16 ? 16 : *capacity;
    while (grown < need) {
        if (!pmi_mul(grown, 2, &grown)) {
            return false;
        }
    }
    size_t bytes;
    if (!pmi_mul(grown, size, &bytes)) {
        return false;
    }
    void *moved = realloc(*array, bytes);
    if (moved == NULL) {
        return false;
    }
    *array = moved;
    *capacity = grown;
    return true;
}

/* `array` is the address of a pointer, of whatever type. */
static pm_status hand_out(void *array, void *memory, size_t bytes, const char *what, pm_error *err) {
    memcpy(array, &memory, sizeof memory);
    return memory != NULL ? PM_OK : pmi_fail_memory(err, what, bytes);
}

pm_status pmi_new(void *array, size_t count, size_t size, const char *what, pm_error *err) {
    return hand_out(array, pmi_malloc(count, size), count * size, what, err);
}

pm_status pmi_new_zeros(void *array, size_t count, size_t size, const char *what, pm_error *err) {
    return hand_out(array, pmi_calloc(count, size), count * size, what, err);
}

pm_status pmi_grow(void *array, size_t *capacity, size_t need, size_t size, const char *what, pm_error *err) {
    void *memory;
    memcpy(&memory, array, sizeof memory);
    if (!pmi_reserve(&memory, capacity, need, size)) {
        return pmi_fail_memory(err, what, need * size);
    }
    memcpy(array, &memory, sizeof memory);
    return PM_OK;
}

static void *own(pm_pool *pool, void *array) {
    if (array == NULL || !pmi_reserve((void **)&pool->arrays, &pool->capacity, pool->n + 1, sizeof *pool->arrays)) {
        pool->is_short = true;
        free(array);
        return NULL;
    }
    return pool->arrays[pool->n++] = array;
}

void *pmi_pool_array(pm_pool *pool, size_t count, size_t size) {
    return own(pool, pmi_malloc(count, size));
}

void *pmi_pool_zeros(pm_pool *pool, size_t count, size_t size) {
    return own(pool, pmi_calloc(count, size));
}

void *pmi_pool_aligned(pm_pool *pool, size_t count, size_t size) {
    return own(pool, pmi_malloc_aligned(count, size));
}

void pmi_pool_free(pm_pool *pool) {
    while (pool->n > 0) {
        free(pool->arrays[--pool->n]);
    }
    free(pool->arrays);
    *pool = (pm_pool){0};
}

pm_status pmi_pool_check(const pm_pool *pool, pm_error *err, const char *what, size_t bytes) {
    return pool->is_short ? pmi_fail_memory(err, what, bytes) : PM_OK;
}

pm_status pmi_buffer_add(pm_buffer *b, const void *bytes, size_t n, pm_error *err) {
    size_t need;
    if (!pmi_add(b->size, n, &need) || !pmi_reserve((void **)&b->bytes, &b->capacity, need, 1)) {
        return pmi_fail_memory(err, "a byte buffer", n);
    }
    if (n > 0) {
        memcpy(b->bytes + b->size, bytes, n);
    }
    b->size = need;
    return PM_OK;
}

void pmi_buffer_free(pm_buffer *b) {
    free(b->bytes);
    *b = (pm_buffer){0};
}

pm_status pmi_file_read(const char *path, pm_buffer *out, pm_error *err) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return pmi_fail(err, PM_ENOINPUT, "file \"%s\" cannot be opened: %s", path, strerror(errno));
    }
    uint8_t block[16384];
    pm_status st = PM_OK;
    size_t got = 0;
    while (st == PM_OK && (got = fread(block, 1, sizeof block, file)) > 0) {
        st = pmi_buffer_add(out, block, got, err);
    }
    PM_THEN(st, ferror(file) ? pmi_fail(err, PM_EIO, "file \"%s\" cannot be read: %s", path, strerror(errno)) : PM_OK);
    fclose(file);
    return st;
}
