#include <string.h>

#include "wire/units.h"

static pm_status add_all(pm_hasher *h, const uint8_t *graph, const pm_library *library, const pm_buffer *body,
                         pm_error *err) {
    static const char domain[] = "phasemill result 1";
    const uint8_t version = PM_EVALUATOR_VERSION;
    PM_TRY(pmi_hasher_add(h, domain, sizeof domain, err));
    PM_TRY(pmi_hasher_add(h, &version, 1, err));
    PM_TRY(pmi_hasher_add(h, graph, PM_DIGEST_BYTES, err));
    for (uint32_t c = 0; c < library->n_classes; c++) {
        PM_TRY(pmi_hasher_add(h, library->classes[c].key, PM_DIGEST_BYTES, err));
    }
    return pmi_hasher_add(h, body->bytes, body->size, err);
}

pm_status pmi_result_key(const uint8_t graph[PM_DIGEST_BYTES], const pm_library *library, const pm_evaluate_body *body,
                         uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    pm_evaluate_body keyless = *body;
    pm_buffer encoded = {0};
    pm_hasher *h = NULL;
    memset(keyless.result, 0, sizeof keyless.result);
    pm_status st = pmi_message_encode(&pmi_evaluate_type, &keyless, &encoded, err);
    PM_THEN(st, pmi_hasher_new(PM_SHA256, &h, err));
    PM_THEN(st, add_all(h, graph, library, &encoded, err));
    PM_THEN(st, pmi_hasher_finish(h, key, err));
    pmi_hasher_free(h);
    pmi_buffer_free(&encoded);
    return st;
}
