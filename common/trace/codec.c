#include "trace/codec.h"

#include <string.h>

#include "trace/payload.h"
#include "trace/writer.h"

#define TRACE_NAME "phasemill.trace"

pm_status pm_trace_encode(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err) {
    pm_buffer payload = {0};
    size_t before = out->size;
    uint8_t sum[PM_DIGEST_BYTES];
    pm_status st = pm_trace_encode_payload(trace, key, &payload, err);
    if (st == PM_OK) {
        st = pm_digest(PM_SHA256, payload.bytes, payload.size, sum, err);
    }
    if (st == PM_OK) {
        pm_writer w;
        pm_writer_init(&w, out, err);
        msgpack_pack_array(&w.packer, 4);
        pm_writer_text(&w, TRACE_NAME);
        pm_writer_uint(&w, PM_TRACE_VERSION);
        pm_writer_bin(&w, payload.bytes, payload.size);
        pm_writer_bin(&w, sum, sizeof sum);
        st = w.status;
    }
    pm_buffer_free(&payload);
    if (st != PM_OK) {
        out->size = before;
    }
    return st;
}

static pm_status read_version(pm_cursor *c, pm_error *err) {
    uint64_t version = 0;
    pm_status st = pm_cursor_uint(c, &version, "the version", err);
    if (st == PM_OK && version != PM_TRACE_VERSION) {
        st = pm_fail(err, PM_EDATA,
                     "trace format: expected version %d, found %llu: it was written by another phasemill; record it "
                     "again with this one",
                     PM_TRACE_VERSION, (unsigned long long)version);
    }
    return st;
}

/* The envelope; *payload points into `bytes`. */
static pm_status open_envelope(const uint8_t *bytes, size_t n, const uint8_t **payload, size_t *payload_size,
                               pm_error *err) {
    static const uint8_t head[] = "\x94\xaf" TRACE_NAME; /* an array of 4, a string of 15 bytes */
    pm_cursor c = {bytes, n, 0};
    const uint8_t *sum = NULL;
    size_t sum_size = 0;
    pm_status st = pm_cursor_expect(&c, head, sizeof head - 1, "the head of a trace", err);
    if (st == PM_OK) {
        st = read_version(&c, err);
    }
    if (st == PM_OK) {
        st = pm_cursor_bin(&c, payload, payload_size, "the payload", err);
    }
    if (st == PM_OK) {
        st = pm_cursor_bin(&c, &sum, &sum_size, "the checksum", err);
    }
    if (st == PM_OK) {
        st = pm_cursor_end(&c, err);
    }
    uint8_t found[PM_DIGEST_BYTES];
    if (st == PM_OK) {
        st = pm_digest(PM_SHA256, *payload, *payload_size, found, err);
    }
    if (st == PM_OK && (sum_size != sizeof found || memcmp(sum, found, sizeof found) != 0)) {
        st = pm_fail(err, PM_EDATA, "the checksum (SHA-256) of the payload does not match: the bytes are damaged");
    }
    return st;
}

pm_status pm_trace_decode(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    const uint8_t *payload = NULL;
    size_t payload_size = 0;
    *out = (pm_trace){0};
    pm_status st = open_envelope(bytes, n, &payload, &payload_size, err);
    if (st == PM_OK) {
        st = pm_trace_decode_payload(payload, payload_size, out, key, err);
        if (st != PM_OK) {
            pm_fail_prefix(err, "payload");
        }
    }
    if (st != PM_OK && err != NULL) {
        pm_fail_prefix(err, "trace");
    }
    return st;
}
