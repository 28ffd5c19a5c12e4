/* What both graph targets do. */
#ifndef GRAPH_FUZZ_H
#define GRAPH_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "codec/events.h"
#include "graph/graph.h"
#include "graph/write.h"

static inline pm_status fuzz_append(void *ctx, const void *bytes, size_t n, pm_error *err) {
    return pmi_buffer_add(ctx, bytes, n, err);
}

static inline void fuzz_check(bool holds) {
    if (!holds) {
        abort();
    }
}

static inline void fuzz_structure(const pm_graph *g) {
    for (size_t e = 0; e < g->n_edges; e++) {
        fuzz_check(g->from[e] < g->n_vertices && g->to[e] < g->n_vertices && g->weight[e] < g->n_weights);
        fuzz_check(g->is_discrete || g->from[e] != g->to[e]);
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        fuzz_check(g->start_to[s] < g->n_vertices && g->start_weight[s] < g->n_weights);
    }
    uint8_t digest[PM_DIGEST_BYTES];
    fuzz_check(pmi_graph_digest(g, digest, NULL) == PM_OK && memcmp(digest, g->digest, sizeof digest) == 0);
}

static inline void fuzz_round_trip(const pm_graph *g, pm_graph_encoding encoding) {
    pm_buffer bytes = {0};
    const pm_byte_sink sink = {.ctx = &bytes, .write = fuzz_append};
    pm_graph *back = NULL;
    fuzz_check(pmi_graph_write(g, encoding, &sink, NULL) == PM_OK);
    fuzz_check(pm_graph_parse(bytes.bytes, bytes.size, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &back, NULL) == PM_OK);
    fuzz_check(memcmp(back->digest, g->digest, PM_DIGEST_BYTES) == 0);
    pm_graph_free(back);
    pmi_buffer_free(&bytes);
}

static inline void fuzz_graph(const uint8_t *bytes, size_t n) {
    pm_graph *g;
    if (pm_graph_parse(bytes, n, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, NULL) == PM_OK) {
        fuzz_structure(g);
        fuzz_round_trip(g, PM_GRAPH_JSON);
        fuzz_round_trip(g, PM_GRAPH_MSGPACK);
        pm_graph_free(g);
    }
    pm_error err = {.code = PM_OK};
    pm_status st = pm_graph_parse(bytes, n, PM_FORMAT_PHASIC_021, PM_KIND_AS_GIVEN, &g, &err);
    fuzz_check(st == PM_OK ? g != NULL : g == NULL && err.code == st && err.text[0] != '\0');
    if (st == PM_OK) {
        fuzz_structure(g);
        pm_graph_free(g);
    }
}

static inline pm_status fuzz_text(void *ctx, const char *text, size_t n, pm_error *err) {
    (void)err;
    for (size_t i = 0; i < n; i++) {
        *(unsigned *)ctx += (unsigned char)text[i];
    }
    return PM_OK;
}

static inline pm_status fuzz_nothing(void *ctx, pm_error *err) {
    (void)err;
    ++*(unsigned *)ctx;
    return PM_OK;
}

static inline pm_status fuzz_flag(void *ctx, bool value, pm_error *err) {
    (void)err;
    *(unsigned *)ctx += value;
    return PM_OK;
}

static inline pm_status fuzz_integer(void *ctx, int64_t value, pm_error *err) {
    (void)err;
    *(unsigned *)ctx += value != 0;
    return PM_OK;
}

static inline pm_status fuzz_bytes(void *ctx, const uint8_t *bytes, size_t n, pm_error *err) {
    return fuzz_text(ctx, (const char *)bytes, n, err);
}

static inline pm_status fuzz_real(void *ctx, double value, pm_error *err) {
    (void)err;
    *(unsigned *)ctx += value != 0.0;
    return PM_OK;
}

/* The reader by itself, into a sink that takes all that comes. */
static inline void fuzz_events(pm_status (*read)(const pm_source *, const pm_event_sink *, pm_error *),
                               pm_memory_source *memory) {
    unsigned sum = 0;
    pm_error err;
    const pm_event_sink sink = {.ctx = &sum,
                                .open = fuzz_flag,
                                .close = fuzz_flag,
                                .key = fuzz_text,
                                .null = fuzz_nothing,
                                .boolean = fuzz_flag,
                                .integer = fuzz_integer,
                                .real = fuzz_real,
                                .string = fuzz_text,
                                .bytes = fuzz_bytes};
    pm_source source = pmi_source_memory(memory);
    read(&source, &sink, &err);
}

#endif
