/* Memory: products of sizes are checked, growable arrays double in one place, and byte strings own their bytes. */
#ifndef PM_BASE_MEM_H
#define PM_BASE_MEM_H

#include <stdlib.h>

#include "base/error.h"

/* count * size bytes, zeroed when `calloc`; NULL when the product overflows or memory is out.
 * A request of zero bytes returns a valid pointer. Free with free(). */
void *pmi_malloc(size_t count, size_t size);
void *pmi_calloc(size_t count, size_t size);
/* As pmi_malloc, aligned to 64 bytes (one cache line, one AVX-512 vector); on huge pages where it is large. Free with
 * free(). */
void *pmi_malloc_aligned(size_t count, size_t size);

/* Makes room for at least `need` elements of `size` bytes in *array, growing *capacity by doubling.
 * On failure returns false and leaves *array and *capacity as they were. */
bool pmi_reserve(void **array, size_t *capacity, size_t need, size_t size);

/* The same three with a status: *array gets `count` (room for `need`) elements of its type; pmi_fail_memory for `what`,
 * and NULL (or what it was), where they cannot be had. */
#define PM_NEW(array, count, what, err) pmi_new((array), (count), sizeof **(array), (what), (err))
#define PM_ZEROS(array, count, what, err) pmi_new_zeros((array), (count), sizeof **(array), (what), (err))
#define PM_GROW(array, capacity, need, what, err) pmi_grow((array), (capacity), (need), sizeof **(array), (what), (err))
pm_status pmi_new(void *array, size_t count, size_t size, const char *what, pm_error *err);
pm_status pmi_new_zeros(void *array, size_t count, size_t size, const char *what, pm_error *err);
pm_status pmi_grow(void *array, size_t *capacity, size_t need, size_t size, const char *what, pm_error *err);

/* Arrays that live and die together. All-zero is empty. */
typedef struct pm_pool {
    void **arrays;
    size_t n, capacity;
    bool is_short; /* one of them could not be had */
} pm_pool;

/* As pmi_malloc, pmi_calloc and pmi_malloc_aligned; freed by pmi_pool_free, which leaves the pool empty. */
void *pmi_pool_array(pm_pool *pool, size_t count, size_t size);
void *pmi_pool_zeros(pm_pool *pool, size_t count, size_t size);
void *pmi_pool_aligned(pm_pool *pool, size_t count, size_t size);
void pmi_pool_free(pm_pool *pool);

/* Once all arrays were asked for: pmi_fail_memory where one of them could not be had. */
pm_status pmi_pool_check(const pm_pool *pool, pm_error *err, const char *what, size_t bytes);

/* *out = a * b (a + b); false when it does not fit a size_t. */
bool pmi_mul(size_t a, size_t b, size_t *out);
bool pmi_add(size_t a, size_t b, size_t *out);

/* A growable byte string that owns its memory. All-zero is a valid empty buffer. */
typedef struct pm_buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} pm_buffer;

pm_status pmi_buffer_add(pm_buffer *b, const void *bytes, size_t n, pm_error *err);
void pmi_buffer_free(pm_buffer *b); /* frees the memory and leaves an empty buffer */

/* Appends the bytes of a whole file. Errors name the path: PM_ENOINPUT when it cannot be opened, PM_EIO when it cannot
 * be read. Free the buffer with pmi_buffer_free, also after a failure. */
pm_status pmi_file_read(const char *path, pm_buffer *out, pm_error *err);

#endif
