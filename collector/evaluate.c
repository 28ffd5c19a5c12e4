#include "collector/collect.h"

#include <string.h>

#include "collector/slices.h"
#include "trace/codec.h"
#include "units/in_flight.h"

/* ---- what workers need of a job, put back where Redis has lost it -------------------------------------- */

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
    pm_pool pool = {0};
    pm_digest *keys = pmi_pool_array(&pool, n, sizeof *keys);
    bool *exist = pmi_pool_zeros(&pool, n, sizeof *exist);
    pm_status st = pmi_pool_check(&pool, err, "the keys of traces", n * sizeof *keys);
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        memcpy(keys[i], library->classes[i].key, PM_DIGEST_BYTES);
    }
    PM_THEN(st, pmi_redis_exist(redis, PM_SPACE_TRACE, (const pm_digest *)keys, n, true, exist, err));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        if (!exist[i]) {
            st = put_trace(redis, &library->classes[i], err);
            *n_restored += 1;
        }
    }
    pmi_pool_free(&pool);
    return st;
}

static pm_status restore_manifest(pm_redis *redis, const uint8_t *job, const pm_buffer *manifest, size_t *n_restored,
                                  pm_error *err) {
    bool exists = false;
    PM_TRY(pmi_redis_exist(redis, PM_SPACE_MANIFEST, (const pm_digest *)job, 1, true, &exists, err));
    if (!exists) {
        PM_TRY(pmi_manifest_put(redis, job, manifest, err));
        *n_restored += 1;
    }
    return PM_OK;
}

static pm_status restore_job(pm_producer *p, const pm_model *model, const pm_buffer *manifest, size_t *n_restored,
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

/* The most that the result of one slice may take. */
#define RESULT_LIMIT ((size_t)1 << 30)
/* A result that was there and turned out to be altered is computed again, but not for ever. */
#define MAX_ROUNDS 3

typedef struct batch {
    pm_producer *p;
    pm_reader *reader;
    const pm_model *model;
    const pm_request *request;
    const pm_buffer *manifest;
    pm_result *result;
    pm_evaluate_report *report;
    pm_slices slices;
    pm_digest *keys;    /* distinct ones */
    uint32_t *slice_of; /* of each key: a slice that has it */
    uint32_t *key_of;   /* of each slice */
    size_t n_keys;
    bool *missing;
    pm_pool pool; /* the arrays */
} batch;

/* ---- slices and their keys ---- */

static pm_status cut(batch *b, pm_error *err) {
    double *seconds = pmi_malloc(b->request->n_theta, sizeof *seconds);
    PM_TRY(seconds != NULL ? PM_OK : pmi_fail_memory(err, "the costs of theta", b->request->n_theta * sizeof *seconds));
    pm_status st = pmi_slice_costs(b->model, b->request, b->result, seconds, err);
    PM_THEN(st, pmi_slices_cut(b->model, b->request, seconds, &b->slices, err));
    free(seconds);
    return st;
}

/* Slices of the same rows have the same key, and are computed once. */
static pm_status number_keys(batch *b, pm_error *err) {
    pm_buffer body = {0};
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < b->slices.n; i++) {
        body.size = 0;
        st = pmi_slice_body(b->model, b->request, &b->slices.slices[i], &body, err);
    }
    pmi_buffer_free(&body);
    PM_TRY(st);
    for (size_t i = 0; i < b->slices.n; i++) {
        memcpy(b->keys[i], b->slices.slices[i].key, PM_DIGEST_BYTES);
    }
    pm_item_index index;
    PM_TRY(pmi_item_index_new((const pm_digest *)b->keys, b->slices.n, &index, err));
    for (size_t i = 0; i < b->slices.n; i++) {
        b->slice_of[i] = (uint32_t)pmi_item_find(&index, b->slices.slices[i].key);
    }
    pmi_item_index_free(&index);
    for (size_t i = 0; i < b->slices.n; i++) {
        if (b->slice_of[i] == i) {
            b->key_of[i] = (uint32_t)b->n_keys++;
        }
    }
    for (size_t i = 0; i < b->slices.n; i++) {
        b->key_of[i] = b->key_of[b->slice_of[i]];
    }
    for (size_t i = 0; i < b->slices.n; i++) {
        memcpy(b->keys[b->key_of[i]], b->slices.slices[i].key, PM_DIGEST_BYTES);
        b->slice_of[b->key_of[i]] = (uint32_t)i;
    }
    return PM_OK;
}

/* ---- sending ---- */

