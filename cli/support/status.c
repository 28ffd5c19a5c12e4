#include "support/status.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "support/json_writer.h"
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
    PM_TRY(PM_GROW(&status->workers, &status->worker_capacity, status->n_workers + 1, "workers", err));
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
    PM_THEN(st, PM_ZEROS(&out->jobs, n, "jobs", err));
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
    pmi_reader_close(source->dead);
    if (source->rk == NULL || pmi_kafka_destroy(source->rk, 0, DESTROY_SECONDS, &source->cluster->console.log)) {
        free(source->health);
    }
    pmi_letters_free(&source->letters);
}

/* Units of a partition that are not committed. */
static uint64_t lag_of(const pm_lag *lag) {
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

/* The unit's place in words ("running on WORKER", "queued") into `text`. */
static void unit_state(const cli_status *status, const pm_job_view *job, const pm_unit_view *unit, char *text,
                       size_t n) {
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

/* ---- as text ---- */

#define SHORT 12 /* digits of an id */
#define SHOWN 20 /* units of a job, partitions with lag */
#define MIB 0x1p20

static const char *short_id(const uint8_t digest[PM_DIGEST_BYTES], char hex[PM_DIGEST_HEX]) {
    pmi_hex(digest, hex);
    hex[SHORT] = '\0';
    return hex;
}

static void write_job(const pm_job_view *job, cli_out *out) {
    char hex[PM_DIGEST_HEX], when[PM_TIME_TEXT], done[48];
    pmi_time_text(job->created, when);
    snprintf(done, sizeof done, "%llu/%llu", (unsigned long long)(job->items - job->missing),
             (unsigned long long)job->items);
    cli_out_format(out, "%s  %-10s  %15s  %6zu  %.19s  %.100s\n", short_id(job->job, hex), pmi_job_state(job), done,
                   job->n_units, when, job->source);
    if (job->fault[0] != '\0') {
        cli_out_format(out, "    %s; submit its graph again\n", job->fault);
    }
}

static void write_jobs(const cli_status *status, cli_out *out) {
    if (status->n_jobs == 0) {
        cli_out_text(out, "no jobs\n");
        return;
    }
    cli_out_format(out, "%-12s  %-10s  %15s  %6s  %-19s  %s\n", "job", "state", "done/items", "units", "submitted",
                   "source");
    for (size_t i = 0; i < status->n_jobs; i++) {
        write_job(&status->jobs[i], out);
    }
}

static void write_worker(const cli_worker_view *worker, double now, cli_out *out) {
    char hex[PM_DIGEST_HEX], job[PM_DIGEST_HEX];
    cli_out_format(out, "%-32s  %-9s  %3zu/%-3llu  %4llu  %8llu  %6llu  %7.0f  %8.0f\n", worker->id, worker->state,
                   worker->n_running, (unsigned long long)worker->slots, (unsigned long long)worker->partitions,
                   (unsigned long long)worker->done, (unsigned long long)worker->failed, (double)worker->resident / MIB,
                   now - worker->started);
    for (size_t i = 0; i < worker->n_running; i++) {
        const cli_running_view *r = &worker->running[i];
        cli_out_format(out, "    unit %s of job %s: %s, item %llu of %llu, attempt %llu, %.0f s, pid %llu\n",
                       short_id(r->unit, hex), short_id(r->job, job), r->kind, (unsigned long long)r->item,
                       (unsigned long long)r->items, (unsigned long long)r->attempt, now - r->since,
                       (unsigned long long)r->pid);
    }
}

static void write_workers(const cli_status *status, cli_out *out) {
    if (status->n_workers == 0) {
        cli_out_text(out, "no workers\n");
        return;
    }
    double now = status->now;
    cli_out_format(out, "%-32s  %-9s  %7s  %4s  %8s  %6s  %7s  %8s\n", "worker", "state", "slots", "part", "done",
                   "failed", "MiB", "seconds");
    for (size_t i = 0; i < status->n_workers; i++) {
        write_worker(&status->workers[i], now, out);
    }
}

static void write_lag(const cli_status *status, cli_out *out) {
    uint64_t total = 0;
    size_t shown = 0, behind = 0;
    if (status->n_partitions == 0) {
        cli_out_text(out, "no topics yet: the first submit makes them\n");
        return;
    }
    for (size_t i = 0; i < status->n_partitions; i++) {
        uint64_t lag = lag_of(&status->lags[i]);
        total += lag;
        behind += lag > 0;
    }
    cli_out_format(out, "lag %llu units in %zu of %zu partitions", (unsigned long long)total, behind,
                   status->n_partitions);
    for (size_t i = 0; i < status->n_partitions && shown < SHOWN; i++) {
        uint64_t lag = lag_of(&status->lags[i]);
        if (lag > 0) {
            cli_out_format(out, "%s %zu:%llu", shown == 0 ? ":" : "", i, (unsigned long long)lag);
            shown++;
        }
    }
    cli_out_text(out, behind > shown ? " ...\n" : "\n");
    cli_out_format(out, "dead letters %zu\n", status->n_dead);
}

static void write_unit(const cli_status *status, const pm_job_view *job, const pm_unit_view *unit, cli_out *out) {
    char hex[PM_DIGEST_HEX], state[CLI_CLIENT_TEXT + 16], place[48];
    unit_state(status, job, unit, state, sizeof state);
    snprintf(place, sizeof place, "%llu/%lld", (unsigned long long)unit->partition, (long long)unit->offset);
    cli_out_format(out, "  %s  %-8s  %7zu/%-7zu  %14s  %5llu  %6llu  %s\n", short_id(unit->unit, hex), unit->kind,
                   unit->items - unit->missing, unit->items, place, (unsigned long long)unit->begun,
                   (unsigned long long)unit->faults, state);
}

static void write_detail(const cli_status *status, const pm_job_view *job, cli_out *out) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(job->job, hex);
    cli_out_format(out, "\njob %s\n  %s, %llu states, %llu items of which %llu were known when it was submitted\n", hex,
                   pmi_job_state(job), (unsigned long long)job->states, (unsigned long long)job->items,
                   (unsigned long long)job->known);
    if (job->slices > 0) {
        cli_out_format(out, "  slices of evaluations: %llu of %llu done\n",
                       (unsigned long long)(job->slices - job->slices_missing), (unsigned long long)job->slices);
    }
    if (job->has_failed) {
        cli_out_text(out, "  failed: ");
        cli_out_text(out, job->failure);
        cli_out_format(out, "\n    %s\n", job->failure_place);
    }
    if (job->n_open > 0) {
        cli_out_format(out, "  %-12s  %-8s  %15s  %14s  %5s  %6s  %s\n", "open unit", "kind", "done/items",
                       "part/offset", "begun", "faults", "state");
    }
    size_t shown = 0;
    for (size_t i = 0; i < job->n_units && shown < SHOWN; i++) {
        if (job->units[i].missing > 0) {
            write_unit(status, job, &job->units[i], out);
            shown++;
        }
    }
    if (job->n_open > shown) {
        cli_out_format(out, "  and %zu more\n", job->n_open - shown);
    }
}

static void write_fault(const char *what, const pm_error *err, cli_out *out) {
    cli_out_format(out, "%s: ", what);
    cli_out_shown(out, err->text);
    cli_out_text(out, "\n");
}

void cli_status_text(const cli_status *status, const pm_job_view *detail, cli_out *out) {
    if (status->redis_st != PM_OK) {
        write_fault("jobs and workers", &status->redis_err, out);
    } else {
        write_jobs(status, out);
        cli_out_text(out, "\n");
        write_workers(status, out);
    }
    cli_out_text(out, "\n");
    if (status->kafka_st != PM_OK) {
        write_fault("lag and dead letters", &status->kafka_err, out);
    } else {
        write_lag(status, out);
    }
    if (detail != NULL) {
        write_detail(status, detail, out);
    }
}

/* ---- as JSON ---- */

#define SHOWN_JSON 1000 /* open units of a job */

static void put_digest(cli_json *j, const char *key, const uint8_t digest[PM_DIGEST_BYTES]) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(digest, hex);
    cli_json_text(cli_json_key(j, key), hex);
}

