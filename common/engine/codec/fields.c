#include "codec/fields.h"

#include <string.h>

#include "base/mem.h"

unsigned pmi_index_width(uint64_t n) {
    if (n <= 0x100) {
        return 1;
    }
    return n <= 0x10000 ? 2 : 4;
}

/* The keys come in one order: a payload is canonical or refused. */
static pm_status expect_key(pm_cursor *c, const char *name, pm_error *err) {
    uint8_t text[16];
    char what[32];
    size_t n = strlen(name);
    text[0] = (uint8_t)(0xa0 | n); /* fixstr: every key is shorter than 16 */
    memcpy(text + 1, name, n);
    memcpy(what, "key \"", 5);
    memcpy(what + 5, name, n);
    memcpy(what + 5 + n, "\"", 2);
    return pmi_cursor_expect(c, text, n + 1, what, err);
}

pm_status pmi_field_uint(pm_cursor *c, const char *name, uint64_t least, uint64_t most, uint64_t *value,
                         pm_error *err) {
    pm_status st = expect_key(c, name, err);
    size_t at = c->at;
    PM_THEN(st, pmi_cursor_uint(c, value, name, err));
    if (st == PM_OK && (*value < least || *value > most)) {
        st = pmi_fail(err, PM_EDATA, "byte %zu: %s: expected from %llu to %llu, found %llu", at, name,
                      (unsigned long long)least, (unsigned long long)most, (unsigned long long)*value);
    }
    return st;
}

pm_status pmi_field_bytes(pm_cursor *c, const char *name, const uint8_t **bytes, size_t *n, pm_error *err) {
    PM_TRY(expect_key(c, name, err));
    return pmi_cursor_bin(c, bytes, n, name, err);
}

pm_status pmi_field_bin(pm_cursor *c, const char *name, uint64_t need, const uint8_t **bytes, pm_error *err) {
    size_t n = 0;
    pm_status st = expect_key(c, name, err);
    size_t at = c->at;
    PM_TRY(st);
    PM_TRY(pmi_cursor_bin(c, bytes, &n, name, err));
    if (n != need) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected %llu bytes, found %zu", at, name,
                        (unsigned long long)need, n);
    }
    return PM_OK;
}

static inline uint32_t number_at(const uint8_t *bytes, size_t i, unsigned width) {
    uint32_t value = 0;
    for (unsigned b = 0; b < width; b++) {
        value |= (uint32_t)bytes[i * width + b] << 8 * b;
    }
    return value;
}

uint32_t pmi_number_at(const uint8_t *bytes, size_t i, unsigned width) {
    return number_at(bytes, i, width);
}

/* A loop for each width: the compiler makes plain loads of it. */
static void fill_numbers(const uint8_t *bytes, size_t count, unsigned width, uint32_t *out) {
    for (size_t i = 0; width == 1 && i < count; i++) {
        out[i] = bytes[i];
    }
    for (size_t i = 0; width == 2 && i < count; i++) {
        out[i] = number_at(bytes, i, 2);
    }
    for (size_t i = 0; width == 4 && i < count; i++) {
        out[i] = number_at(bytes, i, 4);
    }
}

pm_status pmi_field_numbers(pm_cursor *c, const char *name, uint64_t count, unsigned width, uint32_t **numbers,
                            pm_error *err) {
    const uint8_t *bytes = NULL;
    PM_TRY(pmi_field_bin(c, name, count * width, &bytes, err));
    *numbers = pmi_malloc((size_t)count, sizeof **numbers);
    if (*numbers == NULL) {
        return pmi_fail_memory(err, name, (size_t)count * sizeof **numbers);
    }
    fill_numbers(bytes, (size_t)count, width, *numbers);
    return PM_OK;
}

pm_status pmi_field_digest(pm_cursor *c, const char *name, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    const uint8_t *bytes = NULL;
    PM_TRY(pmi_field_bin(c, name, PM_DIGEST_BYTES, &bytes, err));
    if (digest != NULL) {
        memcpy(digest, bytes, PM_DIGEST_BYTES);
    }
    return PM_OK;
}
