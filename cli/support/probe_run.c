#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/retry.h"
#include "kafka/reader.h"
#include "support/probe.h"
#include "units/send.h"

#define BATCH ((size_t)512)
#define POLL_SECONDS 0.2
#define SWEEP_SECONDS 3.0

typedef struct probing {
    cli_probe *probe;
    pm_reader *events;
    double next_sweep;
} probing;

/* ---- ids --------------------------------------------------------------------------------------------- */

/* A job of its own for each probing, so that nothing is known yet. */
static pm_status name_job(cli_probe *probe, pm_error *err) {
    char text[CLI_CLIENT_TEXT + 64];
    int n = snprintf(text, sizeof text, "phasemill probe %s %.9f", probe->cluster->client, pmi_now());
    return n < 0 ? PM_ESOFTWARE : pmi_digest(PM_SHA256, text, (size_t)n, probe->job, err);
}

static pm_status name_item(const cli_probe *probe, size_t number, uint8_t item[PM_DIGEST_BYTES], pm_error *err) {
    uint8_t bytes[PM_DIGEST_BYTES + sizeof(uint64_t)];
    uint64_t value = number;
    memcpy(bytes, probe->job, PM_DIGEST_BYTES);
    memcpy(bytes + PM_DIGEST_BYTES, &value, sizeof value);
    return pmi_digest(PM_SHA256, bytes, sizeof bytes, item, err);
}

static int by_id(const void *a, const void *b) {
    return memcmp(((const cli_probe_unit *)a)->unit, ((const cli_probe_unit *)b)->unit, PM_DIGEST_BYTES);
}

static cli_probe_unit *find_unit(const cli_probe *probe, const uint8_t id[PM_DIGEST_BYTES]) {
    cli_probe_unit key;
    memcpy(key.unit, id, PM_DIGEST_BYTES);
    return bsearch(&key, probe->units, probe->n, sizeof key, by_id);
}

