#include "base/machine.h"
#include "support/job.h"
#include "units/job_state.h"

#define FETCH_SECONDS 120.0 /* that Redis may be away */

/* A whole id names a job whose record may be gone; a part of one is looked up on the list of jobs. */
static pm_status read_id(cli_job *job, uint8_t id[PM_DIGEST_BYTES], pm_error *err) {
    return pmi_unhex(job->options.job, id) ? PM_OK : pmi_job_find(job->cluster.redis, job->options.job, id, err);
}

/* Before Kafka is reached: an unknown job makes no topics. The manifest becomes job->analysis, and its graph the job's.
 */
static pm_status fetch(cli_job *job, const uint8_t *id, pm_error *err) {
    double start = pmi_seconds();
    cli_cluster *c = &job->cluster;
    size_t limit = job->options.memory == 0 ? pmi_default_memory() : job->options.memory;
    pm_status st;
    pm_retry retry = pmi_retry_begin("Redis", pmi_deadline_within(&c->deadline, FETCH_SECONDS, 0),
                                     cli_cluster_is_stopped, c, &c->console.log);
    do {
        job->manifest.size = 0;
        st = pmi_manifest_get(c->redis, id, limit, &c->console.log, &job->analysis, &job->manifest, err);
    } while (pmi_retry_again(&retry, st, err));
    if (st == PM_OK) {
        job->graph = job->analysis.graph;
        pmi_graph_hold(job->graph);
    }
    job->result.seconds_read = pmi_seconds() - start;
    return st;
}

static pm_status collect(cli_job *job, pm_error *err) {
    pm_reader *reader = NULL;
    pm_status st = cli_cluster_open_sending(&job->cluster, err);
    PM_THEN(st, cli_cluster_open_reader(&job->cluster, PM_TOPIC_EVENTS, false, &reader, err));
    PM_THEN(st, cli_job_collect(job, reader, err));
    PM_THEN(st, cli_job_evaluate_anywhere(job, reader, err));
    pmi_reader_close(reader);
    PM_TRY(st);
    return cli_job_write(job, err);
}

static pm_status run_steps(cli_job *job, pm_error *err) {
    uint8_t id[PM_DIGEST_BYTES];
    PM_TRY(cli_out_check(job->options.output, err));
    PM_TRY(cli_job_read_numbers(job, err));
    PM_TRY(cli_job_open_store(job, err));
    PM_TRY(read_id(job, id, err));
    PM_TRY(fetch(job, id, err));
    PM_TRY(cli_job_request(job, err));
    return collect(job, err);
}

pm_status cli_main_collect(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_job job = {.manifest = {0}};
    bool is_done;
    pm_status st = cli_run_options_read(&job.cluster, self, CLI_ROLE_COLLECT, argc, argv, &job.options, &is_done, err);
    PM_THEN(st, !is_done ? run_steps(&job, err) : PM_OK);
    return cli_job_close(&job, st, err);
}
