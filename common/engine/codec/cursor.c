#include "codec/cursor.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Big-endian, as MessagePack has it; the caller has checked that the bytes are there. */
static uint64_t big_endian(const uint8_t *bytes, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static pm_status cut_short(const pm_cursor *c, const char *what, uint64_t need, pm_error *err) {
    return pmi_fail(err, PM_EDATA, "byte %zu: expected %s of %" PRIu64 " bytes, found the end after %zu", c->at, what,
                    need, c->size - c->at);
}

pm_status pmi_cursor_expect(pm_cursor *c, const uint8_t *bytes, size_t n, const char *what, pm_error *err) {
    if (c->size - c->at < n) {
        return cut_short(c, what, n, err);
    }
    if (memcmp(c->bytes + c->at, bytes, n) != 0) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected %s, found other bytes", c->at, what);
    }
    c->at += n;
    return PM_OK;
}

/* A head of one byte and a big-endian number of `n` bytes that needs all of them: at least `least`. */
static pm_status wide_number(pm_cursor *c, size_t n, uint64_t least, uint64_t *value, const char *what, pm_error *err) {
    if (c->size - c->at < 1 + n) {
        return cut_short(c, what, 1 + n, err);
    }
    *value = big_endian(c->bytes + c->at + 1, n);
    if (*value < least) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s is not in its shortest encoding", c->at, what);
    }
    c->at += 1 + n;
    return PM_OK;
}

static pm_status wrong_kind(const pm_cursor *c, const char *what, const char *kind, pm_error *err) {
    return pmi_fail(err, PM_EDATA, "byte %zu: expected %s, %s, found type byte 0x%02x", c->at, what, kind,
                    c->bytes[c->at]);
}

pm_status pmi_cursor_uint(pm_cursor *c, uint64_t *value, const char *what, pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    uint8_t head = c->bytes[c->at];
    switch (head) {
    case 0xcc:
        return wide_number(c, 1, 0x80, value, what, err);
    case 0xcd:
        return wide_number(c, 2, 0x100, value, what, err);
    case 0xce:
        return wide_number(c, 4, 0x10000, value, what, err);
    case 0xcf:
        return wide_number(c, 8, 0x100000000, value, what, err);
    default:
        if (head > 0x7f) {
            return wrong_kind(c, what, "a whole number that is not negative", err);
        }
        *value = head;
        c->at++;
        return PM_OK;
    }
}

/* A head of one byte and a negative number in `n` bytes (two's complement) that needs all of them: at most `most`. */
static pm_status wide_negative(pm_cursor *c, size_t n, int64_t most, int64_t *value, const char *what, pm_error *err) {
    if (c->size - c->at < 1 + n) {
        return cut_short(c, what, 1 + n, err);
    }
    uint64_t bits = big_endian(c->bytes + c->at + 1, n);
    uint64_t sign = (uint64_t)1 << (8 * n - 1);
    *value = (int64_t)((bits ^ sign) - sign);
    if (*value > most) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s is not in its shortest encoding", c->at, what);
    }
    c->at += 1 + n;
    return PM_OK;
}

static pm_status not_negative(pm_cursor *c, int64_t *value, const char *what, pm_error *err) {
    uint64_t magnitude = 0;
    size_t at = c->at;
    pm_status st = pmi_cursor_uint(c, &magnitude, what, err);
    if (st == PM_OK && magnitude > INT64_MAX) {
        st = pmi_fail(err, PM_EDATA, "byte %zu: %s: expected at most %" PRId64 ", found %" PRIu64, at, what, INT64_MAX,
                      magnitude);
    }
    *value = st == PM_OK ? (int64_t)magnitude : 0;
    return st;
}

pm_status pmi_cursor_int(pm_cursor *c, int64_t *value, const char *what, pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    uint8_t head = c->bytes[c->at];
    switch (head) {
    case 0xd0:
        return wide_negative(c, 1, -33, value, what, err);
    case 0xd1:
        return wide_negative(c, 2, INT8_MIN - 1, value, what, err);
    case 0xd2:
        return wide_negative(c, 4, INT16_MIN - 1, value, what, err);
    case 0xd3:
        return wide_negative(c, 8, (int64_t)INT32_MIN - 1, value, what, err);
    default:
        if (head < 0xe0) {
            return not_negative(c, value, what, err);
        }
        *value = (int64_t)head - 0x100;
        c->at++;
        return PM_OK;
    }
}

