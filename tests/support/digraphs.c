#include "digraphs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void *checked(void *memory) {
    if (memory == NULL) {
        abort();
    }
    return memory;
}

uint32_t draw_below(pm_random *random, uint32_t bound) {
    return (uint32_t)(pmi_random_next(random) % bound);
}

double draw_rate(pm_random *random, double decades) {
    double unit = (double)(pmi_random_next(random) >> 11) * 0x1p-53;
    return pow(10, (2 * unit - 1) * decades);
}

void draw_permutation(pm_random *random, uint32_t n, uint32_t *permutation) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t other = draw_below(random, i + 1);
        permutation[i] = permutation[other];
        permutation[other] = i;
    }
}

static bool *no_edges(uint32_t n) {
    return checked(pmi_calloc((size_t)n * n, sizeof(bool)));
}

bool *draw_digraph(pm_random *random, uint32_t n, uint32_t percent) {
    bool *edge = no_edges(n);
    for (size_t i = 0; i < (size_t)n * n; i++) {
        edge[i] = draw_below(random, 100) < percent;
    }
    return edge;
}

bool *draw_strong(pm_random *random, uint32_t n, uint32_t chords) {
    bool *edge = no_edges(n);
    uint32_t *ring = checked(pmi_malloc(n, sizeof *ring));
    draw_permutation(random, n, ring);
    for (uint32_t i = 0; i < n; i++) {
        edge[(size_t)ring[i] * n + ring[(i + 1) % n]] = true;
    }
    for (uint32_t c = 0; c < chords; c++) {
        uint32_t from = draw_below(random, n), to = draw_below(random, n);
        edge[(size_t)from * n + to] |= from != to;
    }
    free(ring);
    return edge;
}

void close_transitively(uint32_t n, const bool *edge, bool *reach) {
    memcpy(reach, edge, (size_t)n * n * sizeof *reach);
    for (size_t via = 0; via < n; via++) {
        for (size_t v = 0; v < n; v++) {
            for (size_t w = 0; reach[v * n + via] && w < n; w++) {
                reach[v * n + w] |= reach[via * n + w];
            }
        }
    }
}

bool is_strong(uint32_t n, const bool *edge) {
    bool *reach = no_edges(n);
    close_transitively(n, edge, reach);
    bool strong = true;
    for (size_t i = 0; i < (size_t)n * n; i++) {
        strong &= reach[i] || i / n == i % n;
    }
    free(reach);
    return strong;
}

pm_topology topology_of(uint32_t n, const bool *edge) {
    pm_topology t = {.n = n,
                     .row = checked(pmi_calloc((size_t)n + 1, sizeof *t.row)),
                     .col = checked(pmi_malloc((size_t)n * n, sizeof *t.col))};
    size_t count = 0;
    for (uint32_t v = 0; v < n; v++) {
        for (uint32_t w = 0; w < n; w++) {
            if (v != w && edge[(size_t)v * n + w]) {
                t.col[count++] = w;
            }
        }
        t.row[v + 1] = count;
    }
    return t;
}

bool same_topology(const pm_topology *a, const pm_topology *b) {
    return a->n == b->n && memcmp(a->row, b->row, (a->n + (size_t)1) * sizeof *a->row) == 0 &&
           memcmp(a->col, b->col, a->row[a->n] * sizeof *a->col) == 0;
}

bool *ring_digraph(uint32_t n) {
    const uint32_t one = 1;
    return circulant_digraph(n, &one, 1);
}

bool *complete_digraph(uint32_t n) {
    bool *edge = no_edges(n);
    for (size_t i = 0; i < (size_t)n * n; i++) {
        edge[i] = i / n != i % n;
    }
    return edge;
}

bool *grid_digraph(uint32_t width, uint32_t height) {
    uint32_t n = width * height;
    bool *edge = no_edges(n);
    for (uint32_t v = 0; v < n; v++) {
        if ((v + 1) % width != 0) {
            edge[(size_t)v * n + v + 1] = edge[(size_t)(v + 1) * n + v] = true;
        }
        if (v + width < n) {
            edge[(size_t)v * n + v + width] = edge[(size_t)(v + width) * n + v] = true;
        }
    }
    return edge;
}

bool *circulant_digraph(uint32_t n, const uint32_t *jumps, size_t n_jumps) {
    bool *edge = no_edges(n);
    for (uint32_t v = 0; v < n; v++) {
        for (size_t i = 0; i < n_jumps; i++) {
            edge[(size_t)v * n + (v + jumps[i]) % n] = true;
        }
    }
    return edge;
}

sketch sketch_of(size_t n_vertices, size_t n_params, bool is_discrete) {
    return (sketch){.n_vertices = n_vertices, .n_params = n_params, .is_discrete = is_discrete};
}

static void push_number(uint32_t **array, size_t *capacity, size_t n, uint32_t value) {
    if (!pmi_reserve((void **)array, capacity, n + 1, sizeof **array)) {
        abort();
    }
    (*array)[n] = value;
}

static void push_values(double **array, size_t *capacity, size_t n, const double *values, size_t count) {
    if (!pmi_reserve((void **)array, capacity, n + count, sizeof **array)) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        (*array)[n + i] = values[i];
    }
}

void sketch_edge(sketch *s, uint32_t from, uint32_t to, double weight) {
    push_number(&s->from, &s->capacity[0], s->n_edges, from);
    push_number(&s->to, &s->capacity[1], s->n_edges, to);
    push_values(&s->weight, &s->capacity[2], s->n_edges++, &weight, 1);
}

void sketch_param(sketch *s, uint32_t from, uint32_t to, const double *coef) {
    push_number(&s->param_from, &s->capacity[3], s->n_param_edges, from);
    push_number(&s->param_to, &s->capacity[4], s->n_param_edges, to);
    push_values(&s->coef, &s->capacity[5], s->n_params * s->n_param_edges++, coef, s->n_params);
}

void sketch_start(sketch *s, uint32_t to, double weight) {
    push_number(&s->start_to, &s->capacity[6], s->n_starts, to);
    push_values(&s->start_weight, &s->capacity[7], s->n_starts++, &weight, 1);
}

pm_graph *sketch_finish(sketch *s) {
    int32_t *states = checked(pmi_malloc(s->n_vertices, sizeof *states));
    for (size_t v = 0; v < s->n_vertices; v++) {
        states[v] = s->first + (int32_t)v;
    }
    pm_graph_arrays arrays = {.n_vertices = s->n_vertices,
                              .state_length = 1,
                              .n_params = s->n_params,
                              .is_discrete = s->is_discrete,
                              .states = states,
                              .n_edges = s->n_edges,
                              .edge_from = s->from,
                              .edge_to = s->to,
                              .edge_weight = s->weight,
                              .n_param_edges = s->n_param_edges,
                              .param_from = s->param_from,
                              .param_to = s->param_to,
                              .param_coef = s->coef,
                              .n_starts = s->n_starts,
                              .start_to = s->start_to,
                              .start_weight = s->start_weight};
    pm_graph *graph;
    pm_error err;
    if (pm_graph_from_arrays(&arrays, &graph, &err) != PM_OK) {
        fprintf(stderr, "a test's graph is refused: %s\n", err.text);
        abort();
    }
    free(states);
    free(s->from);
    free(s->to);
    free(s->weight);
    free(s->param_from);
    free(s->param_to);
    free(s->coef);
    free(s->start_to);
    free(s->start_weight);
    *s = (sketch){0};
    return graph;
}
