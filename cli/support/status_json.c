#include "base/clock.h"
#include "support/json_writer.h"
#include "support/status.h"

#define SHOWN 1000 /* open units of a job */

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

static void write_unit(const cli_status *status, const pm_job_view *job, const pm_unit_view *unit, cli_json *j) {
    char state[CLI_CLIENT_TEXT + 16];
    cli_unit_state(status, job, unit, state, sizeof state);
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

static void write_open_units(const cli_status *status, const pm_job_view *job, cli_json *j) {
    size_t shown = 0;
    open_key(j, "open_units", '[');
    for (size_t i = 0; i < job->n_units && shown < SHOWN; i++) {
        if (job->units[i].missing > 0) {
            write_unit(status, job, &job->units[i], j);
            shown++;
        }
    }
    cli_json_close(j, ']');
}

static void write_job(const cli_status *status, const pm_job_view *job, bool is_detailed, cli_json *j) {
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
        write_open_units(status, job, j);
    }
    cli_json_close(j, '}');
}

static void write_running(const cli_running_view *r, double now, cli_json *j) {
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

static void write_worker(const cli_worker_view *worker, double now, cli_json *j) {
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
        write_running(&worker->running[i], now, j);
    }
    cli_json_close(j, ']');
    cli_json_close(j, '}');
}

static void write_redis(const cli_status *status, const pm_job_view *detail, cli_json *j) {
    double now = status->now;
    open_key(j, "jobs", '[');
    for (size_t i = 0; i < status->n_jobs; i++) {
        write_job(status, &status->jobs[i], &status->jobs[i] == detail, j);
    }
    cli_json_close(j, ']');
    open_key(j, "workers", '[');
    for (size_t i = 0; i < status->n_workers; i++) {
        write_worker(&status->workers[i], now, j);
    }
    cli_json_close(j, ']');
    cli_json_text(cli_json_key(j, "redis_error"), status->redis_st == PM_OK ? NULL : status->redis_err.text);
}

static void write_kafka(const cli_status *status, cli_json *j) {
    uint64_t total = 0;
    open_key(j, "partitions", '[');
    for (size_t i = 0; i < status->n_partitions; i++) {
        const pm_lag *lag = &status->lags[i];
        total += cli_lag_of(lag);
        cli_json_open(j, '{');
        cli_json_count(cli_json_key(j, "partition"), i);
        put_offset(j, "committed", lag->committed);
        put_offset(j, "low", lag->low);
        put_offset(j, "high", lag->high);
        cli_json_count(cli_json_key(j, "lag"), cli_lag_of(lag));
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
    write_redis(status, detail, &j);
    write_kafka(status, &j);
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}
