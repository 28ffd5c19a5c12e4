#include <string.h>

#include "base/mem.h"
#include "worker/child.h"

/* One slice under work: the request's arrays, and the results'. */
typedef struct slice {
    pm_evaluate_body body;
    pm_message_memory borrowed;
    double *theta, *rewards, *times;
    pm_request request;
    pm_result result;
    size_t n_moments, n_covariance, n_times; /* values of each kind of result */
} slice;

static void slice_free(slice *s) {
    free(s->theta);
    free(s->rewards);
    free(s->times);
    free(s->result.moments);
    free(s->result.covariance);
    free(s->result.atom);
    free(s->result.pdf);
    free(s->result.cdf);
    free(s->result.survival);
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
    if (b->n_params != graph->n_params) {
        return pmi_fail(err, PM_EDATA, "the slice's theta has %llu columns, the job's graph %u parameters",
                        (unsigned long long)b->n_params, graph->n_params);
    }
    pm_status st = read_values("theta", b->theta, b->n_theta, b->n_params, &s->theta, err);
    PM_THEN(st, read_values("rewards", b->rewards, b->n_rewards, graph->n_vertices, &s->rewards, err));
    PM_THEN(st, read_values("times", b->times, b->times_per_theta ? b->n_theta : 1, b->n_times, &s->times, err));
    s->request = (pm_request){.n_theta = b->n_theta,
                              .theta = s->theta,
                              .n_moments = b->n_moments,
                              .factorial = b->factorial,
                              .n_rewards = b->n_rewards,
                              .rewards = s->rewards,
                              .covariance = b->covariance,
                              .n_times = b->n_times,
                              .times = s->times,
                              .times_per_theta = b->times_per_theta,
                              .pdf = b->pdf,
                              .cdf = b->cdf,
                              .tolerance = b->tolerance,
                              .tail_accuracy = b->tail_accuracy,
                              .threads = 1};
    return st;
}

static pm_status new_values(size_t count, double **out, pm_error *err) {
    *out = pmi_calloc(count, sizeof **out);
    return *out != NULL ? PM_OK : pmi_fail_memory(err, "the results of a slice", count * sizeof **out);
}

static pm_status new_results(slice *s, pm_error *err) {
    const pm_request *r = &s->request;
    size_t rewards = r->n_rewards == 0 ? 1 : r->n_rewards, per_row, square;
    if (!pmi_mul(rewards, r->n_moments, &per_row) || !pmi_mul(per_row, r->n_theta, &s->n_moments) ||
        !pmi_mul(rewards, rewards, &square) || !pmi_mul(square, r->n_theta, &s->n_covariance) ||
        !pmi_mul(r->n_times, r->n_theta, &s->n_times)) {
        return pmi_fail(err, PM_EDATA, "a slice of %zu rows, %zu moments, %zu rewards and %zu times is too large",
                        r->n_theta, r->n_moments, r->n_rewards, r->n_times);
    }
    PM_TRY(new_values(r->n_theta, &s->result.atom, err));
    if (r->n_moments > 0) {
        PM_TRY(new_values(s->n_moments, &s->result.moments, err));
    }
    if (r->covariance) {
        PM_TRY(new_values(s->n_covariance, &s->result.covariance, err));
    }
    if (r->pdf) {
        PM_TRY(new_values(s->n_times, &s->result.pdf, err));
    }
    if (r->cdf) {
        PM_TRY(new_values(s->n_times, &s->result.cdf, err));
    }
    if (r->cdf) {
        PM_TRY(new_values(s->n_times, &s->result.survival, err));
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

static pm_span values(const double *array, size_t count) {
    return array == NULL ? (pm_span){0} : pmi_f64s(array, count);
}

static pm_status store(pm_child_context *context, const slice *s, pm_error *err) {
    pm_result_message message = {.n_theta = s->request.n_theta,
                                 .moments = values(s->result.moments, s->n_moments),
                                 .covariance = values(s->result.covariance, s->n_covariance),
                                 .atom = values(s->result.atom, s->request.n_theta),
                                 .pdf = values(s->result.pdf, s->n_times),
                                 .cdf = values(s->result.cdf, s->n_times),
                                 .survival = values(s->result.survival, s->n_times),
                                 .steps = s->result.steps,
                                 .error_bound = s->result.error_bound};
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

static pm_status is_there(pm_child_context *context, const uint8_t result[PM_DIGEST_BYTES], bool *there,
                          pm_error *err) {
    uint8_t digests[1][PM_DIGEST_BYTES];
    memcpy(digests[0], result, PM_DIGEST_BYTES);
    pm_retry retry = pmi_child_patience(context);
    pm_status st;
    pmi_progress_page_phase(context->page, PM_PHASE_FETCH);
    do {
        st = pmi_blob_exist(context->traces.redis, PM_SPACE_RESULT, (const uint8_t(*)[PM_DIGEST_BYTES])digests, 1,
                            there, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

/* ---- the unit ---- */

/* Whether the slice's key follows from what it asks and from this model. */
static pm_status check_key(const slice *s, const pm_model *model, bool *fits, pm_error *err) {
    uint8_t key[PM_DIGEST_BYTES];
    pm_status st = pmi_result_key(model->analysis.graph->digest, &model->library, &s->body, key, err);
    *fits = st == PM_OK && memcmp(key, s->body.result, PM_DIGEST_BYTES) == 0;
    return st;
}

/* The job's model, the request read and its key found right. A model that was kept may be of an earlier manifest (of
 * another effort): then it is loaded again, once. */
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
        char hex[PM_DIGEST_HEX];
        pmi_hex(s->body.result, hex);
        return pmi_fail(
            err, PM_EDATA,
            "the slice's key %s is not that of what it asks: the job was submitted again with another effort "
            "meanwhile, or the unit was made by another version",
            hex);
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
