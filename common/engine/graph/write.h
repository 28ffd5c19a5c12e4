/* Writing a graph in phasic's newest layout (docs/formats.md), as JSON or as the same map in MessagePack. */
#ifndef PM_GRAPH_WRITE_H
#define PM_GRAPH_WRITE_H

#include "graph/graph.h"

typedef enum pm_graph_encoding { PM_GRAPH_JSON, PM_GRAPH_MSGPACK } pm_graph_encoding;

/* Where the bytes go, in pieces of any size; anything but PM_OK stops the writer. */
typedef struct pm_byte_sink {
    void *ctx;
    pm_status (*write)(void *ctx, const void *bytes, size_t n, pm_error *err);
} pm_byte_sink;

/* Writes the whole graph. Every number reads back as the same double, so that a graph that was read in this layout
 * keeps its digest. A row of param_edges with a constant (the base weight of phasic 0.21) becomes two parallel edges,
 * of constant_edges and of param_edges. Errors: PM_EDATA naming the row where that would not be the same, for its
 * constant or a coefficient is negative; those of the sink; PM_EOSERR. */
pm_status pmi_graph_write(const pm_graph *g, pm_graph_encoding encoding, const pm_byte_sink *sink, pm_error *err);

#endif
