#include "trace/gaps.h"

#include "base/mem.h"
#include "codec/fields.h"

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

typedef struct reader {
    const uint8_t *at, *end;
} reader;

/* A gap of several bytes; false when it is cut off, above 32 bits, or not in its shortest form. */
static bool long_gap(reader *r, uint32_t *gap) {
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
static bool read_row(reader *r, uint32_t least, uint32_t end, uint32_t *entry, size_t count) {
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

static pm_status read_rows(reader *r, const char *name, pm_gaps_side side, const size_t *row, uint32_t n,
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
    pm_status st = pmi_field_bytes(c, name, &bytes, &size, err);
    if (st != PM_OK) {
        return st;
    }
    if (row[n] > size) {
        return pmi_fail(err, PM_EDATA, "%s: row lengths add up to %zu entries, more than its %zu bytes hold", name,
                        row[n], size);
    }
    *entry = pmi_malloc(row[n], sizeof **entry);
    if (*entry == NULL) {
        return pmi_fail_memory(err, name, row[n] * sizeof **entry);
    }
    reader r = {bytes, bytes + size};
    return read_rows(&r, name, side, row, n, *entry, err);
}
