#include "base/buffer.h"

#include <string.h>

#include "base/mem.h"

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
