/* Random digraphs as dense matrices (edge v -> w at v * n + w), their topologies, and graphs drawn edge by edge. */
#ifndef DIGRAPHS_H
#define DIGRAPHS_H

#include "base/random.h"
#include "graph/graph.h"
#include "scc/topology.h"

/* Below `bound`; its bias is far below what a test sees. */
uint32_t draw_below(pm_random *random, uint32_t bound);
/* Log-uniform in 10^-decades .. 10^decades. */
double draw_rate(pm_random *random, double decades);
void draw_permutation(pm_random *random, uint32_t n, uint32_t *permutation);

/* Arrays are the caller's, freed with free(). Each edge is there with `percent`. */
bool *draw_digraph(pm_random *random, uint32_t n, uint32_t percent);
/* Strongly connected: a ring through all vertices in random order, and `chords` draws of another edge. */
bool *draw_strong(pm_random *random, uint32_t n, uint32_t chords);

/* reach[v * n + w]: there is a way of one edge or more from v to w (Warshall 1962). */
void close_transitively(uint32_t n, const bool *edge, bool *reach);
bool is_strong(uint32_t n, const bool *edge);

/* The digraph without its self-loops; free with pmi_topology_free. */
pm_topology topology_of(uint32_t n, const bool *edge);
bool same_topology(const pm_topology *a, const pm_topology *b);

/* Named ones: directed ring, complete digraph, a grid of both directions, and the circulant v -> v + jumps[i]. */
bool *ring_digraph(uint32_t n);
bool *complete_digraph(uint32_t n);
bool *grid_digraph(uint32_t width, uint32_t height);
bool *circulant_digraph(uint32_t n, const uint32_t *jumps, size_t n_jumps);

/* A graph drawn edge by edge: states are [first], [first + 1], .. of length one, so that row 0 is the start vertex when
 * `first` is 0. */
typedef struct sketch {
    size_t n_vertices, n_params;
    bool is_discrete;
    int32_t first;
    size_t n_edges, n_param_edges, n_starts;
    uint32_t *from, *to, *param_from, *param_to, *start_to;
    double *weight, *coef, *start_weight;
    size_t capacity[8];
} sketch;

sketch sketch_of(size_t n_vertices, size_t n_params, bool is_discrete);
void sketch_edge(sketch *s, uint32_t from, uint32_t to, double weight);
/* `coef` has n_params values. */
void sketch_param(sketch *s, uint32_t from, uint32_t to, const double *coef);
void sketch_start(sketch *s, uint32_t to, double weight);
/* Frees the sketch; aborts where the graph is refused. Free the graph with pm_graph_free. */
pm_graph *sketch_finish(sketch *s);

#endif
