#include "base/mem.h"

bool pm_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

bool pm_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

void *pm_malloc(size_t count, size_t size) {
    size_t bytes;
    if (!pm_mul(count, size, &bytes)) {
        return NULL;
    }
    return malloc(bytes == 0 ? 1 : bytes);
}

void *pm_calloc(size_t count, size_t size) {
    size_t bytes;
    if (!pm_mul(count, size, &bytes)) {
        return NULL;
    }
    return bytes == 0 ? calloc(1, 1) : calloc(count, size);
}

void *pm_malloc_aligned(size_t count, size_t size) {
    size_t bytes, padded;
    if (!pm_mul(count, size, &bytes) || !pm_add(bytes, 64, &padded)) {
        return NULL;
    }
    return aligned_alloc(64, padded / 64 * 64);
}

bool pm_reserve(void **array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity) {
        return true;
    }
    size_t grown = *capacity < 16 ? 16 : *capacity;
    while (grown < need) {
        if (!pm_mul(grown, 2, &grown)) {
            return false;
        }
    }
    size_t bytes;
    if (!pm_mul(grown, size, &bytes)) {
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
