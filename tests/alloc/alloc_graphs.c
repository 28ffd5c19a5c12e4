/* Allocation failures in writing graphs, and in reading what was written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "examples/models.h"
#include "failing.h"
#include "graph/write.h"

typedef struct job {
    const pm_graph *graph;
    pm_graph_encoding encoding;
    pm_buffer bytes;
} job;

static pm_status append(void *ctx, const void *bytes, size_t n, pm_error *err) {
    return pmi_buffer_add(ctx, bytes, n, err);
}

static pm_status write_graph(void *ctx, bool *tolerated, pm_error *err) {
    (void)tolerated;
    const job *j = ctx;
    pm_buffer out = {0};
    const pm_byte_sink sink = {.ctx = &out, .write = append};
    pm_status st = pmi_graph_write(j->graph, j->encoding, &sink, err);
    pmi_buffer_free(&out);
    return st;
}

static pm_status read_graph(void *ctx, bool *tolerated, pm_error *err) {
    (void)tolerated;
    const job *j = ctx;
    pm_graph *graph = NULL;
    pm_status st = pm_graph_parse(j->bytes.bytes, j->bytes.size, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, err);
    pm_graph_free(graph);
    return st;
}

static int sweep(const pm_graph *graph, pm_graph_encoding encoding, const char *writing, const char *reading) {
    job j = {.graph = graph, .encoding = encoding};
    const pm_byte_sink sink = {.ctx = &j.bytes, .write = append};
    if (pmi_graph_write(graph, encoding, &sink, NULL) != PM_OK) {
        printf("not ok %s: could not be prepared\n", reading);
        return 1;
    }
    int faults = failing_sweep(writing, write_graph, &j);
    faults += failing_sweep(reading, read_graph, &j);
    pmi_buffer_free(&j.bytes);
    return faults;
}

static const char normalized_json[] =
    "{\"states\": [[0], [1], [2], [3]], \"edges\": [[1, 2, 1], [1, 3, 2], [2, 1, 1], [2, 3, 2]], \"param_edges\": "
    "[[1, 2, 0.5]], \"start_edges\": [[1, 1]], \"param_length\": 1, \"state_length\": 1, \"n_vertices\": 4, "
    "\"was_dph\": true}";

int main(void) {
    /* a document of several windows, so that tokens are cut and kept */
    const int64_t args[PM_MODEL_MAX_ARGS] = {60};
    pm_graph *graph = NULL;
    if (pmi_model_make(pmi_model_find("rabbits"), args, &graph, NULL) != PM_OK) {
        printf("not ok graphs: could not be prepared\n");
        return EXIT_FAILURE;
    }
    int faults = sweep(graph, PM_GRAPH_JSON, "write JSON", "read JSON");
    faults += sweep(graph, PM_GRAPH_MSGPACK, "write MessagePack", "read MessagePack");
    pm_graph_free(graph);
    if (pm_graph_parse(normalized_json, strlen(normalized_json), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, NULL) !=
        PM_OK) {
        printf("not ok normalized graphs: could not be prepared\n");
        return EXIT_FAILURE;
    }
    faults += sweep(graph, PM_GRAPH_JSON, "write a normalized graph", "read a normalized graph");
    pm_graph_free(graph);
    return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
