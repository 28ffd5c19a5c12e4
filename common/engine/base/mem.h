/* Memory: products of sizes are checked, and a growable array doubles in one place. */
#ifndef PM_BASE_MEM_H
#define PM_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

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

/* *out = a * b (a + b); false when it does not fit a size_t. */
bool pmi_mul(size_t a, size_t b, size_t *out);
bool pmi_add(size_t a, size_t b, size_t *out);

#endif
