#include <string.h>

#include "examples/models.h"
#include "support/command.h"
#include "support/graph_files.h"
#include "support/output.h"

typedef struct generate_options {
    size_t args[PM_MODEL_MAX_ARGS];
    int encoding;
    const char *output;
} generate_options;

#define N_FIXED 2

static const cli_option fixed[N_FIXED] = {
    {"format", CLI_CHOICE, offsetof(generate_options, encoding), 0, 0, cli_encodings},
    {"output", CLI_TEXT, offsetof(generate_options, output), 0, 0, NULL},
};

static size_t count_args(const pm_model_info *model) {
    size_t n = 0;
    while (n < PM_MODEL_MAX_ARGS && model->args[n].name != NULL) {
        n++;
    }
    return n;
}

/* The options of a model: its arguments, then the fixed ones. */
static void make_options(const pm_model_info *model, cli_option options[PM_MODEL_MAX_ARGS + N_FIXED + 1],
                         generate_options *fields) {
    size_t n = count_args(model);
    for (size_t i = 0; i < n; i++) {
        const pm_model_arg *a = &model->args[i];
        options[i] = (cli_option){.name = a->name,
                                  .kind = CLI_COUNT,
                                  .offset = offsetof(generate_options, args) + i * sizeof fields->args[0],
                                  .min = (size_t)a->minimum,
                                  .max = (size_t)a->maximum};
        fields->args[i] = (size_t)a->default_value;
    }
    memcpy(options + n, fixed, sizeof fixed);
    options[n + N_FIXED] = (cli_option){0};
}

/* Operands `name=value` mean what `--name value` does. */
static pm_status read_pair(const pm_model_info *model, const cli_option *options, char *pair, generate_options *fields,
                           pm_error *err) {
    char *equals = strchr(pair, '=');
    for (size_t i = 0; equals != NULL && i < count_args(model); i++) {
        size_t n = strlen(options[i].name);
        if (n == (size_t)(equals - pair) && strncmp(pair, options[i].name, n) == 0) {
            return cli_read_value(&options[i], equals + 1, fields, err);
        }
    }
    return pmi_fail(err, PM_EUSAGE, "generate %s: found \"%s\", expected an argument such as %s=%lld", model->name,
                    pair, model->args[0].name, (long long)model->args[0].default_value);
}

static void write_model(cli_out *out, const pm_model_info *model) {
    cli_out_format(out, "%s\n  %s\n  theta: %s\n", model->name, model->help, model->params);
    for (size_t i = 0; i < count_args(model); i++) {
        const pm_model_arg *a = &model->args[i];
        cli_out_format(out, "  --%-8s %s (%lld; from %lld to %lld)\n", a->name, a->help, (long long)a->default_value,
                       (long long)a->minimum, (long long)a->maximum);
    }
}

typedef enum listing { LIST_NAMES, LIST_MODELS, LIST_HELP } listing;

static pm_status list_models(const cli_command *self, listing what, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    size_t n;
    const pm_model_info *models = pmi_models(&n);
    if (what == LIST_HELP) {
        cli_out_text(out, cli_text(self->name));
        cli_out_text(out, "\nmodels:\n");
    }
    for (size_t i = 0; i < n; i++) {
        if (what == LIST_NAMES) {
            cli_out_format(out, "%s\n", models[i].name);
        } else {
            write_model(out, &models[i]);
        }
    }
    return cli_out_close(out, PM_OK, err);
}

static pm_status show_model(const pm_model_info *model, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_out_format(out, "usage: phasemill generate %s [--ARG VALUE | ARG=VALUE ...] [--output FILE]\n\n", model->name);
    write_model(out, model);
    return cli_out_close(out, PM_OK, err);
}

static pm_status make_model(const pm_model_info *model, const generate_options *fields, pm_error *err) {
    pm_graph_encoding encoding = PM_GRAPH_JSON;
    pm_status st = cli_choose_encoding("--format", fields->encoding, fields->output, &encoding, err);
    PM_THEN(st, cli_out_check(fields->output, err));
    int64_t args[PM_MODEL_MAX_ARGS] = {0};
    for (size_t i = 0; i < PM_MODEL_MAX_ARGS; i++) {
        args[i] = (int64_t)fields->args[i];
    }
    pm_graph *graph = NULL;
    PM_THEN(st, pmi_model_make(model, args, &graph, err));
    PM_THEN(st, cli_write_graph(graph, encoding, fields->output, err));
    pm_graph_free(graph);
    return st;
}

static pm_status generate(const pm_model_info *model, int argc, char **argv, pm_error *err) {
    generate_options fields = {0};
    cli_option options[PM_MODEL_MAX_ARGS + N_FIXED + 1];
    make_options(model, options, &fields);
    cli_operands pairs = {.max = PM_MODEL_MAX_ARGS, .what = "arguments as name=value"};
    bool help;
    pm_status st = cli_parse(argc, argv, options, &fields, &pairs, &help, err);
    if (st == PM_OK && help) {
        return show_model(model, err);
    }
    PM_TRY(st);
    for (int i = 0; i < pairs.n; i++) {
        PM_TRY(read_pair(model, options, pairs.values[i], &fields, err));
    }
    return make_model(model, &fields, err);
}

pm_status cli_main_generate(const cli_command *self, int argc, char **argv, pm_error *err) {
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return list_models(self, LIST_HELP, err);
    }
    if (strcmp(name, "--list") == 0 || strcmp(name, "--names") == 0) {
        return list_models(self, strcmp(name, "--list") == 0 ? LIST_MODELS : LIST_NAMES, err);
    }
    const pm_model_info *model = pmi_model_find(name);
    if (model == NULL) {
        return pmi_fail(err, PM_EUSAGE,
                        "generate: found \"%s\", expected a model first; see `phasemill generate --list`", name);
    }
    return generate(model, argc - 1, argv + 1, err);
}
