/* Decoding of kept classes, in front of the checksum and behind it: whatever is accepted must encode to the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/classes_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must_be_same(const pm_buffer *again, const uint8_t *bytes, size_t n) {
    if (again->size != n || memcmp(again->bytes, bytes, n) != 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_kept_classes kept;
    pm_buffer again = {0};
    if (pm_kept_classes_decode(bytes, n, &kept, NULL) == PM_OK) {
        if (pm_kept_classes_encode(&kept, &again, NULL) == PM_OK) {
            must_be_same(&again, bytes, n);
        }
        pm_kept_classes_free(&kept);
    }
    pm_buffer_free(&again);
    if (pm_kept_classes_decode_payload(bytes, n, &kept, NULL) == PM_OK) {
        if (pm_kept_classes_encode_payload(&kept, &again, NULL) == PM_OK) {
            must_be_same(&again, bytes, n);
        }
        pm_kept_classes_free(&kept);
    }
    pm_buffer_free(&again);
    return 0;
}
