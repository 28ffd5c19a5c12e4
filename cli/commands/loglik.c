#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/matrix.h"
#include "base/mem.h"
#include "support/command.h"
#include "support/console.h"
#include "support/graph_files.h"
#include "support/json_writer.h"

#define WRITE_JSON 4
#define WRITE_CSV 8
#define MAX_THREADS 4096
#define MAX_SECONDS ((size_t)1 << 31)

typedef struct loglik_options {
    const char *theta, *data, *output;
    bool gradient, hessian, information, normalize_start, defective, discrete, continuous, quiet, verbose;
    int invalid_rows, formats;
    size_t threads, memory, row_seconds;
} loglik_options;

static const cli_choice invalid_rows[] = {{"error", 0}, {"nan", 1}, {0}};
static const cli_choice formats[] = {
    {"json", WRITE_JSON}, {"csv", WRITE_CSV}, {"phasic", CLI_READ_PHASIC}, {"phasic-0.21", CLI_READ_PHASIC_021}, {0}};

#define FIELD(name) offsetof(loglik_options, name)

static const cli_option options[] = {
    {"theta", CLI_TEXT, FIELD(theta), 0, 0, NULL},
    {"data", CLI_TEXT, FIELD(data), 0, 0, NULL},
    {"gradient", CLI_FLAG, FIELD(gradient), 0, 0, NULL},
    {"hessian", CLI_FLAG, FIELD(hessian), 0, 0, NULL},
    {"information", CLI_FLAG, FIELD(information), 0, 0, NULL},
    {"invalid-rows", CLI_CHOICE, FIELD(invalid_rows), 0, 0, invalid_rows},
    {"threads", CLI_COUNT, FIELD(threads), 1, MAX_THREADS, NULL},
    {"row-seconds", CLI_COUNT, FIELD(row_seconds), 1, MAX_SECONDS, NULL},
    {"memory", CLI_BYTES, FIELD(memory), 0, 0, NULL},
    {"normalize-start", CLI_FLAG, FIELD(normalize_start), 0, 0, NULL},
    {"defective", CLI_FLAG, FIELD(defective), 0, 0, NULL},
    {"discrete", CLI_FLAG, FIELD(discrete), 0, 0, NULL},
    {"continuous", CLI_FLAG, FIELD(continuous), 0, 0, NULL},
    {"format", CLI_CHOICES, FIELD(formats), 0, 0, formats},
    {"output", CLI_TEXT, FIELD(output), 0, 0, NULL},
    {"quiet", CLI_FLAG, FIELD(quiet), 0, 0, NULL},
    {"verbose", CLI_FLAG, FIELD(verbose), 0, 0, NULL},
    {0},
};

/* All that the command holds. */
typedef struct likelihood {
    loglik_options options;
    const char *path; /* of the graph */
    cli_console console;
    bool as_csv;
    pm_matrix theta;
    pm_graph *graph;
    pm_data *data;
    pm_model *model;
    size_t n_theta, n_params;
    pm_loglik_result result;
    pm_error *errors; /* n_theta: of the rows that are not valid */
    pm_pool pool;     /* of the results */
} likelihood;

static pm_status check_options(likelihood *l, pm_error *err) {
    const loglik_options *o = &l->options;
    int asked = o->formats & (WRITE_JSON | WRITE_CSV);
    const char *ending = o->output == NULL ? "" : cli_path_ending(o->output);
    bool names_json = strcasecmp(ending, ".json") == 0, names_csv = strcasecmp(ending, ".csv") == 0;
    if (o->data == NULL) {
        return pmi_fail(err, PM_EUSAGE, "--data is missing: a .csv file with a column time");
    }
    if (o->quiet && o->verbose) {
        return pmi_fail(err, PM_EUSAGE, "--quiet contradicts --verbose");
    }
    if (asked == (WRITE_JSON | WRITE_CSV)) {
        return pmi_fail(err, PM_EUSAGE, "--format: expected one of json and csv");
    }
    if ((names_json && asked == WRITE_CSV) || (names_csv && asked == WRITE_JSON)) {
        return pmi_fail(err, PM_EUSAGE, "--output \"%s\": its ending contradicts --format", o->output);
    }
    if (o->output != NULL && asked == 0 && !names_json && !names_csv) {
        return pmi_fail(err, PM_EUSAGE, "--output \"%s\": expected an ending .json or .csv, or --format", o->output);
    }
    l->as_csv = asked == WRITE_CSV || names_csv;
    return cli_out_check(o->output, err);
}

