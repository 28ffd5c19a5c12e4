/* A job's manifest, in front of the checksum and behind it and behind the compression: whatever is accepted is a graph
 * whose classes are those that are found anew. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "redis/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

/* Canonical forms that a manifest gives may be any of a class's, but each SCC must be in one. */
static void look(const pm_analysis *job) {
    for (uint32_t scc = 0; scc < job->split.n_sccs; scc++) {
        uint32_t c = job->classes.class_of[scc], n = job->split.scc_first[scc + 1] - job->split.scc_first[scc];
        must(n == 1 ? c == PM_NONE : c < job->classes.n_classes && job->classes.canon[c].topology.n == n);
    }
}

static void decode(const uint8_t *bytes, size_t n) {
    pm_analysis job;
    if (pmi_manifest_decode(bytes, n, SIZE_MAX, NULL, &job, NULL) == PM_OK) {
        look(&job);
        pmi_analysis_free(&job);
    }
}

/* The input as the fields behind a graph and a job's digest that agree, so that the classes are reached: the first byte
 * says how many bytes the graph has, and each list a share of the others. */
static void decode_made(const uint8_t *bytes, size_t n) {
    pm_buffer encoded = {0};
    pm_graph *graph;
    if (n < 4 || n - 4 < (size_t)bytes[0] * 8) {
        return;
    }
    size_t graph_size = (size_t)bytes[0] * 8, left = n - 4 - graph_size;
    size_t flags = bytes[1] % 8, sccs = (size_t)(bytes[2] % 32) * 4;
    if (left < flags + sccs ||
        pm_graph_parse(bytes + 4, graph_size, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, NULL) != PM_OK) {
        return;
    }
    const uint8_t *rest = bytes + 4 + graph_size;
    pm_manifest_message m = {.effort = bytes[3] % 4,
                             .as_given = {rest, flags},
                             .class_of = {rest + flags, sccs},
                             .names = {rest + flags + sccs, (left - flags - sccs) / 4 * 4},
                             .graph = {bytes + 4, graph_size}};
    memcpy(m.job, graph->digest, sizeof m.job);
    if (pmi_message_encode(&pmi_manifest_type, &m, &encoded, NULL) == PM_OK) {
        decode(encoded.bytes, encoded.size);
    }
    pmi_buffer_free(&encoded);
    pm_graph_free(graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_manifest_message message;
    pm_message_memory memory = {0};
    if (n == 0) {
        return 0;
    }
    switch (bytes[0] % 3) {
    case 0:
        decode(bytes + 1, n - 1);
        break;
    case 1:
        if (pmi_message_decode_payload(&pmi_manifest_type, bytes + 1, n - 1, &message, &memory, NULL) == PM_OK) {
            pmi_message_memory_free(&memory);
        }
        break;
    default:
        decode_made(bytes + 1, n - 1);
    }
    return 0;
}
