/* Decoding of kept classes, in front of the checksum and behind it: whatever is accepted must encode to the same bytes.
 * What is of the size of a small graph is then taken for that graph's: a library made of it must be right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/codec.h"
#include "trace/library.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool holds) {
    if (!holds) {
        abort();
    }
}

/* ---- a graph of SCCs of 2, 4, 1 and 2 states, sinks first, and its two traces ---- */

static const char text[] =
    "{\"states\":[[0],[1],[2],[3],[4],[5],[6],[7],[8],[9],[10]],\"edges\":[[1,2,1],[2,1,1],[2,3,1],[3,4,1],[4,5,1],[5,"
    "6,"
    "1],[6,7,1],[7,4,1],[4,6,1],[6,4,1],[7,8,1],[8,9,1],[9,8,1],[9,10,1]],\"start_edges\":[[1,1]],\"param_edges\":[],"
    "\"start_param_edges\":[],\"param_length\":0,\"state_length\":1,\"n_vertices\":11,\"is_discrete\":false}";

typedef struct known {
    pm_analysis analysis;
    pm_library library;
} known;

static const known *the_graph(void) {
    static known k;
    if (k.analysis.graph == NULL) {
        pm_library_options o = {.record = {.effort = PM_EFFORT_FAST, .memory = 1 << 20}, .threads = 1};
        must(pmi_isa_choose(NULL, &o.record.isa, NULL) == PM_OK);
        pm_graph *graph;
        must(pm_graph_parse(text, sizeof text - 1, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, NULL) == PM_OK);
        must(pmi_analysis_split(graph, PM_EFFORT_FAST, false, NULL, &k.analysis, NULL) == PM_OK);
        must(pmi_library_make(&k.analysis, &o, &k.library, NULL) == PM_OK && k.library.n_classes == 2);
    }
    return &k;
}

/* The first byte of a key is the number of a trace. */
static pm_status get(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                     pm_error *err) {
    const known *k = ctx;
    *found = key[0] < k->library.n_classes ? PM_CACHE_FOUND : PM_CACHE_MISSING;
    return *found == PM_CACHE_FOUND ? pmi_trace_encode(&k->library.classes[key[0]].plan.trace, key, value, err) : PM_OK;
}

static bool has(const uint32_t *list, size_t begin, size_t end, uint32_t value) {
    while (begin < end && list[begin] != value) {
        begin++;
    }
    return begin < end;
}

/* Each inner edge is in the pattern, and no fill-in. */
static void check_edges(const pm_split *s, const pm_scc_instance *instance, uint32_t scc, const uint32_t *name) {
    const pm_plan *plan = instance->plan;
    uint32_t pivot_of[16] = {0};
    for (uint32_t j = 0; plan != NULL && j < plan->trace.n; j++) {
        pivot_of[plan->trace.pivot[j]] = j;
    }
    for (uint32_t i = s->scc_first[scc]; plan != NULL && i < s->scc_first[scc + 1]; i++) {
        uint32_t v = s->member[i], j = pivot_of[name[v]];
        for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
            if (s->scc_of[s->to[e]] == scc) {
                uint32_t k = pivot_of[name[s->to[e]]];
                must(has(plan->trace.l, plan->trace.l_row[j], plan->trace.l_row[j + 1], k) ||
                     has(plan->trace.u, plan->trace.u_row[j], plan->trace.u_row[j + 1], k));
                must(!has(plan->fill, plan->fill_row[j], plan->fill_row[j + 1], k));
            }
        }
    }
}

static void try_graph(pm_kept_classes *kept) {
    const known *k = the_graph();
    if (kept->n_sccs != k->analysis.split.n_sccs || kept->n_states != k->analysis.split.n_transient) {
        return;
    }
    pm_trace_cache cache = {.ctx = (void *)k, .get = get};
    pm_library_options o = {.record = {.effort = PM_EFFORT_FAST}, .threads = 1, .cache = &cache};
    pm_library library;
    bool made;
    must(pmi_library_of_kept(&k->analysis, kept, &o, &library, &made, NULL) == PM_OK);
    uint32_t name[16] = {0};
    for (uint32_t i = 0; made && i < k->analysis.split.n_transient; i++) {
        name[k->analysis.split.member[i]] = library.names[i];
    }
    for (uint32_t scc = 0; made && scc < k->analysis.split.n_sccs; scc++) {
        check_edges(&k->analysis.split, &library.instances[scc], scc, name);
    }
    pmi_library_free(&library);
}

/* ---- the target ---- */

static void must_be_same(const pm_buffer *again, const uint8_t *bytes, size_t n) {
    must(again->size == n && memcmp(again->bytes, bytes, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_kept_classes kept;
    pm_buffer again = {0};
    if (pmi_kept_classes_decode(bytes, n, &kept, NULL) == PM_OK) {
        if (pmi_kept_classes_encode(&kept, &again, NULL) == PM_OK) {
            must_be_same(&again, bytes, n);
        }
        pmi_kept_classes_free(&kept);
    }
    pmi_buffer_free(&again);
    if (pmi_kept_classes_decode_payload(bytes, n, &kept, NULL) == PM_OK) {
        if (pmi_kept_classes_encode_payload(&kept, &again, NULL) == PM_OK) {
            must_be_same(&again, bytes, n);
        }
        try_graph(&kept);
        pmi_kept_classes_free(&kept);
    }
    pmi_buffer_free(&again);
    return 0;
}
