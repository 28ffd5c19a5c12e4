#include "trace/cursor.h"

#include <inttypes.h>
#include <string.h>

/* Big-endian, as MessagePack has it; the caller has checked that the bytes are there. */
static uint64_t big_endian(const uint8_t *bytes, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static pm_status cut_short(const pm_cursor *c, const char *what, uint64_t need, pm_error *err) {
    return pm_fail(err, PM_EDATA, "byte %zu: expected %s of %" PRIu64 " bytes, found the end after %zu", c->at, what,
                   need, c->size - c->at);
}

pm_status pm_cursor_expect(pm_cursor *c, const uint8_t *bytes, size_t n, const char *what, pm_error *err) {
    if (c->size - c->at < n) {
        return cut_short(c, what, n, err);
    }
    if (memcmp(c->bytes + c->at, bytes, n) != 0) {
        return pm_fail(err, PM_EDATA, "byte %zu: expected %s, found other bytes", c->at, what);
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
        return pm_fail(err, PM_EDATA, "byte %zu: %s is not in its shortest encoding", c->at, what);
    }
    c->at += 1 + n;
    return PM_OK;
}

static pm_status wrong_kind(const pm_cursor *c, const char *what, const char *kind, pm_error *err) {
    return pm_fail(err, PM_EDATA, "byte %zu: expected %s, %s, found type byte 0x%02x", c->at, what, kind,
                   c->bytes[c->at]);
}

pm_status pm_cursor_uint(pm_cursor *c, uint64_t *value, const char *what, pm_error *err) {
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

pm_status pm_cursor_bin(pm_cursor *c, const uint8_t **bytes, size_t *n, const char *what, pm_error *err) {
    uint64_t length = 0;
    pm_status st = bin_length(c, &length, what, err);
    if (st != PM_OK) {
        return st;
    }
    if (length > c->size - c->at) {
        return cut_short(c, what, length, err);
    }
    *bytes = c->bytes + c->at;
    *n = (size_t)length;
    c->at += *n;
    return PM_OK;
}

pm_status pm_cursor_end(const pm_cursor *c, pm_error *err) {
    if (c->at != c->size) {
        return pm_fail(err, PM_EDATA, "byte %zu: expected the end, found %zu more bytes", c->at, c->size - c->at);
    }
    return PM_OK;
}
