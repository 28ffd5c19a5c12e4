#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "bench_child.h"
#include "collector/slices.h"
#include "examples/models.h"
#include "redis/manifest.h"
#include "redis/traces.h"
#include "trace/codec.h"

#define MB ((size_t)1 << 20)
#define MUST(call) cr_assert_eq(call, PM_OK, "%s", err.text)

enum { ROWS = 20, TIMES = 5, MOMENTS = 2, REWARDS = 2 };

/* A job in Redis: manifest and traces; its model; a request. */
typedef struct job {
    bench_child b;
    pm_graph *graph;
    pm_model *model;
    double theta[ROWS * 2], times[TIMES], *rewards;
    pm_request request;
    pm_slice slice;
    pm_buffer body;
} job;

static pm_graph *make_graph(int64_t n) {
    const pm_model_info *info = pmi_model_find("two-locus-arg");
    int64_t args[PM_MODEL_MAX_ARGS] = {0};
    pm_error err = {0};
    pm_graph *graph;
    for (size_t i = 0; i < PM_MODEL_MAX_ARGS && info->args[i].name != NULL; i++) {
        args[i] = strcmp(info->args[i].name, "n") == 0 ? n : info->args[i].default_value;
    }
    MUST(pmi_model_make(info, args, &graph, &err));
    return graph;
}

/* As submit and record units leave it. */
static void publish(job *j, pm_effort effort) {
    pm_error err = {0};
    pm_analysis analysis;
    pm_buffer manifest = {0};
    MUST(pmi_analysis_split(j->graph, effort, false, NULL, &analysis, &err));
    MUST(pmi_analysis_classify(&analysis, 1, NULL, &err));
    MUST(pmi_manifest_encode(&analysis, &manifest, &err));
    MUST(pmi_manifest_put(j->b.redis, j->b.job, &manifest, &err));
    for (uint32_t c = 0; c < j->model->library.n_classes; c++) {
        const pm_trace_class *class = &j->model->library.classes[c];
        pm_buffer encoded = {0};
        MUST(pmi_trace_encode(&class->plan.trace, class->key, &encoded, &err));
        pm_blob_item item = {.bytes = encoded.bytes, .size = encoded.size};
        memcpy(item.digest, class->key, PM_DIGEST_BYTES);
        MUST(pmi_blob_put(j->b.redis, PM_SPACE_TRACE, &item, 1, false, &err));
        pmi_buffer_free(&encoded);
    }
    pmi_buffer_free(&manifest);
    pmi_analysis_free(&analysis);
}

static void make_model(job *j, pm_effort effort) {
    pm_error err = {0};
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    options.effort = effort;
    pm_model_free(j->model);
    MUST(pm_model_new(j->graph, &options, &j->model, NULL, &err));
}

static void make_body(job *j) {
    pm_error err = {0};
    j->slice = (pm_slice){.n = ROWS};
    j->body.size = 0;
    MUST(pmi_slice_body(j->model, &j->request, &j->slice, &j->body, &err));
}

static void start(job *j) {
    *j = (job){.graph = make_graph(3)};
    bench_child_start(&j->b, 256 * MB, NULL);
    memcpy(j->b.job, j->graph->digest, PM_DIGEST_BYTES);
    make_model(j, PM_EFFORT_BALANCED);
    for (size_t i = 0; i < ROWS; i++) {
        j->theta[2 * i] = 0.5 + 0.25 * (double)i;
        j->theta[2 * i + 1] = 3.0 / (double)(i + 1);
    }
    for (size_t i = 0; i < TIMES; i++) {
        j->times[i] = 0.3 * (double)i;
    }
    size_t n = (size_t)REWARDS * j->graph->n_vertices;
    j->rewards = pmi_malloc(n, sizeof *j->rewards);
    for (size_t i = 0; i < n; i++) {
        j->rewards[i] = (double)(i % 3);
    }
    j->request = (pm_request){.n_theta = ROWS,
                              .theta = j->theta,
                              .n_moments = MOMENTS,
                              .n_rewards = REWARDS,
                              .rewards = j->rewards,
                              .covariance = true,
                              .n_times = TIMES,
                              .times = j->times,
                              .pdf = true,
                              .cdf = true};
    make_body(j);
}

