#include "trace/codec.h"

#include "codec/envelope.h"
#include "trace/payload.h"

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

static pm_status decode(const uint8_t *bytes, size_t n, bool is_checked, pm_trace *out, uint8_t *key, pm_error *err) {
    pm_envelope envelope;
    *out = (pm_trace){0};
    pm_status st = (is_checked ? pmi_envelope_open_checked : pmi_envelope_open)(bytes, n, &envelope, err);
    PM_THEN(st, pmi_envelope_expect(&envelope, PM_TRACE_NAME, PM_TRACE_VERSION,
                                    "it was written by another phasemill; record it again with this one", err));
    if (st == PM_OK) {
        st = pmi_trace_decode_payload(envelope.payload, envelope.size, out, key, err);
        if (st != PM_OK) {
            pmi_fail_prefix(err, "payload");
        }
    }
    if (st != PM_OK && err != NULL) {
        pmi_fail_prefix(err, "trace");
    }
    return st;
}

pm_status pmi_trace_decode(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    return decode(bytes, n, false, out, key, err);
}

pm_status pmi_trace_decode_checked(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                                   pm_error *err) {
    return decode(bytes, n, true, out, key, err);
}