static pm_status send_keys(void *ctx, const uint32_t *numbers, size_t n, pm_error *err) {
    batch *b = ctx;
    size_t n_restored;
    pm_status st = restore_job(b->p, b->model, b->manifest, &n_restored, err);
    PM_TRY(st);
    pm_new_unit *units = pmi_calloc(n, sizeof *units);
    PM_TRY(units != NULL ? PM_OK : pmi_fail_memory(err, "the slices to send", n * sizeof *units));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        pm_slice *slice = &b->slices.slices[b->slice_of[numbers[i]]];
        units[i] = (pm_new_unit){.kind = &pmi_evaluate_units,
                                 .items = (const pm_digest *)(b->keys + numbers[i]),
                                 .n_items = 1,
                                 .cost = (uint64_t)(slice->seconds * 1e6)};
        st = pmi_slice_body(b->model, b->request, slice, &units[i].body, err);
    }
    if (st == PM_OK) {
        b->report->units += n;
        st = pmi_send_units(b->p, b->model->analysis.graph->digest, units, n, true, NULL, err);
    }
    for (size_t i = 0; i < n; i++) {
        pmi_buffer_free(&units[i].body);
    }
    free(units);
    return st;
}

/* Leaves in `missing` the results that are not there. */
static pm_status look(batch *b, size_t *n_missing, pm_error *err) {
    bool *exist = pmi_calloc(b->n_keys, sizeof *exist);
    PM_TRY(exist != NULL ? PM_OK : pmi_fail_memory(err, "the slices of theta", b->n_keys));
    pm_status st;
    pm_retry retry = pmi_producer_retry(b->p, "Kafka or Redis");
    do {
        st = pmi_redis_exist(b->p->traces->redis, PM_SPACE_RESULT, (const pm_digest *)b->keys, b->n_keys, true, exist,
                             err);
    } while (pmi_retry_again(&retry, st, err));
    *n_missing = 0;
    for (size_t i = 0; i < b->n_keys; i++) {
        b->missing[i] = !exist[i];
        *n_missing += exist[i] ? 0 : 1;
    }
    free(exist);
    return st;
}

/* Sends what is missing and unclaimed. */
static pm_status send_loose(batch *b, pm_error *err) {
    pm_item_index index;
    pm_status st = pmi_item_index_new((const pm_digest *)b->keys, b->n_keys, &index, err);
    uint32_t *numbers = NULL;
    PM_THEN(st, PM_NEW(&numbers, b->n_keys, "the slices to send", err));
    pm_in_flight in_flight = {0};
    if (st == PM_OK) {
        pm_retry retry = pmi_producer_retry(b->p, "Kafka or Redis");
        do {
            st = pmi_in_flight_look(b->p, b->model->analysis.graph->digest, &pmi_evaluate_units, &index, b->missing,
                                    &in_flight, err);
        } while (pmi_retry_again(&retry, st, err));
    }
    size_t n = 0;
    for (size_t i = 0; st == PM_OK && i < b->n_keys; i++) {
        if (b->missing[i] && !in_flight.held[i]) {
            numbers[n++] = (uint32_t)i;
        }
    }
    if (st == PM_OK && n > 0) {
        st = send_keys(b, numbers, n, err);
    }
    pmi_in_flight_free(&in_flight);
    pmi_item_index_free(&index);
    free(numbers);
    return st;
}

/* ---- waiting ---- */

/* An error of a slice names a row of the slice; the caller knows rows of the batch. */
static pm_status translate(const batch *b, const pm_watch_report *watch, pm_status st, pm_error *err) {
    for (size_t i = 0; watch->has_failed_unit && i < b->n_keys; i++) {
        pm_digest unit;
        pm_error unused;
        if (pmi_unit_id(pmi_evaluate_units.name, b->model->analysis.graph->digest, (const pm_digest *)(b->keys + i), 1,
                        unit, &unused) == PM_OK &&
            memcmp(unit, watch->failed_unit, PM_DIGEST_BYTES) == 0) {
            pmi_error_shift_row(err, b->slices.slices[b->slice_of[i]].first);
            return st;
        }
    }
    return st;
}

static pm_status wait_for_all(batch *b, pm_error *err) {
    pm_watch_options options = {.job = b->model->analysis.graph->digest,
                                .kind = &pmi_evaluate_units,
                                .items = (const pm_digest *)b->keys,
                                .n_items = b->n_keys,
                                .send = send_keys,
                                .ctx = b};
    pm_status st = pmi_watch(b->p, b->reader, &options, &b->report->watch, err);
    return st == PM_OK ? st : translate(b, &b->report->watch, st, err);
}

/* ---- assembling ---- */

static pm_status take_everywhere(batch *b, size_t key, const pm_result_message *message, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < b->slices.n; i++) {
        if (b->key_of[i] == key) {
            st = pmi_slice_take(b->request, &b->slices.slices[i], message, b->result, err);
        }
    }
    return st;
}

static pm_status take(batch *b, size_t key, pm_span value, pm_error *err) {
    pm_result_message message;
    pm_message_memory memory = {0};
    PM_TRY(pmi_message_decode(&pmi_result_type, value.bytes, value.size, &message, &memory, err));
    pm_status st = take_everywhere(b, key, &message, err);
    pmi_message_memory_free(&memory);
    return st;
}