static void stop(job *j) {
    pm_model_free(j->model);
    pm_graph_free(j->graph);
    free(j->rewards);
    pmi_buffer_free(&j->body);
    bench_child_stop(&j->b);
}

static void run(job *j) {
    uint8_t items[1][PM_DIGEST_BYTES];
    memcpy(items[0], j->slice.key, PM_DIGEST_BYTES);
    bench_child_run(&j->b, "evaluate", (const uint8_t(*)[PM_DIGEST_BYTES])items, 1, &j->body);
}

typedef struct arrays {
    double moments[ROWS * REWARDS * MOMENTS], covariance[ROWS * REWARDS * REWARDS], atom[ROWS];
    double pdf[ROWS * TIMES], cdf[ROWS * TIMES], survival[ROWS * TIMES];
    pm_result result;
} arrays;

static void point(arrays *a) {
    memset(a, 0, sizeof *a);
    a->result = (pm_result){.moments = a->moments,
                            .covariance = a->covariance,
                            .atom = a->atom,
                            .pdf = a->pdf,
                            .cdf = a->cdf,
                            .survival = a->survival};
}

/* What is in Redis is what anybody computes, bit for bit. */
static void check_result(job *j) {
    pm_error err = {0};
    pm_buffer bytes = {0};
    pm_blob_found found;
    pm_result_message message;
    pm_message_memory memory = {0};
    arrays local, taken;
    MUST(pmi_blob_get(j->b.redis, PM_SPACE_RESULT, j->slice.key, 64 * MB, &bytes, &found, &err));
    cr_assert_eq(found, PM_BLOB_FOUND);
    MUST(pmi_message_decode(&pmi_result_type, bytes.bytes, bytes.size, &message, &memory, &err));
    point(&local);
    MUST(pm_evaluate(j->model, &j->request, &local.result, &err));
    point(&taken);
    MUST(pmi_slice_take(&j->request, &j->slice, &message, &taken.result, &err));
    cr_assert_eq(memcmp(&local, &taken, offsetof(arrays, result)), 0);
    cr_assert_eq(local.result.steps, taken.result.steps);
    pmi_message_memory_free(&memory);
    pmi_buffer_free(&bytes);
}

Test(kind_evaluate, a_slice_has_the_bits_of_local_evaluation) {
    job j;
    start(&j);
    publish(&j, PM_EFFORT_BALANCED);
    run(&j);
    bench_child_expect(&j.b, PM_OK, "");
    cr_assert_eq(j.b.ending.answer.result.recorded, 1);
    check_result(&j);
    run(&j);
    bench_child_expect(&j.b, PM_OK, "");
    cr_assert_eq(j.b.ending.answer.result.known, 1);
    cr_assert_eq(j.b.ending.answer.result.recorded, 0);
    cr_assert(redis_server_check_keys(&j.b.server) > 0);
    stop(&j);
}

Test(kind_evaluate, a_child_leaves_nothing_behind) {
    job j;
    uint8_t items[1][PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES];
    pm_buffer value;
    start(&j);
    memcpy(items[0], j.slice.key, PM_DIGEST_BYTES);
    bench_child_unit(&j.b, "evaluate", (const uint8_t(*)[PM_DIGEST_BYTES])items, 1, &j.body, unit, &value);
    bench_child_inside(&j.b, "evaluate", unit, value.bytes, value.size);
    bench_child_expect(&j.b, PM_EDATA, "");
    publish(&j, PM_EFFORT_BALANCED);
    bench_child_inside(&j.b, "evaluate", unit, value.bytes, value.size);
    bench_child_expect(&j.b, PM_OK, "");
    check_result(&j);
    pmi_buffer_free(&value);
    stop(&j);
}

