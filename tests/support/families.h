/* Families of digraphs that are regular, or large, or both: where a canonical form is hard to find. */
#ifndef FAMILIES_H
#define FAMILIES_H

#include "base/random.h"
#include "scc/topology.h"

typedef struct family {
    const char *name;
    /* adds edges by edge_between and edge_to; `size` grows it, without being its number of vertices */
    void (*draw)(void *edges, uint32_t size);
    uint32_t size, large; /* for every run, and for a long one */
} family;

extern const family families[];
extern const size_t n_families;

/* Free with pmi_topology_free. */
pm_topology family_topology(const family *f, uint32_t size);

#endif
