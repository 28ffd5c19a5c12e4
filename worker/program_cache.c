#include "worker/child.h"

#include <string.h>

#include "redis/manifest.h"
#include "worker/limits.h"

typedef struct entry {
    pm_digest job;
    pm_isa isa;
    bool normalize_start;
    pm_model *model; /* NULL: the entry is free */
    size_t bytes;
    uint64_t used; /* larger is later */
} entry;

struct pm_program_cache {
    entry entries[PM_PROGRAMS_KEPT];
    size_t limit;
    uint64_t clock;
};

pm_status pmi_program_cache_new(size_t bytes, pm_program_cache **out, pm_error *err) {
    *out = pmi_calloc(1, sizeof **out);
    PM_TRY(*out != NULL ? PM_OK : pmi_fail_memory(err, "the models under evaluation", sizeof **out));
    (*out)->limit = bytes;
    return PM_OK;
}

static void drop(entry *e) {
    pm_model_free(e->model);
    *e = (entry){.model = NULL};
}

void pmi_program_cache_free(pm_program_cache *models) {
    for (size_t i = 0; models != NULL && i < PM_PROGRAMS_KEPT; i++) {
        drop(&models->entries[i]);
    }
    free(models);
}

static entry *find(pm_program_cache *m, const uint8_t *job, pm_isa isa, bool normalize_start) {
    for (size_t i = 0; i < PM_PROGRAMS_KEPT; i++) {
        entry *e = &m->entries[i];
        if (e->model != NULL && e->isa == isa && e->normalize_start == normalize_start &&
            memcmp(e->job, job, PM_DIGEST_BYTES) == 0) {
            return e;
        }
    }
    return NULL;
}

static entry *least_recently_used(pm_program_cache *m) {
    entry *oldest = &m->entries[0];
    for (size_t i = 1; i < PM_PROGRAMS_KEPT; i++) {
        if (m->entries[i].used < oldest->used) {
            oldest = &m->entries[i];
        }
    }
    return oldest;
}

static size_t total_bytes(const pm_program_cache *m) {
    size_t total = 0;
    for (size_t i = 0; i < PM_PROGRAMS_KEPT; i++) {
        total += m->entries[i].bytes;
    }
    return total;
}

/* Room for one more: a free entry, and the rest within the limit. */
static entry *make_room(pm_program_cache *m) {
    entry *e = least_recently_used(m);
    drop(e);
    while (total_bytes(m) > m->limit) {
        entry *next = NULL;
        for (size_t i = 0; i < PM_PROGRAMS_KEPT; i++) {
            entry *other = &m->entries[i];
            if (other->model != NULL && (next == NULL || other->used < next->used)) {
                next = other;
            }
        }
        drop(next);
    }
    return e;
}

/* ---- loading ---- */

/* A cache that waits out Redis, so that what is unavailable is missing. */
static pm_status patient_get(void *ctx, const pm_digest key, pm_buffer *value, pm_cache_found *found, pm_error *err) {
    pm_child_context *context = ctx;
    pm_trace_cache cache = pmi_traces_cache(&context->traces);
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    do {
        st = cache.get(cache.ctx, key, value, found, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

static pm_status patient_remove(void *ctx, const pm_digest key, pm_error *err) {
    pm_child_context *context = ctx;
    pm_trace_cache cache = pmi_traces_cache(&context->traces);
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    do {
        st = cache.remove(cache.ctx, key, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

static pm_status get_job(pm_child_context *context, const uint8_t *digest, pm_analysis *job, pm_error *err) {
    pm_retry retry = pmi_child_patience(context);
    pm_buffer encoded = {0};
    pm_status st;
    do {
        encoded.size = 0;
        st = pmi_manifest_get(context->traces.redis, digest, context->memory, NULL, job, &encoded, err);
    } while (pmi_retry_again(&retry, st, err));
    pmi_buffer_free(&encoded);
    return st;
}

static pm_status warm(pm_child_context *context, const pm_classes *classes, pm_error *err) {
    pm_digest *keys;
    PM_TRY(pmi_trace_keys(classes, &keys, err));
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    do {
        st = pmi_traces_warm(&context->traces, (const pm_digest *)keys, classes->n_classes, err);
    } while (pmi_retry_again(&retry, st, err));
    free(keys);
    return st;
}

static pm_status load(pm_child_context *context, const uint8_t *digest, pm_isa isa, bool normalize_start,
                      pm_model **out, pm_error *err) {
    pm_analysis job = {0};
    pm_status st = get_job(context, digest, &job, err);
    PM_THEN(st, warm(context, &job.classes, err));
    if (st == PM_OK) {
        pm_trace_cache cache = {.ctx = context, .get = patient_get, .remove = patient_remove};
        pm_model_options options = {.threads = 1,
                                    .memory = context->memory,
                                    .normalize_start = normalize_start,
                                    .isa = pmi_isa_name(isa),
                                    .log = context->log};
        const pm_trace_source source = {.cache = &cache, .cached_only = true};
        st = pmi_model_of(&job, &source, &options, out, NULL, err);
        pmi_traces_settle(&context->traces, st == PM_OK);
    }
    pmi_analysis_free(&job);
    if (st == PM_EUNAVAILABLE || st == PM_ENOINPUT) {
        pmi_fail_prefix(err, "loading the job %s; collect it again without --evaluate cluster to bring it back",
                        PM_HEX(digest));
        st = err->code = PM_EDATA;
    }
    return st;
}

pm_status pmi_program_cache_get(pm_child_context *context, const pm_digest job, pm_isa isa, bool normalize_start,
                                const pm_model **out, bool *was_kept, pm_error *err) {
    pm_program_cache *m = context->models;
    entry *e = find(m, job, isa, normalize_start);
    pm_status st = PM_OK;
    *out = NULL;
    *was_kept = e != NULL;
    if (e == NULL) {
        e = make_room(m);
        size_t before = pmi_data_bytes();
        st = load(context, job, isa, normalize_start, &e->model, err);
        if (st == PM_OK) {
            size_t after = pmi_data_bytes();
            e->bytes = after > before ? after - before : 0;
            e->isa = isa;
            e->normalize_start = normalize_start;
            memcpy(e->job, job, PM_DIGEST_BYTES);
        }
    }
    PM_TRY(st);
    e->used = ++m->clock;
    *out = e->model;
    return PM_OK;
}

void pmi_program_cache_forget(pm_program_cache *models, const pm_model *model) {
    for (size_t i = 0; i < PM_PROGRAMS_KEPT; i++) {
        if (models->entries[i].model == model) {
            drop(&models->entries[i]);
        }
    }
}