static pm_status load(likelihood *l, pm_error *err) {
    const loglik_options *o = &l->options;
    pm_graph_format format;
    pm_graph_kind kind;
    PM_TRY(cli_read_format(o->formats, &format, err));
    PM_TRY(cli_read_kind(o->discrete, o->continuous, &kind, err));
    if (o->theta != NULL && pmi_matrix_read(o->theta, &l->theta, err) != PM_OK) {
        return pmi_fail_prefix(err, "--theta");
    }
    if (pm_data_load(o->data, &l->data, err) != PM_OK) {
        return pmi_fail_prefix(err, "--data");
    }
    if (pm_data_n_observations(l->data) == 0) {
        return pmi_fail(err, PM_EDATA, "--data: file \"%s\" holds no observation", o->data);
    }
    PM_TRY(pm_graph_load(l->path, format, kind, &l->graph, err));
    l->n_params = pm_graph_n_params(l->graph);
    l->n_theta = o->theta == NULL ? 1 : l->theta.rows;
    if (o->theta == NULL && l->n_params > 0) {
        return pmi_fail(err, PM_EUSAGE, "--theta is missing: the graph has %zu parameters", l->n_params);
    }
    if (o->theta != NULL && l->theta.cols != l->n_params) {
        return pmi_fail(err, pmi_matrix_is_path(o->theta) ? PM_EDATA : PM_EUSAGE,
                        "--theta: rows of %zu values, expected %zu: the graph has so many parameters", l->theta.cols,
                        l->n_params);
    }
    cli_warn_kind(l->graph, l->path, false, l->theta.data, l->n_theta, &l->console.log);
    return PM_OK;
}

static pm_status make_model(likelihood *l, pm_error *err) {
    const loglik_options *o = &l->options;
    pm_model_options of_model;
    pm_model_options_default(&of_model);
    of_model.threads = (unsigned)o->threads;
    of_model.memory = o->memory;
    of_model.normalize_start = o->normalize_start;
    of_model.defective = o->defective;
    of_model.densities_only = true;
    of_model.use_cache = false;
    of_model.isa = getenv("PHASEMILL_ISA");
    of_model.log = &l->console.log;
    return cli_name_graph(pm_model_new(l->graph, &of_model, &l->model, NULL, err), l->path, err);
}

static double *room(likelihood *l, bool is_wanted, size_t width) {
    size_t count = 0;
    return is_wanted ? pmi_pool_array(&l->pool, pmi_mul(l->n_theta, width, &count) ? count : SIZE_MAX, sizeof(double))
                     : NULL;
}

static void note_invalid(void *ctx, size_t row, const pm_error *error) {
    likelihood *l = ctx;
    l->errors[row] = *error;
    l->console.log.line(l->console.log.ctx, PM_LOG_WARNING, error->text);
}

static pm_status evaluate(likelihood *l, pm_error *err) {
    const loglik_options *o = &l->options;
    size_t n = l->n_params;
    l->result = (pm_loglik_result){.loglik = room(l, true, 1),
                                   .gradient = room(l, o->gradient, n),
                                   .hessian = room(l, o->hessian, n * n),
                                   .information = room(l, o->information, n * n)};
    if (o->invalid_rows != 0) {
        l->result.status = pmi_pool_array(&l->pool, l->n_theta, sizeof *l->result.status);
        l->errors = pmi_pool_array(&l->pool, l->n_theta, sizeof *l->errors);
        l->result.invalid = note_invalid;
        l->result.invalid_ctx = l;
    }
    PM_TRY(pmi_pool_check(&l->pool, err, "results", l->n_theta * (1 + n + 2 * n * n) * sizeof(double)));
    const pm_loglik_request request = {.n_theta = l->n_theta,
                                       .theta = l->theta.data,
                                       .row_seconds = (double)o->row_seconds,
                                       .threads = (unsigned)o->threads};
    return cli_name_graph(pm_loglik(l->model, l->data, &request, &l->result, err), l->path, err);
}

/* ---- output ---- */

typedef struct quantity {
    const char *name;
    const double *values;
    size_t n_dims; /* of one row of theta */
} quantity;

static void quantities_of(const likelihood *l, quantity out[4]) {
    const quantity all[4] = {{"loglik", l->result.loglik, 0},
                             {"gradient", l->result.gradient, 1},
                             {"hessian", l->result.hessian, 2},
                             {"information", l->result.information, 2}};
    memcpy(out, all, sizeof all);
}

