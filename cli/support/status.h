/* What `status` shows, gathered at one moment. */
#ifndef PM_CLI_STATUS_H
#define PM_CLI_STATUS_H

#include "support/cluster.h"
#include "units/dead_letters.h"
#include "units/job_state.h"

typedef struct cli_running_view {
    uint8_t unit[PM_DIGEST_BYTES], job[PM_DIGEST_BYTES];
    char kind[16];
    uint64_t pid, attempt, item, items;
    double since;
} cli_running_view;

typedef struct cli_worker_view {
    char id[CLI_CLIENT_TEXT], version[32], state[16];
    double started, time;
    uint64_t slots, partitions, done, failed, recorded, known, resident;
    cli_running_view *running;
    size_t n_running;
} cli_worker_view;

/* All-zero is empty; free with cli_status_free. Where a server could not be asked, its status says so and what it would
 * have told is empty. */
typedef struct cli_status {
    pm_status redis_st, kafka_st;
    pm_error redis_err, kafka_err;
    pm_job_view *jobs;
    size_t n_jobs;
    cli_worker_view *workers;
    size_t n_workers, worker_capacity;
    pm_lag *lags; /* of each partition; NULL: not known */
    size_t n_partitions;
    size_t n_dead;
    double now; /* by Redis's clock, as all times are that come from it; this machine's where Redis is away */
} cli_status;

/* What is kept from one look to the next. */
typedef struct cli_status_source {
    cli_cluster *cluster;
    const uint8_t *job;      /* PM_DIGEST_BYTES: that one; NULL: the newest `max` */
    size_t max, max_units;   /* open units of the one job that are looked at closely */
    pm_kafka_health *health; /* of rk, which may outlive us */
    rd_kafka_t *rk;
    pm_reader *dead;
    pm_letters letters;
} cli_status_source;

/* Never fails as a whole: errors are in the result, but for memory. */
pm_status cli_status_look(cli_status_source *source, cli_status *out, pm_error *err);
void cli_status_free(cli_status *status);
void cli_status_source_close(cli_status_source *source);

/* One job's detail follows the overview when `detail` is not NULL. */
void cli_status_text(const cli_status *status, const pm_job_view *detail, cli_out *out);
void cli_status_json(const cli_status *status, const pm_job_view *detail, cli_out *out);

#endif
