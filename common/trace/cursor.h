/* The few MessagePack values that traces are made of, written by msgpack-c and read in place.
 *
 * Reading accepts the canonical encoding only (the shortest head for each value, as msgpack-c writes it), so that equal
 * traces are equal bytes. Nothing is allocated while reading: msgpack-c's own unpacker makes room for as many elements
 * as an array's head claims, which untrusted bytes must not decide. */
#ifndef PM_TRACE_CURSOR_H
#define PM_TRACE_CURSOR_H

#include "base/buffer.h"

typedef struct pm_cursor {
    const uint8_t *bytes;
    size_t size;
    size_t at;
} pm_cursor;

/* Errors of all four: PM_EDATA with "byte N: expected ..., found ...", N counting from the start of `bytes`. `what`
 * names the value in the text. */
pm_status pm_cursor_expect(pm_cursor *c, const uint8_t *bytes, size_t n, const char *what, pm_error *err);
pm_status pm_cursor_uint(pm_cursor *c, uint64_t *value, const char *what, pm_error *err);
/* *bytes points into the cursor's memory. */
pm_status pm_cursor_bin(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err);
pm_status pm_cursor_end(const pm_cursor *c, pm_error *err);

#endif
