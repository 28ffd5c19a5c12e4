/* One evaluation of `run`, `submit` or `collect`: request, model, result, and the cluster's part in it. */
#ifndef PM_CLI_JOB_H
#define PM_CLI_JOB_H

#include "base/matrix.h"
#include "collector/collect.h"
#include "producer/submit.h"
#include "support/run_options.h"

/* All that one evaluation holds; zero-initialised, freed by cli_job_close. Must not move. */
typedef struct cli_job {
    cli_cluster cluster; /* its console, and its handles where the cluster is used */
    cli_run_options options;
    pm_matrix theta, times, rewards;
    pm_graph *graph;
    pm_model *model;
    pm_request request;
    cli_result result;
    pm_analysis analysis; /* of the graph, before it becomes the model */
    pm_buffer manifest;   /* of the cluster's job, encoded */
} cli_job;

/* In this order. Each returns at the first error. */
pm_status cli_job_read_numbers(cli_job *job, pm_error *err);
pm_status cli_job_load(cli_job *job, pm_error *err);    /* the graph, from its file */
pm_status cli_job_request(cli_job *job, pm_error *err); /* checks numbers against the graph, makes room for results */
void cli_job_warn_kind(cli_job *job);                   /* of a graph that may be discrete; part of cli_job_request */
/* between these two, job->model and job->result.model are set */
pm_status cli_job_evaluate(cli_job *job, pm_error *err);
pm_status cli_job_write(cli_job *job, pm_error *err);

/* Makes the model on this machine. */
pm_status cli_job_record(cli_job *job, bool on_threads, pm_error *err);

/* Model options as the command line has them; threads are 1. */
void cli_job_model_options(const cli_job *job, pm_model_options *out);

/* Closes everything; `st` and `err` are how it went. */
pm_status cli_job_close(cli_job *job, pm_status st, pm_error *err);

/* Opens Redis, the disk cache and Kafka; --timeout runs from here. Errors: PM_EUNAVAILABLE naming what is missing. */
pm_status cli_job_open_cluster(cli_job *job, pm_error *err);
/* The same without Kafka. */
pm_status cli_job_open_store(cli_job *job, pm_error *err);

/* Errors: PM_EUNAVAILABLE when no worker is alive. */
pm_status cli_job_need_workers(cli_job *job, pm_error *err);

/* Finds the classes of job->analysis. */
pm_status cli_job_classify(cli_job *job, pm_error *err);

/* Submits job->analysis. */
pm_status cli_job_submit(cli_job *job, pm_submit_report *report, pm_error *err);

/* Waits until the traces of job->analysis are there, and makes the model of them; job->manifest is set. `reader` reads
 * events from before the submission or the look at the manifest. */
pm_status cli_job_collect(cli_job *job, pm_reader *reader, pm_error *err);
/* The same without a model. */
pm_status cli_job_wait(cli_job *job, pm_reader *reader, pm_error *err);

/* pm_evaluate, or pmi_evaluate_on_cluster with --evaluate cluster. */
pm_status cli_job_evaluate_anywhere(cli_job *job, pm_reader *reader, pm_error *err);

/* Submits, collects, evaluates: --strategy cluster, and submit --wait with something to evaluate. */
pm_status cli_job_run_on_cluster(cli_job *job, pm_error *err);

/* Whether `auto` takes the cluster, which it opens where that is worth asking; says what it chose, and why. */
pm_status cli_job_choose(cli_job *job, size_t min_size, bool *chosen, pm_error *err);

#endif
