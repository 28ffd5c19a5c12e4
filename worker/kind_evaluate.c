#include <string.h>

#include "base/machine.h"
#include "redis/manifest.h"
#include "worker/child.h"

/* One slice under work: the request's arrays, and the results'. */
typedef struct slice {
    pm_evaluate_body body;
    pm_message_memory borrowed;
    double *theta, *rewards, *times;
    pm_request request;
    pm_result result;
    size_t counts[6]; /* values of each array of results */
} slice;

/* The arrays of results: in pm_result, in pm_result_message. */
#define ARRAY(name)                                                                                                    \
    { offsetof(pm_result, name), offsetof(pm_result_message, name) }
enum { MOMENTS, COVARIANCE, ATOM, PDF, CDF, SURVIVAL, N_ARRAYS };
static const struct {
    size_t in_result, in_message;
} arrays[N_ARRAYS] = {
    [MOMENTS] = ARRAY(moments), [COVARIANCE] = ARRAY(covariance), [ATOM] = ARRAY(atom), [PDF] = ARRAY(pdf),
    [CDF] = ARRAY(cdf),         [SURVIVAL] = ARRAY(survival)};

static double **values_of(slice *s, int array) {
    return (double **)((uint8_t *)&s->result + arrays[array].in_result);
}

static void slice_free(slice *s) {
    free(s->theta);
    free(s->rewards);
    free(s->times);
    for (int i = 0; i < N_ARRAYS; i++) {
        free(*values_of(s, i));
    }
    pmi_message_memory_free(&s->borrowed);
}

/* ---- the request ---- */

/* `rows` times `columns` values, or none at all. */
static pm_status read_values(const char *what, pm_span span, uint64_t rows, uint64_t columns, double **out,
                             pm_error *err) {
    size_t expected, count;
    *out = NULL;
    if (!pmi_mul(rows, columns, &expected)) {
        return pmi_fail(err, PM_EDATA, "the slice's %s: %llu rows of %llu values are too many", what,
                        (unsigned long long)rows, (unsigned long long)columns);
    }
    if (span.size / sizeof(double) != expected) {
        return pmi_fail(err, PM_EDATA, "the slice's %s: expected %llu x %llu values, found %zu", what,
                        (unsigned long long)rows, (unsigned long long)columns, span.size / sizeof(double));
    }
    return pmi_f64s_read(span, out, &count, err);
}

static pm_status read_request(slice *s, const pm_graph *graph, pm_error *err) {
    const pm_evaluate_body *b = &s->body;
    const pm_request *r = &b->request;
    if (b->n_params != graph->n_params) {
        return pmi_fail(err, PM_EDATA, "the slice's theta has %llu columns, the job's graph %u parameters",
                        (unsigned long long)b->n_params, graph->n_params);
    }
    PM_TRY(read_values("theta", b->theta, r->n_theta, b->n_params, &s->theta, err));
    PM_TRY(read_values("rewards", b->rewards, r->n_rewards, graph->n_vertices, &s->rewards, err));
    PM_TRY(read_values("times", b->times, r->times_per_theta ? r->n_theta : 1, r->n_times, &s->times, err));
    s->request = *r;
    s->request.theta = s->theta;
    s->request.rewards = s->rewards;
    s->request.times = s->times;
    s->request.threads = 1;
    return PM_OK;
}

