/* Decoding of traces, in front of the checksum and behind it: whatever is accepted must encode to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must_be_same(const pm_buffer *again, const uint8_t *bytes, size_t n) {
    if (again->size != n || memcmp(again->bytes, bytes, n) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_trace t;
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer again = {0};
    if (pmi_trace_decode(bytes, n, false, &t, key, NULL) == PM_OK) {
        if (pmi_trace_encode(&t, key, &again, NULL) == PM_OK) {
            must_be_same(&again, bytes, n);
        }
        pmi_trace_free(&t);
    }
    pmi_buffer_free(&again);
    if (pmi_trace_decode_payload(bytes, n, &t, key, NULL) == PM_OK) {
        if (pmi_trace_encode_payload(&t, key, &again, NULL) == PM_OK) {
            must_be_same(&again, bytes, n);
        }
        pmi_trace_free(&t);
    }
    pmi_buffer_free(&again);
    return 0;
}