static void put_time(cli_json *j, const char *key, double time) {
    char text[PM_TIME_TEXT];
    pmi_time_text(time, text);
    cli_json_text(cli_json_key(j, key), text);
}

static void put_offset(cli_json *j, const char *key, int64_t offset) {
    cli_json_key(j, key);
    if (offset < 0) {
        cli_json_text(j, NULL);
    } else {
        cli_json_count(j, (uint64_t)offset);
    }
}

static void open_key(cli_json *j, const char *key, char bracket) {
    cli_json_open(cli_json_key(j, key), bracket);
}

static void put_unit(const cli_status *status, const pm_job_view *job, const pm_unit_view *unit, cli_json *j) {
    char state[CLI_CLIENT_TEXT + 16];
    unit_state(status, job, unit, state, sizeof state);
    cli_json_open(j, '{');
    put_digest(j, "unit", unit->unit);
    cli_json_text(cli_json_key(j, "kind"), unit->kind);
    cli_json_text(cli_json_key(j, "state"), state);
    cli_json_count(cli_json_key(j, "items"), unit->items);
    cli_json_count(cli_json_key(j, "missing"), unit->missing);
    cli_json_count(cli_json_key(j, "partition"), unit->partition);
    put_offset(j, "offset", unit->offset);
    cli_json_count(cli_json_key(j, "begun"), unit->begun);
    cli_json_count(cli_json_key(j, "faults"), unit->faults);
    cli_json_close(j, '}');
}

static void put_open_units(const cli_status *status, const pm_job_view *job, cli_json *j) {
    size_t shown = 0;
    open_key(j, "open_units", '[');
    for (size_t i = 0; i < job->n_units && shown < SHOWN_JSON; i++) {
        if (job->units[i].missing > 0) {
            put_unit(status, job, &job->units[i], j);
            shown++;
        }
    }
    cli_json_close(j, ']');
}

