/* The few MessagePack values that traces and messages are made of, read in place. Only the canonical encoding is
 * accepted (the shortest head for each value), so that equal values are equal bytes. Nothing is allocated while
 * reading: msgpack-c's own unpacker makes room for as many elements as an array's head claims, which untrusted bytes
 * must not decide. */
#ifndef PM_CODEC_CURSOR_H
#define PM_CODEC_CURSOR_H

#include "base/hash.h"
#include "base/mem.h"

typedef struct pm_cursor {
    const uint8_t *bytes;
    size_t size;
    size_t at;
} pm_cursor;

/* Errors of all: PM_EDATA with "byte N: expected ..., found ...", N counting from the start of `bytes`. `what`
 * names the value in the text. */
pm_status pmi_cursor_expect(pm_cursor *c, const uint8_t *bytes, size_t n, const char *what, pm_error *err);
pm_status pmi_cursor_uint(pm_cursor *c, uint64_t *value, const char *what, pm_error *err);
/* *bytes points into the cursor's memory. */
pm_status pmi_cursor_bin(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err);
pm_status pmi_cursor_int(pm_cursor *c, int64_t *value, const char *what, pm_error *err);
/* A binary64; NaN and infinities are refused. */
pm_status pmi_cursor_real(pm_cursor *c, double *value, const char *what, pm_error *err);
pm_status pmi_cursor_bool(pm_cursor *c, bool *value, const char *what, pm_error *err);
/* UTF-8 without U+0000, in the cursor's memory, without a final zero. */
pm_status pmi_cursor_text(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err);
/* The heads of an array and of a map: how many elements, or pairs, they say follow. */
pm_status pmi_cursor_array(pm_cursor *c, uint64_t *count, const char *what, pm_error *err);
pm_status pmi_cursor_map(pm_cursor *c, uint64_t *count, const char *what, pm_error *err);
pm_status pmi_cursor_end(const pm_cursor *c, pm_error *err);

/* ---- named fields of an encoded map, read in their order: an encoding is canonical or refused ---- */

/* Bytes of an index: the narrowest that holds 0..n-1. */
unsigned pmi_index_width(uint64_t n);

/* Number i of those that pmi_writer_numbers wrote. */
uint32_t pmi_number_at(const uint8_t *bytes, size_t i, unsigned width);

/* Each expects the key `name` (of fewer than 16 bytes), then the value. Errors: PM_EDATA, as of pm_cursor. */
pm_status pmi_field_uint(pm_cursor *c, const char *name, uint64_t least, uint64_t most, uint64_t *value, pm_error *err);
/* A bin of exactly `need` bytes. */
pm_status pmi_field_bin(pm_cursor *c, const char *name, uint64_t need, const uint8_t **bytes, pm_error *err);
/* A bin of any length. */
pm_status pmi_field_bytes(pm_cursor *c, const char *name, const uint8_t **bytes, size_t *n, pm_error *err);
/* `count` numbers into memory of their own, made only once the bytes are known to be there. Free with free(). */
pm_status pmi_field_numbers(pm_cursor *c, const char *name, uint64_t count, unsigned width, uint32_t **numbers,
                            pm_error *err);
/* `digest` may be NULL. */
pm_status pmi_field_digest(pm_cursor *c, const char *name, uint8_t digest[PM_DIGEST_BYTES], pm_error *err);

#endif
