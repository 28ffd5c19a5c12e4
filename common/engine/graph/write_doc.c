#include "graph/write_doc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(PM_DOC_NUMBERS == 1 << (64 - 54), "the hash has the bits of the table");

/* ---- bytes --------------------------------------------------------------------------------------------- */

static void flush(pm_doc *d) {
    if (d->st == PM_OK && d->used > 0) {
        d->st = d->sink->write(d->sink->ctx, d->buffer, d->used, d->err);
    }
    d->used = 0;
}

/* `n` bytes are never more than a number or a key has. */
static void put(pm_doc *d, const void *bytes, size_t n) {
    if (sizeof d->buffer - d->used < n) {
        flush(d);
    }
    memcpy(d->buffer + d->used, bytes, n);
    d->used += n;
}

static int put_packed(void *ctx, const char *bytes, size_t n) {
    put(ctx, bytes, n);
    return 0;
}

/* Puts what separates a value from the one before it. */
static void put_comma(pm_doc *d) {
    if (d->needs_comma) {
        put(d, ", ", 2);
    }
    d->needs_comma = true;
}

void pmi_doc_begin(pm_doc *d, pm_graph_encoding encoding, const pm_byte_sink *sink, pm_error *err) {
    d->sink = sink;
    d->err = err;
    d->is_json = encoding == PM_GRAPH_JSON;
    msgpack_packer_init(&d->mp, d, put_packed);
}

pm_status pmi_doc_end(pm_doc *d) {
    if (d->is_json) {
        put(d, "\n", 1);
    }
    flush(d);
    return d->st;
}

/* ---- containers ---------------------------------------------------------------------------------------- */

void pmi_doc_open_map(pm_doc *d, size_t n) {
    if (d->is_json) {
        put_comma(d);
        put(d, "{", 1);
        d->needs_comma = false;
    } else {
        msgpack_pack_map(&d->mp, n);
    }
}

void pmi_doc_close_map(pm_doc *d) {
    if (d->is_json) {
        put(d, "}", 1);
        d->needs_comma = true;
    }
}

void pmi_doc_key(pm_doc *d, const char *text) {
    if (!d->is_json) {
        pmi_doc_text(d, text);
        return;
    }
    if (d->needs_comma) {
        put(d, ",\n ", 3);
    }
    d->needs_comma = false;
    pmi_doc_text(d, text);
    put(d, ": ", 2);
    d->needs_comma = false;
}

void pmi_doc_open_array(pm_doc *d, size_t n) {
    if (d->is_json) {
        put_comma(d);
        put(d, "[", 1);
        d->needs_comma = false;
    } else {
        msgpack_pack_array(&d->mp, n);
    }
}

void pmi_doc_close_array(pm_doc *d) {
    if (d->is_json) {
        put(d, "]", 1);
        d->needs_comma = true;
    }
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* Writes the decimal digits of `value` so that they end at `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value) {
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

static void put_whole(pm_doc *d, uint64_t magnitude, bool is_negative, const char *tail) {
    char text[32];
    char *end = text + sizeof text - 4;
    char *begin = digits_before(end, magnitude);
    if (is_negative) {
        *--begin = '-';
    }
    size_t n_tail = strlen(tail);
    memcpy(end, tail, n_tail);
    put(d, begin, (size_t)(end - begin) + n_tail);
}

void pmi_doc_integer(pm_doc *d, int64_t value) {
    if (!d->is_json) {
        msgpack_pack_int64(&d->mp, value);
        return;
    }
    put_comma(d);
    put_whole(d, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, "");
}

static unsigned print_shortest(char text[36], double value) {
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, 34, "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value) {
            break;
        }
    }
    if (strpbrk(text, ".e") == NULL) {
        memcpy(text + n, ".0", 3);
        n += 2;
    }
    return (unsigned)n;
}

static void put_shortest(pm_doc *d, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    pm_doc_number *number = &d->numbers[(bits * 0x9e3779b97f4a7c15u) >> 54];
    if (number->n == 0 || number->bits != bits) {
        number->bits = bits;
        number->n = print_shortest(number->text, value);
    }
    put(d, number->text, number->n);
}

void pmi_doc_real(pm_doc *d, double value) {
    if (!d->is_json) {
        msgpack_pack_double(&d->mp, value);
        return;
    }
    put_comma(d);
    double magnitude = fabs(value);
    if (magnitude < 1e15 && magnitude == (double)(uint64_t)magnitude) {
        put_whole(d, (uint64_t)magnitude, signbit(value), ".0");
    } else {
        put_shortest(d, value);
    }
}

void pmi_doc_boolean(pm_doc *d, bool value) {
    if (d->is_json) {
        put_comma(d);
        put(d, value ? "true" : "false", value ? 4 : 5);
    } else if (value) {
        msgpack_pack_true(&d->mp);
    } else {
        msgpack_pack_false(&d->mp);
    }
}

void pmi_doc_text(pm_doc *d, const char *text) {
    size_t n = strlen(text);
    if (d->is_json) {
        put_comma(d);
        put(d, "\"", 1);
        put(d, text, n);
        put(d, "\"", 1);
    } else {
        msgpack_pack_str(&d->mp, n);
        msgpack_pack_str_body(&d->mp, text, n);
    }
}
