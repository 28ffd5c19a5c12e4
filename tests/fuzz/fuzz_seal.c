/* Opening seals. The first byte says what with: nothing, a key, or a key on bytes that are sealed here first and then
 * altered. Nothing but what was sealed for that place may be taken. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/seal.h"

#define KEY "0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const pm_seal *shared_seal(void) {
    static pm_seal *seal;
    if (seal == NULL && pmi_seal_new(KEY, strlen(KEY), &seal, NULL) != PM_OK) {
        abort();
    }
    return seal;
}

/* Whatever is taken must be sealed again to the same bytes. */
static void open_bytes(const pm_seal *seal, const uint8_t *bytes, size_t n) {
    pm_span inside;
    pm_buffer again = {0};
    pm_span name = pmi_span_of("name");
    if (pmi_seal_open(seal, &pmi_unit_type, name, bytes, n, &inside, NULL) == PM_OK) {
        if ((inside.size > 0 && pmi_buffer_add(&again, inside.bytes, inside.size, NULL) != PM_OK) ||
            pmi_seal_put(seal, &pmi_unit_type, name, 0, &again, NULL) != PM_OK || again.size != n ||
            (n > 0 && memcmp(again.bytes, bytes, n) != 0)) {
            abort();
        }
    }
    pmi_buffer_free(&again);
}

/* The bytes sealed; then one of them, chosen by the input, altered by another. */
static void alter(const pm_seal *seal, const uint8_t *bytes, size_t n) {
    pm_buffer b = {0};
    pm_span inside, name = pmi_span_of("name");
    if (pmi_buffer_add(&b, bytes + 3, n - 3, NULL) != PM_OK ||
        pmi_seal_put(seal, &pmi_unit_type, name, 0, &b, NULL) != PM_OK) {
        abort();
    }
    size_t at = ((size_t)bytes[0] << 8 | bytes[1]) % b.size;
    b.bytes[at] ^= bytes[2];
    bool is_taken = pmi_seal_open(seal, &pmi_unit_type, name, b.bytes, b.size, &inside, NULL) == PM_OK;
    if (is_taken != (bytes[2] == 0)) {
        abort();
    }
    pmi_buffer_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_span inside;
    char id[PM_SEAL_ID_TEXT];
    if (n == 0) {
        return 0;
    }
    (void)pmi_seal_peel(bytes + 1, n - 1, &inside, id, NULL);
    open_bytes(bytes[0] % 2 == 0 ? NULL : shared_seal(), bytes + 1, n - 1);
    if (n > 4) {
        alter(shared_seal(), bytes + 1, n - 1);
    }
    return 0;
}