Test(kind_evaluate, one_model_serves_many_slices_without_redis) {
    job j;
    start(&j);
    publish(&j, PM_EFFORT_BALANCED);
    run(&j);
    bench_child_expect(&j.b, PM_OK, "");
    redis_server_tell(&j.b.server, "FLUSHALL");
    j.theta[0] = 0.75;
    make_body(&j);
    run(&j);
    bench_child_expect(&j.b, PM_OK, "");
    check_result(&j);
    stop(&j);
}

Test(kind_evaluate, what_is_missing_is_named) {
    job j;
    char hex[PM_DIGEST_HEX];
    pm_error err = {0};
    start(&j);
    run(&j);
    pmi_hex(j.b.job, hex);
    bench_child_expect(&j.b, PM_EDATA, hex);
    publish(&j, PM_EFFORT_BALANCED);
    pmi_hex(j.model->library.classes[0].key, hex);
    MUST(pmi_blob_remove(j.b.redis, PM_SPACE_TRACE, j.model->library.classes[0].key, &err));
    run(&j);
    bench_child_expect(&j.b, PM_EDATA, hex);
    stop(&j);
}

Test(kind_evaluate, a_job_submitted_with_another_effort_is_loaded_again) {
    job j;
    start(&j);
    publish(&j, PM_EFFORT_BALANCED);
    run(&j);
    bench_child_expect(&j.b, PM_OK, "");
    make_model(&j, PM_EFFORT_FAST);
    make_body(&j);
    run(&j);
    bench_child_expect(&j.b, PM_EDATA, "another effort");
    publish(&j, PM_EFFORT_FAST);
    run(&j);
    bench_child_expect(&j.b, PM_OK, "");
    check_result(&j);
    stop(&j);
}

Test(kind_evaluate, rows_that_cannot_be_evaluated_are_named) {
    job j;
    start(&j);
    publish(&j, PM_EFFORT_BALANCED);
    j.theta[2 * 7] = -1;
    make_body(&j);
    run(&j);
    bench_child_expect(&j.b, PM_EDATA, "theta row 7");
    stop(&j);
}

Test(kind_evaluate, wrong_sizes_are_refused) {
    job j;
    pm_error err = {0};
    start(&j);
    publish(&j, PM_EFFORT_BALANCED);
    pm_evaluate_body body;
    pm_message_memory memory = {0};
    MUST(pmi_message_decode(&pmi_evaluate_type, j.body.bytes, j.body.size, &body, &memory, &err));
    pm_buffer sound = j.body;
    const pm_evaluate_body original = body;
    static const char *const words[] = {"theta", "parameters", "rewards", "times", "key"};
    for (size_t i = 0; i < 5; i++) {
        body = original;
        body.request.n_theta += i == 0;
        body.n_params += i == 1;
        body.request.n_rewards += i == 2;
        body.request.n_times += i == 3;
        body.request.tolerance += i == 4 ? 1e-7 : 0;
        j.body = (pm_buffer){0};
        MUST(pmi_message_encode(&pmi_evaluate_type, &body, &j.body, &err));
        run(&j);
        bench_child_expect(&j.b, PM_EDATA, words[i]);
        pmi_buffer_free(&j.body);
    }
    pmi_message_memory_free(&memory);
    j.body = sound;
    stop(&j);
}

Test(kind_evaluate, more_jobs_than_models_are_kept) {
    job j;
    start(&j);
    pm_graph *graphs[6];
    for (int turn = 0; turn < 12; turn++) {
        int which = turn % 6;
        if (turn < 6) {
            graphs[which] = make_graph(2 + which);
        }
        pm_graph_free(j.graph);
        j.graph = graphs[which];
        pmi_graph_hold(j.graph);
        memcpy(j.b.job, j.graph->digest, PM_DIGEST_BYTES);
        make_model(&j, PM_EFFORT_BALANCED);
        j.request = (pm_request){.n_theta = ROWS, .theta = j.theta, .n_moments = MOMENTS};
        j.theta[0] = 0.5 + turn;
        make_body(&j);
        publish(&j, PM_EFFORT_BALANCED);
        run(&j);
        bench_child_expect(&j.b, PM_OK, "");
    }
    for (int i = 0; i < 6; i++) {
        pm_graph_free(graphs[i]);
    }
    stop(&j);
}
