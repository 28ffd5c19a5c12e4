#include "support/run_options.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#define WRITE_TABLE 4
#define WRITE_JSON 8
#define WRITE_CSV 16

#define MAX_MOMENTS 1000
#define MAX_THREADS 4096
#define MAX_SECONDS ((size_t)1 << 31)

static const cli_choice methods[] = {{"auto", PM_DENSITY_AUTO},
                                     {"uniformization", PM_DENSITY_UNIFORMIZATION},
                                     {"contour", PM_DENSITY_CONTOUR},
                                     {"parabola", PM_DENSITY_PARABOLA},
                                     {0}};
static const cli_choice invalid_rows[] = {{"error", 0}, {"nan", 1}, {0}};
static const cli_choice efforts[] = {
    {"fast", PM_EFFORT_FAST}, {"balanced", PM_EFFORT_BALANCED}, {"best", PM_EFFORT_BEST}, {0}};
static const cli_choice formats[] = {{"table", WRITE_TABLE},
                                     {"json", WRITE_JSON},
                                     {"csv", WRITE_CSV},
                                     {"phasic", CLI_READ_PHASIC},
                                     {"phasic-0.21", CLI_READ_PHASIC_021},
                                     {0}};

#define FIELD(name) offsetof(cli_run_options, name)

#define END                                                                                                            \
    { 0 }

/* What to evaluate and where it goes: of all three. */
#define EVALUATION                                                                                                     \
    {"theta", CLI_TEXT, FIELD(theta), 0, 0, NULL}, {"times", CLI_TEXT, FIELD(times), 0, 0, NULL},                      \
        {"rewards", CLI_TEXT, FIELD(rewards), 0, 0, NULL},                                                             \
        {"moments", CLI_COUNT, FIELD(moments), 1, MAX_MOMENTS, NULL}, {"pdf", CLI_FLAG, FIELD(pdf), 0, 0, NULL},       \
        {"cdf", CLI_FLAG, FIELD(cdf), 0, 0, NULL}, {"covariance", CLI_FLAG, FIELD(covariance), 0, 0, NULL},            \
        {"factorial", CLI_FLAG, FIELD(factorial), 0, 0, NULL}, {"gradient", CLI_FLAG, FIELD(gradient), 0, 0, NULL},    \
        {"method", CLI_CHOICE, FIELD(method), 0, 0, methods},                                                          \
        {"invalid-rows", CLI_CHOICE, FIELD(invalid_rows), 0, 0, invalid_rows},                                         \
        {"tolerance", CLI_FRACTION, FIELD(tolerance), 0, 0, NULL},                                                     \
        {"tail-accuracy", CLI_FLAG, FIELD(tail_accuracy), 0, 0, NULL},                                                 \
        {"row-seconds", CLI_COUNT, FIELD(row_seconds), 1, MAX_SECONDS, NULL},                                          \
        {"threads", CLI_COUNT, FIELD(threads), 1, MAX_THREADS, NULL},                                                  \
        {"memory", CLI_BYTES, FIELD(memory), 0, 0, NULL}, {"cache-dir", CLI_TEXT, FIELD(cache_dir), 0, 0, NULL},       \
        {"no-cache", CLI_FLAG, FIELD(no_cache), 0, 0, NULL},                                                           \
        {"cache-limit", CLI_BYTES, FIELD(cache_limit), 0, 0, NULL},                                                    \
        {"normalize-start", CLI_FLAG, FIELD(normalize_start), 0, 0, NULL},                                             \
        {"format", CLI_CHOICES, FIELD(formats), 0, 0, formats}, {"output", CLI_TEXT, FIELD(output), 0, 0, NULL},       \
        {"evaluate", CLI_TEXT, FIELD(evaluate), 0, 0, NULL}, {                                                         \
        "timeout", CLI_COUNT, FIELD(timeout), 1, MAX_SECONDS, NULL                                                     \
    }