/* Fetches one result; one that is gone or refused is removed, so that the next round computes it. */
static pm_status fetch(batch *b, size_t key, bool *usable, pm_error *err) {
    pm_buffer value = {0};
    pm_blob_found found;
    pm_status st;
    pm_retry retry = pmi_producer_retry(b->p, "Kafka or Redis");
    do {
        value.size = 0;
        st = pmi_blob_get(b->p->traces->redis, PM_SPACE_RESULT, b->keys[key], RESULT_LIMIT, &value, &found, err);
    } while (pmi_retry_again(&retry, st, err));
    *usable = false;
    if (st == PM_OK && found == PM_BLOB_FOUND) {
        st = take(b, key, (pm_span){value.bytes, value.size}, err);
        *usable = st == PM_OK;
        if (st == PM_EDATA) {
            pmi_logf(b->p->log, PM_LOG_ERROR, "%s; it is removed and computed again", err->text);
            st = pmi_blob_remove(b->p->traces->redis, PM_SPACE_RESULT, b->keys[key], err);
        }
    }
    pmi_buffer_free(&value);
    return st;
}

static pm_status assemble(batch *b, size_t *n_refused, pm_error *err) {
    *n_refused = 0;
    b->result->steps = 0;
    b->result->error_bound = 0;
    for (size_t key = 0; key < b->n_keys; key++) {
        bool usable;
        PM_TRY(fetch(b, key, &usable, err));
        *n_refused += usable ? 0 : 1;
    }
    return PM_OK;
}

/* ---- all together ---- */

static pm_status forgive(batch *b, pm_error *err) {
    pm_status st;
    pm_retry retry = pmi_producer_retry(b->p, "Kafka or Redis");
    do {
        st =
            pmi_board_forgive(b->p->traces->redis, b->model->analysis.graph->digest, b->report->watch.failed_unit, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

/* A unit that failed because Redis had lost what it needs may be tried again once that is back. */
static pm_status wait_or_restore(batch *b, bool *again, pm_error *err) {
    pm_status st = wait_for_all(b, err);
    size_t n_restored = 0;
    pm_error unused;
    if (st == PM_EDATA && b->report->watch.has_failed_unit &&
        restore_job(b->p, b->model, b->manifest, &n_restored, &unused) == PM_OK && n_restored > 0) {
        *again = true;
        return forgive(b, err);
    }
    return st;
}

static pm_status run_round(batch *b, bool is_first, bool *again, pm_error *err) {
    size_t n_missing = 0, n_refused = 0;
    pm_status st = look(b, &n_missing, err);
    *again = false;
    if (is_first) {
        b->report->known = b->n_keys - n_missing;
    }
    PM_TRY(st);
    if (n_missing > 0) {
        PM_TRY(send_loose(b, err));
        PM_TRY(wait_or_restore(b, again, err));
    }
    if (!*again) {
        PM_TRY(assemble(b, &n_refused, err));
        *again = n_refused > 0;
    }
    return PM_OK;
}

static pm_status run_rounds(batch *b, pm_error *err) {
    bool again = true;
    for (size_t round = 0; again && round < MAX_ROUNDS; round++) {
        PM_TRY(run_round(b, round == 0, &again, err));
    }
    return !again ? PM_OK
                  : pmi_fail(err, PM_ETEMPORARY,
                             "what the slices need, or their results, went missing in Redis %d times in a row; try "
                             "again",
                             MAX_ROUNDS);
}

static pm_status evaluate(batch *b, pm_error *err) {
    pm_status st = cut(b, err);
    size_t n = b->slices.n;
    b->report->slices = n;
    if (st != PM_OK || n == 0) {
        return st;
    }
    b->keys = pmi_pool_array(&b->pool, n, sizeof *b->keys);
    b->slice_of = pmi_pool_array(&b->pool, n, sizeof *b->slice_of);
    b->key_of = pmi_pool_array(&b->pool, n, sizeof *b->key_of);
    b->missing = pmi_pool_array(&b->pool, n, sizeof *b->missing);
    PM_TRY(pmi_pool_check(&b->pool, err, "the slices of theta", n * (PM_DIGEST_BYTES + 9)));
    PM_TRY(number_keys(b, err));
    return run_rounds(b, err);
}

pm_status pmi_evaluate_on_cluster(pm_producer *producer, pm_reader *reader, const pm_model *model,
                                  const pm_request *request, const pm_buffer *manifest, pm_result *result,
                                  pm_evaluate_report *report, pm_error *err) {
    *report = (pm_evaluate_report){0};
    result->steps = 0;
    result->error_bound = 0;
    batch b = {.p = producer,
               .reader = reader,
               .model = model,
               .request = request,
               .manifest = manifest,
               .result = result,
               .report = report};
    pm_status st = evaluate(&b, err);
    pmi_slices_free(&b.slices);
    pmi_pool_free(&b.pool);
    return st;
}
