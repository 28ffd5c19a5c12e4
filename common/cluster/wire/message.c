#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays travel as they lie in memory, which must be little-endian"
#endif

pm_span pmi_span_of(const char *text) {
    return (pm_span){(const uint8_t *)text, strlen(text)};
}

bool pmi_span_is(pm_span span, const char *text) {
    return span.size == strlen(text) && (span.size == 0 || memcmp(span.bytes, text, span.size) == 0);
}

void pmi_span_text(pm_span span, char *text, size_t n) {
    static const char dots[] = "...";
    if (n == 0) {
        return;
    }
    size_t kept = span.size, n_dots = 0;
    if (span.size >= n) {
        n_dots = n - 1 < 3 ? n - 1 : 3;
        kept = n - 1 - n_dots;
        while (kept > 0 && (span.bytes[kept] & 0xc0) == 0x80) { /* not inside a character */
            kept--;
        }
    }
    if (kept > 0) {
        memcpy(text, span.bytes, kept);
    }
    memcpy(text + kept, dots, n_dots);
    text[kept + n_dots] = '\0';
}

pm_span pmi_span_clean(const char *text, char *room, size_t n) {
    pmi_span_text(pmi_span_of(text), room, n);
    pmi_utf8_mend(room);
    return (pm_span){(const uint8_t *)room, strlen(room)};
}

size_t pmi_message_fields(const pm_message_type *type) {
    size_t n = 0;
    while (type->fields[n].name != NULL) {
        n++;
    }
    return n;
}

void pmi_message_memory_free(pm_message_memory *memory) {
    pmi_buffer_free(&memory->unpacked);
    for (size_t i = 0; i < memory->n_lists; i++) {
        free(memory->lists[i].items);
    }
    *memory = (pm_message_memory){.n_lists = 0};
}

pm_span pmi_u32s(const uint32_t *values, size_t count) {
    return (pm_span){(const uint8_t *)values, count * sizeof *values};
}

pm_span pmi_f64s(const double *values, size_t count) {
    return (pm_span){(const uint8_t *)values, count * sizeof *values};
}

/* A copy, because a span lies where it was read and may not be aligned. */
static pm_status copy_array(pm_span span, size_t width, void **values, size_t *count, pm_error *err) {
    *values = NULL;
    *count = 0;
    if (span.size % width != 0) {
        return pmi_fail(err, PM_EDATA, "expected an array of %zu-byte numbers, found %zu bytes", width, span.size);
    }
    void *copy = pmi_malloc(span.size, 1);
    if (copy == NULL) {
        return pmi_fail_memory(err, "an array of numbers", span.size);
    }
    if (span.size > 0) {
        memcpy(copy, span.bytes, span.size);
    }
    *values = copy;
    *count = span.size / width;
    return PM_OK;
}

pm_status pmi_u32s_read(pm_span span, uint32_t **values, size_t *count, pm_error *err) {
    void *copy;
    pm_status st = copy_array(span, sizeof **values, &copy, count, err);
    *values = copy;
    return st;
}

pm_status pmi_f64s_read(pm_span span, double **values, size_t *count, pm_error *err) {
    void *copy;
    pm_status st = copy_array(span, sizeof **values, &copy, count, err);
    *values = copy;
    return st;
}
