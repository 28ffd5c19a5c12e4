#include "collector/watch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "units/in_flight.h"
#include "units/job_state.h"
#include "units/producer.h"

/* Between sweeps: at least, at most, and as many times what the last one took. */
#define MIN_SWEEP 1.0
#define MAX_SWEEP 5.0
#define SWEEP_SHARE 20.0
/* Sweeps in a row that must find an item unclaimed: what one reads here and there is not of one moment. */
#define STRIKES 2
/* Each time an item is sent again its sweeps double, so often: somebody takes units and does not do them. */
#define DOUBLINGS 5
#define NO_WORKER_SECONDS 10.0
#define TELL_SECONDS 10.0

typedef struct watcher {
    pm_producer *p;
    pm_reader *reader;
    const pm_watch_options *options;
    pm_watch_report *report;
    pm_item_index index;
    pm_pool pool; /* the arrays */
    bool *missing;
    uint8_t *strikes, *sent; /* of each item: sweeps that found it lost; times it was sent again */
    uint32_t *numbers;       /* scratch: n */
    pm_digest *digests;      /* scratch: n */
    bool *exist;             /* scratch: n */
    size_t n_missing;
    size_t hinted;  /* items that events have called done since the last look */
    bool is_called; /* an event says that something else happened: sweep now */
    double begun, next_sweep, workers_seen, told;
    bool is_astray; /* the warning that units go astray was given */
    bool is_alone;  /* the warning that no worker is alive was given */
    bool was_away;  /* a sweep failed: whoever was alive may not have been heard of meanwhile */
} watcher;

/* ---- are they there? ---- */

static pm_status ask(watcher *w, size_t n, pm_error *err) {
    pm_redis *redis = w->p->traces->redis;
    const pm_digest *digests = (const pm_digest *)w->digests;
    const char *space = w->options->kind->space;
    return pmi_redis_exist(redis, space != NULL ? space : PM_SPACE_OUTCOME, digests, n, space != NULL, w->exist, err);
}

static void tell_progress(const watcher *w) {
    size_t hinted = w->hinted < w->n_missing ? w->hinted : w->n_missing - (w->n_missing > 0 ? 1 : 0);
    size_t done = w->options->n_items - w->n_missing + hinted;
    pmi_log_progress(w->p->log, w->options->kind->progress, done, w->options->n_items);
}

static pm_status look_for_items(watcher *w, pm_error *err) {
    size_t n = 0;
    for (size_t i = 0; i < w->options->n_items; i++) {
        if (w->missing[i]) {
            memcpy(w->digests[n], w->options->items[i], PM_DIGEST_BYTES);
            w->numbers[n++] = (uint32_t)i;
        }
    }
    PM_TRY(n == 0 ? PM_OK : ask(w, n, err));
    for (size_t i = 0; i < n; i++) {
        w->missing[w->numbers[i]] = !w->exist[i];
        w->n_missing -= w->exist[i] ? 1 : 0;
    }
    w->hinted = 0;
    tell_progress(w);
    return PM_OK;
}

/* ---- has it failed? ---- */

static void tell_failure(const watcher *w, const pm_outcome_message *o, const char *text) {
    char topic[256], worker[256];
    pmi_span_text(o->topic, topic, sizeof topic);
    pmi_span_text(o->worker, worker, sizeof worker);
    const pm_log_field fields[] = {{"job", PM_HEX(o->job), 0},
                                   {"unit", PM_HEX(o->unit), 0},
                                   {"scc", o->scc.size == PM_DIGEST_BYTES ? PM_HEX(o->scc.bytes) : "", 0},
                                   {"attempts", NULL, (double)o->attempts},
                                   {"topic", topic, 0},
                                   {"partition", NULL, (double)o->partition},
                                   {"offset", NULL, (double)o->offset},
                                   {"worker", worker, 0}};
    pmi_log_event(w->p->log, PM_LOG_ERROR, fields, sizeof fields / sizeof *fields, "a unit failed: %s", text);
}

static pm_status fail_with(watcher *w, const pm_outcome_message *o, pm_error *err) {
    char text[PM_MAX_TEXT + 8], place[PM_OUTCOME_PLACE];
    pmi_span_text(o->error, text, sizeof text);
    pmi_outcome_place(o, place);
    memcpy(w->report->failed_unit, o->unit, PM_DIGEST_BYTES);
    w->report->failed_code = o->code;
    w->report->has_failed_unit = true;
    tell_failure(w, o, text);
    return pmi_fail(err, PM_EDATA, "%s (%s; see `phasemill dead-letters show`)", text, place);
}

