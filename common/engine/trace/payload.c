#include "trace/payload.h"

#include <string.h>

#include "base/mem.h"
#include "codec/fields.h"
#include "codec/writer.h"
#include "trace/gaps.h"
#include "trace/structure.h"

#define PAYLOAD_KEYS 11

/* ---- encoding ---- */

static void write_rows(pm_writer *w, const char *lengths_name, const char *name, pm_gaps_side side, const size_t *row,
                       const uint32_t *entry, uint32_t n, uint32_t *lengths) {
    for (uint32_t j = 0; j < n; j++) {
        lengths[j] = (uint32_t)(row[j + 1] - row[j]);
    }
    pmi_writer_text(w, lengths_name);
    pmi_writer_numbers(w, lengths, n, pmi_index_width(n));
    pmi_writer_text(w, name);
    pmi_gaps_write(w, side, row, entry, n);
}

pm_status pmi_trace_encode_payload(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out,
                                   pm_error *err) {
    uint32_t *lengths = pmi_malloc(trace->n, sizeof *lengths);
    if (lengths == NULL) {
        return pmi_fail_memory(err, "encoding a trace", trace->n * sizeof *lengths);
    }
    pm_writer w;
    pmi_writer_init(&w, out, err);
    msgpack_pack_map(&w.packer, PAYLOAD_KEYS);
    pmi_writer_text(&w, "key");
    pmi_writer_bin(&w, key, PM_DIGEST_BYTES);
    pmi_writer_text(&w, "states");
    pmi_writer_uint(&w, trace->n);
    pmi_writer_text(&w, "edges");
    pmi_writer_uint(&w, trace->n_edges);
    pmi_writer_text(&w, "flops");
    pmi_writer_uint(&w, trace->flops);
    pmi_writer_text(&w, "digest");
    pmi_writer_bin(&w, trace->digest, PM_DIGEST_BYTES);
    pmi_writer_text(&w, "width");
    pmi_writer_uint(&w, pmi_index_width(trace->n));
    pmi_writer_text(&w, "pivot");
    pmi_writer_numbers(&w, trace->pivot, trace->n, pmi_index_width(trace->n));
    write_rows(&w, "l_count", "l", PM_GAPS_L, trace->l_row, trace->l, trace->n, lengths);
    write_rows(&w, "u_count", "u", PM_GAPS_U, trace->u_row, trace->u, trace->n, lengths);
    free(lengths);
    return w.status;
}

/* ---- decoding ---- */

static pm_status read_rows(pm_cursor *c, const char *lengths_name, const char *name, pm_gaps_side side, uint32_t n,
                           unsigned width, size_t **row, uint32_t **entry, pm_error *err) {
    const uint8_t *lengths = NULL;
    pm_status st = pmi_field_bin(c, lengths_name, (uint64_t)n * width, &lengths, err);
    if (st != PM_OK) {
        return st;
    }
    *row = pmi_malloc((size_t)n + 1, sizeof **row);
    if (*row == NULL) {
        return pmi_fail_memory(err, "decoding a trace", ((size_t)n + 1) * sizeof **row);
    }
    uint64_t total = 0; /* at most n * n, below 2^64 */
    for (uint32_t j = 0; j < n; j++) {
        (*row)[j] = (size_t)total;
        total += pmi_number_at(lengths, j, width);
    }
    (*row)[n] = (size_t)total;
    return pmi_gaps_read(c, name, side, *row, n, entry, err);
}

static pm_status read_head(pm_cursor *c, pm_trace *out, uint8_t *key, unsigned *width, pm_error *err) {
    static const uint8_t map[1] = {0x80 | PAYLOAD_KEYS};
    uint64_t n = 0, narrowest = 0;
    pm_status st = pmi_cursor_expect(c, map, 1, "a map of 11 keys", err);
    PM_THEN(st, pmi_field_digest(c, "key", key, err));
    PM_THEN(st, pmi_field_uint(c, "states", 2, UINT32_MAX - 1, &n, err));
    PM_THEN(st, pmi_field_uint(c, "edges", 0, UINT64_MAX, &out->n_edges, err));
    PM_THEN(st, pmi_field_uint(c, "flops", 0, UINT64_MAX, &out->flops, err));
    PM_THEN(st, pmi_field_digest(c, "digest", out->digest, err));
    if (st == PM_OK) {
        *width = pmi_index_width(n);
        st = pmi_field_uint(c, "width", *width, *width, &narrowest, err);
    }
    out->n = (uint32_t)n;
    return st;
}

pm_status pmi_trace_decode_payload(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                                   pm_error *err) {
    pm_cursor c = {bytes, n, 0};
    unsigned width = 0;
    *out = (pm_trace){0};
    pm_status st = read_head(&c, out, key, &width, err);
    PM_THEN(st, pmi_field_numbers(&c, "pivot", out->n, width, &out->pivot, err));
    PM_THEN(st, read_rows(&c, "l_count", "l", PM_GAPS_L, out->n, width, &out->l_row, &out->l, err));
    PM_THEN(st, read_rows(&c, "u_count", "u", PM_GAPS_U, out->n, width, &out->u_row, &out->u, err));
    PM_THEN(st, pmi_cursor_end(&c, err));
    PM_THEN(st, pmi_trace_check_structure(out, err));
    if (st != PM_OK) {
        pmi_trace_free(out);
    }
    return st;
}
