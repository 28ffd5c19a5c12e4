#include "codec/writer.h"

#include <string.h>

static int add_bytes(void *ctx, const char *bytes, size_t n) {
    pm_writer *w = ctx;
    if (w->status == PM_OK) {
        w->status = pmi_buffer_add(w->out, bytes, n, w->err);
    }
    return w->status == PM_OK ? 0 : -1;
}

void pmi_writer_init(pm_writer *w, pm_buffer *out, pm_error *err) {
    *w = (pm_writer){.out = out, .err = err, .status = PM_OK};
    msgpack_packer_init(&w->packer, w, add_bytes);
}

static int count_bytes(void *ctx, const char *bytes, size_t n) {
    pm_writer *w = ctx;
    (void)bytes;
    if (w->status == PM_OK && !pmi_add(w->counted, n, &w->counted)) {
        w->status = pmi_fail_memory(w->err, "an encoded value", SIZE_MAX);
    }
    return w->status == PM_OK ? 0 : -1;
}

void pmi_writer_init_count(pm_writer *w, pm_error *err) {
    *w = (pm_writer){.err = err, .status = PM_OK};
    msgpack_packer_init(&w->packer, w, count_bytes);
}

void pmi_writer_text_of(pm_writer *w, const void *bytes, size_t n) {
    if (msgpack_pack_str(&w->packer, n) == 0) {
        msgpack_pack_str_body(&w->packer, bytes, n);
    }
}

void pmi_writer_text(pm_writer *w, const char *text) {
    pmi_writer_text_of(w, text, strlen(text));
}

void pmi_writer_uint(pm_writer *w, uint64_t value) {
    msgpack_pack_uint64(&w->packer, value);
}

void pmi_writer_int(pm_writer *w, int64_t value) {
    msgpack_pack_int64(&w->packer, value);
}

void pmi_writer_real(pm_writer *w, double value) {
    msgpack_pack_double(&w->packer, value);
}

void pmi_writer_bool(pm_writer *w, bool value) {
    if (value) {
        msgpack_pack_true(&w->packer);
    } else {
        msgpack_pack_false(&w->packer);
    }
}

bool pmi_writer_bin_head(pm_writer *w, size_t n) {
    if (w->status == PM_OK && n > UINT32_MAX) {
        w->status = pmi_fail(w->err, PM_EUSAGE, "an array of %zu bytes is too large to be encoded: at most %zu", n,
                             (size_t)UINT32_MAX);
    }
    return w->status == PM_OK && msgpack_pack_bin(&w->packer, n) == 0;
}

void pmi_writer_bin(pm_writer *w, const void *bytes, size_t n) {
    if (pmi_writer_bin_head(w, n)) {
        msgpack_pack_bin_body(&w->packer, bytes, n);
    }
}

void pmi_writer_numbers(pm_writer *w, const uint32_t *numbers, size_t count, unsigned width) {
    uint8_t chunk[4096];
    size_t per_chunk = sizeof chunk / width;
    size_t bytes = count > SIZE_MAX / width ? SIZE_MAX : count * width;
    if (!pmi_writer_bin_head(w, bytes)) {
        return;
    }
    for (size_t first = 0; first < count; first += per_chunk) {
        size_t n = count - first < per_chunk ? count - first : per_chunk;
        for (size_t i = 0; i < n; i++) {
            for (unsigned b = 0; b < width; b++) {
                chunk[i * width + b] = (uint8_t)(numbers[first + i] >> 8 * b);
            }
        }
        msgpack_pack_bin_body(&w->packer, chunk, n * width);
    }
}
