#include "support/views.h"

#include <string.h>

#include "support/json_writer.h"
#include "wire/seal.h"

static void write_bin(cli_json *j, pm_span span) {
    cli_json_open(j, '{');
    cli_json_hex(cli_json_key(j, "bin"), span.bytes, span.size);
    cli_json_close(j, '}');
}

/* An array may hold what JSON has no number for: then its name as a string. */
static void write_real(cli_json *j, double value) {
    if (isfinite(value)) {
        cli_json_number(j, value);
    } else {
        cli_json_string(j, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    }
}

/* An array of numbers or digests. Elements lie where they were read, which may not be aligned. */
static void write_array(cli_json *j, pm_field_kind kind, pm_span span) {
    size_t size = kind == PM_FIELD_DIGESTS ? PM_DIGEST_BYTES
                  : kind == PM_FIELD_U32S  ? sizeof(uint32_t)
                                           : sizeof(double);
    cli_json_open(j, '[');
    for (size_t at = 0; at < span.size; at += size) {
        uint32_t count;
        double real;
        if (kind == PM_FIELD_DIGESTS) {
            cli_json_hex(j, span.bytes + at, size);
        } else if (kind == PM_FIELD_U32S) {
            memcpy(&count, span.bytes + at, size);
            cli_json_count(j, count);
        } else {
            memcpy(&real, span.bytes + at, size);
            write_real(j, real);
        }
    }
    cli_json_close(j, ']');
}

/* All kinds but lists. */
static void write_value(cli_json *j, const pm_field *f, const void *message) {
    const void *at = (const uint8_t *)message + f->offset;
    const pm_span *span = at;
    switch (f->kind) {
    case PM_FIELD_UINT:
        cli_json_count(j, *(const uint64_t *)at);
        return;
    case PM_FIELD_INT:
        cli_json_integer(j, *(const int64_t *)at);
        return;
    case PM_FIELD_REAL:
        cli_json_number(j, *(const double *)at);
        return;
    case PM_FIELD_BOOL:
        cli_json_bool(j, *(const bool *)at);
        return;
    case PM_FIELD_TEXT:
        cli_json_span(j, (const char *)span->bytes, span->size);
        return;
    case PM_FIELD_DIGEST:
        cli_json_hex(j, at, PM_DIGEST_BYTES);
        return;
    case PM_FIELD_DIGESTS:
    case PM_FIELD_U32S:
    case PM_FIELD_F64S:
        write_array(j, f->kind, *span);
        return;
    default:
        write_bin(j, *span);
    }
}

static void write_list(cli_json *j, const pm_field *list, const pm_list *items) {
    cli_json_open(j, '[');
    for (size_t i = 0; i < items->count; i++) {
        const uint8_t *item = (const uint8_t *)items->items + i * list->item->size;
        cli_json_open(j, '{');
        for (const pm_field *f = list->item->fields; f->name != NULL; f++) {
            cli_json_key(j, f->name);
            write_value(j, f, item);
        }
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
}

/* The type of a unit's body; NULL for a kind that is not known. */
static const pm_message_type *body_type(pm_span kind) {
    const pm_message_type *types[] = {&pmi_record_type, &pmi_evaluate_type, &pmi_probe_type};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const char *name = types[i]->name + strlen("phasemill.");
        if (strlen(name) == kind.size && memcmp(name, kind.bytes, kind.size) == 0) {
            return types[i];
        }
    }
    return NULL;
}

static pm_status write_message(cli_json *j, const pm_message_type *type, const uint8_t *bytes, size_t n, pm_error *err);

/* A field at the top of a message. Bodies are opened: one level, for no body has a body. */
static pm_status write_field(cli_json *j, const pm_message_type *type, const pm_field *f, const void *message,
                             pm_error *err) {
    cli_json_key(j, f->name);
    if (f->kind == PM_FIELD_LIST) {
        write_list(j, f, (const pm_list *)((const uint8_t *)message + f->offset));
        return PM_OK;
    }
    const pm_unit_message *unit = message;
    const pm_message_type *body = type == &pmi_unit_type && strcmp(f->name, "body") == 0 ? body_type(unit->kind) : NULL;
    if (body == NULL) {
        write_value(j, f, message);
        return PM_OK;
    }
    pm_status st = write_message(j, body, unit->body.bytes, unit->body.size, err);
    return st == PM_OK ? PM_OK : pmi_fail_prefix(err, "%s: body", type->name);
}

static pm_status write_message(cli_json *j, const pm_message_type *type, const uint8_t *bytes, size_t n,
                               pm_error *err) {
    pm_message_memory memory = {.n_lists = 0};
    void *message;
    PM_TRY(pmi_new_zeros(&message, 1, type->size, "a message", err));
    pm_status st = pmi_message_decode(type, bytes, n, message, &memory, err);
    if (st == PM_OK) {
        cli_json_open(j, '{');
        cli_json_string(cli_json_key(j, "name"), type->name);
        cli_json_count(cli_json_key(j, "version"), type->version);
        cli_json_open(cli_json_key(j, "payload"), '{');
        for (const pm_field *f = type->fields; st == PM_OK && f->name != NULL; f++) {
            st = write_field(j, type, f, message, err);
        }
        cli_json_close(j, '}');
        cli_json_close(j, '}');
    }
    pmi_message_memory_free(&memory);
    free(message);
    return st;
}

static void open_sealed(cli_json *j, const char *id) {
    cli_json_open(j, '{');
    cli_json_string(cli_json_key(j, "name"), "phasemill.sealed");
    cli_json_count(cli_json_key(j, "version"), 1);
    cli_json_string(cli_json_key(j, "key"), id);
    cli_json_key(j, "value");
}

pm_status cli_message_write(const uint8_t *bytes, size_t n, cli_out *out, pm_error *err) {
    pm_envelope envelope;
    pm_span inside;
    char id[PM_SEAL_ID_TEXT];
    pm_status st = pmi_seal_peel(bytes, n, &inside, id, err);
    PM_THEN(st, pmi_envelope_open(inside.bytes, inside.size, false, &envelope, err));
    PM_TRY(st);
    const pm_message_type *type = pmi_message_type_find(envelope.name);
    if (type == NULL) {
        return pmi_fail(err, PM_EDATA,
                        "expected a trace or a message of phasemill, found \"%s\", which is unknown here",
                        envelope.name);
    }
    cli_json j = {.out = out};
    if (id[0] != '\0') {
        open_sealed(&j, id);
    }
    PM_TRY(write_message(&j, type, inside.bytes, inside.size, err));
    if (id[0] != '\0') {
        cli_json_close(&j, '}');
    }
    cli_out_text(out, "\n");
    return PM_OK;
}

/* ---- traces ---- */

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

static void write_trace(const char *key, const char *digest, const figure *figures, cli_out *out) {
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
        write_trace(key, digest, f.all, out);
        return;
    }
    cli_out_format(out, "trace of one strongly connected component\n");
    cli_out_format(out, "  %-18s %s\n  %-18s %s\n", "key", key, "topology digest", digest);
    for (size_t i = 0; i < N_FIGURES; i++) {
        cli_out_format(out, "  %-18s %llu\n", f.all[i].label, (unsigned long long)f.all[i].value);
    }
}