/* The outcome of a unit; NULL: the job's first failure. Nonsense is removed: what lasts comes again. */
static pm_status look_at_outcome(watcher *w, const uint8_t *unit, pm_error *err) {
    pm_redis *redis = w->p->traces->redis;
    pm_outcome_message outcome;
    pm_stored note = {0};
    pm_status st = unit == NULL ? pmi_board_failure(redis, w->options->job, &outcome, &note, err)
                                : pmi_board_outcome(redis, unit, &outcome, &note, err);
    if (st == PM_EDATA) {
        pmi_logf(w->p->log, PM_LOG_WARNING, "%s; it is removed", err->text);
        return pmi_board_forgive(redis, w->options->job, unit, err);
    }
    if (st == PM_OK && note.found && outcome.code != 0 && pmi_span_is(outcome.kind, w->options->kind->name)) {
        st = fail_with(w, &outcome, err);
    }
    pmi_stored_free(&note);
    return st;
}

static pm_status look_for_failure(watcher *w, const pm_in_flight *in_flight, pm_error *err) {
    /* another evaluation of this job may have failed, which is no matter of ours */
    pm_status st = w->options->kind->fails_alone ? PM_OK : look_at_outcome(w, NULL, err);
    for (size_t i = 0; st == PM_OK && in_flight != NULL && i < in_flight->n_ended; i++) {
        st = look_at_outcome(w, in_flight->ended[i], err);
    }
    PM_TRY(st);
    bool cancelled = false;
    PM_TRY(pmi_redis_exist(w->p->traces->redis, PM_SPACE_CANCELLED, (const pm_digest *)w->options->job, 1, false,
                           &cancelled, err));
    return cancelled
               ? pmi_fail(err, PM_EDATA, "job %s was cancelled; submit it again to take it up", PM_HEX(w->options->job))
               : PM_OK;
}

/* ---- is it lost? ---- */

static void tell_workers(watcher *w, const pm_in_flight *in_flight, double now) {
    if (w->was_away) {
        w->workers_seen = now;
        w->was_away = false;
    }
    if (in_flight->workers > 0) {
        w->workers_seen = now;
        w->report->workers = in_flight->workers > w->report->workers ? in_flight->workers : w->report->workers;
        if (w->is_alone) {
            pmi_logf(w->p->log, PM_LOG_INFO, "workers are back: %zu with %zu slots", in_flight->workers,
                     in_flight->slots);
        }
        w->is_alone = false;
    } else if (!w->is_alone && now - w->workers_seen >= NO_WORKER_SECONDS) {
        pmi_logf(w->p->log, PM_LOG_WARNING,
                 "no worker has been alive for %.0f s; the job waits until one is started (`phasemill worker`)",
                 now - w->workers_seen);
        w->is_alone = true;
    }
    if (now - w->told >= TELL_SECONDS) {
        size_t done = w->options->n_items - w->n_missing;
        double elapsed = now - w->begun, rate = (double)done / elapsed;
        char left[48] = "";
        if (done > 0) {
            snprintf(left, sizeof left, ", about %.0f s left", (double)w->n_missing / rate);
        }
        pmi_logf(w->p->log, PM_LOG_INFO, "%zu of %zu items are there, %zu units to go, %zu workers with %zu slots%s",
                 done, w->options->n_items, in_flight->units, in_flight->workers, in_flight->slots, left);
        w->told = now;
    }
}

/* Numbers of the items that nobody has had for long enough, into `numbers`. */
static size_t find_lost(watcher *w, const pm_in_flight *in_flight) {
    size_t n = 0;
    for (size_t i = 0; i < w->options->n_items; i++) {
        bool is_loose = w->missing[i] && !in_flight->held[i];
        w->strikes[i] = (uint8_t)(is_loose ? w->strikes[i] + 1 : 0);
        if (w->strikes[i] >= STRIKES << w->sent[i]) {
            w->strikes[i] = 0;
            w->sent[i] = (uint8_t)(w->sent[i] < DOUBLINGS ? w->sent[i] + 1 : DOUBLINGS);
            w->numbers[n++] = (uint32_t)i;
        }
    }
    return n;
}

