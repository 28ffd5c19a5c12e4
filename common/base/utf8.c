#include "base/utf8.h"

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

bool pm_utf8_valid(const uint8_t *bytes, size_t n, size_t *bad) {
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

void pm_utf8_mend(char *text) {
    size_t left = strlen(text);
    while (left > 0) {
        size_t length = character((const uint8_t *)text, left);
        if (length == 0) {
            *text = '?';
            length = 1;
        } else if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = ' ';
        }
        text += length;
        left -= length;
    }
}
