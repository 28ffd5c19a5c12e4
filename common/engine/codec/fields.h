/* Named fields of an encoded map, read in their order: an encoding is canonical or refused. */
#ifndef PM_CODEC_FIELDS_H
#define PM_CODEC_FIELDS_H

#include "base/hash.h"
#include "codec/cursor.h"

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
