#include "trace/payload.h"

#include <string.h>

#include "base/mem.h"
#include "trace/structure.h"
#include "trace/writer.h"

#define PAYLOAD_KEYS 11

/* Bytes of an index: the narrowest that holds 0..n-1. Row lengths are below n and take the same width. */
static unsigned index_width(uint64_t n) {
    if (n <= 0x100) {
        return 1;
    }
    return n <= 0x10000 ? 2 : 4;
}

/* ---- encoding ---- */

static void write_rows(pm_writer *w, const char *lengths_name, const char *name, const size_t *row,
                       const uint32_t *entry, uint32_t n, uint32_t *lengths) {
    for (uint32_t j = 0; j < n; j++) {
        lengths[j] = (uint32_t)(row[j + 1] - row[j]);
    }
    unsigned width = index_width(n);
    pm_writer_text(w, lengths_name);
    pm_writer_numbers(w, lengths, n, width);
    pm_writer_text(w, name);
    pm_writer_numbers(w, entry, row[n], width);
}

pm_status pm_trace_encode_payload(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out,
                                  pm_error *err) {
    uint32_t *lengths = pm_malloc(trace->n, sizeof *lengths);
    if (lengths == NULL) {
        return pm_fail_memory(err, "encoding a trace", trace->n * sizeof *lengths);
    }
    pm_writer w;
    pm_writer_init(&w, out, err);
    msgpack_pack_map(&w.packer, PAYLOAD_KEYS);
    pm_writer_text(&w, "key");
    pm_writer_bin(&w, key, PM_DIGEST_BYTES);
    pm_writer_text(&w, "states");
    pm_writer_uint(&w, trace->n);
    pm_writer_text(&w, "edges");
    pm_writer_uint(&w, trace->n_edges);
    pm_writer_text(&w, "flops");
    pm_writer_uint(&w, trace->flops);
    pm_writer_text(&w, "digest");
    pm_writer_bin(&w, trace->digest, PM_DIGEST_BYTES);
    pm_writer_text(&w, "width");
    pm_writer_uint(&w, index_width(trace->n));
    pm_writer_text(&w, "pivot");
    pm_writer_numbers(&w, trace->pivot, trace->n, index_width(trace->n));
    write_rows(&w, "l_count", "l", trace->l_row, trace->l, trace->n, lengths);
    write_rows(&w, "u_count", "u", trace->u_row, trace->u, trace->n, lengths);
    free(lengths);
    return w.status;
}

/* ---- decoding ---- */

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
    return pm_cursor_expect(c, text, n + 1, what, err);
}

static pm_status read_uint(pm_cursor *c, const char *name, uint64_t least, uint64_t most, uint64_t *value,
                           pm_error *err) {
    pm_status st = expect_key(c, name, err);
    size_t at = c->at;
    if (st == PM_OK) {
        st = pm_cursor_uint(c, value, name, err);
    }
    if (st == PM_OK && (*value < least || *value > most)) {
        st = pm_fail(err, PM_EDATA, "byte %zu: %s: expected from %llu to %llu, found %llu", at, name,
                     (unsigned long long)least, (unsigned long long)most, (unsigned long long)*value);
    }
    return st;
}

/* A bin of exactly `need` bytes. */
static pm_status read_bin(pm_cursor *c, const char *name, uint64_t need, const uint8_t **bytes, pm_error *err) {
    size_t n = 0;
    pm_status st = expect_key(c, name, err);
    size_t at = c->at;
    if (st == PM_OK) {
        st = pm_cursor_bin(c, bytes, &n, name, err);
    }
    if (st == PM_OK && n != need) {
        st = pm_fail(err, PM_EDATA, "byte %zu: %s: expected %llu bytes, found %zu", at, name, (unsigned long long)need,
                     n);
    }
    return st;
}

static uint32_t number_at(const uint8_t *bytes, size_t i, unsigned width) {
    uint32_t value = 0;
    for (unsigned b = 0; b < width; b++) {
        value |= (uint32_t)bytes[i * width + b] << 8 * b;
    }
    return value;
}

