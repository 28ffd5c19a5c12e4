#include "graphs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

const char small_graph_json[] =
    "{\"states\": [[0, 0], [2, 0], [1, 1], [1, 0]], \"vertex_indices\": [0, 1, 2, 3], \"edges\": [[2.0, 3.0, 0.5]], "
    "\"constant_edges\": [[1.0, 3.0, 0.125]], \"start_edges\": [[1.0, 0.75], [2.0, 0.25]], "
    "\"param_edges\": [[1.0, 2.0, 3.0, 0.0], [2.0, 1.0, 0.0, 0.25]], \"start_param_edges\": [], \"param_length\": 2, "
    "\"state_length\": 2, \"n_vertices\": 4, \"weight_mode\": \"linear\", \"dyn_ordering\": false, "
    "\"is_discrete\": false, \"was_dph\": false}";

const char *graph_flaw(const pm_graph *g) {
    if (g->n_vertices == 0 || g->n_plain + g->n_constant > g->n_edges || g->n_start_plain > g->n_starts) {
        return "sizes";
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        if (g->from[e] >= g->n_vertices || g->to[e] >= g->n_vertices || g->weight[e] >= g->n_weights) {
            return "an edge is out of range";
        }
        if ((g->has_start && (g->from[e] == 0 || g->to[e] == 0)) || (!g->is_discrete && g->from[e] == g->to[e])) {
            return "an edge that may not be";
        }
    }
    if (g->n_starts == 0) {
        return "no start";
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        if (g->start_to[s] >= g->n_vertices || g->start_weight[s] >= g->n_weights) {
            return "a start is out of range";
        }
    }
    for (size_t i = 0; i < g->n_weights * (1 + (size_t)g->n_params); i++) {
        if (!isfinite(g->weights[i])) {
            return "a weight is not finite";
        }
    }
    uint8_t digest[PM_DIGEST_BYTES];
    return pmi_graph_digest(g, digest, NULL) != PM_OK || memcmp(digest, g->digest, sizeof digest) != 0 ? "digest"
                                                                                                       : NULL;
}

static pm_status append(void *ctx, const void *bytes, size_t n, pm_error *err) {
    return pmi_buffer_add(ctx, bytes, n, err);
}

pm_byte_sink buffer_sink(pm_buffer *b) {
    return (pm_byte_sink){.ctx = b, .write = append};
}

char *replaced(const char *text, const char *old, const char *new) {
    const char *at = strstr(text, old);
    size_t n = strlen(text) + strlen(new) + 1;
    char *out = at == NULL ? NULL : malloc(n);
    if (out == NULL) {
        abort();
    }
    size_t before = (size_t)(at - text);
    memcpy(out, text, before);
    strcpy(out + before, new);
    strcat(out, at + strlen(old));
    return out;
}
