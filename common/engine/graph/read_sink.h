/* Receives the events of a graph file and hands its rows to a builder as they come, keys in any order. */
#ifndef PM_GRAPH_READ_SINK_H
#define PM_GRAPH_READ_SINK_H

#include "codec/events.h"
#include "graph/build.h"

typedef struct pm_graph_reader pm_graph_reader;

/* The caller frees with pmi_graph_reader_free. */
pm_status pmi_graph_reader_new(pm_graph_format format, pm_graph_kind kind, pm_graph_reader **out, pm_error *err);
void pmi_graph_reader_free(pm_graph_reader *r);

/* The sink to hand to pmi_json_read or pmi_msgpack_read; valid as long as the reader. */
pm_event_sink pmi_graph_reader_sink(pm_graph_reader *r);

/* After the document was read: checks that no key is missing and that the sizes agree, and finishes the graph, which
 * the caller frees with pm_graph_free. Errors: PM_EDATA naming key or array and row, expected and found. */
pm_status pmi_graph_reader_finish(pm_graph_reader *r, pm_graph **out, pm_error *err);

#endif