/* `count` numbers into memory of their own, made only once the bytes are known to be there. */
static pm_status read_numbers(pm_cursor *c, const char *name, uint64_t count, unsigned width, uint32_t **numbers,
                              pm_error *err) {
    const uint8_t *bytes = NULL;
    pm_status st = read_bin(c, name, count * width, &bytes, err);
    if (st != PM_OK) {
        return st;
    }
    *numbers = pm_malloc((size_t)count, sizeof **numbers);
    if (*numbers == NULL) {
        return pm_fail_memory(err, "decoding a trace", (size_t)count * sizeof **numbers);
    }
    for (size_t i = 0; i < count; i++) {
        (*numbers)[i] = number_at(bytes, i, width);
    }
    return PM_OK;
}

static pm_status read_rows(pm_cursor *c, const char *lengths_name, const char *name, uint32_t n, unsigned width,
                           size_t **row, uint32_t **entry, pm_error *err) {
    const uint8_t *lengths = NULL;
    pm_status st = read_bin(c, lengths_name, (uint64_t)n * width, &lengths, err);
    if (st != PM_OK) {
        return st;
    }
    *row = pm_malloc((size_t)n + 1, sizeof **row);
    if (*row == NULL) {
        return pm_fail_memory(err, "decoding a trace", ((size_t)n + 1) * sizeof **row);
    }
    uint64_t total = 0; /* at most n * n, below 2^64 */
    for (uint32_t j = 0; j < n; j++) {
        (*row)[j] = (size_t)total;
        total += number_at(lengths, j, width);
    }
    (*row)[n] = (size_t)total;
    if (total > c->size) {
        return pm_fail(err, PM_EDATA, "%s: row lengths add up to %llu entries, more than all %zu bytes hold",
                       lengths_name, (unsigned long long)total, c->size);
    }
    return read_numbers(c, name, total, width, entry, err);
}

static pm_status read_digest(pm_cursor *c, const char *name, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    const uint8_t *bytes = NULL;
    pm_status st = read_bin(c, name, PM_DIGEST_BYTES, &bytes, err);
    if (st == PM_OK && digest != NULL) {
        memcpy(digest, bytes, PM_DIGEST_BYTES);
    }
    return st;
}

static pm_status read_head(pm_cursor *c, pm_trace *out, uint8_t *key, unsigned *width, pm_error *err) {
    static const uint8_t map[1] = {0x80 | PAYLOAD_KEYS};
    uint64_t n = 0, narrowest = 0;
    pm_status st = pm_cursor_expect(c, map, 1, "a map of 11 keys", err);
    if (st == PM_OK) {
        st = read_digest(c, "key", key, err);
    }
    if (st == PM_OK) {
        st = read_uint(c, "states", 2, UINT32_MAX - 1, &n, err);
    }
    if (st == PM_OK) {
        st = read_uint(c, "edges", 0, UINT64_MAX, &out->n_edges, err);
    }
    if (st == PM_OK) {
        st = read_uint(c, "flops", 0, UINT64_MAX, &out->flops, err);
    }
    if (st == PM_OK) {
        st = read_digest(c, "digest", out->digest, err);
    }
    if (st == PM_OK) {
        *width = index_width(n);
        st = read_uint(c, "width", *width, *width, &narrowest, err);
    }
    out->n = (uint32_t)n;
    return st;
}

pm_status pm_trace_decode_payload(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                                  pm_error *err) {
    pm_cursor c = {bytes, n, 0};
    unsigned width = 0;
    *out = (pm_trace){0};
    pm_status st = read_head(&c, out, key, &width, err);
    if (st == PM_OK) {
        st = read_numbers(&c, "pivot", out->n, width, &out->pivot, err);
    }
    if (st == PM_OK) {
        st = read_rows(&c, "l_count", "l", out->n, width, &out->l_row, &out->l, err);
    }
    if (st == PM_OK) {
        st = read_rows(&c, "u_count", "u", out->n, width, &out->u_row, &out->u, err);
    }
    if (st == PM_OK) {
        st = pm_cursor_end(&c, err);
    }
    if (st == PM_OK) {
        st = pm_trace_check_structure(out, err);
    }
    if (st != PM_OK) {
        pm_trace_free(out);
    }
    return st;
}