static pm_status new_results(slice *s, pm_error *err) {
    const pm_request *r = &s->request;
    const bool is_wanted[N_ARRAYS] = {
        [MOMENTS] = r->n_moments > 0, [COVARIANCE] = r->covariance, [ATOM] = true, [PDF] = r->pdf, [CDF] = r->cdf,
        [SURVIVAL] = r->cdf};
    size_t rewards = r->n_rewards == 0 ? 1 : r->n_rewards, per_row, square, *counts = s->counts;
    if (!pmi_mul(rewards, r->n_moments, &per_row) || !pmi_mul(per_row, r->n_theta, &counts[MOMENTS]) ||
        !pmi_mul(rewards, rewards, &square) || !pmi_mul(square, r->n_theta, &counts[COVARIANCE]) ||
        !pmi_mul(r->n_times, r->n_theta, &counts[PDF])) {
        return pmi_fail(err, PM_EDATA, "a slice of %zu rows, %zu moments, %zu rewards and %zu times is too large",
                        r->n_theta, r->n_moments, r->n_rewards, r->n_times);
    }
    counts[ATOM] = r->n_theta;
    counts[CDF] = counts[SURVIVAL] = counts[PDF];
    for (int i = 0; i < N_ARRAYS; i++) {
        double **values = values_of(s, i);
        *values = is_wanted[i] ? pmi_calloc(counts[i], sizeof **values) : NULL;
        PM_TRY(!is_wanted[i] || *values != NULL
                   ? PM_OK
                   : pmi_fail_memory(err, "the results of a slice", counts[i] * sizeof **values));
    }
    return PM_OK;
}

/* ---- the rounding asked for ---- */

/* Kernels above x86-64-v2 fuse products into sums, all with the same bits. */
static bool fuses(pm_isa isa) {
    return isa != PM_ISA_X86_64_V2;
}

static pm_status choose_isa(const pm_child_context *context, bool fused, pm_isa *isa, pm_error *err) {
    *isa = context->isa;
    if (fuses(context->isa) == fused) {
        return PM_OK;
    }
    pm_status st = pmi_isa_choose(pmi_isa_name(fused ? PM_ISA_X86_64_V3 : PM_ISA_X86_64_V2), isa, err);
    if (st != PM_OK) {
        pmi_fail_prefix(err,
                        "the slice asks for the bits of %s multiply-add, which this worker's processor does not have",
                        fused ? "fused" : "plain");
        st = err->code = PM_EDATA;
    }
    return st;
}

/* ---- storing ---- */

static pm_status store(pm_child_context *context, slice *s, pm_error *err) {
    pm_result_message message = {
        .n_theta = s->request.n_theta, .steps = s->result.steps, .error_bound = s->result.error_bound};
    for (int i = 0; i < N_ARRAYS; i++) {
        const double *values = *values_of(s, i);
        *(pm_span *)((uint8_t *)&message + arrays[i].in_message) =
            values != NULL ? pmi_f64s(values, s->counts[i]) : (pm_span){0};
    }
    memcpy(message.result, s->body.result, PM_DIGEST_BYTES);
    pm_buffer encoded = {0};
    pm_status st = pmi_message_encode(&pmi_result_type, &message, &encoded, err);
    if (st == PM_OK) {
        pm_blob_item item = {.bytes = encoded.bytes, .size = encoded.size};
        memcpy(item.digest, s->body.result, PM_DIGEST_BYTES);
        pmi_progress_page_phase(context->page, PM_PHASE_STORE);
        pm_retry retry = pmi_child_patience(context);
        do {
            st = pmi_blob_put(context->traces.redis, PM_SPACE_RESULT, &item, 1, false, err);
        } while (pmi_retry_again(&retry, st, err));
    }
    pmi_buffer_free(&encoded);
    return st;
}

