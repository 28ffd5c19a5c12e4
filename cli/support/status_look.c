#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/retry.h"
#include "base/utf8.h"
#include "support/status.h"
#include "units/in_flight.h"

#define REACH_SECONDS 5.0
#define DESTROY_SECONDS 0.5
#define LAG_SECONDS 10.0
#define METADATA_SECONDS 5.0
#define SETTLE_SECONDS 5.0

/* ---- workers ----------------------------------------------------------------------------------------- */

static void copy_text(pm_span span, char *text, size_t n) {
    pmi_span_text(span, text, n);
    pmi_utf8_mend(text);
}

static pm_status copy_running(const pm_worker_message *message, cli_worker_view *worker, pm_error *err) {
    const pm_running_unit *units = message->units.items;
    PM_TRY(PM_ZEROS(&worker->running, message->units.count, "units of a worker", err));
    worker->n_running = message->units.count;
    for (size_t i = 0; i < worker->n_running; i++) {
        cli_running_view *r = &worker->running[i];
        *r = (cli_running_view){.pid = units[i].pid,
                                .attempt = units[i].attempt,
                                .item = units[i].item,
                                .items = units[i].items,
                                .since = units[i].since};
        memcpy(r->unit, units[i].unit, PM_DIGEST_BYTES);
        memcpy(r->job, units[i].job, PM_DIGEST_BYTES);
        copy_text(units[i].kind, r->kind, sizeof r->kind);
    }
    return PM_OK;
}

static pm_status see_worker(void *ctx, const pm_worker_message *message, pm_error *err) {
    cli_status *status = ctx;
    if (!pmi_reserve((void **)&status->workers, &status->worker_capacity, status->n_workers + 1,
                     sizeof *status->workers)) {
        return pmi_fail_memory(err, "workers", (status->n_workers + 1) * sizeof *status->workers);
    }
    cli_worker_view *worker = &status->workers[status->n_workers++];
    *worker = (cli_worker_view){.started = message->started,
                                .time = message->time,
                                .slots = message->slots,
                                .partitions = message->partitions.size / sizeof(uint32_t),
                                .done = message->done,
                                .failed = message->failed,
                                .recorded = message->recorded,
                                .known = message->known,
                                .resident = message->resident};
    copy_text(message->id, worker->id, sizeof worker->id);
    copy_text(message->version, worker->version, sizeof worker->version);
    copy_text(message->state, worker->state, sizeof worker->state);
    return copy_running(message, worker, err);
}

/* ---- jobs -------------------------------------------------------------------------------------------- */

static pm_status look_at_one(cli_status_source *source, cli_status *out, pm_error *err) {
    bool found;
    pm_redis *redis = source->cluster->redis;
    pm_status st = pmi_job_look(redis, source->job, &out->jobs[0], &found, err);
    if (st == PM_OK && found) {
        out->n_jobs = 1;
        st = pmi_job_look_closer(redis, &out->jobs[0], source->max_units, err);
    } else {
        pmi_job_view_free(&out->jobs[0]);
    }
    return st;
}

static pm_status look_at_jobs(cli_status_source *source, cli_status *out, pm_error *err) {
    pm_redis *redis = source->cluster->redis;
    uint8_t(*jobs)[PM_DIGEST_BYTES] = NULL;
    size_t n = 1;
    pm_status st = source->job != NULL ? PM_OK : pmi_board_jobs(redis, source->max, &jobs, &n, err);
    if (st == PM_OK) {
        out->jobs = pmi_calloc(n, sizeof *out->jobs);
        st = out->jobs != NULL ? PM_OK : pmi_fail_memory(err, "jobs", n * sizeof *out->jobs);
    }
    PM_THEN(st, source->job != NULL
                    ? look_at_one(source, out, err)
                    : pmi_jobs_glance(redis, (const uint8_t(*)[PM_DIGEST_BYTES])jobs, n, out->jobs, &out->n_jobs, err));
    free(jobs);
    return st;
}

