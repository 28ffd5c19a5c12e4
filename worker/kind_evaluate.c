#include <string.h>

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
    PM_TRY(pmi_program_cache_get(context, job, isa, s->body.normalize_start, model, &was_kept, err));
    PM_TRY(read_request(s, (*model)->analysis.graph, err));
    PM_TRY(check_key(s, *model, &fits, err));
    if (!fits && was_kept) {
        pmi_program_cache_forget(context->models, *model);
        PM_TRY(pmi_program_cache_get(context, job, isa, s->body.normalize_start, model, &was_kept, err));
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
