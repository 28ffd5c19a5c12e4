/* The graph as it was read: rows, edges in the order of the file, a table of distinct weights.
 *
 * Identity of a state is its row (states may repeat). Weight w at theta is
 *     weights[w*(1+P)] + sum_k weights[w*(1+P)+1+k] * theta[k].
 * and where rows are normalized the weight of an edge is that by the sum of its row. A pm_graph is immutable once
 * built. */
#ifndef PM_GRAPH_GRAPH_H
#define PM_GRAPH_GRAPH_H

#include "base/hash.h"
#include "base/wide.h"

#define PM_NONE UINT32_MAX

struct pm_graph {
    uint32_t n_vertices;   /* rows, at most PM_NONE - 1; the start vertex counts */
    uint32_t state_length; /* L */
    uint32_t n_params;     /* P */
    bool is_discrete;
    bool is_kind_given;   /* the file or the caller said whether it is discrete; no part of the digest */
    bool normalizes_rows; /* discrete: weights are divided by the sum of their row at every theta (graph/weights.h) */
    bool has_start;       /* row 0 is the start vertex: all-zero state, no out-edges but start_edges, no in-edges */
    int32_t *states;      /* n_vertices x L, row-major */

    /* file order: `edges`, then `constant_edges`, then `param_edges` */
    size_t n_edges;
    size_t n_plain, n_constant; /* the first n_plain are `edges`, the next n_constant `constant_edges` */
    uint32_t *from, *to, *weight;

    /* the start distribution: `start_edges`, then `start_param_edges` */
    size_t n_starts;
    size_t n_start_plain;
    uint32_t *start_to, *start_weight;

    size_t n_weights; /* distinct rows of the table, told apart bit by bit */
    double *weights;  /* n_weights x (1+P), row-major: constant, c1..cP; all finite */

    /* normalizes_rows: sum_first[s]..sum_first[s+1] are the distinct weights of the rows with sum s, `times` of them
     * each; weights before sum_first[0] are the start distribution's */
    uint32_t n_sums;
    uint32_t *sum_first; /* n_sums + 1 */
    uint32_t *times;     /* n_weights */

    bool takes_values; /* made inside the library: weight w at theta is theta[w], n_params is n_weights, weights NULL */

    uint32_t holders;                /* besides the owner, changed atomically: models keep their graph alive */
    uint8_t digest[PM_DIGEST_BYTES]; /* the job id: SHA-256 of the graph in file order (pmi_graph_digest) */
};

/* One more pm_graph_free is needed before the graph goes. Safe from several threads. */
void pmi_graph_hold(pm_graph *graph);

/* The value of weight w at one theta (P values), not divided where rows are normalized, by a compensated dot product
 * (Ogita, Rump and Oishi 2005, algorithm 5.3: as if computed in twice the working precision). */
double pmi_graph_weight(const pm_graph *g, uint32_t w, const double *theta);

/* The same with 20 digits or more, of any size; terms that cancel are added without rounding. */
pm_wide pmi_graph_weight_wide(const pm_graph *g, uint32_t w, const double *theta);

/* The coefficient of parameter p in weight w: the derivative of the weight, where rows are not normalized. Not of
 * graphs that take values. */
double pmi_graph_coefficient(const pm_graph *g, size_t w, size_t p);

/* True when every coefficient of weight w is zero: the edge exists in the file only. */
bool pmi_graph_weight_is_zero(const pm_graph *g, uint32_t w);

/* "row 17 (state [0, 3, 1])", at most `n` bytes with the final zero; long states are cut with "...". */
void pmi_graph_describe(const pm_graph *g, uint32_t vertex, char *text, size_t n);

/* The identity of a graph: SHA-256 of "phasemill graph 1\n", then as little-endian uint64: n, L, P, 1 for a discrete
 * graph (2 where its rows are normalized, else 0), n_plain, n_constant, n_edges, n_start_plain, n_starts, n_weights;
 * then the arrays states, from, to, weight, start_to, start_weight, each as one byte w and its numbers in w bytes,
 * little-endian, two's complement: w is the least of 1, 2, 3, 4 that holds all of them (for states with their signs);
 * then weights, 64 bits each. */
pm_status pmi_graph_digest(const pm_graph *g, uint8_t digest[PM_DIGEST_BYTES], pm_error *err);

#endif
