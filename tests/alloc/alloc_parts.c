/* Allocation failures in the parts that stand alone: reading, generating, splitting, recording, encoding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "examples/models.h"
#include "failing.h"
#include "scc/canon.h"
#include "trace/codec.h"
#include "trace/library.h"
#include "wire/seal.h"

#define MEMORY ((size_t)1 << 30)

static const char ring_json[] =
    "{\"states\": [[0], [1], [2], [3], [4]], \"edges\": [[1, 2, 1.5], [2, 3, 0.25]], \"constant_edges\": [[3, 1, 2]],"
    " \"start_edges\": [[1, 0.5], [2, 0.5]], \"param_edges\": [[3, 4, 1.0, 0.0], [2, 1, 0.5, 2.0]],"
    " \"start_param_edges\": [], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 5,"
    " \"vertex_indices\": [0, 1, 2, 3, 4], \"weight_mode\": \"linear\", \"is_discrete\": false}";

static pm_status parse(void *ctx, bool *tolerated, pm_error *err) {
    (void)ctx;
    (void)tolerated;
    pm_graph *graph = NULL;
    pm_status st = pm_graph_parse(ring_json, strlen(ring_json), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, err);
    pm_graph_free(graph);
    return st;
}

static pm_status from_arrays(void *ctx, bool *tolerated, pm_error *err) {
    (void)ctx;
    (void)tolerated;
    const int32_t states[] = {0, 1, 2};
    const uint32_t from[] = {1}, to[] = {2}, start[] = {1};
    const double weight[] = {3.0}, one[] = {1.0};
    pm_graph_arrays arrays = {.n_vertices = 3,
                              .state_length = 1,
                              .states = states,
                              .n_edges = 1,
                              .edge_from = from,
                              .edge_to = to,
                              .edge_weight = weight,
                              .n_starts = 1,
                              .start_to = start,
                              .start_weight = one};
    pm_graph *graph = NULL;
    pm_status st = pm_graph_from_arrays(&arrays, &graph, err);
    pm_graph_free(graph);
    return st;
}

typedef struct model_request {
    const char *name;
    int64_t args[PM_MODEL_MAX_ARGS];
} model_request;

static pm_status generate(void *ctx, bool *tolerated, pm_error *err) {
    (void)tolerated;
    const model_request *request = ctx;
    pm_graph *graph = NULL;
    pm_status st = pmi_model_find(request->name)->make(request->args, &graph, err);
    pm_graph_free(graph);
    return st;
}

/* Splits the graph in `ctx`, and makes all its traces without a cache. */
static pm_status record(void *ctx, bool *tolerated, pm_error *err) {
    (void)tolerated;
    pm_analysis analysis = {0};
    pm_library library = {0};
    pm_library_options options = {.record = {.effort = PM_EFFORT_BEST, .memory = MEMORY}, .threads = 1};
    pm_status st = pmi_isa_choose(NULL, &options.record.isa, err);
    if (st == PM_OK) {
        st = pmi_analysis_split(ctx, PM_EFFORT_BEST, false, NULL, &analysis, err);
    }
    if (st == PM_OK) {
        st = pmi_library_make(&analysis, &options, &library, err);
    }
    pmi_library_free(&library);
    pmi_analysis_free(&analysis);
    return st;
}

static pm_status encode_and_decode(void *ctx, bool *tolerated, pm_error *err) {
    (void)tolerated;
    const pm_trace_class *class = ctx;
    pm_buffer bytes = {0};
    pm_trace trace = {0};
    uint8_t key[PM_DIGEST_BYTES];
    pm_status st = pmi_trace_encode(&class->plan.trace, class->key, &bytes, err);
    if (st == PM_OK) {
        st = pmi_trace_decode(bytes.bytes, bytes.size, false, &trace, key, err);
    }
    pmi_trace_free(&trace);
    pmi_buffer_free(&bytes);
    return st;
}

/* A graph whose traces are known: the first byte of a key is the number of one. */
typedef struct seen_graph {
    const pm_analysis *analysis;
    const pm_library *library;
} seen_graph;

static pm_status get_known(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                           pm_error *err) {
    const seen_graph *seen = ctx;
    *found = PM_CACHE_FOUND;
    return pmi_trace_encode(&seen->library->classes[key[0]].plan.trace, key, value, err);
}

static void fill_kept(const seen_graph *seen, pm_kept_classes *kept) {
    memcpy(kept->names, seen->library->names, kept->n_states * sizeof *kept->names);
    for (uint32_t c = 0; c < kept->n_classes; c++) {
        memset(kept->keys[c], (int)c, PM_DIGEST_BYTES);
    }
    for (uint32_t scc = 0; scc < kept->n_sccs; scc++) {
        const pm_plan *plan = seen->library->instances[scc].plan;
        kept->class_of[scc] = PM_NONE;
        for (uint32_t c = 0; plan != NULL && c < kept->n_classes; c++) {
            kept->class_of[scc] = plan == &seen->library->classes[c].plan ? c : kept->class_of[scc];
        }
    }
}