/* Half of the time is for Redis, so that Kafka is asked when Redis does not answer. */
static pm_status look_at_redis(cli_status_source *source, cli_status *out, pm_error *err) {
    cli_cluster *c = source->cluster;
    cli_cluster_waits_for(c, "Redis");
    pmi_redis_set_deadline(c->redis, (c->deadline.begun + c->deadline.at) / 2);
    PM_TRY(pmi_redis_see_key(c->redis, err));
    PM_TRY(pmi_redis_now(c->redis, &out->now, err));
    PM_TRY(look_at_jobs(source, out, err));
    return pmi_board_workers(c->redis, see_worker, out, err);
}

/* ---- Kafka ------------------------------------------------------------------------------------------- */

static pm_status open_kafka(cli_status_source *source, pm_error *err) {
    cli_cluster *c = source->cluster;
    pm_status st = PM_OK;
    if (source->rk == NULL) {
        free(source->health);
        PM_TRY(PM_ZEROS(&source->health, 1, "the health of a handle", err));
        source->health->log = &c->console.log;
        st = pmi_kafka_new(&c->kafka, RD_KAFKA_PRODUCER, NULL, NULL, source->health, &source->rk, err);
    }
    PM_TRY(st);
    return pmi_kafka_reach(source->rk, &c->kafka, source->health, pmi_deadline_within(&c->deadline, REACH_SECONDS, 0.1),
                           err);
}

/* Partitions of each topic; 0 of one that is not there yet. */
static pm_status count_partitions(cli_status_source *source, size_t counts[PM_N_TOPICS], pm_error *err) {
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(source->rk, 1, NULL, &metadata,
                          (int)(1e3 * pmi_deadline_within(&source->cluster->deadline, METADATA_SECONDS, 0.1)));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return pmi_fail(err, PM_ETEMPORARY, "the list of topics: %s", rd_kafka_err2str(code));
    }
    for (pm_topic topic = 0; topic < PM_N_TOPICS; topic++) {
        char name[PM_TOPIC_NAME];
        pmi_topic_name(&source->cluster->kafka, topic, name);
        counts[topic] = 0;
        for (int i = 0; i < metadata->topic_cnt; i++) {
            if (strcmp(metadata->topics[i].topic, name) == 0) {
                counts[topic] = (size_t)metadata->topics[i].partition_cnt;
            }
        }
    }
    rd_kafka_metadata_destroy(metadata);
    return PM_OK;
}

static pm_status look_at_lag(cli_status_source *source, size_t n, cli_status *out, pm_error *err) {
    free(out->lags);
    out->n_partitions = 0;
    PM_TRY(PM_ZEROS(&out->lags, n, "lags of partitions", err));
    pm_status st = n == 0 ? PM_OK
                          : pmi_group_lag(source->rk, &source->cluster->kafka, n, out->lags,
                                          pmi_deadline_within(&source->cluster->deadline, LAG_SECONDS, 0.1), err);
    if (st != PM_OK) {
        free(out->lags);
        out->lags = NULL;
    }
    out->n_partitions = st == PM_OK ? n : 0;
    return st;
}

static pm_status look_at_letters(cli_status_source *source, cli_status *out, pm_error *err) {
    cli_cluster *c = source->cluster;
    if (source->dead == NULL) {
        PM_TRY(cli_cluster_open_reader(c, PM_TOPIC_DEAD, true, &source->dead, err));
    }
    pm_status st = pmi_letters_read(&source->letters, source->dead, &c->deadline, err);
    out->n_dead = source->letters.n;
    return st;
}

static pm_status try_kafka(cli_status_source *source, cli_status *out, pm_error *err) {
    size_t counts[PM_N_TOPICS];
    pm_status st = count_partitions(source, counts, err);
    PM_THEN(st, look_at_lag(source, counts[PM_TOPIC_UNITS], out, err));
    return st == PM_OK && counts[PM_TOPIC_DEAD] > 0 ? look_at_letters(source, out, err) : st;
}

