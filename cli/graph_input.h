/* What every command that reads a graph shares. */
#ifndef PM_CLI_GRAPH_INPUT_H
#define PM_CLI_GRAPH_INPUT_H

#include "graph/graph.h"
#include "options.h"

/* Bits of --format that say what is read. */
#define CLI_READ_PHASIC 1
#define CLI_READ_PHASIC_021 2

/* The format that the bits name; none is phasic's present one. Errors: PM_EUSAGE when both are there. */
pm_status cli_read_format(int bits, pm_graph_format *out, pm_error *err);

#endif
