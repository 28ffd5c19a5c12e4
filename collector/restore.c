#include "collector/restore.h"

#include <string.h>

#include "base/mem.h"
#include "base/retry.h"
#include "redis/manifest.h"
#include "trace/codec.h"

static pm_status put_trace(pm_redis *redis, const pm_trace_class *class, pm_error *err) {
    pm_buffer encoded = {0};
    pm_status st = pmi_trace_encode(&class->plan.trace, class->key, &encoded, err);
    if (st == PM_OK) {
        pm_blob_item item = {.bytes = encoded.bytes, .size = encoded.size};
        memcpy(item.digest, class->key, PM_DIGEST_BYTES);
        st = pmi_blob_put(redis, PM_SPACE_TRACE, &item, 1, false, err);
    }
    pmi_buffer_free(&encoded);
    return st;
}

static pm_status restore_traces(pm_redis *redis, const pm_library *library, size_t *n_restored, pm_error *err) {
    size_t n = library->n_classes;
    uint8_t(*keys)[PM_DIGEST_BYTES] = pmi_malloc(n, sizeof *keys);
    bool *exist = pmi_calloc(n, sizeof *exist);
    pm_status st = PM_OK;
    if (keys == NULL || exist == NULL) {
        st = pmi_fail_memory(err, "the keys of traces", n * sizeof *keys);
    }
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        memcpy(keys[i], library->classes[i].key, PM_DIGEST_BYTES);
    }
    PM_THEN(st, pmi_blob_exist(redis, PM_SPACE_TRACE, (const uint8_t(*)[PM_DIGEST_BYTES])keys, n, exist, err));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        if (!exist[i]) {
            st = put_trace(redis, &library->classes[i], err);
            *n_restored += 1;
        }
    }
    free(keys);
    free(exist);
    return st;
}

static pm_status restore_manifest(pm_redis *redis, const uint8_t *job, const pm_buffer *manifest, size_t *n_restored,
                                  pm_error *err) {
    uint8_t digests[1][PM_DIGEST_BYTES];
    bool exists = false;
    memcpy(digests[0], job, PM_DIGEST_BYTES);
    pm_status st =
        pmi_blob_exist(redis, PM_SPACE_MANIFEST, (const uint8_t(*)[PM_DIGEST_BYTES])digests, 1, &exists, err);
    PM_TRY(st);
    if (!exists) {
        PM_TRY(pmi_manifest_put(redis, job, manifest, err));
        *n_restored += 1;
    }
    return PM_OK;
}

pm_status pmi_restore_job(pm_producer *p, const pm_model *model, const pm_buffer *manifest, size_t *n_restored,
                          pm_error *err) {
    pm_status st;
    pm_redis *redis = p->traces->redis;
    pm_retry retry = pmi_producer_retry(p, "Redis");
    *n_restored = 0;
    do {
        st = restore_traces(redis, &model->library, n_restored, err);
        PM_THEN(st, restore_manifest(redis, model->analysis.graph->digest, manifest, n_restored, err));
    } while (pmi_retry_again(&retry, st, err));
    PM_TRY(st);
    if (*n_restored > 0) {
        pmi_logf(p->log, PM_LOG_WARNING, "%zu values that workers need were gone from Redis; they are put back",
                 *n_restored);
    }
    return PM_OK;
}
