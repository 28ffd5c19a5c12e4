#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

static bool is_tail(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the character at the start of the n bytes, 0 where there is none. The second byte of some heads has a
 * narrower range: it keeps out longer forms than needed, surrogates, and what is above U+10FFFF. */
static size_t character(const uint8_t *at, size_t n) {
    if (at[0] >= 0x01 && at[0] < 0x80) {
        return 1;
    }
    if (at[0] < 0xc2 || at[0] > 0xf4) {
        return 0;
    }
    size_t need = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (n < need) {
        return 0;
    }
    uint8_t low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if (!is_tail(at[i])) {
            return 0;
        }
    }
    return need;
}

bool pmi_utf8_valid(const uint8_t *bytes, size_t n, size_t *bad) {
    size_t at = 0;
    while (at < n) {
        size_t length = character(bytes + at, n - at);
        if (length == 0) {
            if (bad != NULL) {
                *bad = at;
            }
            return false;
        }
        at += length;
    }
    return true;
}

static uint32_t code_of(const uint8_t *at, size_t length) {
    static const uint8_t head_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & head_bits[length];
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | (at[i] & 0x3f);
    }
    return code;
}

static bool steers(uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

uint32_t pmi_utf8_steers(const char *text, size_t n, size_t *length) {
    *length = character((const uint8_t *)text, n);
    uint32_t code = *length > 0 ? code_of((const uint8_t *)text, *length) : 0;
    return *length > 0 && steers(code) ? code : 0;
}

void pmi_utf8_mend(char *text) {
    size_t left = strlen(text);
    while (left > 0) {
        size_t length;
        uint32_t code = pmi_utf8_steers(text, left, &length);
        if (length == 0 || code != 0) {
            length = length == 0 ? 1 : length;
            memset(text, code != 0 && length == 1 ? ' ' : '?', length);
        }
        text += length;
        left -= length;
    }
}

size_t pmi_utf8_show(const char *text, size_t n, char shown[PM_UTF8_SHOWN]) {
    size_t length;
    uint32_t code = pmi_utf8_steers(text, n, &length);
    if (length == 0) {
        snprintf(shown, PM_UTF8_SHOWN, "\\x%02x", (unsigned)(uint8_t)text[0]);
        return 1;
    }
    if (code == 0) {
        memcpy(shown, text, length);
        shown[length] = '\0';
    } else if (code == '\n' || code == '\r' || code == '\t') {
        snprintf(shown, PM_UTF8_SHOWN, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
    } else {
        snprintf(shown, PM_UTF8_SHOWN, code < 0x80 ? "\\x%02x" : "\\u%04x", code);
    }
    return length;
}

bool pmi_utf8_has_mark(const uint8_t *bytes, size_t n) {
    return n >= PM_UTF8_MARK_BYTES && memcmp(bytes, "\xef\xbb\xbf", PM_UTF8_MARK_BYTES) == 0;
}

pm_status pmi_utf8_check_mark(const uint8_t *bytes, size_t n, pm_error *err) {
    static const uint8_t marks[][4] = {{0xff, 0xfe}, {0xfe, 0xff}, {0x00, 0x00, 0xfe, 0xff}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = i < 2 ? 2 : 4;
        if (n >= length && memcmp(bytes, marks[i], length) == 0) {
            return pmi_fail(err, PM_EDATA,
                            "byte 0: begins with the byte order mark of %s; expected UTF-8: save the file as UTF-8",
                            i < 2 ? "UTF-16" : "UTF-32");
        }
    }
    return PM_OK;
}