static void write_json(const likelihood *l, cli_out *out) {
    cli_json j = {.out = out};
    quantity all[4];
    quantities_of(l, all);
    cli_json_open(&j, '{');
    for (size_t i = 0; i < 4; i++) {
        const size_t dims[] = {l->n_theta, l->n_params, l->n_params};
        if (all[i].values != NULL) {
            cli_json_array(cli_json_key(&j, all[i].name), all[i].values, all[i].n_dims + 1, dims);
        }
    }
    cli_json_count(cli_json_key(&j, "observations"), pm_data_n_observations(l->data));
    if (l->result.status != NULL) {
        cli_json_open(cli_json_key(&j, "invalid"), '[');
        for (size_t b = 0; b < l->n_theta; b++) {
            if (l->result.status[b] != PM_OK) {
                cli_json_open(&j, '{');
                cli_json_count(cli_json_key(&j, "row"), b);
                cli_json_count(cli_json_key(&j, "code"), (uint64_t)l->result.status[b]);
                cli_json_string(cli_json_key(&j, "error"), l->errors[b].text);
                cli_json_close(&j, '}');
            }
        }
        cli_json_close(&j, ']');
    }
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}

static void write_cell(const likelihood *l, cli_out *out, size_t b, const quantity *q, size_t i) {
    size_t width = q->n_dims == 0 ? 1 : q->n_dims == 1 ? l->n_params : l->n_params * l->n_params;
    double value = q->values[b * width + i];
    cli_out_format(out, "%zu", b);
    for (size_t p = 0; p < l->n_params; p++) {
        cli_out_format(out, ",%.17g", l->theta.data[b * l->n_params + p]);
    }
    cli_out_format(out, ",%s,", q->name);
    if (q->n_dims > 0) {
        cli_out_format(out, "%zu", q->n_dims == 1 ? i : i / l->n_params);
    }
    cli_out_text(out, ",");
    if (q->n_dims > 1) {
        cli_out_format(out, "%zu", i % l->n_params);
    }
    cli_out_text(out, ",");
    if (isfinite(value)) {
        cli_out_format(out, "%.17g", value);
    }
    cli_out_text(out, "\n");
}

static void write_csv(const likelihood *l, cli_out *out) {
    quantity all[4];
    quantities_of(l, all);
    cli_out_text(out, "theta_row");
    for (size_t p = 0; p < l->n_params; p++) {
        cli_out_format(out, ",theta_%zu", p);
    }
    cli_out_text(out, ",quantity,parameter,other_parameter,value\n");
    for (size_t b = 0; b < l->n_theta; b++) {
        for (size_t k = 0; k < 4; k++) {
            size_t width = all[k].n_dims == 0 ? 1 : all[k].n_dims == 1 ? l->n_params : l->n_params * l->n_params;
            for (size_t i = 0; all[k].values != NULL && i < width; i++) {
                write_cell(l, out, b, &all[k], i);
            }
        }
    }
}

static pm_status write_result(likelihood *l, pm_error *err) {
    cli_out *out;
    cli_console_clear(&l->console);
    PM_TRY(cli_out_open(l->options.output, &out, err));
    (l->as_csv ? write_csv : write_json)(l, out);
    return cli_out_close(out, PM_OK, err);
}

pm_status cli_main_loglik(const cli_command *self, int argc, char **argv, pm_error *err) {
    likelihood l = {.n_theta = 0};
    cli_operands what = {.min = 1, .max = 1, .what = "GRAPH (a file, or - for standard input)"};
    bool help;
    pm_status st = cli_parse(argc, argv, options, &l.options, &what, &help, err);
    if (st != PM_OK || help) {
        return st == PM_OK ? cli_show_help(self, err) : st;
    }
    static pm_status (*const steps[])(likelihood *, pm_error *) = {check_options, load, make_model, evaluate,
                                                                   write_result};
    cli_console_init(&l.console, l.options.quiet, l.options.verbose);
    l.path = what.values[0];
    for (size_t i = 0; st == PM_OK && i < sizeof steps / sizeof *steps; i++) {
        st = steps[i](&l, err);
    }
    cli_console_clear(&l.console);
    pmi_pool_free(&l.pool);
    pm_model_free(l.model);
    pm_graph_free(l.graph);
    pm_data_free(l.data);
    pmi_matrix_free(&l.theta);
    return st;
}
