#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "support/status.h"

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
        uint64_t lag = cli_lag_of(&status->lags[i]);
        total += lag;
        behind += lag > 0;
    }
    cli_out_format(out, "lag %llu units in %zu of %zu partitions", (unsigned long long)total, behind,
                   status->n_partitions);
    for (size_t i = 0; i < status->n_partitions && shown < SHOWN; i++) {
        uint64_t lag = cli_lag_of(&status->lags[i]);
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
    cli_unit_state(status, job, unit, state, sizeof state);
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
