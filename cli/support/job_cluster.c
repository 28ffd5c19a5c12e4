#include "support/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/retry.h"
#include "producer/choice.h"
#include "units/workers.h"
#include "wire/units.h"

/* What `auto` waits for servers that do not answer, before it takes this machine. */
#define ASKING_SECONDS 5.0

static const pm_log *log_of(const cli_job *job) {
    return &job->cluster.console.log;
}

pm_status cli_job_open_store(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    PM_TRY(cli_cluster_limit(&job->cluster, (double)o->timeout, err));
    return cli_cluster_open_store(&job->cluster, o->no_cache, o->cache_dir, o->cache_limit, err);
}

pm_status cli_job_open_cluster(cli_job *job, pm_error *err) {
    PM_TRY(cli_job_open_store(job, err));
    return cli_cluster_open_sending(&job->cluster, err);
}

pm_status cli_job_need_workers(cli_job *job, pm_error *err) {
    size_t workers, slots;
    PM_TRY(pmi_wait_for_workers(&job->cluster.producer, &workers, &slots, err));
    if (workers == 0) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "no worker is alive; start some with `phasemill worker`, or use --strategy threads");
    }
    return PM_OK;
}

pm_status cli_job_classify(cli_job *job, pm_error *err) {
    PM_TRY(cli_job_split(job, err));
    pm_status st = pmi_analysis_classify(&job->analysis, (unsigned)job->options.threads, log_of(job), err);
    return cli_name_graph(st, job->options.graph, err);
}

pm_status cli_job_submit(cli_job *job, pm_submit_report *report, pm_error *err) {
    pm_model_options model;
    cli_job_model_options(job, &model);
    pm_submit_options options = {.min_size = model.min_size,
                                 .memory = model.memory == 0 ? pmi_default_memory() : model.memory,
                                 .source = job->options.graph,
                                 .manifest = &job->manifest};
    PM_TRY(pmi_submit(&job->cluster.producer, &job->analysis, &options, report, err));
    pmi_logf(log_of(job), PM_LOG_INFO,
             "%zu states, %zu SCCs of at least 2 states, %zu of them distinct: %zu known, %zu recorded here, %zu "
             "units sent (%zu by claim check)",
             report->states, report->sccs, report->items, report->known, report->recorded_here, report->units,
             report->units_by_claim);
    return PM_OK;
}

static pm_status collect(cli_job *job, pm_reader *reader, pm_model **out, pm_error *err) {
    pm_model_options model;
    cli_job_model_options(job, &model);
    pm_collect_options options = {.manifest = &job->manifest, .model = &model};
    pm_collect_report report;
    pm_status st = cli_cluster_hold_signals(&job->cluster, err);
    PM_THEN(st, pmi_collect(&job->cluster.producer, reader, &job->analysis, &options, out, &report, err));
    cli_cluster_release_signals(&job->cluster);
    PM_TRY(st);
    job->result.model = report.model;
    pmi_logf(log_of(job), PM_LOG_DEBUG, "traces are there after %.3f s: %zu units seen, %zu SCCs sent again",
             report.watch.seconds, report.watch.units_seen, report.watch.sent_again);
    return PM_OK;
}

pm_status cli_job_collect(cli_job *job, pm_reader *reader, pm_error *err) {
    return collect(job, reader, &job->model, err);
}

pm_status cli_job_wait(cli_job *job, pm_reader *reader, pm_error *err) {
    return collect(job, reader, NULL, err);
}

static pm_status evaluate_there(cli_job *job, pm_reader *reader, pm_error *err) {
    pm_evaluate_report report;
    double start = pmi_seconds();
    pm_status st = cli_cluster_hold_signals(&job->cluster, err);
    PM_THEN(st, pmi_evaluate_on_cluster(&job->cluster.producer, reader, job->model, &job->request, &job->manifest,
                                        &job->result.values, &report, err));
    cli_cluster_release_signals(&job->cluster);
    job->result.seconds_evaluate = pmi_seconds() - start;
    PM_TRY(st);
    pmi_logf(log_of(job), PM_LOG_INFO, "%zu slices of theta: %zu results known, %zu units sent", report.slices,
             report.known, report.units);
    return PM_OK;
}

pm_status cli_job_evaluate_anywhere(cli_job *job, pm_reader *reader, pm_error *err) {
    pm_status st = job->options.on_cluster ? evaluate_there(job, reader, err) : PM_OK;
    if (st == PM_OK) {
        st = cli_cluster_limit(&job->cluster, 0, err); /* nobody is waited for any more */
    }
    return st == PM_OK && !job->options.on_cluster ? cli_job_evaluate(job, err) : st;
}

pm_status cli_job_run_on_cluster(cli_job *job, pm_error *err) {
    pm_submit_report report;
    pm_reader *reader = NULL;
    pm_status st = cli_job_classify(job, err);
    PM_THEN(st, cli_cluster_open_reader(&job->cluster, PM_TOPIC_EVENTS, false, &reader, err));
    PM_THEN(st, cli_job_submit(job, &report, err));
    PM_THEN(st, cli_job_collect(job, reader, err));
    PM_THEN(st, cli_job_evaluate_anywhere(job, reader, err));
    if (reader != NULL) {
        pmi_reader_close(reader);
    }
    return st;
}

/* ---- auto ---- */

static pm_status ask_cluster(cli_job *job, bool *chosen, pm_error *err) {
    pm_choice choice;
    PM_TRY(pmi_choose(&job->cluster.producer, &job->analysis, job->request.threads, &choice, err));
    *chosen = choice.on_cluster;
    if (choice.slots == 0) {
        pmi_logf(log_of(job), PM_LOG_INFO,
                 "strategy threads: a cluster is configured, but no worker has been heard of");
        return PM_OK;
    }
    pmi_logf(log_of(job), PM_LOG_INFO,
             "strategy %s: recording is estimated at %.1f s by %u threads here, %.1f s by %zu slots of %zu workers",
             choice.on_cluster ? "cluster" : "threads", choice.here, job->request.threads, choice.there, choice.slots,
             choice.workers);
    return PM_OK;
}

/* Whoever did not ask for the cluster does not wait for it. */
static pm_status open_in_passing(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    PM_TRY(cli_cluster_limit(&job->cluster, ASKING_SECONDS, err));
    return cli_cluster_open_producer(&job->cluster, o->no_cache, o->cache_dir, o->cache_limit, err);
}

pm_status cli_job_choose(cli_job *job, size_t min_size, bool *chosen, pm_error *err) {
    *chosen = false;
    if (!cli_cluster_is_configured(&job->cluster) || pm_graph_n_vertices(job->graph) < min_size) {
        return PM_OK;
    }
    PM_TRY(cli_job_split(job, err));
    if (pmi_choice_most_seconds(&job->analysis) / job->request.threads < PM_WORTH_ASKING_SECONDS) {
        return PM_OK;
    }
    pm_error why = {0};
    pm_status st = open_in_passing(job, &why);
    if (st == PM_OK) {
        PM_TRY(cli_job_classify(job, err));
        st = cli_cluster_limit(&job->cluster, ASKING_SECONDS, &why);
        st = st == PM_OK ? ask_cluster(job, chosen, &why) : st;
    }
    if (st != PM_OK) {
        pmi_logf(log_of(job), PM_LOG_WARNING, "strategy threads: a cluster is configured, but cannot be used: %s",
                 why.text);
    }
    return cli_cluster_limit(&job->cluster, *chosen ? (double)job->options.timeout : 0, err);
}