/* How a graph is recorded: of run and submit. */
#define RECORDING                                                                                                      \
    {"discrete", CLI_FLAG, FIELD(discrete), 0, 0, NULL}, {"continuous", CLI_FLAG, FIELD(continuous), 0, 0, NULL},      \
        {"min-size", CLI_COUNT, FIELD(min_size), 0, SIZE_MAX / 2, NULL}, {                                             \
        "effort", CLI_CHOICE, FIELD(effort), 0, 0, efforts                                                             \
    }

static const cli_option run_options[] = {EVALUATION,
                                         RECORDING,
                                         {"strategy", CLI_TEXT, FIELD(strategy), 0, 0, NULL},
                                         {"defective", CLI_FLAG, FIELD(defective), 0, 0, NULL},
                                         {"strict-cache", CLI_FLAG, FIELD(strict_cache), 0, 0, NULL},
                                         END};
static const cli_option submit_options[] = {EVALUATION, RECORDING, {"wait", CLI_FLAG, FIELD(wait), 0, 0, NULL}, END};
static const cli_option collect_options[] = {EVALUATION, END};

static const struct {
    const cli_option *options;
    const char *operand;
} roles[] = {
    [CLI_ROLE_RUN] = {run_options, "GRAPH (a file, or - for standard input)"},
    [CLI_ROLE_SUBMIT] = {submit_options, "GRAPH (a file, or - for standard input)"},
    [CLI_ROLE_COLLECT] = {collect_options, "JOB (the id that submit printed)"},
};

static pm_status check_strategy(const char *strategy, bool defective, pm_error *err) {
    static const char *const known[] = {"sequential", "threads", "cluster", "auto"};
    if (defective && strcmp(strategy, "cluster") == 0) {
        return pmi_fail(err, PM_EUSAGE,
                        "--defective: a chain that is not surely absorbed is evaluated on this machine only; use "
                        "--strategy threads");
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(strategy, known[i]) == 0) {
            return PM_OK;
        }
    }
    if (strcmp(strategy, "vmap") == 0) {
        return pmi_fail(err, PM_EUSAGE,
                        "--strategy vmap: a batch is evaluated as a whole here; use --strategy sequential and give all "
                        "rows in --theta");
    }
    if (strcmp(strategy, "pmap") == 0) {
        return pmi_fail(err, PM_EUSAGE,
                        "--strategy pmap: processors share a batch by threads here; use --strategy threads, with "
                        "--threads N, and give all rows in --theta");
    }
    return pmi_fail(err, PM_EUSAGE, "--strategy: found \"%s\", expected sequential, threads, cluster or auto",
                    strategy);
}

static pm_status needs(const char *option, const char *what, pm_error *err) {
    return pmi_fail(err, PM_EUSAGE, "%s needs %s", option, what);
}

static pm_status check_quantities(const cli_run_options *o, pm_error *err) {
    bool has_density = o->pdf || o->cdf;
    if (has_density && o->times == NULL) {
        return needs(o->pdf ? "--pdf" : "--cdf", "--times", err);
    }
    if (o->times != NULL && !has_density) {
        return needs("--times", "--pdf or --cdf", err);
    }
    if (!has_density && o->row_seconds > 0) {
        return needs("--row-seconds", "--pdf or --cdf", err);
    }
    if (!has_density && (o->tail_accuracy || o->tolerance > 0 || o->method != 0)) {
        return needs(o->tail_accuracy   ? "--tail-accuracy"
                     : o->tolerance > 0 ? "--tolerance"
                                        : "--method",
                     "--pdf or --cdf", err);
    }
    if (o->factorial && o->moments == 0) {
        return needs("--factorial", "--moments", err);
    }
    if (o->gradient && o->moments == 0 && !has_density) {
        return needs("--gradient", "--moments, --pdf or --cdf", err);
    }
    if (o->gradient && o->defective && o->moments > 0) {
        return pmi_fail(err, PM_EUSAGE,
                        "--gradient --defective: derivatives of moments given absorption are not computed; ask for "
                        "those of --pdf and --cdf");
    }
    if (o->rewards != NULL && o->moments == 0 && !o->covariance) {
        return needs("--rewards", "--moments or --covariance", err);
    }
    return PM_OK;
}

