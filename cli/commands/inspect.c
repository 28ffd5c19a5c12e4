#include <stdio.h>
#include <string.h>

#include "base/machine.h"
#include "support/cache.h"
#include "support/command.h"
#include "support/graph_files.h"
#include "support/views.h"
#include "wire/seal.h"

/* A trace or a message begins with an array of four, a graph with a map or white space. */
#define ENVELOPE_FIRST_BYTE 0x94

typedef struct inspect_options {
    int formats, effort;
    const char *cache_dir;
    bool no_cache, json, quiet, verbose, discrete, continuous;
    size_t threads, memory;
} inspect_options;

static const cli_choice formats[] = {{"phasic", CLI_READ_PHASIC}, {"phasic-0.21", CLI_READ_PHASIC_021}, {0}};
static const cli_choice efforts[] = {
    {"fast", PM_EFFORT_FAST}, {"balanced", PM_EFFORT_BALANCED}, {"best", PM_EFFORT_BEST}, {0}};

#define FIELD(name) offsetof(inspect_options, name)

static const cli_option options[] = {
    {"format", CLI_CHOICES, FIELD(formats), 0, 0, formats},
    {"effort", CLI_CHOICE, FIELD(effort), 0, 0, efforts},
    {"cache-dir", CLI_TEXT, FIELD(cache_dir), 0, 0, NULL},
    {"no-cache", CLI_FLAG, FIELD(no_cache), 0, 0, NULL},
    {"threads", CLI_COUNT, FIELD(threads), 1, 4096, NULL},
    {"memory", CLI_BYTES, FIELD(memory), 0, 0, NULL},
    {"discrete", CLI_FLAG, FIELD(discrete), 0, 0, NULL},
    {"continuous", CLI_FLAG, FIELD(continuous), 0, 0, NULL},
    {"json", CLI_FLAG, FIELD(json), 0, 0, NULL},
    {"quiet", CLI_FLAG, FIELD(quiet), 0, 0, NULL},
    {"verbose", CLI_FLAG, FIELD(verbose), 0, 0, NULL},
    {0},
};

static bool is_trace_path(const char *path) {
    return strcmp(cli_path_ending(path), ".trace") == 0;
}

static bool holds_envelope(const char *path) {
    if (is_trace_path(path)) {
        return true;
    }
    FILE *file = strcmp(path, "-") == 0 ? NULL : fopen(path, "rb");
    int first = file == NULL ? EOF : fgetc(file);
    if (file != NULL) {
        fclose(file);
    }
    return first == ENVELOPE_FIRST_BYTE;
}

static pm_status write_trace(const pm_buffer *bytes, const inspect_options *o, cli_out *out, pm_error *err) {
    cli_trace trace = {0};
    pm_status st = cli_trace_decode(bytes->bytes, bytes->size, &trace, err);
    if (st == PM_OK) {
        cli_trace_write(&trace, o->json, out);
    }
    pmi_trace_free(&trace.trace);
    return st;
}

static pm_status write_envelope(const char *path, const pm_buffer *bytes, const inspect_options *o, cli_out *out,
                                pm_error *err) {
    pm_envelope envelope;
    pm_span inside;
    char id[PM_SEAL_ID_TEXT];
    if (is_trace_path(path)) {
        return write_trace(bytes, o, out, err);
    }
    pm_status st = pmi_seal_peel(bytes->bytes, bytes->size, &inside, id, err);
    if (st == PM_OK && id[0] != '\0') {
        return cli_message_write(bytes->bytes, bytes->size, out, err);
    }
    PM_THEN(st, pmi_envelope_open(bytes->bytes, bytes->size, false, &envelope, err));
    PM_TRY(st);
    return strcmp(envelope.name, PM_TRACE_NAME) == 0 ? write_trace(bytes, o, out, err)
                                                     : cli_message_write(bytes->bytes, bytes->size, out, err);
}

