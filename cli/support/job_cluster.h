/* The cluster's part of an evaluation: submit, collect, evaluate there. */
#ifndef PM_CLI_JOB_CLUSTER_H
#define PM_CLI_JOB_CLUSTER_H

#include "collector/collect.h"
#include "producer/submit.h"
#include "support/job.h"

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
