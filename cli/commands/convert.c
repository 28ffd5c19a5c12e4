#include <string.h>

#include "support/command.h"
#include "support/graph_files.h"
#include "support/output.h"

typedef struct convert_options {
    int to, from;
    bool discrete, continuous;
} convert_options;

static const cli_choice formats[] = {{"phasic", CLI_READ_PHASIC}, {"phasic-0.21", CLI_READ_PHASIC_021}, {0}};

static const cli_option options[] = {
    {"to", CLI_CHOICE, offsetof(convert_options, to), 0, 0, cli_encodings},
    {"format", CLI_CHOICES, offsetof(convert_options, from), 0, 0, formats},
    {"discrete", CLI_FLAG, offsetof(convert_options, discrete), 0, 0, NULL},
    {"continuous", CLI_FLAG, offsetof(convert_options, continuous), 0, 0, NULL},
    {0},
};

static pm_status convert(const char *in, const char *out, const convert_options *o, pm_error *err) {
    pm_graph_format format;
    pm_graph_kind kind = PM_KIND_AS_GIVEN;
    pm_graph_encoding encoding = PM_GRAPH_JSON;
    pm_status st = cli_read_format(o->from, &format, err);
    PM_THEN(st, cli_read_kind(o->discrete, o->continuous, &kind, err));
    PM_THEN(st, cli_choose_encoding("--to", o->to, out, &encoding, err));
    PM_THEN(st, cli_out_check(out, err));
    pm_graph *graph = NULL;
    PM_THEN(st, pm_graph_load(in, format, kind, &graph, err));
    PM_THEN(st, cli_write_graph(graph, encoding, out, err));
    pm_graph_free(graph);
    return st;
}

pm_status cli_main_convert(const cli_command *self, int argc, char **argv, pm_error *err) {
    convert_options fields = {0};
    cli_operands files = {.min = 2, .max = 2, .what = "IN and OUT (files, or - for standard input and output)"};
    bool help;
    pm_status st = cli_parse(argc, argv, options, &fields, &files, &help, err);
    if (st != PM_OK || help) {
        return st == PM_OK ? cli_show_help(self, err) : st;
    }
    bool to_stdout = strcmp(files.values[1], "-") == 0;
    return convert(files.values[0], to_stdout ? NULL : files.values[1], &fields, err);
}
