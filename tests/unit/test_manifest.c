#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "examples/models.h"
#include "model_fixture.h"
#include "redis/manifest.h"
#include "redis_server.h"

typedef struct manifest_fixture {
    pm_analysis job;
    pm_buffer encoded;
    pm_error err;
} manifest_fixture;

#define MUST(call) cr_assert_eq(call, PM_OK, "%s", d->err.text)

static void encode(manifest_fixture *d, pm_graph *graph, pm_effort effort) {
    *d = (manifest_fixture){.job = analysis_of(graph, effort)};
    MUST(pmi_analysis_classify(&d->job, 1, NULL, &d->err));
    MUST(pmi_manifest_encode(&d->job, &d->encoded, &d->err));
}

static void begin(manifest_fixture *d, const char *model, const int64_t *args) {
    pm_graph *graph;
    pm_error err;
    cr_assert_eq(pmi_model_make(pmi_model_find(model), args, &graph, &err), PM_OK, "%s", err.text);
    encode(d, graph, PM_EFFORT_BALANCED);
}

static void end(manifest_fixture *d) {
    pmi_buffer_free(&d->encoded);
    pmi_analysis_free(&d->job);
}

static void expect_same(const manifest_fixture *d, const pm_analysis *job) {
    cr_expect_eq(memcmp(job->graph->digest, d->job.graph->digest, PM_DIGEST_BYTES), 0);
    cr_expect_eq(job->effort, PM_EFFORT_BALANCED);
    cr_assert_eq(job->split.n_sccs, d->job.split.n_sccs);
    cr_assert_eq(job->classes.n_classes, d->job.classes.n_classes);
    for (uint32_t c = 0; c < d->job.classes.n_classes; c++) {
        cr_expect_eq(memcmp(job->classes.canon[c].key, d->job.classes.canon[c].key, PM_DIGEST_BYTES), 0);
        cr_expect_eq(job->classes.canon[c].as_given, d->job.classes.canon[c].as_given);
        cr_expect_eq(job->classes.n_sccs[c], d->job.classes.n_sccs[c]);
    }
    cr_expect_eq(memcmp(job->classes.class_of, d->job.classes.class_of, d->job.split.n_sccs * sizeof(uint32_t)), 0);
    cr_expect_eq(memcmp(job->classes.names, d->job.classes.names, d->job.split.n_transient * sizeof(uint32_t)), 0);
}

Test(manifest, there_and_back) {
    static const struct {
        const char *model;
        int64_t args[PM_MODEL_MAX_ARGS];
    } models[] = {{"two-locus-arg", {4, 0}}, {"islands", {12, 3}}, {"kingman", {10}}, {"tandem", {4, 5, 6}}};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        manifest_fixture bench, *d = &bench;
        pm_analysis job;
        begin(d, models[i].model, models[i].args);
        MUST(pmi_manifest_decode(d->encoded.bytes, d->encoded.size, SIZE_MAX, NULL, &job, &d->err));
        expect_same(d, &job);
        pmi_analysis_free(&job);
        end(d);
    }
}

Test(manifest, every_damage_is_refused) {
    manifest_fixture bench, *d = &bench;
    pm_analysis job;
    begin(d, "islands", (const int64_t[]){4, 0});
    for (size_t n = 0; n < d->encoded.size; n++) {
        cr_assert_eq(pmi_manifest_decode(d->encoded.bytes, n, SIZE_MAX, NULL, &job, &d->err), PM_EDATA, "%zu bytes", n);
    }
    for (size_t i = 0; i < d->encoded.size; i++) {
        d->encoded.bytes[i] ^= (uint8_t)(1u << (i % 8));
        cr_assert_eq(pmi_manifest_decode(d->encoded.bytes, d->encoded.size, SIZE_MAX, NULL, &job, &d->err), PM_EDATA,
                     "byte %zu", i);
        cr_assert_null(job.graph);
        d->encoded.bytes[i] ^= (uint8_t)(1u << (i % 8));
    }
    end(d);
}

/* A manifest that is whole, and says what is not so. */
static void expect_lie(manifest_fixture *d, pm_manifest_message *m, const char *words) {
    pm_buffer encoded = {0};
    pm_analysis job;
    MUST(pmi_message_encode(&pmi_manifest_type, m, &encoded, &d->err));
    cr_expect_eq(pmi_manifest_decode(encoded.bytes, encoded.size, SIZE_MAX, NULL, &job, &d->err), PM_EDATA);
    cr_expect(strstr(d->err.text, words) != NULL && strstr(d->err.text, "manifest") != NULL, "%s", d->err.text);
    cr_expect_null(job.graph);
    pmi_buffer_free(&encoded);
}

