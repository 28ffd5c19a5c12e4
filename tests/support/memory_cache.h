/* A cache in memory that counts what is asked of it, and fails on demand. */
#ifndef MEMORY_CACHE_H
#define MEMORY_CACHE_H

#include "trace/library.h"

enum { MEMORY_SHELVES = 64 };

typedef struct memory_shelf {
    uint8_t key[PM_DIGEST_BYTES];
    uint8_t *bytes;
    size_t size;
} memory_shelf;

typedef struct memory_cache {
    memory_shelf shelves[MEMORY_SHELVES];
    size_t n, gets, puts, removes;
    bool refuses_put, fails_get, says_damaged;
} memory_cache;

/* `memory` as a run takes it. */
pm_trace_cache memory_cache_of(memory_cache *memory);

/* NULL when it is not there. */
memory_shelf *memory_cache_find(memory_cache *memory, const uint8_t key[PM_DIGEST_BYTES]);

/* Other bytes in the place of those of a key that is there. */
void memory_cache_replace(memory_cache *memory, const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t size);

void memory_cache_empty(memory_cache *memory);

#endif
