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
