#include "eval/absorption.h"

#include <string.h>

#include "base/mem.h"

typedef struct walk {
    const pm_graph *graph;
    const pm_split *split;
    bool *positive;  /* each weight at this theta, also where a double underflows */
    bool *reachable; /* from the start distribution */
    bool *absorbed;  /* can reach absorption */
    uint32_t *queue;
} walk;

static void walk_free(walk *w) {
    free(w->positive);
    free(w->reachable);
    free(w->absorbed);
    free(w->queue);
}

static pm_status walk_new(const pm_graph *g, const pm_split *s, const double *theta, walk *w, pm_error *err) {
    *w = (walk){.graph = g,
                .split = s,
                .positive = pmi_malloc(g->n_weights, sizeof *w->positive),
                .reachable = pmi_calloc(g->n_vertices, sizeof *w->reachable),
                .absorbed = pmi_calloc(g->n_vertices, sizeof *w->absorbed),
                .queue = pmi_malloc(g->n_vertices, sizeof *w->queue)};
    if (w->positive == NULL || w->reachable == NULL || w->absorbed == NULL || w->queue == NULL) {
        return pmi_fail_memory(err, "the check of absorption", (size_t)g->n_vertices * 8);
    }
    for (size_t i = 0; i < g->n_weights; i++) {
        w->positive[i] = pmi_graph_weight_wide(g, (uint32_t)i, theta).hi > 0;
    }
    return PM_OK;
}

static void walk_forward(walk *w, const double *theta) {
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < w->graph->n_starts; i++) {
        uint32_t v = w->graph->start_to[i];
        if (!w->reachable[v] && pmi_graph_weight_wide(w->graph, w->graph->start_weight[i], theta).hi > 0) {
            w->reachable[v] = true;
            w->queue[tail++] = v;
        }
    }
    while (head < tail) {
        uint32_t v = w->queue[head++];
        for (size_t e = w->split->row[v]; e < w->split->row[v + 1]; e++) {
            uint32_t to = w->split->to[e];
            if (w->positive[w->split->weight[e]] && !w->reachable[to]) {
                w->reachable[to] = true;
                w->queue[tail++] = to;
            }
        }
    }
}

/* In-edges of positive weight, by target: from[row[v]..row[v+1]). */
static void reverse_edges(const walk *w, size_t *row, uint32_t *from) {
    const pm_split *s = w->split;
    uint32_t n = w->graph->n_vertices;
    for (size_t e = 0; e < s->row[n]; e++) {
        row[s->to[e] + 1] += w->positive[s->weight[e]] ? 1 : 0;
    }
    for (uint32_t v = 0; v < n; v++) {
        row[v + 1] += row[v];
    }
    for (uint32_t v = 0; v < n; v++) {
        for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
            if (w->positive[s->weight[e]]) {
                from[row[s->to[e]]++] = v;
            }
        }
    }
    memmove(row + 1, row, n * sizeof *row);
    row[0] = 0;
}

static pm_status walk_back(walk *w, pm_error *err) {
    const pm_split *s = w->split;
    uint32_t n = w->graph->n_vertices;
    size_t *row = pmi_calloc((size_t)n + 1, sizeof *row);
    uint32_t *from = pmi_malloc(s->row[n], sizeof *from);
    if (row == NULL || from == NULL) {
        free(row);
        free(from);
        return pmi_fail_memory(err, "the check of absorption", s->row[n] * sizeof *from);
    }
    reverse_edges(w, row, from);
    size_t head = 0, tail = 0;
    for (uint32_t v = 0; v < n; v++) {
        if (s->row[v] == s->row[v + 1]) {
            w->absorbed[v] = true;
            w->queue[tail++] = v;
        }
    }
    while (head < tail) {
        uint32_t v = w->queue[head++];
        for (size_t e = row[v]; e < row[v + 1]; e++) {
            if (!w->absorbed[from[e]]) {
                w->absorbed[from[e]] = true;
                w->queue[tail++] = from[e];
            }
        }
    }
    free(row);
    free(from);
    return PM_OK;
}

pm_status pmi_reachable_rows(const pm_graph *graph, const pm_split *split, const double *theta, bool **out,
                             pm_error *err) {
    walk w;
    *out = NULL;
    pm_status st = walk_new(graph, split, theta, &w, err);
    if (st == PM_OK) {
        walk_forward(&w, theta);
        *out = w.reachable;
        w.reachable = NULL;
    }
    walk_free(&w);
    return st;
}

pm_status pmi_absorption_check(const pm_graph *graph, const pm_split *split, const double *theta, size_t row,
                               pm_error *err) {
    walk w;
    pm_status st = walk_new(graph, split, theta, &w, err);
    if (st == PM_OK) {
        walk_forward(&w, theta);
        st = walk_back(&w, err);
    }
    for (uint32_t i = 0; st == PM_OK && i < split->n_transient; i++) {
        uint32_t v = split->member[i];
        if (w.reachable[v] && !w.absorbed[v]) {
            char text[200];
            pmi_graph_describe(graph, v, text, sizeof text);
            st = pmi_fail(
                err, PM_EDATA,
                "theta row %zu: %s can be reached but cannot reach absorption at this theta: the weights of its "
                "way out are zero; choose another theta, or take what comes there as never absorbed with --defective",
                row, text);
        }
    }
    walk_free(&w);
    return st;
}
