#include "support/job.h"

/* The job's id, the only thing on standard output unless something is evaluated. */
static pm_status show_id(cli_job *job, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(job->graph->digest, hex);
    cli_out *out = NULL;
    pm_status st = cli_cluster_limit(&job->cluster, 0, err);
    PM_THEN(st, cli_out_open(NULL, &out, err));
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
    pmi_reader_close(reader);
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

pm_status cli_main_submit(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_job job = {.manifest = {0}};
    bool is_done;
    pm_status st = cli_run_options_read(&job.cluster, self, CLI_ROLE_SUBMIT, argc, argv, &job.options, &is_done, err);
    PM_THEN(st, !is_done ? run_steps(&job, err) : PM_OK);
    return cli_job_close(&job, st, err);
}