static pm_status is_there(pm_child_context *context, const pm_digest result, bool *there, pm_error *err) {
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    pmi_progress_page_phase(context->page, PM_PHASE_FETCH);
    do {
        st = pmi_redis_exist(context->traces.redis, PM_SPACE_RESULT, (const pm_digest *)result, 1, true, there, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

/* ---- models of the jobs under evaluation: made from the manifest and the traces, the last few kept ---- */

#define PROGRAMS_KEPT 4

typedef struct entry {
    pm_digest job;
    pm_isa isa;
    bool normalize_start;
    pm_model *model; /* NULL: the entry is free */
    size_t bytes;
    uint64_t used; /* larger is later */
} entry;

struct pm_program_cache {
    entry entries[PROGRAMS_KEPT];
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
    for (size_t i = 0; models != NULL && i < PROGRAMS_KEPT; i++) {
        drop(&models->entries[i]);
    }
    free(models);
}

static entry *find_entry(pm_program_cache *m, const uint8_t *job, pm_isa isa, bool normalize_start) {
    for (size_t i = 0; i < PROGRAMS_KEPT; i++) {
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
    for (size_t i = 1; i < PROGRAMS_KEPT; i++) {
        if (m->entries[i].used < oldest->used) {
            oldest = &m->entries[i];
        }
    }
    return oldest;
}

static size_t total_bytes(const pm_program_cache *m) {
    size_t total = 0;
    for (size_t i = 0; i < PROGRAMS_KEPT; i++) {
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
        for (size_t i = 0; i < PROGRAMS_KEPT; i++) {
            entry *other = &m->entries[i];
            if (other->model != NULL && (next == NULL || other->used < next->used)) {
                next = other;
            }
        }
        drop(next);
    }
    return e;
}

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

/* Borrowed until the next call; *was_kept: from an earlier call. Waits out Redis. Errors: PM_EDATA when the manifest or
 * a trace is missing or altered, saying what to do; those of making a model. */
static pm_status get_model(pm_child_context *context, const pm_digest job, pm_isa isa, bool normalize_start,
                           const pm_model **out, bool *was_kept, pm_error *err) {
    pm_program_cache *m = context->models;
    entry *e = find_entry(m, job, isa, normalize_start);
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

static void forget_model(pm_program_cache *models, const pm_model *model) {
    for (size_t i = 0; i < PROGRAMS_KEPT; i++) {
        if (models->entries[i].model == model) {
            drop(&models->entries[i]);
        }
    }
}

/* ---- the unit ---- */

/* Whether the slice's key follows from what it asks and from this model. */
static pm_status check_key(const slice *s, const pm_model *model, bool *fits, pm_error *err) {
    pm_digest key;
    pm_status st = pmi_result_key(model->analysis.graph->digest, &model->library, &s->body, key, err);
    *fits = st == PM_OK && memcmp(key, s->body.result, PM_DIGEST_BYTES) == 0;
    return st;
}

/* A kept model may be of an earlier manifest (of another effort): then it is loaded again, once. */
static pm_status prepare(pm_child_context *context, const uint8_t *job, slice *s, const pm_model **model,
                         pm_error *err) {
    pm_isa isa;
    bool fits = false, was_kept = false;
    PM_TRY(choose_isa(context, s->body.fused, &isa, err));
    PM_TRY(get_model(context, job, isa, s->body.normalize_start, model, &was_kept, err));
    PM_TRY(read_request(s, (*model)->analysis.graph, err));
    PM_TRY(check_key(s, *model, &fits, err));
    if (!fits && was_kept) {
        forget_model(context->models, *model);
        PM_TRY(get_model(context, job, isa, s->body.normalize_start, model, &was_kept, err));
        PM_TRY(check_key(s, *model, &fits, err));
    }
    if (!fits) {
        return pmi_fail(
            err, PM_EDATA,
            "the slice's key %s is not that of what it asks: the job was submitted again with another effort "
            "meanwhile, or the unit was made by another version",
            PM_HEX(s->body.result));
    }
    return PM_OK;
}

static pm_status compute(pm_child_context *context, const uint8_t *job, slice *s, pm_error *err) {
    const pm_model *model = NULL;
    PM_TRY(prepare(context, job, s, &model, err));
    PM_TRY(new_results(s, err));
    pmi_progress_page_phase(context->page, PM_PHASE_COMPUTE);
    return pm_evaluate(model, &s->request, &s->result, err);
}

pm_status pmi_work_evaluate(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *done,
                            pm_error *err) {
    slice s = {.theta = NULL};
    bool there = false;
    done->items = 1;
    pm_status st = pmi_message_decode(&pmi_evaluate_type, unit->body.bytes, unit->body.size, &s.body, &s.borrowed, err);
    if (st == PM_OK) {
        pmi_progress_page_item(context->page, 0, s.body.result);
        st = is_there(context, s.body.result, &there, err);
    }
    if (st == PM_OK && !there) {
        st = compute(context, unit->job, &s, err);
        PM_THEN(st, store(context, &s, err));
    }
    if (st == PM_OK) {
        done->known = there ? 1 : 0;
        done->recorded = there ? 0 : 1;
    }
    slice_free(&s);
    return st;
}
