#include "collector/slices.h"

#include <string.h>

#include "eval/density.h"
#include "graph/weights.h"
#include "wire/units.h"

/* Rough speeds of one core, from the benchmarks: what matters is the order of magnitude. */
#define FLOPS_PER_SECOND 2e9
#define EDGES_PER_SECOND 1e9

/* A slice: at least so long, and at most when there is a lot to do; so many of them when there is. */
#define MIN_SECONDS 0.05
#define MAX_SECONDS 0.5
#define MANY_SLICES 64.0
#define MAX_SLICES 1024.0
/* Every slice carries all reward vectors, and every result travels: bytes that take as long as a second of work. */
#define BYTES_PER_SECOND 1e8
#define SLICE_BYTES ((size_t)32 << 20)
#define LANES ((size_t)16)

static size_t n_vectors(const pm_request *r) {
    return r->n_rewards == 0 ? 1 : r->n_rewards;
}

static bool wants_densities(const pm_request *r) {
    return r->pdf || r->cdf;
}

/* ---- costs ---- */

static double moments_seconds(const pm_model *m, const pm_request *r) {
    if (r->n_moments == 0 && !r->covariance) {
        return 0;
    }
    double orders = r->n_moments == 0 ? 1 : (double)r->n_moments, vectors = (double)n_vectors(r);
    double solves = vectors * (orders + (r->covariance ? 1 : 0));
    return (double)m->program.flops * (0.5 + 0.5 * solves) / FLOPS_PER_SECOND;
}

/* The largest total rate out of a state, for each of the rows of a block. */
static void find_rates(const pm_graph *g, const double *values, double *out, double max[LANES]) {
    memset(out, 0, (size_t)g->n_vertices * LANES * sizeof *out);
    for (size_t e = 0; e < g->n_edges; e++) {
        const double *w = values + (size_t)g->weight[e] * LANES;
        double *sum = out + (size_t)g->from[e] * LANES;
        for (size_t l = 0; l < LANES; l++) {
            sum[l] += w[l];
        }
    }
    memset(max, 0, LANES * sizeof *max);
    for (size_t i = 0; i < (size_t)g->n_vertices * LANES; i++) {
        max[i % LANES] = out[i] > max[i % LANES] ? out[i] : max[i % LANES];
    }
}

static double last_time(const pm_request *r, size_t row) {
    const double *times = r->times_per_theta ? r->times + row * r->n_times : r->times;
    double last = 0;
    for (size_t i = 0; i < r->n_times; i++) {
        last = times[i] > last ? times[i] : last;
    }
    return last;
}

/* Steps of uniformization: the mean of the Poisson distribution, and some of its deviations. */
static double density_seconds(const pm_graph *g, const pm_request *r, size_t row, double rate) {
    double mean = (g->is_discrete ? 1.0 : rate) * last_time(r, row);
    double steps = mean + (g->is_discrete ? 0 : 6 * sqrt(mean) + 30);
    return steps * (double)(g->n_edges + g->n_vertices) / EDGES_PER_SECOND;
}

/* Weights that no double holds do for moments where these fit one (docs/moments.md); negative ones never do. */
static pm_status check_signs(const pm_graph *g, const pm_request *r, size_t first, size_t count, pm_error *err) {
    for (size_t row = first; row < first + count; row++) {
        const double *theta = r->theta + row * g->n_params;
        for (uint32_t w = 0; w < g->n_weights; w++) {
            if (pmi_graph_weight_wide(g, w, theta).hi < 0) {
                return pmi_weight_refuse(g, w, theta, row, err);
            }
        }
    }
    return PM_OK;
}

static pm_status cost_block(const pm_model *m, const pm_request *r, size_t first, double *values, double *out,
                            double *start, double *seconds, pm_error *err) {
    const pm_graph *g = m->analysis.graph;
    size_t left = r->n_theta - first, count = left < LANES ? left : LANES;
    pm_status st = pmi_weights_fill(g, r->theta, first, count, LANES, values, err);
    if (st == PM_EDATA && !wants_densities(r)) {
        st = check_signs(g, r, first, count, err);
    }
    if (st == PM_OK) {
        st = pmi_start_fill(g, r->theta + first * g->n_params, count, m->normalize_start, start, err);
        if (st != PM_OK) {
            pmi_error_shift_row(err, first);
        }
    }
    PM_TRY(st);
    double rates[LANES] = {0};
    if (wants_densities(r) && !g->is_discrete) {
        find_rates(g, values, out, rates);
    }
    for (size_t i = 0; i < count; i++) {
        seconds[first + i] = moments_seconds(m, r);
        seconds[first + i] += wants_densities(r) ? density_seconds(g, r, first + i, rates[i]) : 0;
    }
    return PM_OK;
}

