/* Decoding of messages, in front of the checksum and behind it. The first byte chooses the type; its highest bit takes
 * the payload of a packed type as the map inside its frame, which fuzzing could not guess. Whatever is accepted must
 * encode again, a map to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must_encode(const pm_message_type *type, const void *message, const uint8_t *payload, size_t n) {
    pm_buffer again = {0};
    pm_envelope e;
    if (pmi_message_encode(type, message, &again, NULL) != PM_OK ||
        pmi_envelope_open(again.bytes, again.size, false, &e, NULL) != PM_OK) {
        abort();
    }
    if (!type->is_packed && (e.size != n || memcmp(e.payload, payload, n) != 0)) {
        abort();
    }
    pmi_buffer_free(&again);
}

static void decode(const pm_message_type *type, const uint8_t *bytes, size_t n, void *message) {
    pm_message_memory memory;
    pm_envelope e;
    if (pmi_message_decode(type, bytes, n, message, &memory, NULL) == PM_OK) {
        if (pmi_envelope_open(bytes, n, false, &e, NULL) != PM_OK) {
            abort();
        }
        must_encode(type, message, e.payload, e.size);
    }
    pmi_message_memory_free(&memory);
    if (pmi_message_decode_payload(type, bytes, n, message, &memory, NULL) == PM_OK) {
        must_encode(type, message, bytes, n);
    }
    pmi_message_memory_free(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    size_t n_types = 0;
    while (pmi_message_types[n_types] != NULL) {
        n_types++;
    }
    if (n == 0 || (bytes[0] & 0x7f) >= n_types) {
        return 0;
    }
    pm_message_type type = *pmi_message_types[bytes[0] & 0x7f];
    if (bytes[0] & 0x80) {
        type.is_packed = false;
    } else if (type.is_packed) {
        type.unpacked = 1 << 20; /* so that a short frame of zeros does not take all the time there is */
    }
    void *message = calloc(1, type.size);
    if (message != NULL) {
        decode(&type, bytes + 1, n - 1, message);
    }
    free(message);
    return 0;
}