static pm_status check_cache(const cli_run_options *o, pm_error *err) {
    if (o->no_cache && (o->cache_dir != NULL || o->cache_limit > 0 || o->strict_cache)) {
        return pmi_fail(err, PM_EUSAGE, "--no-cache contradicts %s",
                        o->cache_dir != NULL ? "--cache-dir"
                        : o->cache_limit > 0 ? "--cache-limit"
                                             : "--strict-cache");
    }
    return PM_OK;
}

static cli_format format_of_path(const char *path) {
    static const struct {
        const char *ending;
        cli_format format;
    } known[] = {{".json", CLI_FORMAT_JSON}, {".csv", CLI_FORMAT_CSV}, {".npy", CLI_FORMAT_NPY}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcasecmp(cli_path_ending(path), known[i].ending) == 0) {
            return known[i].format;
        }
    }
    return CLI_FORMAT_NONE;
}

static pm_status choose_write_format(cli_run_options *o, pm_error *err) {
    int asked = o->formats & (WRITE_TABLE | WRITE_JSON | WRITE_CSV);
    if ((asked & (asked - 1)) != 0) {
        return pmi_fail(err, PM_EUSAGE, "--format: expected one of table, json and csv");
    }
    cli_format named = asked == WRITE_TABLE  ? CLI_FORMAT_TABLE
                       : asked == WRITE_JSON ? CLI_FORMAT_JSON
                       : asked == WRITE_CSV  ? CLI_FORMAT_CSV
                                             : CLI_FORMAT_NONE;
    if (o->output == NULL) {
        cli_format standard = isatty(STDOUT_FILENO) == 1 ? CLI_FORMAT_TABLE : CLI_FORMAT_JSON;
        o->write_format = named == CLI_FORMAT_NONE ? standard : named;
        return PM_OK;
    }
    cli_format ending = format_of_path(o->output);
    if (named != CLI_FORMAT_NONE && ending != CLI_FORMAT_NONE && named != ending) {
        return pmi_fail(err, PM_EUSAGE, "--output \"%s\": its ending contradicts --format", o->output);
    }
    if (named == CLI_FORMAT_NONE && ending == CLI_FORMAT_NONE) {
        return pmi_fail(err, PM_EUSAGE, "--output \"%s\": expected an ending .json, .csv or .npy, or --format",
                        o->output);
    }
    o->write_format = named != CLI_FORMAT_NONE ? named : ending;
    int quantities = (o->moments > 0) + o->covariance + o->pdf + o->cdf;
    if (o->write_format == CLI_FORMAT_NPY && o->gradient) {
        return pmi_fail(err, PM_EUSAGE,
                        "--output \"%s\": a .npy file holds one quantity, without its derivatives; write .json or .csv",
                        o->output);
    }
    if (o->write_format == CLI_FORMAT_NPY && quantities != 1) {
        return pmi_fail(err, PM_EUSAGE,
                        "--output \"%s\": a .npy file holds one quantity, found %d; ask for one of --moments, "
                        "--covariance, --pdf and --cdf, or write .json",
                        o->output, quantities);
    }
    return PM_OK;
}

