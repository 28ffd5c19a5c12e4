#include "trace/codec.h"

#include <string.h>

#include "codec/cursor.h"
#include "codec/envelope.h"
#include "codec/writer.h"

/* ---- rows as gaps ---- */

#define MAX_GAP_BYTES 5 /* of 32 bits */

/* ---- encoding ---- */

static uint32_t first_of(pm_gaps_side side, uint32_t j) {
    return side == PM_GAPS_U ? j + 1 : 0;
}

static size_t bytes_of_gap(uint32_t gap) {
    size_t bytes = 1;
    for (; gap >= 0x80; gap >>= 7) {
        bytes++;
    }
    return bytes;
}

static size_t bytes_of_rows(pm_gaps_side side, const size_t *row, const uint32_t *entry, uint32_t n) {
    size_t bytes = 0;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t least = first_of(side, j);
        for (size_t e = row[j]; e < row[j + 1]; e++) {
            bytes += bytes_of_gap(entry[e] - least);
            least = entry[e] + 1;
        }
    }
    return bytes;
}

static size_t put_gap(uint8_t *bytes, uint32_t gap) {
    size_t at = 0;
    for (; gap >= 0x80; gap >>= 7) {
        bytes[at++] = (uint8_t)(gap | 0x80);
    }
    bytes[at++] = (uint8_t)gap;
    return at;
}

void pmi_gaps_write(pm_writer *w, pm_gaps_side side, const size_t *row, const uint32_t *entry, uint32_t n) {
    uint8_t chunk[4096];
    size_t used = 0;
    if (!pmi_writer_bin_head(w, bytes_of_rows(side, row, entry, n))) {
        return;
    }
    for (uint32_t j = 0; j < n; j++) {
        uint32_t least = first_of(side, j);
        for (size_t e = row[j]; e < row[j + 1]; e++) {
            if (used + MAX_GAP_BYTES > sizeof chunk) {
                msgpack_pack_bin_body(&w->packer, chunk, used);
                used = 0;
            }
            used += put_gap(chunk + used, entry[e] - least);
            least = entry[e] + 1;
        }
    }
    msgpack_pack_bin_body(&w->packer, chunk, used);
}

/* ---- decoding ---- */

typedef struct gap_reader {
    const uint8_t *at, *end;
} gap_reader;

/* A gap of several bytes; false when it is cut off, above 32 bits, or not in its shortest form. */
static bool long_gap(gap_reader *r, uint32_t *gap) {
    uint64_t value = 0;
    for (unsigned i = 0; i < MAX_GAP_BYTES && r->at < r->end; i++) {
        uint8_t byte = *r->at++;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            *gap = (uint32_t)value;
            return value <= UINT32_MAX && (byte != 0 || i == 0);
        }
    }
    return false;
}

/* Entries from `least` on and below `end`. */
static bool read_row(gap_reader *r, uint32_t least, uint32_t end, uint32_t *entry, size_t count) {
    for (size_t e = 0; e < count; e++) {
        uint32_t gap = 0;
        if (r->at < r->end && *r->at < 0x80) {
            gap = *r->at++;
        } else if (!long_gap(r, &gap)) {
            return false;
        }
        if (gap >= end - least) {
            return false;
        }
        entry[e] = least + gap;
        least = entry[e] + 1;
    }
    return true;
}

static pm_status read_entries(gap_reader *r, const char *name, pm_gaps_side side, const size_t *row, uint32_t n,
                              uint32_t *entry, pm_error *err) {
    for (uint32_t j = 0; j < n; j++) {
        uint32_t end = side == PM_GAPS_U ? n : j;
        if (!read_row(r, first_of(side, j), end, entry + row[j], row[j + 1] - row[j])) {
            return pmi_fail(err, PM_EDATA,
                            "%s: row %u of %zu entries: expected gaps in their shortest form that lead below %u", name,
                            j, row[j + 1] - row[j], end);
        }
    }
    size_t left = (size_t)(r->end - r->at);
    return left == 0 ? PM_OK
                     : pmi_fail(err, PM_EDATA, "%s: expected the end after %zu entries, found %zu more bytes", name,
                                row[n], left);
}

pm_status pmi_gaps_read(pm_cursor *c, const char *name, pm_gaps_side side, const size_t *row, uint32_t n,
                        uint32_t **entry, pm_error *err) {
    const uint8_t *bytes = NULL;
    size_t size = 0;
    PM_TRY(pmi_field_bytes(c, name, &bytes, &size, err));
    if (row[n] > size) {
        return pmi_fail(err, PM_EDATA, "%s: row lengths add up to %zu entries, more than its %zu bytes hold", name,
                        row[n], size);
    }
    PM_TRY(PM_NEW(entry, row[n], name, err));
    gap_reader r = {bytes, bytes + size};
    return read_entries(&r, name, side, row, n, *entry, err);
}

/* ---- the payload ---- */

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
    uint32_t *lengths;
    PM_TRY(PM_NEW(&lengths, trace->n, "encoding a trace", err));
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
    PM_TRY(pmi_field_bin(c, lengths_name, (uint64_t)n * width, &lengths, err));
    PM_TRY(PM_NEW(row, (size_t)n + 1, "decoding a trace", err));
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

/* ---- the envelope ---- */

pm_status pmi_trace_encode(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err) {
    pm_buffer payload = {0};
    pm_status st = pmi_trace_encode_payload(trace, key, &payload, err);
    PM_THEN(st, pmi_envelope_write(PM_TRACE_NAME, PM_TRACE_VERSION, payload.bytes, payload.size, out, err));
    if (st == PM_EUSAGE) {
        pmi_fail_prefix(err, "a trace is too large to be kept: use --no-cache");
    }
    pmi_buffer_free(&payload);
    return st;
}

pm_status pmi_trace_decode(const uint8_t *bytes, size_t n, bool is_checked, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                           pm_error *err) {
    pm_envelope envelope;
    *out = (pm_trace){0};
    pm_status st = pmi_envelope_open(bytes, n, is_checked, &envelope, err);
    PM_THEN(st, pmi_envelope_expect(&envelope, PM_TRACE_NAME, PM_TRACE_VERSION,
                                    "it was written by another phasemill; record it again with this one", err));
    if (st == PM_OK && (st = pmi_trace_decode_payload(envelope.payload, envelope.size, out, key, err)) != PM_OK) {
        pmi_fail_prefix(err, "payload");
    }
    if (st != PM_OK && err != NULL) {
        pmi_fail_prefix(err, "trace");
    }
    return st;
}
