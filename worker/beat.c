/* The heartbeat: what the worker does, for operators and collectors; and what it hears back: cancelled jobs. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/machine.h"
#include "worker/state.h"

#define BEAT_SECONDS 2.0
#define BEAT_PARTITIONS 4096

static const char *state_of(const pm_worker *w) {
    if (w->is_leaving) {
        return "draining";
    }
    bool is_out = w->was_unfit && !pmi_taker_is_joined(w->taker);
    if (!w->link.is_up || is_out || pmi_taker_health(w->taker)->is_away) {
        return "waiting";
    }
    return w->has_owned ? "running" : "starting";
}

static uint64_t resident(const pm_worker *w) {
    uint64_t bytes = pmi_resident_bytes(getpid()) + pmi_resident_bytes(pmi_spawner_pid(w->slots.spawner));
    for (size_t i = 0; i < w->slots.n; i++) {
        bytes += w->slots.slots[i].pid > 0 ? pmi_resident_bytes(w->slots.slots[i].pid) : 0;
    }
    return bytes;
}

static size_t list_running(const pm_worker *w, pm_running_unit *units) {
    size_t n = 0;
    for (size_t i = 0; i < w->slots.n; i++) {
        const pm_slot *slot = &w->slots.slots[i];
        if (slot->state == PM_SLOT_BUSY) {
            const pm_held *h = slot->unit;
            pm_running_unit *u = &units[n++];
            *u = (pm_running_unit){.kind = pmi_span_of(h->unit_headers.kind),
                                   .pid = (uint64_t)slot->pid,
                                   .attempt = h->attempt.begun,
                                   .item = atomic_load(&w->slots.pages[i].item),
                                   .items = atomic_load(&w->slots.pages[i].items),
                                   .since = h->since};
            memcpy(u->unit, h->unit_headers.unit, PM_DIGEST_BYTES);
            memcpy(u->job, h->unit_headers.job, PM_DIGEST_BYTES);
        }
    }
    return n;
}

static pm_status write_beat(pm_worker *w, pm_error *err) {
    pm_running_unit *units = pmi_calloc(w->slots.n, sizeof *units);
    uint32_t *partitions = pmi_calloc(BEAT_PARTITIONS, sizeof *partitions);
    pm_status st = PM_OK;
    if (units == NULL || partitions == NULL) {
        st = pmi_fail_memory(err, "a heartbeat", w->slots.n * sizeof *units + BEAT_PARTITIONS * sizeof *partitions);
    } else {
        size_t n = list_running(w, units);
        size_t owned = pmi_taker_partitions(w->taker, partitions, BEAT_PARTITIONS);
        pm_worker_message message = {.id = pmi_span_of(w->options->id),
                                     .host = pmi_span_of(w->host),
                                     .version = pmi_span_of(PM_VERSION),
                                     .pid = (uint64_t)getpid(),
                                     .state = pmi_span_of(state_of(w)),
                                     .started = w->started,
                                     .time = pmi_now(),
                                     .slots = w->slots.n,
                                     .units = {units, n},
                                     .partitions =
                                         pmi_u32s(partitions, owned < BEAT_PARTITIONS ? owned : BEAT_PARTITIONS),
                                     .done = w->done,
                                     .failed = w->failed,
                                     .recorded = w->recorded,
                                     .known = w->known,
                                     .resident = resident(w)};
        st = pmi_board_beat(w->redis, &message, err);
    }
    free(partitions);
    free(units);
    return st;
}

static void cancel(pm_worker *w, pm_held *h) {
    pm_error err = {0};
    if (h->step == PM_STEP_READY) {
        h->step = PM_STEP_CANCELLED;
    } else if (h->step == PM_STEP_RUNNING) {
        h->is_cancelled = true;
        if (pmi_slots_dismiss(&w->slots, h, &err) != PM_OK) {
            w->fatal = err;
        }
    }
}

static pm_status look_for_cancelled(pm_worker *w, pm_error *err) {
    if (w->n_held == 0) {
        return PM_OK;
    }
    pm_digest *jobs = pmi_calloc(w->n_held, sizeof *jobs);
    bool *cancelled = pmi_calloc(w->n_held, sizeof *cancelled);
    pm_status st = PM_OK;
    if (jobs == NULL || cancelled == NULL) {
        st = pmi_fail_memory(err, "the jobs in hand", w->n_held * (sizeof *jobs + sizeof *cancelled));
    } else {
        for (size_t i = 0; i < w->n_held; i++) {
            memcpy(jobs[i], w->held[i]->unit_headers.job, PM_DIGEST_BYTES);
        }
        st = pmi_redis_exist(w->redis, PM_SPACE_CANCELLED, (const pm_digest *)jobs, w->n_held, false, cancelled, err);
    }
    for (size_t i = 0; st == PM_OK && i < w->n_held; i++) {
        if (cancelled[i]) {
            cancel(w, w->held[i]);
        }
    }
    free(cancelled);
    free(jobs);
    return st;
}

void pmi_worker_beat(pm_worker *w, double now) {
    if (now < w->next_beat || !w->link.is_up) {
        return;
    }
    pm_error err = {0};
    w->next_beat = now + BEAT_SECONDS;
    pm_status st = write_beat(w, &err);
    if (st == PM_OK) {
        w->beaten = pmi_seconds();
        st = look_for_cancelled(w, &err);
    }
    if (st == PM_EDATA || st == PM_EOSERR || st == PM_ESOFTWARE) {
        pmi_logf(w->options->log, PM_LOG_WARNING, "no heartbeat: %s", err.text);
    } else {
        pmi_link_note(w, st, &err);
    }
}