/* A topic that was made a moment ago has no leader yet, and one that moves has none for a while. */
static pm_status look_at_kafka(cli_status_source *source, cli_status *out, pm_error *err) {
    const struct timespec pause = {.tv_nsec = 200000000};
    cli_cluster_waits_for(source->cluster, "Kafka");
    PM_TRY(open_kafka(source, err));
    double until = pmi_seconds() + pmi_deadline_within(&source->cluster->deadline, SETTLE_SECONDS, 0);
    pm_status st = try_kafka(source, out, err);
    while (pmi_is_transient(st) && pmi_seconds() < until && !cli_cluster_is_stopped(source->cluster)) {
        nanosleep(&pause, NULL);
        st = try_kafka(source, out, err);
    }
    return st;
}

/* ---- all --------------------------------------------------------------------------------------------- */

pm_status cli_status_look(cli_status_source *source, cli_status *out, pm_error *err) {
    *out = (cli_status){.now = pmi_now()};
    out->redis_st = look_at_redis(source, out, &out->redis_err);
    out->kafka_st = look_at_kafka(source, out, &out->kafka_err);
    bool is_out_of_memory = out->redis_st == PM_EOSERR || out->kafka_st == PM_EOSERR;
    return is_out_of_memory ? pmi_fail(err, PM_EOSERR, "status: out of memory") : PM_OK;
}

void cli_status_free(cli_status *status) {
    for (size_t i = 0; i < status->n_jobs; i++) {
        pmi_job_view_free(&status->jobs[i]);
    }
    for (size_t i = 0; i < status->n_workers; i++) {
        free(status->workers[i].running);
    }
    free(status->jobs);
    free(status->workers);
    free(status->lags);
    *status = (cli_status){0};
}

void cli_status_source_close(cli_status_source *source) {
    if (source->dead != NULL) {
        pmi_reader_close(source->dead);
    }
    if (source->rk == NULL || pmi_kafka_destroy(source->rk, 0, DESTROY_SECONDS, &source->cluster->console.log)) {
        free(source->health);
    }
    pmi_letters_free(&source->letters);
}

uint64_t cli_lag_of(const pm_lag *lag) {
    int64_t from = lag->committed > lag->low ? lag->committed : lag->low;
    return lag->high > from ? (uint64_t)(lag->high - from) : 0;
}

static const cli_worker_view *find_worker(const cli_status *status, const uint8_t unit[PM_DIGEST_BYTES]) {
    for (size_t w = 0; w < status->n_workers; w++) {
        for (size_t i = 0; i < status->workers[w].n_running; i++) {
            if (memcmp(status->workers[w].running[i].unit, unit, PM_DIGEST_BYTES) == 0) {
                return &status->workers[w];
            }
        }
    }
    return NULL;
}

void cli_unit_state(const cli_status *status, const pm_job_view *job, const pm_unit_view *unit, char *text, size_t n) {
    static const char *const names[] = {[PM_UNIT_SENDING] = "being sent",
                                        [PM_UNIT_UNKNOWN] = "unknown",
                                        [PM_UNIT_EXPIRED] = "expired",
                                        [PM_UNIT_QUEUED] = "queued",
                                        [PM_UNIT_LOST] = "lost"};
    const cli_worker_view *worker = find_worker(status, unit->unit);
    pm_unit_signs signs = {.offset = unit->offset,
                           .partition = unit->partition,
                           .since = status->now - unit->time,
                           .has_ended = unit->has_ended,
                           .is_running = worker != NULL,
                           .lags = status->lags,
                           .n_lags = status->n_partitions};
    pm_unit_place place = pmi_unit_find(&signs);
    if (place == PM_UNIT_ENDED) {
        snprintf(text, n, "%s", job->has_failed ? "failed" : "ended");
    } else if (place == PM_UNIT_RUNNING) {
        snprintf(text, n, "running on %s", worker->id);
    } else {
        snprintf(text, n, "%s", names[place]);
    }
}