static pm_status see_again(void *ctx, bool *tolerated, pm_error *err) {
    (void)tolerated;
    const seen_graph *seen = ctx;
    uint32_t n_classes = seen->library->n_classes;
    pm_kept_classes kept = {.n_sccs = seen->analysis->split.n_sccs,
                            .n_states = seen->analysis->split.n_transient,
                            .n_classes = n_classes,
                            .keys = pmi_malloc(n_classes, sizeof *kept.keys),
                            .class_of = pmi_malloc(seen->analysis->split.n_sccs, sizeof *kept.class_of),
                            .names = pmi_malloc(seen->analysis->split.n_transient, sizeof *kept.names)};
    pm_trace_cache cache = {.ctx = ctx, .get = get_known};
    pm_library_options options = {.record = {.effort = PM_EFFORT_FAST}, .threads = 1, .cache = &cache};
    pm_library library = {0};
    bool made = false;
    pm_status st = PM_OK;
    if (kept.keys == NULL || kept.class_of == NULL || kept.names == NULL) {
        st = pmi_fail_memory(err, "what is kept of a graph", kept.n_states * sizeof *kept.names);
    } else {
        fill_kept(seen, &kept);
        st = pmi_library_of_kept(seen->analysis, &kept, &options, &library, &made, err);
        st = st == PM_OK && !made ? pmi_fail(err, PM_ESOFTWARE, "the traces do not fit their own graph") : st;
    }
    pmi_library_free(&library);
    pmi_kept_classes_free(&kept);
    return st;
}

/* A key made ready, a message sealed and opened. libcrypto's own allocations are not among those that fail. */
static pm_status seal_and_open(void *ctx, bool *tolerated, pm_error *err) {
    (void)ctx;
    (void)tolerated;
    const char key[] = "0123456789abcdef0123456789abcdef";
    const pm_job_message job = {.kind = pmi_span_of("record"), .states = 7};
    const pm_span name = pmi_span_of("p:job:{1}");
    pm_job_message back;
    pm_message_memory memory = {0};
    pm_buffer bytes = {0};
    pm_seal *seal = NULL;
    pm_status st = pmi_seal_new(key, sizeof key - 1, &seal, err);
    if (st == PM_OK) {
        st = pmi_sealed_encode(seal, name, &pmi_job_type, &job, &bytes, err);
    }
    if (st == PM_OK) {
        st = pmi_sealed_decode(seal, name, &pmi_job_type, bytes.bytes, bytes.size, &back, &memory, err);
    }
    pmi_message_memory_free(&memory);
    pmi_buffer_free(&bytes);
    pmi_seal_free(seal);
    return st;
}

static int sweep_graph(const char *name, const model_request *request) {
    pm_graph *graph = NULL;
    pm_analysis analysis = {0};
    pm_library library = {0};
    pm_library_options options = {.record = {.effort = PM_EFFORT_FAST, .memory = MEMORY}, .threads = 1};
    int faults = 1;
    if (pmi_isa_choose(NULL, &options.record.isa, NULL) == PM_OK &&
        pmi_model_find(request->name)->make(request->args, &graph, NULL) == PM_OK &&
        pmi_analysis_split(graph, PM_EFFORT_FAST, false, NULL, &analysis, NULL) == PM_OK &&
        pmi_library_make(&analysis, &options, &library, NULL) == PM_OK) {
        faults = failing_sweep(name, record, graph);
        faults += failing_sweep("encode and decode a trace", encode_and_decode, &library.classes[0]);
        seen_graph seen = {&analysis, &library};
        faults += failing_sweep("take the traces of a graph seen before", see_again, &seen);
    } else {
        printf("not ok %s: could not be prepared\n", name);
    }
    pmi_library_free(&library);
    pmi_analysis_free(&analysis);
    pm_graph_free(graph);
    return faults;
}

int main(void) {
    model_request kingman = {"kingman", {5}}, arg = {"two-locus-arg", {3, 0}}, random = {"random", {3, 9, 2, 1}};
    int faults = failing_sweep("parse JSON", parse, NULL);
    faults += failing_sweep("graph from arrays", from_arrays, NULL);
    faults += failing_sweep("generate kingman", generate, &kingman);
    faults += failing_sweep("generate two-locus-arg", generate, &arg);
    faults += failing_sweep("generate random", generate, &random);
    faults += failing_sweep("seal and open", seal_and_open, NULL);
    faults += sweep_graph("record two-locus-arg", &arg);
    faults += sweep_graph("record random", &random);
    return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
