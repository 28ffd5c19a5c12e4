#include <string.h>

#include "support/job.h"

/* `auto` among this machine's strategies. */
static bool records_on_threads(const cli_job *job, size_t min_size) {
    const char *strategy = job->options.strategy;
    unsigned threads = job->request.threads;
    if (strcmp(strategy, "auto") != 0) {
        return strcmp(strategy, "threads") == 0;
    }
    size_t n = pm_graph_n_vertices(job->graph);
    bool is_small = n < min_size;
    bool on_threads = !is_small && threads > 1;
    pmi_logf(&job->cluster.console.log, PM_LOG_DEBUG, "strategy %s: %zu states, %s --min-size %zu, %u threads",
             on_threads ? "threads" : "sequential", n, is_small ? "below" : "not below", min_size, threads);
    return on_threads;
}

static pm_status evaluate_here(cli_job *job, size_t min_size, pm_error *err) {
    PM_TRY(cli_job_record(job, records_on_threads(job, min_size), err));
    return cli_name_graph(cli_job_evaluate(job, err), job->options.graph, err);
}

static pm_status evaluate(cli_job *job, pm_error *err) {
    const char *strategy = job->options.strategy;
    pm_model_options options;
    cli_job_model_options(job, &options);
    bool on_cluster = strcmp(strategy, "cluster") == 0, may_choose = !job->options.defective;
    pm_status st = PM_OK;
    if (on_cluster) {
        st = cli_job_need_workers(job, err);
    } else if (strcmp(strategy, "auto") == 0 && may_choose) {
        st = cli_job_choose(job, options.min_size, &on_cluster, err);
    }
    PM_TRY(st);
    return on_cluster ? cli_name_graph(cli_job_run_on_cluster(job, err), job->options.graph, err)
                      : evaluate_here(job, options.min_size, err);
}

/* What cannot be done is told before the graph is read. */
static pm_status open_cluster(cli_job *job, pm_error *err) {
    if (strcmp(job->options.strategy, "cluster") != 0) {
        return PM_OK;
    }
    if (!cli_cluster_is_configured(&job->cluster)) {
        const pm_setting_values *v = &job->cluster.settings.values;
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "--strategy cluster: %s%s%s missing; name them, or use --strategy threads",
                        v->kafka.brokers == NULL ? "Kafka brokers (--kafka-brokers, PHASEMILL_KAFKA_BROKERS)" : "",
                        v->kafka.brokers == NULL && v->redis.address == NULL ? " and " : "",
                        v->redis.address == NULL ? "a Redis server (--redis-address, PHASEMILL_REDIS_ADDRESS)" : "");
    }
    pm_status st = cli_job_open_cluster(job, err);
    return st == PM_EUNAVAILABLE ? pmi_fail_prefix(err, "--strategy cluster") : st;
}

static pm_status run_steps(cli_job *job, pm_error *err) {
    static pm_status (*const steps[])(cli_job *, pm_error *) = {
        cli_job_read_numbers, open_cluster, cli_job_load, cli_job_request, evaluate, cli_job_write,
    };
    PM_TRY(cli_out_check(job->options.output, err));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        PM_TRY(steps[i](job, err));
    }
    return PM_OK;
}

pm_status cli_main_run(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_job job = {.manifest = {0}};
    bool is_done;
    pm_status st = cli_run_options_read(&job.cluster, self, CLI_ROLE_RUN, argc, argv, &job.options, &is_done, err);
    PM_THEN(st, !is_done ? run_steps(&job, err) : PM_OK);
    return cli_job_close(&job, st, err);
}