pm_status pmi_cursor_real(pm_cursor *c, double *value, const char *what, pm_error *err) {
    if (c->size - c->at < 9) {
        return cut_short(c, what, 9, err);
    }
    if (c->bytes[c->at] != 0xcb) {
        return wrong_kind(c, what, "a float 64", err);
    }
    uint64_t bits = big_endian(c->bytes + c->at + 1, 8);
    memcpy(value, &bits, sizeof bits);
    if (!isfinite(*value)) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected a finite number, found %s", c->at, what,
                        isnan(*value) ? "NaN" : "infinity");
    }
    c->at += 9;
    return PM_OK;
}

pm_status pmi_cursor_bool(pm_cursor *c, bool *value, const char *what, pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    if ((c->bytes[c->at] & 0xfe) != 0xc2) {
        return wrong_kind(c, what, "true or false", err);
    }
    *value = c->bytes[c->at++] == 0xc3;
    return PM_OK;
}

static pm_status text_length(pm_cursor *c, uint64_t *length, const char *what, pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    uint8_t head = c->bytes[c->at];
    switch (head) {
    case 0xd9:
        return wide_number(c, 1, 0x20, length, what, err);
    case 0xda:
        return wide_number(c, 2, 0x100, length, what, err);
    case 0xdb:
        return wide_number(c, 4, 0x10000, length, what, err);
    default:
        if ((head & 0xe0) != 0xa0) {
            return wrong_kind(c, what, "a text", err);
        }
        *length = head & 0x1f;
        c->at++;
        return PM_OK;
    }
}

pm_status pmi_cursor_text(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err) {
    uint64_t length = 0;
    size_t bad = 0;
    PM_TRY(text_length(c, &length, what, err));
    if (length > c->size - c->at) {
        return cut_short(c, what, length, err);
    }
    if (!pmi_utf8_valid(c->bytes + c->at, (size_t)length, &bad)) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected UTF-8 without U+0000, found byte 0x%02x", c->at + bad,
                        what, c->bytes[c->at + bad]);
    }
    *bytes = c->bytes + c->at;
    *n = (size_t)length;
    c->at += *n;
    return PM_OK;
}

/* An array's or a map's head: `fix` with the count in its low four bits, else `wide` (16 bits) or the one after it. */
static pm_status container(pm_cursor *c, uint8_t fix, uint8_t wide, uint64_t *count, const char *what, const char *kind,
                           pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    uint8_t head = c->bytes[c->at];
    if (head == wide) {
        return wide_number(c, 2, 0x10, count, what, err);
    }
    if (head == wide + 1) {
        return wide_number(c, 4, 0x10000, count, what, err);
    }
    if ((head & 0xf0) != fix) {
        return wrong_kind(c, what, kind, err);
    }
    *count = head & 0x0f;
    c->at++;
    return PM_OK;
}

pm_status pmi_cursor_array(pm_cursor *c, uint64_t *count, const char *what, pm_error *err) {
    return container(c, 0x90, 0xdc, count, what, "an array", err);
}

pm_status pmi_cursor_map(pm_cursor *c, uint64_t *count, const char *what, pm_error *err) {
    return container(c, 0x80, 0xde, count, what, "a map", err);
}

static pm_status bin_length(pm_cursor *c, uint64_t *length, const char *what, pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    switch (c->bytes[c->at]) {
    case 0xc4:
        return wide_number(c, 1, 0, length, what, err);
    case 0xc5:
        return wide_number(c, 2, 0x100, length, what, err);
    case 0xc6:
        return wide_number(c, 4, 0x10000, length, what, err);
    default:
        return wrong_kind(c, what, "a bin", err);
    }
}

pm_status pmi_cursor_bin(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err) {
    uint64_t length = 0;
    PM_TRY(bin_length(c, &length, what, err));
    if (length > c->size - c->at) {
        return cut_short(c, what, length, err);
    }
    *bytes = c->bytes + c->at;
    *n = (size_t)length;
    c->at += *n;
    return PM_OK;
}

pm_status pmi_cursor_end(const pm_cursor *c, pm_error *err) {
    if (c->at != c->size) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected the end, found %zu more bytes", c->at, c->size - c->at);
    }
    return PM_OK;
}

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