Test(manifest, lies) {
    manifest_fixture bench, *d = &bench;
    pm_manifest_message m;
    pm_message_memory memory;
    begin(d, "islands", (const int64_t[]){5, 0});
    MUST(pmi_message_decode(&pmi_manifest_type, d->encoded.bytes, d->encoded.size, &m, &memory, &d->err));
    const pm_manifest_message truth = m;
    uint8_t flags[8] = {0}, *names = malloc(truth.names.size), *classes = malloc(truth.class_of.size);

    m.job[0] ^= 1;
    expect_lie(d, &m, "its graph is");
    m = truth;
    m.names.size -= 4;
    expect_lie(d, &m, "names of");
    m = truth;
    m.class_of.size -= 4;
    expect_lie(d, &m, "classes of");
    m = truth;
    m.as_given = (pm_span){flags, truth.as_given.size + 1};
    expect_lie(d, &m, "class");
    m.as_given.size = truth.as_given.size - 1;
    expect_lie(d, &m, "class");
    m.as_given = (pm_span){flags, truth.as_given.size};
    flags[0] = 2;
    expect_lie(d, &m, "as_given");
    m = truth;
    memcpy(names, truth.names.bytes, truth.names.size);
    memset(names, 0, 16);
    m.names.bytes = names;
    expect_lie(d, &m, "SCC");
    m = truth;
    memset(classes, 0, truth.class_of.size);
    m.class_of.bytes = classes;
    expect_lie(d, &m, "SCC");
    m = truth;
    m.graph.size--;
    expect_lie(d, &m, "");
    m.graph.size = 0;
    expect_lie(d, &m, "");
    free(names);
    free(classes);
    pmi_message_memory_free(&memory);
    end(d);
}

/* Written in the newest layout, such a graph would be another job. */
Test(manifest, a_base_weight_is_refused_with_a_remedy) {
    static const char text[] =
        "{\"states\": [[0], [2], [1]], \"edges\": [], \"start_edges\": [], \"param_edges\": [[1, 2, 0.5, 3, 4]],"
        "\"start_param_edges\": [[1, 1, 0, 0]], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 3}";
    manifest_fixture bench = {0}, *d = &bench;
    pm_graph *graph;
    MUST(pm_graph_parse(text, strlen(text), PM_FORMAT_PHASIC_021, PM_KIND_AS_GIVEN, &graph, &d->err));
    d->job = analysis_of(graph, PM_EFFORT_FAST);
    MUST(pmi_analysis_classify(&d->job, 1, NULL, &d->err));
    cr_expect_eq(pmi_manifest_encode(&d->job, &d->encoded, &d->err), PM_EDATA);
    cr_expect(strstr(d->err.text, "phasemill convert") != NULL, "%s", d->err.text);
    cr_expect_eq(d->encoded.size, 0);
    end(d);
}

Test(manifest, in_redis) {
    redis_server s;
    manifest_fixture bench, *d = &bench;
    pm_analysis job;
    pm_buffer bytes = {0};
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s);
    begin(d, "two-locus-arg", (const int64_t[]){4, 0});
    const uint8_t *id = d->job.graph->digest;
    cr_expect_eq(pmi_manifest_get(r, id, SIZE_MAX, NULL, &job, NULL, &d->err), PM_ENOINPUT);
    cr_expect(strstr(d->err.text, "submit") != NULL, "%s", d->err.text);
    MUST(pmi_manifest_put(r, id, &d->encoded, &d->err));
    MUST(pmi_manifest_get(r, id, SIZE_MAX, NULL, &job, &bytes, &d->err));
    expect_same(d, &job);
    cr_expect(bytes.size == d->encoded.size && memcmp(bytes.bytes, d->encoded.bytes, bytes.size) == 0);
    pmi_analysis_free(&job);
    (void)redis_server_check_keys(&s);
    /* another effort takes its place */
    pmi_classes_free(&d->job.classes);
    d->encoded.size = 0;
    d->job.effort = PM_EFFORT_BEST;
    MUST(pmi_analysis_classify(&d->job, 1, NULL, &d->err));
    MUST(pmi_manifest_encode(&d->job, &d->encoded, &d->err));
    MUST(pmi_manifest_put(r, id, &d->encoded, &d->err));
    MUST(pmi_manifest_get(r, id, SIZE_MAX, NULL, &job, NULL, &d->err));
    cr_expect_eq(job.effort, PM_EFFORT_BEST);
    pmi_analysis_free(&job);
    /* under another job's key, and damaged */
    uint8_t other[PM_DIGEST_BYTES];
    fixture_key(1, other);
    MUST(pmi_manifest_put(r, other, &d->encoded, &d->err));
    cr_expect_eq(pmi_manifest_get(r, other, SIZE_MAX, NULL, &job, NULL, &d->err), PM_EDATA);
    cr_expect_null(job.graph);
    char key[PM_REDIS_KEY], command[300];
    (void)pmi_redis_key(r, "manifest", other, key);
    (void)snprintf(command, sizeof command, "SETRANGE %s 200 ALTERED", key);
    (void)redis_server_tell(&s, command);
    cr_expect_eq(pmi_manifest_get(r, other, SIZE_MAX, NULL, &job, NULL, &d->err), PM_ENOINPUT);
    cr_expect(strstr(d->err.text, "damaged") != NULL, "%s", d->err.text);
    pmi_buffer_free(&bytes);
    end(d);
    pmi_redis_close(r);
    redis_server_stop(&s);
}