static pm_status inspect_envelope(const char *path, const inspect_options *o, pm_error *err) {
    pm_buffer bytes = {0};
    cli_out *out = NULL;
    pm_status st = pmi_file_read(path, &bytes, err);
    PM_THEN(st, cli_out_open(NULL, &out, err));
    if (st == PM_OK) {
        st = write_envelope(path, &bytes, o, out, err);
        st = st == PM_OK ? PM_OK : pmi_fail_prefix(err, "file \"%s\"", path);
    }
    st = cli_out_close(out, st, err);
    pmi_buffer_free(&bytes);
    return st;
}

static pm_status inspect_key(const char *key, const inspect_options *o, const pm_log *log, pm_error *err) {
    pm_disk *disk = NULL;
    pm_status st = cli_cache_open(o->cache_dir, 0, log, &disk, err);
    PM_THEN(st, cli_cache_show(disk, key, o->json, err));
    pmi_disk_close(disk);
    return st;
}

static pm_status make_model(const pm_graph *graph, const inspect_options *o, const pm_log *log, pm_model **model,
                            pm_model_report *report, pm_error *err) {
    pm_model_options model_options;
    pm_model_options_default(&model_options);
    model_options.effort = (pm_effort)o->effort;
    model_options.threads = (unsigned)o->threads;
    model_options.memory = o->memory;
    model_options.use_cache = !o->no_cache;
    model_options.cache_dir = o->cache_dir;
    model_options.isa = getenv("PHASEMILL_ISA");
    model_options.log = log;
    return pm_model_new(graph, &model_options, model, report, err);
}

static pm_status write_report(const pm_graph *graph, const pm_model *model, const pm_model_report *made,
                              const inspect_options *o, pm_error *err) {
    cli_inspect_report report = {.graph = graph,
                                 .model = model,
                                 .made = made,
                                 .threads = o->threads == 0 ? pmi_processors() : (unsigned)o->threads};
    cli_inspect_measure(&report);
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    (o->json ? cli_inspect_json : cli_inspect_text)(&report, out);
    return cli_out_close(out, PM_OK, err);
}

static pm_status inspect_graph(const char *path, const inspect_options *o, cli_console *console, pm_error *err) {
    pm_graph_format format;
    pm_graph_kind kind = PM_KIND_AS_GIVEN;
    pm_graph *graph = NULL;
    pm_model *model = NULL;
    pm_model_report made;
    pm_status st = cli_read_format(o->formats, &format, err);
    PM_THEN(st, cli_read_kind(o->discrete, o->continuous, &kind, err));
    PM_THEN(st, pm_graph_load(path, format, kind, &graph, err));
    if (st == PM_OK) {
        cli_warn_kind(graph, path, false, NULL, 0, &console->log);
        st = cli_name_graph(make_model(graph, o, &console->log, &model, &made, err), path, err);
    }
    cli_console_clear(console);
    PM_THEN(st, write_report(graph, model, &made, o, err));
    pm_model_free(model);
    pm_graph_free(graph);
    return st;
}

pm_status cli_main_inspect(const cli_command *self, int argc, char **argv, pm_error *err) {
    inspect_options o = {.effort = PM_EFFORT_BALANCED};
    cli_operands what = {.min = 1, .max = 1, .what = "GRAPH, KEY or FILE"};
    bool help;
    pm_status st = cli_parse(argc, argv, options, &o, &what, &help, err);
    if (st != PM_OK || help) {
        return st == PM_OK ? cli_show_help(self, err) : st;
    }
    cli_console console;
    cli_console_init(&console, o.quiet, o.verbose);
    uint8_t key[PM_DIGEST_BYTES];
    if (pmi_unhex(what.values[0], key)) {
        return inspect_key(what.values[0], &o, &console.log, err);
    }
    return holds_envelope(what.values[0]) ? inspect_envelope(what.values[0], &o, err)
                                          : inspect_graph(what.values[0], &o, &console, err);
}