static void put_job(const cli_status *status, const pm_job_view *job, bool is_detailed, cli_json *j) {
    cli_json_open(j, '{');
    put_digest(j, "job", job->job);
    cli_json_text(cli_json_key(j, "state"), pmi_job_state(job));
    cli_json_text(cli_json_key(j, "kind"), job->kind);
    cli_json_text(cli_json_key(j, "source"), job->source);
    put_time(j, "submitted", job->created);
    cli_json_count(cli_json_key(j, "states"), job->states);
    cli_json_count(cli_json_key(j, "items"), job->items);
    cli_json_count(cli_json_key(j, "done"), job->items - job->missing);
    cli_json_count(cli_json_key(j, "known"), job->known);
    cli_json_count(cli_json_key(j, "slices"), job->slices);
    cli_json_count(cli_json_key(j, "slices_done"), job->slices - job->slices_missing);
    cli_json_count(cli_json_key(j, "units"), job->n_units);
    cli_json_count(cli_json_key(j, "units_open"), job->n_open);
    cli_json_bool(cli_json_key(j, "counted"), job->is_counted);
    cli_json_text(cli_json_key(j, "fault"), job->fault[0] != '\0' ? job->fault : NULL);
    cli_json_text(cli_json_key(j, "failure"), job->has_failed ? job->failure : NULL);
    cli_json_text(cli_json_key(j, "failed_unit"), job->has_failed ? job->failure_place : NULL);
    if (is_detailed) {
        put_open_units(status, job, j);
    }
    cli_json_close(j, '}');
}

static void put_running(const cli_running_view *r, double now, cli_json *j) {
    cli_json_open(j, '{');
    put_digest(j, "unit", r->unit);
    put_digest(j, "job", r->job);
    cli_json_text(cli_json_key(j, "kind"), r->kind);
    cli_json_count(cli_json_key(j, "item"), r->item);
    cli_json_count(cli_json_key(j, "items"), r->items);
    cli_json_count(cli_json_key(j, "attempt"), r->attempt);
    cli_json_count(cli_json_key(j, "pid"), r->pid);
    cli_json_number(cli_json_key(j, "seconds"), now - r->since);
    cli_json_close(j, '}');
}

static void put_worker(const cli_worker_view *worker, double now, cli_json *j) {
    cli_json_open(j, '{');
    cli_json_text(cli_json_key(j, "worker"), worker->id);
    cli_json_text(cli_json_key(j, "state"), worker->state);
    cli_json_text(cli_json_key(j, "version"), worker->version);
    put_time(j, "started", worker->started);
    cli_json_count(cli_json_key(j, "slots"), worker->slots);
    cli_json_count(cli_json_key(j, "partitions"), worker->partitions);
    cli_json_count(cli_json_key(j, "done"), worker->done);
    cli_json_count(cli_json_key(j, "failed"), worker->failed);
    cli_json_count(cli_json_key(j, "recorded"), worker->recorded);
    cli_json_count(cli_json_key(j, "known"), worker->known);
    cli_json_count(cli_json_key(j, "resident_bytes"), worker->resident);
    open_key(j, "running", '[');
    for (size_t i = 0; i < worker->n_running; i++) {
        put_running(&worker->running[i], now, j);
    }
    cli_json_close(j, ']');
    cli_json_close(j, '}');
}

static void put_redis(const cli_status *status, const pm_job_view *detail, cli_json *j) {
    double now = status->now;
    open_key(j, "jobs", '[');
    for (size_t i = 0; i < status->n_jobs; i++) {
        put_job(status, &status->jobs[i], &status->jobs[i] == detail, j);
    }
    cli_json_close(j, ']');
    open_key(j, "workers", '[');
    for (size_t i = 0; i < status->n_workers; i++) {
        put_worker(&status->workers[i], now, j);
    }
    cli_json_close(j, ']');
    cli_json_text(cli_json_key(j, "redis_error"), status->redis_st == PM_OK ? NULL : status->redis_err.text);
}

static void put_kafka(const cli_status *status, cli_json *j) {
    uint64_t total = 0;
    open_key(j, "partitions", '[');
    for (size_t i = 0; i < status->n_partitions; i++) {
        const pm_lag *lag = &status->lags[i];
        total += lag_of(lag);
        cli_json_open(j, '{');
        cli_json_count(cli_json_key(j, "partition"), i);
        put_offset(j, "committed", lag->committed);
        put_offset(j, "low", lag->low);
        put_offset(j, "high", lag->high);
        cli_json_count(cli_json_key(j, "lag"), lag_of(lag));
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
    cli_json_count(cli_json_key(j, "lag"), total);
    cli_json_count(cli_json_key(j, "dead_letters"), status->n_dead);
    cli_json_text(cli_json_key(j, "kafka_error"), status->kafka_st == PM_OK ? NULL : status->kafka_err.text);
}

void cli_status_json(const cli_status *status, const pm_job_view *detail, cli_out *out) {
    cli_json j = {.out = out};
    cli_json_open(&j, '{');
    put_time(&j, "time", status->now);
    put_redis(status, detail, &j);
    put_kafka(status, &j);
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}
