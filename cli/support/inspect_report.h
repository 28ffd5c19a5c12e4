/* What `inspect` tells about a graph, in figures. */
#ifndef PM_CLI_INSPECT_REPORT_H
#define PM_CLI_INSPECT_REPORT_H

#include "model/model.h"
#include "support/output.h"

typedef struct cli_inspect_report {
    const pm_graph *graph;
    const pm_model *model;
    const pm_model_report *made;
    unsigned threads;
    /* filled by cli_inspect_measure: */
    size_t edges_inside, fill; /* of all SCCs of at least 2 states: inner edges, and entries of L and U */
    size_t trace_bytes;        /* of the distinct traces in memory */
    size_t lane_bytes;         /* working arrays of one theta, for two moments */
    unsigned lanes;
    double theta_seconds; /* expected for a theta on one thread */
} cli_inspect_report;

void cli_inspect_measure(cli_inspect_report *report);
void cli_inspect_text(const cli_inspect_report *report, cli_out *out);
void cli_inspect_json(const cli_inspect_report *report, cli_out *out);

#endif