static pm_status send_lost(watcher *w, size_t n, pm_error *err) {
    if (n == 0 || w->options->send == NULL) {
        return PM_OK;
    }
    pmi_logf(w->p->log, PM_LOG_WARNING, "%zu items are missing and unclaimed; they are sent again", n);
    w->report->sent_again += n;
    return w->options->send(w->options->ctx, w->numbers, n, err);
}

/* ---- sweeps ---- */

/* One look at everything. *n_lost items are in `numbers`. */
static pm_status try_sweep(watcher *w, size_t *n_lost, pm_error *err) {
    *n_lost = 0;
    pm_status st = look_for_items(w, err);
    if (st != PM_OK || w->n_missing == 0) {
        return st == PM_OK && w->options->kind->space == NULL ? look_for_failure(w, NULL, err) : st;
    }
    pm_in_flight in_flight;
    PM_TRY(pmi_in_flight_look(w->p, w->options->job, w->options->kind, &w->index, w->missing, &in_flight, err));
    st = look_for_failure(w, &in_flight, err);
    if (st == PM_OK) {
        tell_workers(w, &in_flight, pmi_seconds());
        *n_lost = find_lost(w, &in_flight);
    }
    if (st == PM_OK && in_flight.workers == 0) { /* they cannot be heard of where Redis takes no heartbeats */
        st = pmi_redis_try_write(w->p->traces->redis, err);
    }
    pmi_in_flight_free(&in_flight);
    return st;
}

static double seconds_left(const watcher *w) {
    return pmi_deadline_left(&w->p->deadline);
}

static pm_status sweep(watcher *w, pm_error *err) {
    double start = pmi_seconds();
    size_t n_lost;
    pm_status st;
    w->is_called = false;
    pm_retry retry = pmi_producer_retry(w->p, "Kafka or Redis");
    do {
        st = try_sweep(w, &n_lost, err);
        w->was_away = w->was_away || pmi_is_transient(st);
    } while (pmi_retry_again(&retry, st, err));
    if (st == PM_OK && w->n_missing > 0) {
        st = send_lost(w, n_lost, err);
    }
    double now = pmi_seconds(), wait = SWEEP_SHARE * (now - start);
    w->next_sweep =
        now + (w->options->sweep_seconds > 0 ? w->options->sweep_seconds : fmin(fmax(wait, MIN_SWEEP), MAX_SWEEP));
    return st;
}

/* As many items are called done as were missing: perhaps that is all. */
static pm_status check_hints(watcher *w, pm_error *err) {
    pm_status st;
    pm_retry retry = pmi_producer_retry(w->p, "Kafka or Redis");
    do {
        st = look_for_items(w, err);
    } while (pmi_retry_again(&retry, st, err));
    return st == PM_OK && w->n_missing == 0 && w->options->kind->space == NULL ? sweep(w, err) : st;
}

/* ---- events ---- */

/* Who takes units and cannot do them says so itself; each such worker would say it again and again. */
static void tell_astray(watcher *w, const pm_event_message *event) {
    char text[PM_MAX_TEXT + 8];
    pmi_span_text(event->error, text, sizeof text);
    pmi_logf(w->p->log, w->is_astray ? PM_LOG_DEBUG : PM_LOG_WARNING, "a unit went astray: %s", text);
    w->is_astray = true;
}

static pm_status see_event(void *ctx, const pm_read_message *message, pm_error *err) {
    (void)err;
    watcher *w = ctx;
    pm_event_message event;
    pm_message_memory memory = {0};
    pm_error why = {0};
    char name[PM_SEAL_NAME];
    const pm_redis_options *redis = pmi_redis_options_of(w->p->traces->redis);
    if (pmi_sealed_decode(redis->seal, pmi_seal_event_name(redis->prefix, name), &pmi_event_type, message->value.bytes,
                          message->value.size, &event, &memory, &why) != PM_OK) {
        pmi_logf(w->p->log, PM_LOG_DEBUG, "an event at offset %lld is passed over: %s", (long long)message->offset,
                 why.text);
        return PM_OK;
    }
    if (memcmp(event.job, w->options->job, PM_DIGEST_BYTES) == 0 && pmi_span_is(event.kind, w->options->kind->name)) {
        w->report->units_seen++;
        char type[32];
        pmi_span_text(event.type, type, sizeof type);
        pmi_logf(w->p->log, PM_LOG_DEBUG, "unit %s: %s, %llu items in %.3f s", PM_HEX(event.unit), type,
                 (unsigned long long)event.items, event.seconds);
        if (pmi_span_is(event.type, "astray")) {
            tell_astray(w, &event);
        }
        if (pmi_span_is(event.type, "done")) {
            w->hinted += event.items < w->n_missing ? (size_t)event.items : w->n_missing;
        } else {
            w->is_called = true;
        }
    }
    pmi_message_memory_free(&memory);
    return PM_OK;
}