pm_status pmi_slice_costs(const pm_model *model, const pm_request *request, const pm_result *result, double *seconds,
                          pm_error *err) {
    static const double no_parameters = 0;
    const pm_graph *g = model->analysis.graph;
    pm_request r = *request;
    r.theta = g->n_params == 0 ? &no_parameters : r.theta;
    pm_status st = pmi_request_check(g, &r, result, err);
    if (st == PM_OK && wants_densities(&r)) {
        st = pmi_density_check_times(&r, g->is_discrete, err);
    }
    PM_TRY(st);
    pm_pool pool = {0};
    double *values = pmi_pool_array(&pool, (size_t)g->n_weights * LANES, sizeof *values);
    double *out = pmi_pool_array(&pool, (size_t)g->n_vertices * LANES, sizeof *out);
    double *start = pmi_pool_array(&pool, (size_t)g->n_starts * LANES, sizeof *start);
    st = pmi_pool_check(&pool, err, "the costs of slices", ((size_t)g->n_weights + g->n_vertices) * LANES * 8);
    for (size_t first = 0; st == PM_OK && first < r.n_theta; first += LANES) {
        st = cost_block(model, &r, first, values, out, start, seconds, err);
    }
    pmi_pool_free(&pool);
    return st;
}

/* ---- cutting ---- */

/* Bytes that each row adds to body and result. */
static double row_bytes(const pm_graph *g, const pm_request *r) {
    double vectors = (double)n_vectors(r);
    double values = (double)g->n_params + vectors * (double)r->n_moments + (r->covariance ? vectors * vectors : 0) + 1 +
                    (double)r->n_times * (3 + (r->times_per_theta ? 1 : 0));
    return 8 * values;
}

static double slice_target(const pm_model *m, const pm_request *r, const double *seconds) {
    double total = 0;
    for (size_t i = 0; i < r->n_theta; i++) {
        total += seconds[i];
    }
    double rewards = 8.0 * (double)r->n_rewards * (double)m->analysis.graph->n_vertices / BYTES_PER_SECOND;
    double max = fmax(MAX_SECONDS, total / MAX_SLICES);
    return fmax(fmin(total / MANY_SLICES, max), fmax(MIN_SECONDS, rewards));
}

/* Rows are cut where blocks of lanes end; by fewer rows where one block takes longer than a slice should. */
static size_t slice_grain(const pm_request *r, const double *seconds, double target) {
    double total = 0;
    for (size_t i = 0; i < r->n_theta; i++) {
        total += seconds[i];
    }
    double row = total / (double)r->n_theta;
    return row * (double)LANES <= 2 * target ? LANES : row * 4 <= 2 * target ? 4 : 1;
}

pm_status pmi_slices_cut(const pm_model *model, const pm_request *request, const double *seconds, pm_slices *out,
                         pm_error *err) {
    *out = (pm_slices){0};
    if (request->n_theta == 0) {
        return PM_OK;
    }
    double target = slice_target(model, request, seconds), bytes = row_bytes(model->analysis.graph, request);
    size_t grain = slice_grain(request, seconds, target), capacity = 0;
    size_t most_rows = (size_t)((double)SLICE_BYTES / bytes);
    most_rows = most_rows < grain ? grain : most_rows / grain * grain;
    for (size_t row = 0; row < request->n_theta; row++) {
        pm_slice *last = out->n > 0 ? &out->slices[out->n - 1] : NULL;
        bool starts = last == NULL || (last->n % grain == 0 && (last->seconds >= target || last->n >= most_rows));
        if (!starts) {
            last->n++;
            last->seconds += seconds[row];
            continue;
        }
        if (!pmi_reserve((void **)&out->slices, &capacity, out->n + 1, sizeof *out->slices)) {
            pmi_slices_free(out);
            return pmi_fail_memory(err, "the slices of theta", (out->n + 1) * sizeof *out->slices);
        }
        out->slices[out->n++] = (pm_slice){.first = row, .n = 1, .seconds = seconds[row]};
    }
    return PM_OK;
}