/* Where densities and moments are evaluated once the traces are there. */
static pm_status check_evaluate(cli_run_options *o, cli_run_role role, pm_error *err) {
    if (o->evaluate == NULL) {
        return PM_OK;
    }
    o->on_cluster = strcmp(o->evaluate, "cluster") == 0;
    if (!o->on_cluster && strcmp(o->evaluate, "local") != 0) {
        return pmi_fail(err, PM_EUSAGE, "--evaluate: found \"%s\", expected local or cluster", o->evaluate);
    }
    if (o->on_cluster && o->invalid_rows != 0) {
        return pmi_fail(err, PM_EUSAGE,
                        "--evaluate cluster: a row that workers cannot evaluate fails its batch; leave --evaluate out "
                        "for --invalid-rows nan");
    }
    if (o->on_cluster && o->row_seconds > 0) {
        return pmi_fail(err, PM_EUSAGE,
                        "--evaluate cluster: workers have their own limits; leave --evaluate out for --row-seconds");
    }
    if (o->on_cluster && o->gradient) {
        return pmi_fail(err, PM_EUSAGE,
                        "--evaluate cluster: workers evaluate no derivatives; leave --evaluate out, and they are "
                        "evaluated on this machine");
    }
    if (o->on_cluster && o->method != PM_DENSITY_AUTO) {
        return pmi_fail(err, PM_EUSAGE,
                        "--evaluate cluster: workers choose the method; leave --evaluate out for --method");
    }
    if (o->on_cluster && role == CLI_ROLE_RUN && strcmp(o->strategy, "cluster") != 0) {
        return needs("--evaluate cluster", "--strategy cluster", err);
    }
    return PM_OK;
}

/* A submission without --wait evaluates nothing. */
static pm_status check_submission(const cli_run_options *o, pm_error *err) {
    const struct {
        bool is_given;
        const char *option;
    } evaluation[] = {{o->theta != NULL, "--theta"},
                      {o->times != NULL, "--times"},
                      {o->rewards != NULL, "--rewards"},
                      {o->moments > 0, "--moments"},
                      {o->pdf, "--pdf"},
                      {o->cdf, "--cdf"},
                      {o->covariance, "--covariance"},
                      {o->factorial, "--factorial"},
                      {o->gradient, "--gradient"},
                      {o->invalid_rows != 0, "--invalid-rows"},
                      {o->output != NULL, "--output"},
                      {o->evaluate != NULL, "--evaluate"}};
    for (size_t i = 0; !o->wait && i < sizeof evaluation / sizeof *evaluation; i++) {
        if (evaluation[i].is_given) {
            return needs(evaluation[i].option, "--wait", err);
        }
    }
    return PM_OK;
}

static bool names_something_to_evaluate(const cli_run_options *o) {
    return o->theta != NULL || o->moments > 0 || o->pdf || o->cdf || o->covariance;
}

static pm_status check_all(cli_run_options *o, cli_run_role role, pm_error *err) {
    pm_status st = role == CLI_ROLE_SUBMIT ? check_submission(o, err) : PM_OK;
    o->evaluates = role != CLI_ROLE_SUBMIT || (o->wait && names_something_to_evaluate(o));
    if (o->evaluates && o->moments == 0 && !o->pdf && !o->cdf && !o->covariance) {
        o->moments = 2;
    }
    PM_TRY(st);
    if (role == CLI_ROLE_RUN) {
        PM_TRY(check_strategy(o->strategy, o->defective, err));
    }
    PM_TRY(check_quantities(o, err));
    PM_TRY(check_cache(o, err));
    PM_TRY(check_evaluate(o, role, err));
    PM_TRY(cli_read_format(o->formats, &o->read_format, err));
    PM_TRY(cli_read_kind(o->discrete, o->continuous, &o->kind, err));
    return choose_write_format(o, err);
}

pm_status cli_run_options_read(cli_cluster *cluster, const cli_command *command, cli_run_role role, int argc,
                               char **argv, cli_run_options *out, bool *is_done, pm_error *err) {
    *out = (cli_run_options){.strategy = "auto", .min_size = SIZE_MAX, .effort = PM_EFFORT_BALANCED};
    cli_operands operands = {.min = 1, .max = 1, .what = roles[role].operand};
    pm_status st = cli_cluster_parse(cluster, command, argc, argv, roles[role].options, out, &operands, is_done, err);
    if (st != PM_OK || *is_done) {
        return st;
    }
    *(role == CLI_ROLE_COLLECT ? &out->job : &out->graph) = operands.values[0];
    if (cluster->quiet && cluster->verbose) {
        return pmi_fail(err, PM_EUSAGE, "--quiet contradicts --verbose");
    }
    return check_all(out, role, err);
}
