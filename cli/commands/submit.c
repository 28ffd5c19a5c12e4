#include "base/log.h"
#include "support/job.h"

/* The job's id, the only thing on standard output unless something is evaluated. */
static pm_status show_id(cli_job *job, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(job->graph->digest, hex);
    cli_out *out = NULL;
    pm_status st = cli_cluster_limit(&job->cluster, 0, err);
    st = st == PM_OK ? cli_out_open(NULL, &out, err) : st;
    if (st == PM_OK) {
        cli_out_format(out, "%s\n", hex);
    }
    return cli_out_close(out, st, err);
}

static pm_status submit_only(cli_job *job, pm_error *err) {
    pm_submit_report report;
    PM_TRY(cli_job_classify(job, err));
    PM_TRY(cli_job_submit(job, &report, err));
    return show_id(job, err);
}

/* The traces are there afterwards: whoever collects the job finds them. */
static pm_status submit_and_wait(cli_job *job, pm_error *err) {
    pm_submit_report report;
    pm_reader *reader = NULL;
    pm_status st = cli_job_classify(job, err);
    PM_THEN(st, cli_cluster_open_reader(&job->cluster, PM_TOPIC_EVENTS, false, &reader, err));
    PM_THEN(st, cli_job_submit(job, &report, err));
    PM_THEN(st, cli_job_wait(job, reader, err));
    if (reader != NULL) {
        pmi_reader_close(reader);
    }
    cli_console_clear(&job->cluster.console);
    PM_TRY(st);
    return show_id(job, err);
}

static pm_status submit_and_evaluate(cli_job *job, pm_error *err) {
    PM_TRY(cli_job_request(job, err));
    PM_TRY(cli_job_run_on_cluster(job, err));
    return cli_job_write(job, err);
}

static pm_status run_steps(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    pm_status st = o->evaluates ? cli_out_check(o->output, err) : PM_OK;
    PM_THEN(st, cli_job_read_numbers(job, err));
    PM_THEN(st, cli_job_open_cluster(job, err));
    PM_THEN(st, cli_job_load(job, err));
    PM_TRY(st);
    if (!o->evaluates) {
        cli_job_warn_kind(job);
    }
    return !o->wait ? submit_only(job, err) : o->evaluates ? submit_and_evaluate(job, err) : submit_and_wait(job, err);
}

static pm_status run(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_job job = {.manifest = {0}};
    bool is_done;
    pm_status st = cli_run_options_read(&job.cluster, self, CLI_ROLE_SUBMIT, argc, argv, &job.options, &is_done, err);
    PM_THEN(st, !is_done ? run_steps(&job, err) : PM_OK);
    return cli_job_close(&job, st, err);
}

const cli_command cli_submit = {
    .name = "submit",
    .summary = "send a graph to the cluster as a job; prints the job's id",
    .help =
        "usage: phasemill submit GRAPH [OPTIONS]\n"
        "\n"
        "Splits the graph, finds which of its traces nobody has recorded yet, and sends those to the workers. The\n"
        "job's id is the graph's digest: submitting again, also after a kill, is the same job, and what is known\n"
        "or on its way is not sent twice. Prints the id.\n"
        "\n"
        "  --wait              wait until all traces are there; with any of --theta, --moments, --pdf, --cdf and\n"
        "                      --covariance also evaluate and write the result as `collect` does, with its\n"
        "                      options (`phasemill collect --help`)\n"
        "  --timeout SECONDS   how long to wait, for servers and with --wait for workers; then exit code 75, and what\n"
        "                      was sent goes on\n"
        "  --effort E          search for pivot orders: fast, balanced (default) or best\n"
        "  --min-size N        graphs of fewer states are recorded here and stored at once (50)\n"
        "  --memory BYTES      what recording here may take (most of the machine's)\n"
        "  --cache-dir D       folder of the trace cache; traces that only it has are uploaded\n"
        "  --no-cache          neither read nor write the cache\n"
        "  --cache-limit BYTES size of the cache, such as 500M (1G)\n"
        "  --discrete, --continuous  what the graph is, where its file does not say (is_discrete)\n"
        "  --format F          phasic or phasic-0.21: what is read\n"
        "  --quiet             errors only; --verbose: more about what is done\n"
        "\n"
        "examples:\n"
        "  job=$(phasemill submit arg7.msgpack)\n"
        "  phasemill submit arg7.msgpack --wait --theta 2,5 --moments 4\n",
    .has_settings = true,
    .run = run,
};