void pmi_slices_free(pm_slices *slices) {
    free(slices->slices);
    *slices = (pm_slices){0};
}

pm_request pmi_slice_request(const pm_request *request, size_t n_params, const pm_slice *slice) {
    pm_request part = *request;
    part.n_theta = slice->n;
    part.theta = request->theta == NULL ? NULL : request->theta + slice->first * n_params;
    if (request->times_per_theta) {
        part.times = request->times + slice->first * request->n_times;
    }
    return part;
}

pm_status pmi_slice_body(const pm_model *model, const pm_request *request, pm_slice *slice, pm_buffer *body,
                         pm_error *err) {
    const pm_graph *g = model->analysis.graph;
    pm_request r = pmi_slice_request(request, g->n_params, slice);
    size_t n_times = r.times_per_theta ? r.n_theta * r.n_times : r.n_times;
    pm_evaluate_body b = {.fused = model->isa != PM_ISA_X86_64_V2,
                          .normalize_start = model->normalize_start,
                          .n_params = g->n_params,
                          .request = r,
                          .theta = pmi_f64s(r.theta, r.n_theta * g->n_params),
                          .rewards = pmi_f64s(r.rewards, r.n_rewards * g->n_vertices),
                          .times = pmi_f64s(r.times, n_times)};
    pm_status st = pmi_result_key(g->digest, &model->library, &b, slice->key, err);
    memcpy(b.result, slice->key, PM_DIGEST_BYTES);
    PM_TRY(st);
    return pmi_message_encode(&pmi_evaluate_type, &b, body, err);
}

/* ---- assembly ---- */

/* What a worker computes is finite; what is not comes from elsewhere. */
static bool is_finite(const double *values, size_t n) {
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        all = all && isfinite(values[i]);
    }
    return all;
}

static pm_status take_array(const char *name, pm_span span, const pm_slice *slice, size_t width, double *to,
                            pm_error *err) {
    if (to == NULL) {
        return PM_OK;
    }
    size_t expected = 0;
    if (!pmi_mul(slice->n, width, &expected) || !pmi_mul(expected, sizeof *to, &expected) || span.size != expected) {
        return pmi_fail(err, PM_EDATA, "the result of theta rows %zu to %zu: %zu bytes of %s, expected %zu",
                        slice->first, slice->first + slice->n - 1, span.size, name, expected);
    }
    if (expected > 0) {
        memcpy(to + slice->first * width, span.bytes, expected);
    }
    if (!is_finite(to + slice->first * width, slice->n * width)) {
        return pmi_fail(err, PM_EDATA, "the result of theta rows %zu to %zu has %s that are not finite", slice->first,
                        slice->first + slice->n - 1, name);
    }
    return PM_OK;
}

pm_status pmi_slice_take(const pm_request *request, const pm_slice *slice, const pm_result_message *message,
                         pm_result *result, pm_error *err) {
    const pm_request *r = request;
    size_t f = n_vectors(r);
    if (message->n_theta != slice->n || memcmp(message->result, slice->key, PM_DIGEST_BYTES) != 0) {
        return pmi_fail(err, PM_EDATA, "the result of theta rows %zu to %zu is of another slice, of %llu rows",
                        slice->first, slice->first + slice->n - 1, (unsigned long long)message->n_theta);
    }
    const struct {
        const char *name;
        pm_span span;
        size_t width;
        double *to;
    } arrays[] = {
        {"moments", message->moments, f * r->n_moments, r->n_moments > 0 ? result->moments : NULL},
        {"covariances", message->covariance, f * f, r->covariance ? result->covariance : NULL},
        {"atoms", message->atom, 1, result->atom},
        {"pdf", message->pdf, r->n_times, r->pdf ? result->pdf : NULL},
        {"cdf", message->cdf, r->n_times, r->cdf ? result->cdf : NULL},
        {"survival", message->survival, r->n_times, r->cdf ? result->survival : NULL},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        PM_TRY(take_array(arrays[i].name, arrays[i].span, slice, arrays[i].width, arrays[i].to, err));
    }
    result->steps = message->steps > result->steps ? message->steps : result->steps;
    result->error_bound = fmax(result->error_bound, message->error_bound);
    return PM_OK;
}