static pm_status name_units(probing *p, pm_error *err) {
    cli_probe *probe = p->probe;
    pm_status st = name_job(probe, err);
    for (size_t i = 0; st == PM_OK && i < probe->n; i++) {
        st = name_item(probe, i, probe->items[i], err);
        PM_THEN(st, pmi_unit_id(pmi_probe_units.name, probe->job, (const uint8_t(*)[PM_DIGEST_BYTES])probe->items[i], 1,
                                probe->units[i].unit, err));
        probe->units[i].sent = (double)i;
    }
    if (st != PM_OK) {
        return st;
    }
    qsort(probe->units, probe->n, sizeof *probe->units, by_id);
    for (size_t i = 0; i < probe->n; i++) {
        probe->places[(size_t)probe->units[i].sent] = (uint32_t)i;
    }
    return PM_OK;
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static pm_status make_unit(const probing *p, size_t number, pm_new_unit *unit, pm_error *err) {
    pm_probe_body body = p->probe->body;
    body.number = number;
    *unit = (pm_new_unit){.kind = &pmi_probe_units,
                          .items = (const uint8_t(*)[PM_DIGEST_BYTES])p->probe->items[number],
                          .n_items = 1,
                          .cost = (uint64_t)(1e6 * body.seconds) + 1};
    return pmi_message_encode(&pmi_probe_type, &body, &unit->body, err);
}

/* Sends at most BATCH units: `numbers`, or those from `first` on. */
static pm_status send_batch(probing *p, const size_t *numbers, size_t first, size_t n, pm_error *err) {
    pm_new_unit units[BATCH];
    size_t made = 0, claims = 0;
    pm_status st = PM_OK;
    for (; st == PM_OK && made < n; made++) {
        st = make_unit(p, numbers != NULL ? numbers[made] : first + made, &units[made], err);
    }
    if (st != PM_OK) {
        for (size_t i = 0; i < made; i++) {
            pmi_buffer_free(&units[i].body);
        }
        return st;
    }
    return pmi_send_units(&p->probe->cluster->producer, p->probe->job, units, n, false, &claims, err);
}

/* Sends the next n units. */
static pm_status send_units(probing *p, size_t n, pm_error *err) {
    cli_probe *probe = p->probe;
    double now = pmi_seconds();
    size_t first = probe->n_sent;
    for (size_t i = 0; i < n; i++) {
        probe->units[probe->places[first + i]].sent = now;
    }
    probe->n_sent += n;
    probe->last_ended = now;
    PM_TRY(cli_cluster_limit(probe->cluster, probe->timeout, err));
    return send_batch(p, NULL, first, n, err);
}

/* Kafka may be away while it is looked: later, then. */
static pm_status send_lost(probing *p, pm_error *err) {
    size_t *lost, n_lost;
    pm_status st = cli_probe_find_lost(p->probe, &lost, &n_lost, err);
    if (pmi_is_transient(st)) {
        pmi_logf(&p->probe->cluster->console.log, PM_LOG_DEBUG, "who has which unit is not known: %s", err->text);
        st = PM_OK;
    }
    for (size_t done = 0; st == PM_OK && done < n_lost;) {
        size_t n = n_lost - done < BATCH ? n_lost - done : BATCH;
        st = send_batch(p, lost + done, 0, n, err);
        done += n;
    }
    free(lost);
    return st;
}

/* ---- seeing them end --------------------------------------------------------------------------------- */

static void end_unit(cli_probe *probe, cli_probe_unit *unit, bool has_failed, bool is_timed) {
    if (unit->has_ended) {
        return;
    }
    unit->has_ended = true;
    unit->has_failed = has_failed;
    unit->is_timed = is_timed;
    unit->ended = probe->last_ended = pmi_seconds();
    probe->n_ended++;
    probe->n_failed += has_failed;
}

static bool is_type(pm_span type, const char *name) {
    return type.size == strlen(name) && memcmp(type.bytes, name, type.size) == 0;
}

/* An event that does not decode is not of a probe. */
static pm_status see_event(void *ctx, const pm_read_message *message, pm_error *err) {
    (void)err;
    cli_probe *probe = ctx;
    pm_event_message event;
    pm_message_memory memory = {0};
    pm_error ignored;
    char name[PM_SEAL_NAME];
    const pm_redis_options *redis = &probe->cluster->redis_options;
    if (message->value.bytes == NULL ||
        pmi_sealed_decode(redis->seal, pmi_seal_event_name(redis->prefix, name), &pmi_event_type, message->value.bytes,
                          message->value.size, &event, &memory, &ignored) != PM_OK) {
        return PM_OK;
    }
    cli_probe_unit *unit = memcmp(event.job, probe->job, PM_DIGEST_BYTES) == 0 ? find_unit(probe, event.unit) : NULL;
    if (unit != NULL) {
        end_unit(probe, unit, !is_type(event.type, "done"), true);
    }
    pmi_message_memory_free(&memory);
    return PM_OK;
}

static pm_status look_at_end(cli_probe *probe, cli_probe_unit *unit, pm_error *err) {
    pm_outcome_message outcome;
    pm_stored note = {0};
    pm_redis *redis = probe->cluster->redis;
    pm_status st = pmi_board_outcome(redis, unit->unit, &outcome, &note, err);
    if (st == PM_OK && note.found) {
        end_unit(probe, unit, outcome.code != 0, false);
    }
    pmi_stored_free(&note);
    if (st == PM_EDATA) {
        pmi_logf(&probe->cluster->console.log, PM_LOG_WARNING, "%s; it is removed", err->text);
        st = pmi_board_forgive(redis, probe->job, unit->unit, err);
    }
    return st;
}

/* An event is a hint that may be lost; the outcome in Redis is the truth. */
static pm_status sweep(probing *p, pm_error *err) {
    cli_probe *probe = p->probe;
    pm_status st = PM_OK;
    size_t seen = 0;
    for (size_t i = 0; st == PM_OK && i < probe->n_sent && seen < BATCH; i++) {
        cli_probe_unit *unit = &probe->units[probe->places[i]];
        if (!unit->has_ended) {
            st = look_at_end(probe, unit, err);
            seen++;
        }
    }
    p->next_sweep = pmi_seconds() + SWEEP_SECONDS;
    return st;
}

/* Takes in what has ended within `seconds`, at most. */
static pm_status see(probing *p, double seconds, pm_error *err) {
    pm_status st = pmi_reader_poll(p->events, seconds, see_event, p->probe, err);
    if (st == PM_OK && pmi_seconds() >= p->next_sweep) {
        st = sweep(p, err);
        if (st == PM_OK && p->probe->n_ended < p->probe->n_sent) {
            st = send_lost(p, err);
        }
    }
    pmi_log_progress(&p->probe->cluster->console.log, "probing", p->probe->n_ended, p->probe->n);
    return st;
}

static bool is_over(const probing *p, double until) {
    return pmi_seconds() >= until || cli_cluster_is_stopped(p->probe->cluster);
}

static pm_status wait_for(probing *p, size_t n, pm_error *err) {
    double until = pmi_seconds() + p->probe->timeout;
    pm_status st = cli_cluster_limit(p->probe->cluster, p->probe->timeout, err);
    while (st == PM_OK && p->probe->n_ended < n && !is_over(p, until)) {
        st = see(p, POLL_SECONDS, err);
    }
    return st;
}

/* ---- the three ways ---------------------------------------------------------------------------------- */

static pm_status send_all(probing *p, pm_error *err) {
    pm_status st = PM_OK;
    while (st == PM_OK && p->probe->n_sent < p->probe->n && !cli_cluster_is_stopped(p->probe->cluster)) {
        size_t left = p->probe->n - p->probe->n_sent;
        st = send_units(p, left < BATCH ? left : BATCH, err);
        PM_THEN(st, see(p, 0, err));
    }
    return st;
}

static pm_status send_one_by_one(probing *p, pm_error *err) {
    pm_status st = PM_OK;
    bool answers = true;
    while (st == PM_OK && answers && p->probe->n_sent < p->probe->n && !cli_cluster_is_stopped(p->probe->cluster)) {
        st = send_units(p, 1, err);
        PM_THEN(st, wait_for(p, p->probe->n_sent, err));
        answers = p->probe->n_ended == p->probe->n_sent;
    }
    return st;
}

static pm_status send_at_rate(probing *p, pm_error *err) {
    double start = pmi_seconds();
    pm_status st = PM_OK;
    while (st == PM_OK && p->probe->n_sent < p->probe->n && !cli_cluster_is_stopped(p->probe->cluster)) {
        double due = start + (double)p->probe->n_sent / p->probe->rate, now = pmi_seconds();
        double ahead = due - now;
        st = ahead > 0 ? see(p, ahead < POLL_SECONDS ? ahead : POLL_SECONDS, err) : send_units(p, 1, err);
    }
    return st;
}

static pm_status run_probe(probing *p, pm_error *err) {
    cli_probe *probe = p->probe;
    double start = pmi_seconds();
    p->next_sweep = start + SWEEP_SECONDS;
    pm_status st = probe->is_sequential ? send_one_by_one(p, err)
                   : probe->rate > 0    ? send_at_rate(p, err)
                                        : send_all(p, err);
    if (st == PM_OK && probe->n_sent == probe->n) {
        st = wait_for(p, probe->n, err);
    }
    probe->seconds = pmi_seconds() - start;
    return st;
}

/* Nobody waits for what has not ended by now. */
static void cancel_rest(const probing *p) {
    pm_error unused;
    if (p->probe->n_ended < p->probe->n_sent) {
        (void)pmi_board_cancel(p->probe->cluster->redis, p->probe->job, &unused);
    }
}

pm_status cli_probe_run(cli_probe *probe, pm_error *err) {
    cli_cluster *c = probe->cluster;
    probing p = {.probe = probe};
    probe->items = pmi_malloc(probe->n, PM_DIGEST_BYTES);
    probe->places = pmi_malloc(probe->n, sizeof *probe->places);
    probe->units = pmi_calloc(probe->n, sizeof *probe->units);
    pm_status st = probe->items != NULL && probe->places != NULL && probe->units != NULL
                       ? name_units(&p, err)
                       : pmi_fail_memory(err, "units", probe->n * sizeof *probe->units);
    PM_THEN(st, cli_cluster_open_reader(c, PM_TOPIC_EVENTS, false, &p.events, err));
    if (st == PM_OK) {
        st = run_probe(&p, err);
        cancel_rest(&p);
    }
    if (p.events != NULL) {
        pmi_reader_close(p.events);
    }
    return st;
}

void cli_probe_free(cli_probe *probe) {
    free(probe->units);
    free(probe->items);
    free(probe->places);
    probe->units = NULL;
    probe->items = NULL;
    probe->places = NULL;
}
