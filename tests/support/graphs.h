/* Small graphs as text, and checks that hold for every graph. */
#ifndef GRAPHS_H
#define GRAPHS_H

#include "base/mem.h"
#include "graph/graph.h"
#include "graph/write.h"

/* Four rows, two parameters, one edge of each kind or more; all keys that phasic writes. */
extern const char small_graph_json[];

/* What is wrong with the structure of a graph, NULL when nothing is: sizes, ranges, finite weights, digest. */
const char *graph_flaw(const pm_graph *g);

/* A sink of bytes that appends to a buffer. */
pm_byte_sink buffer_sink(pm_buffer *b);

/* `text` with the first `old` replaced by `new`; free with free(). Aborts where `old` does not occur. */
char *replaced(const char *text, const char *old, const char *new);

#endif
