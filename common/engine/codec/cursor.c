#include "codec/cursor.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

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

/* How numbers, and lengths in front of what they count, are encoded. */
typedef struct encoding {
    uint8_t fix, fixes;  /* heads fix, fix + 1, ... are 0, 1, ..., so many of them */
    uint8_t wide, wides; /* heads in front of the number: in `bytes` bytes, in twice as many, ... */
    uint8_t bytes;
    const char *kind;
} encoding;

static const encoding uint_encoding = {0x00, 0x80, 0xcc, 4, 1, "a whole number that is not negative"};
static const encoding text_encoding = {0xa0, 0x20, 0xd9, 3, 1, "a text"};
static const encoding bin_encoding = {0, 0, 0xc4, 3, 1, "a bin"};
static const encoding array_encoding = {0x90, 0x10, 0xdc, 2, 2, "an array"};
static const encoding map_encoding = {0x80, 0x10, 0xde, 2, 2, "a map"};

static pm_status encoded_number(pm_cursor *c, const encoding *e, uint64_t *value, const char *what, pm_error *err) {
    if (c->at == c->size) {
        return cut_short(c, what, 1, err);
    }
    uint8_t head = c->bytes[c->at];
    if (head >= e->wide && head < e->wide + e->wides) {
        size_t n = (size_t)e->bytes << (head - e->wide);
        return wide_number(c, n, head == e->wide ? e->fixes : (uint64_t)1 << 4 * n, value, what, err);
    }
    if (head < e->fix || head >= e->fix + e->fixes) {
        return wrong_kind(c, what, e->kind, err);
    }
    *value = (uint64_t)(head - e->fix);
    c->at++;
    return PM_OK;
}

pm_status pmi_cursor_uint(pm_cursor *c, uint64_t *value, const char *what, pm_error *err) {
    return encoded_number(c, &uint_encoding, value, what, err);
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

static pm_status counted_bytes(pm_cursor *c, const encoding *e, const uint8_t **bytes, size_t *n, const char *what,
                               pm_error *err) {
    uint64_t length = 0;
    PM_TRY(encoded_number(c, e, &length, what, err));
    if (length > c->size - c->at) {
        return cut_short(c, what, length, err);
    }
    *bytes = c->bytes + c->at;
    *n = (size_t)length;
    c->at += *n;
    return PM_OK;
}

pm_status pmi_cursor_bin(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err) {
    return counted_bytes(c, &bin_encoding, bytes, n, what, err);
}

pm_status pmi_cursor_text(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err) {
    size_t bad = 0;
    PM_TRY(counted_bytes(c, &text_encoding, bytes, n, what, err));
    if (!pmi_utf8_valid(*bytes, *n, &bad)) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected UTF-8 without U+0000, found byte 0x%02x",
                        c->at - *n + bad, what, (*bytes)[bad]);
    }
    return PM_OK;
}

pm_status pmi_cursor_array(pm_cursor *c, uint64_t *count, const char *what, pm_error *err) {
    return encoded_number(c, &array_encoding, count, what, err);
}

pm_status pmi_cursor_map(pm_cursor *c, uint64_t *count, const char *what, pm_error *err) {
    return encoded_number(c, &map_encoding, count, what, err);
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
    PM_TRY(PM_NEW(numbers, (size_t)count, name, err));
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
