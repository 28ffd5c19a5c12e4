/* The identity of a graph. */
#ifndef PM_GRAPH_DIGEST_H
#define PM_GRAPH_DIGEST_H

#include "graph/graph.h"

/* SHA-256 of "phasemill graph 1\n", then as little-endian uint64: n, L, P, 1 for a discrete graph (2 where its
 * rows are normalized, else 0), n_plain, n_constant, n_edges,
 * n_start_plain, n_starts, n_weights; then the arrays states, from, to, weight, start_to, start_weight, each as one
 * byte w and its numbers in w bytes, little-endian, two's complement: w is the least of 1, 2, 3, 4 that holds all of
 * them (for states with their signs); then weights, 64 bits each. */
pm_status pmi_graph_digest(const pm_graph *g, uint8_t digest[PM_DIGEST_BYTES], pm_error *err);

#endif
