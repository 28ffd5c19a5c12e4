/* What `inspect` and `cache show` tell of a graph, a trace and a message: as text for people, or as one JSON object. */
#ifndef PM_CLI_VIEWS_H
#define PM_CLI_VIEWS_H

#include "model/model.h"
#include "support/output.h"
#include "trace/codec.h"
#include "wire/message.h"

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

typedef struct cli_trace {
    uint8_t key[PM_DIGEST_BYTES];
    pm_trace trace;
    size_t encoded_bytes;
} cli_trace;

/* Decodes. Free with pmi_trace_free(&out->trace). */
pm_status cli_trace_decode(const uint8_t *bytes, size_t n, cli_trace *out, pm_error *err);

/* Writes it, as lines of text or as one JSON object. */
void cli_trace_write(const cli_trace *t, bool as_json, cli_out *out);

/* Writes one encoded message of any type, on one line; what has a seal inside of it, whose fit only a place could tell.
 * Errors: PM_EDATA for a name or version that this program does not know, and for anything that decoding refuses; `out`
 * then holds half an object. */
pm_status cli_message_write(const uint8_t *bytes, size_t n, cli_out *out, pm_error *err);

#endif
