#include <string.h>

#include "trace/codec.h"
#include "worker/child.h"

/* New traces go to Redis when so many bytes or traces have come together. */
#define BATCH_BYTES ((size_t)1 << 20)
#define BATCH_TRACES 512

typedef struct batch {
    pm_buffer bytes;
    size_t n;
    pm_cache_entry entries[BATCH_TRACES]; /* one after the other in `bytes`, which moves while it grows */
} batch;

static pm_status flush(pm_child_context *context, batch *b, pm_error *err) {
    if (b->n == 0) {
        return PM_OK;
    }
    const uint8_t *at = b->bytes.bytes;
    for (size_t i = 0; i < b->n; i++) {
        b->entries[i].bytes = at;
        at += b->entries[i].size;
    }
    pmi_progress_page_phase(context->page, PM_PHASE_STORE);
    pm_trace_cache cache = pmi_traces_cache(&context->traces);
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    do {
        st = cache.put(cache.ctx, b->entries, b->n, err);
    } while (pmi_retry_again(&retry, st, err));
    pmi_progress_page_phase(context->page, PM_PHASE_COMPUTE);
    b->n = 0;
    b->bytes.size = 0;
    return st;
}

static pm_status record_one(pm_child_context *context, const pm_canon *scc, pm_effort effort, batch *b, pm_error *err) {
    pm_plan plan;
    pm_record_options options = {.effort = effort, .memory = context->memory, .isa = context->isa};
    PM_TRY(pmi_record(scc, &options, &plan, err));
    size_t before = b->bytes.size;
    pm_status st = pmi_trace_encode(&plan.trace, scc->key, &b->bytes, err);
    pmi_plan_free(&plan);
    PM_TRY(st);
    pm_cache_entry *entry = &b->entries[b->n++];
    *entry = (pm_cache_entry){.size = b->bytes.size - before};
    memcpy(entry->key, scc->key, PM_DIGEST_BYTES);
    return PM_OK;
}

/* The error's text with the SCC before it. */
static void blame(const pm_record_reader *reader, size_t i, uint32_t n, pm_unit_result *result, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    memcpy(result->scc, reader->body.keys.bytes + i * PM_DIGEST_BYTES, PM_DIGEST_BYTES);
    result->has_scc = true;
    pmi_hex(result->scc, hex);
    if (n > 0) {
        pmi_fail_prefix(err, "recording the SCC %s of %u states", hex, n);
    } else {
        pmi_fail_prefix(err, "the unit's SCC %zu of %zu, %s", i + 1, reader->n, hex);
    }
}

static pm_status record_item(pm_child_context *context, pm_record_reader *reader, size_t i, bool is_known, batch *b,
                             pm_unit_result *result, pm_error *err) {
    pm_canon scc;
    pmi_progress_page_item(context->page, i, reader->body.keys.bytes + i * PM_DIGEST_BYTES);
    pm_status st = pmi_record_reader_next(reader, &scc, err);
    if (st != PM_OK) {
        blame(reader, i, 0, result, err);
        return st;
    }
    if (is_known) {
        result->known++;
    } else {
        st = record_one(context, &scc, (pm_effort)reader->body.effort, b, err);
        if (st != PM_OK) {
            blame(reader, i, scc.topology.n, result, err);
        } else {
            result->recorded++;
        }
    }
    pmi_canon_free(&scc);
    if (st == PM_OK && (b->n == BATCH_TRACES || b->bytes.size >= BATCH_BYTES)) {
        st = flush(context, b, err);
    }
    return st;
}

static pm_status find_known(pm_child_context *context, const pm_record_reader *reader, bool *known, pm_error *err) {
    const pm_digest *keys = (const pm_digest *)reader->body.keys.bytes;
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    size_t uploaded;
    pmi_progress_page_phase(context->page, PM_PHASE_FETCH);
    do {
        st = pmi_traces_known(&context->traces, keys, reader->n, known, &uploaded, err);
    } while (pmi_retry_again(&retry, st, err));
    pmi_progress_page_phase(context->page, PM_PHASE_COMPUTE);
    return st;
}

static pm_status record_all(pm_child_context *context, pm_record_reader *reader, pm_unit_result *result,
                            pm_error *err) {
    bool *known = pmi_calloc(reader->n, sizeof *known);
    batch *b = pmi_calloc(1, sizeof *b);
    pm_status st = PM_OK;
    result->items = reader->n;
    atomic_store(&context->page->items, reader->n);
    if (known == NULL || b == NULL) {
        st = pmi_fail_memory(err, "the traces of a unit", sizeof *b + reader->n);
    }
    PM_THEN(st, find_known(context, reader, known, err));
    for (size_t i = 0; st == PM_OK && i < reader->n; i++) {
        st = record_item(context, reader, i, known[i], b, result, err);
    }
    PM_THEN(st, flush(context, b, err));
    if (b != NULL) {
        pmi_buffer_free(&b->bytes);
    }
    free(b);
    free(known);
    return st;
}

pm_status pmi_work_record(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *result,
                          pm_error *err) {
    pm_record_reader reader;
    pmi_progress_page_phase(context->page, PM_PHASE_COMPUTE);
    PM_TRY(pmi_record_reader_open(unit->body, &reader, err));
    pm_status st = record_all(context, &reader, result, err);
    pmi_record_reader_close(&reader);
    return st;
}
