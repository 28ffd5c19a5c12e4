/* A trace as a person or a machine reads it. */
#ifndef PM_CLI_TRACE_VIEW_H
#define PM_CLI_TRACE_VIEW_H

#include "support/output.h"
#include "trace/codec.h"

typedef struct cli_trace {
    uint8_t key[PM_DIGEST_BYTES];
    pm_trace trace;
    size_t encoded_bytes;
} cli_trace;

/* Decodes. Free with pmi_trace_free(&out->trace). */
pm_status cli_trace_decode(const uint8_t *bytes, size_t n, cli_trace *out, pm_error *err);

/* Writes it, as lines of text or as one JSON object. */
void cli_trace_write(const cli_trace *t, bool as_json, cli_out *out);

#endif
