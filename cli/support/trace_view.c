#include "support/views.h"

#include "support/json_writer.h"

pm_status cli_trace_decode(const uint8_t *bytes, size_t n, cli_trace *out, pm_error *err) {
    out->encoded_bytes = n;
    return pmi_trace_decode(bytes, n, false, &out->trace, out->key, err);
}

typedef struct figure {
    const char *key, *label;
    uint64_t value;
} figure;

#define N_FIGURES 7

typedef struct figure_list {
    figure all[N_FIGURES];
} figure_list;

static figure_list figures_of(const cli_trace *t) {
    const pm_trace *trace = &t->trace;
    uint64_t l = trace->l_row[trace->n], u = trace->u_row[trace->n];
    return (figure_list){{{"states", "states", trace->n},
                          {"edges", "edges", trace->n_edges},
                          {"l_entries", "entries of L", l},
                          {"u_entries", "entries of U", u},
                          {"flops", "flops of a theta", trace->flops},
                          {"bytes", "bytes encoded", t->encoded_bytes},
                          {"memory", "bytes in memory", pmi_trace_bytes(trace->n, (size_t)(l + u))}}};
}

static void write_json(const char *key, const char *digest, const figure *figures, cli_out *out) {
    cli_json j = {.out = out};
    cli_json_open(&j, '{');
    cli_json_string(cli_json_key(&j, "key"), key);
    cli_json_string(cli_json_key(&j, "topology"), digest);
    for (size_t i = 0; i < N_FIGURES; i++) {
        cli_json_count(cli_json_key(&j, figures[i].key), figures[i].value);
    }
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}

void cli_trace_write(const cli_trace *t, bool as_json, cli_out *out) {
    char key[PM_DIGEST_HEX], digest[PM_DIGEST_HEX];
    const figure_list f = figures_of(t);
    pmi_hex(t->key, key);
    pmi_hex(t->trace.digest, digest);
    if (as_json) {
        write_json(key, digest, f.all, out);
        return;
    }
    cli_out_format(out, "trace of one strongly connected component\n");
    cli_out_format(out, "  %-18s %s\n  %-18s %s\n", "key", key, "topology digest", digest);
    for (size_t i = 0; i < N_FIGURES; i++) {
        cli_out_format(out, "  %-18s %llu\n", f.all[i].label, (unsigned long long)f.all[i].value);
    }
}
