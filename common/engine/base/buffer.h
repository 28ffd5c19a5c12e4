/* A growable byte string that owns its memory. All-zero is a valid empty buffer. */
#ifndef PM_BASE_BUFFER_H
#define PM_BASE_BUFFER_H

#include "base/error.h"

typedef struct pm_buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} pm_buffer;

pm_status pmi_buffer_add(pm_buffer *b, const void *bytes, size_t n, pm_error *err);
void pmi_buffer_free(pm_buffer *b); /* frees the memory and leaves an empty buffer */

#endif