static pm_status follow_events(watcher *w, pm_error *err) {
    double wait = fmax(fmin(w->next_sweep - pmi_seconds(), seconds_left(w)), 0);
    pm_status st;
    pm_retry retry = pmi_producer_retry(w->p, "Kafka or Redis");
    do {
        st = pmi_reader_poll(w->reader, wait, see_event, w, err);
    } while (pmi_retry_again(&retry, st, err));
    PM_TRY(st);
    tell_progress(w);
    return PM_OK;
}

/* ---- all together ---- */

static pm_status give_up(const watcher *w, pm_error *err) {
    const char *job = PM_HEX(w->options->job);
    bool stopped = w->p->is_stopped != NULL && w->p->is_stopped(w->p->ctx);
    size_t workers = 0, slots = 0;
    pm_error why = {0};
    pm_status st = pmi_count_workers(w->p->traces->redis, &workers, &slots, &why);
    if (st == PM_OK && workers == 0) {
        st = pmi_redis_try_write(w->p->traces->redis, &why);
    }
    double begun = w->p->deadline.at > 0 ? w->p->deadline.begun : w->begun;
    return pmi_fail(
        err, PM_ETEMPORARY,
        "%s: %zu of %zu items of job %s are missing after %.1f s; %zu workers are alive%s%s. The job goes on; "
        "`phasemill collect %s` takes it up again",
        stopped ? "stopped" : "time is over (--timeout)", w->n_missing, w->options->n_items, job, pmi_seconds() - begun,
        workers, st == PM_OK ? "" : "; ", st == PM_OK ? "" : why.text, job);
}

static pm_status watch(watcher *w, pm_error *err) {
    pm_status st = sweep(w, err);
    w->report->missing = w->n_missing;
    while (st == PM_OK && w->n_missing > 0) {
        if (seconds_left(w) <= 0 || (w->p->is_stopped != NULL && w->p->is_stopped(w->p->ctx))) {
            return give_up(w, err);
        }
        st = follow_events(w, err);
        if (st == PM_OK && w->hinted >= w->n_missing) {
            st = check_hints(w, err);
        }
        if (st == PM_OK && w->n_missing > 0 && (w->is_called || pmi_seconds() >= w->next_sweep)) {
            st = sweep(w, err);
        }
    }
    return st;
}

static pm_status allocate(watcher *w, pm_error *err) {
    size_t n = w->options->n_items;
    w->missing = pmi_pool_array(&w->pool, n, sizeof *w->missing);
    w->strikes = pmi_pool_zeros(&w->pool, n, sizeof *w->strikes);
    w->sent = pmi_pool_zeros(&w->pool, n, sizeof *w->sent);
    w->numbers = pmi_pool_array(&w->pool, n, sizeof *w->numbers);
    w->digests = pmi_pool_array(&w->pool, n, sizeof *w->digests);
    w->exist = pmi_pool_array(&w->pool, n, sizeof *w->exist);
    PM_TRY(pmi_pool_check(&w->pool, err, "the items of a job", n * (PM_DIGEST_BYTES + 8)));
    memset(w->missing, true, n);
    return pmi_item_index_new(w->options->items, n, &w->index, err);
}

pm_status pmi_watch(pm_producer *producer, pm_reader *reader, const pm_watch_options *options, pm_watch_report *report,
                    pm_error *err) {
    double now = pmi_seconds();
    watcher w = {.p = producer,
                 .reader = reader,
                 .options = options,
                 .report = report,
                 .n_missing = options->n_items,
                 .begun = now,
                 .workers_seen = now,
                 .told = now};
    *report = (pm_watch_report){.items = options->n_items};
    pm_status st = allocate(&w, err);
    PM_THEN(st, watch(&w, err));
    report->seconds = pmi_seconds() - now;
    pmi_item_index_free(&w.index);
    pmi_pool_free(&w.pool);
    return st;
}
