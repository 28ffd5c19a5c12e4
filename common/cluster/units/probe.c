/* Probing: sending, seeing the units end, and sending again those that nobody has. */
#include <stdio.h>
#include <string.h>

#include "units/in_flight.h"
#include "units/probe.h"
#include "units/send.h"

#define BATCH ((size_t)512)
#define POLL_SECONDS 0.2
#define SWEEP_SECONDS 3.0
#define REACH_SECONDS 10.0 /* for a broker's first answer */
/* A look for lost units reads the records of all: only when so long nothing has ended. */
#define STALL_SECONDS 5.0
/* What one look reads here and there is not of one moment. */
#define STRIKES 2

/* ---- ids --------------------------------------------------------------------------------------------- */

/* A job of its own for each probing, so that nothing is known yet. */
static pm_status name_job(pm_probe *probe, pm_error *err) {
    char text[512];
    int n = snprintf(text, sizeof text, "phasemill probe %s %.9f", probe->producer->kafka->client, pmi_now());
    return n < 0 || (size_t)n >= sizeof text
               ? pmi_fail(err, PM_ESOFTWARE, "the name of a client is longer than expected")
               : pmi_digest(PM_SHA256, text, (size_t)n, probe->job, err);
}

static pm_status name_item(const pm_probe *probe, size_t number, pm_digest item, pm_error *err) {
    uint8_t bytes[PM_DIGEST_BYTES + sizeof(uint64_t)];
    uint64_t value = number;
    memcpy(bytes, probe->job, PM_DIGEST_BYTES);
    memcpy(bytes + PM_DIGEST_BYTES, &value, sizeof value);
    return pmi_digest(PM_SHA256, bytes, sizeof bytes, item, err);
}

static int by_id(const void *a, const void *b) {
    return memcmp(((const pm_probe_unit *)a)->unit, ((const pm_probe_unit *)b)->unit, PM_DIGEST_BYTES);
}

static pm_probe_unit *find_unit(const pm_probe *probe, const pm_digest id) {
    pm_probe_unit key;
    memcpy(key.unit, id, PM_DIGEST_BYTES);
    return bsearch(&key, probe->units, probe->n, sizeof key, by_id);
}

static pm_status name_units(pm_probe *probe, pm_error *err) {
    pm_status st = name_job(probe, err);
    for (size_t i = 0; st == PM_OK && i < probe->n; i++) {
        st = name_item(probe, i, probe->items[i], err);
        PM_THEN(st, pmi_unit_id(pmi_probe_units.name, probe->job, (const pm_digest *)probe->items[i], 1,
                                probe->units[i].unit, err));
        probe->units[i].sent = (double)i;
    }
    PM_TRY(st);
    qsort(probe->units, probe->n, sizeof *probe->units, by_id);
    for (size_t i = 0; i < probe->n; i++) {
        probe->places[(size_t)probe->units[i].sent] = (uint32_t)i;
    }
    return PM_OK;
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static pm_status make_unit(const pm_probe *probe, size_t number, pm_new_unit *unit, pm_error *err) {
    pm_probe_body body = probe->body;
    body.number = number;
    *unit = (pm_new_unit){.kind = &pmi_probe_units,
                          .items = (const pm_digest *)probe->items[number],
                          .n_items = 1,
                          .cost = (uint64_t)(1e6 * body.seconds) + 1};
    return pmi_message_encode(&pmi_probe_type, &body, &unit->body, err);
}

/* Sends at most BATCH units: `numbers`, or those from `first` on. */
static pm_status send_batch(pm_probe *probe, const size_t *numbers, size_t first, size_t n, pm_error *err) {
    pm_new_unit units[BATCH];
    size_t made = 0, claims = 0;
    pm_status st = PM_OK;
    for (; st == PM_OK && made < n; made++) {
        st = make_unit(probe, numbers != NULL ? numbers[made] : first + made, &units[made], err);
    }
    if (st != PM_OK) {
        for (size_t i = 0; i < made; i++) {
            pmi_buffer_free(&units[i].body);
        }
        return st;
    }
    return pmi_send_units(probe->producer, probe->job, units, n, false, &claims, err);
}

/* Sends the next n units. */
static pm_status send_units(pm_probe *probe, size_t n, pm_error *err) {
    double now = pmi_seconds();
    size_t first = probe->n_sent;
    for (size_t i = 0; i < n; i++) {
        probe->units[probe->places[first + i]].sent = now;
    }
    probe->n_sent += n;
    probe->last_ended = now;
    PM_TRY(probe->limit(probe->ctx, probe->timeout, err));
    return send_batch(probe, NULL, first, n, err);
}

/* ---- those that nobody has any more: their topic was deleted, or made again --------------------------- */

/* Flags of the units that have been sent and not ended, by number. */
static void mark_missing(const pm_probe *probe, bool *missing) {
    for (size_t i = 0; i < probe->n_sent; i++) {
        missing[i] = !probe->units[probe->places[i]].has_ended;
    }
}

/* Numbers of the units that were unclaimed at each of the last looks. */
static size_t pick_lost(pm_probe *probe, const bool *missing, const bool *held, size_t *numbers) {
    size_t n = 0;
    for (size_t i = 0; i < probe->n_sent; i++) {
        pm_probe_unit *unit = &probe->units[probe->places[i]];
        unit->strikes = missing[i] && !held[i] ? unit->strikes + 1 : 0;
        if (unit->strikes >= STRIKES) {
            unit->strikes = 0;
            numbers[n++] = i;
        }
    }
    return n;
}

static pm_status look_for_lost(pm_probe *probe, bool *missing, size_t *numbers, size_t *n_lost, pm_error *err) {
    pm_item_index index;
    pm_in_flight in_flight;
    const pm_digest *items = (const pm_digest *)probe->items;
    PM_TRY(pmi_item_index_new(items, probe->n_sent, &index, err));
    mark_missing(probe, missing);
    pm_status st = pmi_in_flight_look(probe->producer, probe->job, &pmi_probe_units, &index, missing, &in_flight, err);
    if (st == PM_OK) {
        *n_lost = pick_lost(probe, missing, in_flight.held, numbers);
        pmi_in_flight_free(&in_flight);
    }
    pmi_item_index_free(&index);
    return st;
}

/* When nothing ended for some seconds: numbers of units that nobody has (free() also after an error). */
static pm_status find_lost(pm_probe *probe, size_t **lost, size_t *n_lost, pm_error *err) {
    double now = pmi_seconds();
    *lost = NULL;
    *n_lost = 0;
    if (now < probe->looked + STALL_SECONDS || now < probe->last_ended + STALL_SECONDS) {
        return PM_OK;
    }
    bool *missing = pmi_calloc(probe->n_sent, sizeof *missing);
    size_t *numbers = pmi_malloc(probe->n_sent, sizeof *numbers);
    pm_status st = missing != NULL && numbers != NULL
                       ? look_for_lost(probe, missing, numbers, n_lost, err)
                       : pmi_fail_memory(err, "unclaimed units", probe->n_sent * sizeof *numbers);
    free(missing);
    probe->looked = now;
    *lost = numbers;
    if (*n_lost > 0) {
        pmi_logf(probe->producer->log, PM_LOG_WARNING,
                 "%zu units have not ended and are unclaimed; they are sent again", *n_lost);
    }
    return st;
}

/* Kafka may be away while it is looked: later, then. */
static pm_status send_lost(pm_probe *probe, pm_error *err) {
    size_t *lost, n_lost;
    pm_status st = find_lost(probe, &lost, &n_lost, err);
    if (pmi_is_transient(st)) {
        pmi_logf(probe->producer->log, PM_LOG_DEBUG, "who has which unit is not known: %s", err->text);
        st = PM_OK;
    }
    for (size_t done = 0; st == PM_OK && done < n_lost;) {
        size_t n = n_lost - done < BATCH ? n_lost - done : BATCH;
        st = send_batch(probe, lost + done, 0, n, err);
        done += n;
    }
    free(lost);
    return st;
}

/* ---- seeing them end --------------------------------------------------------------------------------- */

static void end_unit(pm_probe *probe, pm_probe_unit *unit, bool has_failed, bool is_timed) {
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

/* An event that does not decode is not of a probe. */
static pm_status see_event(void *ctx, const pm_read_message *message, pm_error *err) {
    (void)err;
    pm_probe *probe = ctx;
    pm_event_message event;
    pm_message_memory memory = {0};
    pm_error ignored;
    char name[PM_SEAL_NAME];
    const pm_redis_options *redis = pmi_redis_options_of(probe->producer->traces->redis);
    if (message->value.bytes == NULL ||
        pmi_sealed_decode(redis->seal, pmi_seal_event_name(redis->prefix, name), &pmi_event_type, message->value.bytes,
                          message->value.size, &event, &memory, &ignored) != PM_OK) {
        return PM_OK;
    }
    pm_probe_unit *unit = memcmp(event.job, probe->job, PM_DIGEST_BYTES) == 0 ? find_unit(probe, event.unit) : NULL;
    if (unit != NULL) {
        end_unit(probe, unit, !pmi_span_is(event.type, "done"), true);
    }
    pmi_message_memory_free(&memory);
    return PM_OK;
}

static pm_status look_at_end(pm_probe *probe, pm_probe_unit *unit, pm_error *err) {
    pm_outcome_message outcome;
    pm_stored note = {0};
    pm_redis *redis = probe->producer->traces->redis;
    pm_status st = pmi_board_outcome(redis, unit->unit, &outcome, &note, err);
    if (st == PM_OK && note.found) {
        end_unit(probe, unit, outcome.code != 0, false);
    }
    pmi_stored_free(&note);
    if (st == PM_EDATA) {
        pmi_logf(probe->producer->log, PM_LOG_WARNING, "%s; it is removed", err->text);
        st = pmi_board_forgive(redis, probe->job, unit->unit, err);
    }
    return st;
}

/* An event is a hint that may be lost; the outcome in Redis is the truth. */
static pm_status sweep(pm_probe *probe, pm_error *err) {
    pm_status st = PM_OK;
    size_t seen = 0;
    for (size_t i = 0; st == PM_OK && i < probe->n_sent && seen < BATCH; i++) {
        pm_probe_unit *unit = &probe->units[probe->places[i]];
        if (!unit->has_ended) {
            st = look_at_end(probe, unit, err);
            seen++;
        }
    }
    probe->next_sweep = pmi_seconds() + SWEEP_SECONDS;
    return st;
}

/* Takes in what has ended within `seconds`, at most. */
static pm_status see(pm_probe *probe, double seconds, pm_error *err) {
    pm_status st = pmi_reader_poll(probe->events, seconds, see_event, probe, err);
    if (st == PM_OK && pmi_seconds() >= probe->next_sweep) {
        st = sweep(probe, err);
        if (st == PM_OK && probe->n_ended < probe->n_sent) {
            st = send_lost(probe, err);
        }
    }
    pmi_log_progress(probe->producer->log, "probing", probe->n_ended, probe->n);
    return st;
}

static bool is_stopped(const pm_probe *probe) {
    const pm_producer *p = probe->producer;
    return p->is_stopped != NULL && p->is_stopped(p->ctx);
}

static bool is_over(const pm_probe *probe, double until) {
    return pmi_seconds() >= until || is_stopped(probe);
}

static pm_status wait_for(pm_probe *probe, size_t n, pm_error *err) {
    double until = pmi_seconds() + probe->timeout;
    pm_status st = probe->limit(probe->ctx, probe->timeout, err);
    while (st == PM_OK && probe->n_ended < n && !is_over(probe, until)) {
        st = see(probe, POLL_SECONDS, err);
    }
    return st;
}

/* ---- the three ways ---------------------------------------------------------------------------------- */

static pm_status send_all(pm_probe *probe, pm_error *err) {
    pm_status st = PM_OK;
    while (st == PM_OK && probe->n_sent < probe->n && !is_stopped(probe)) {
        size_t left = probe->n - probe->n_sent;
        st = send_units(probe, left < BATCH ? left : BATCH, err);
        PM_THEN(st, see(probe, 0, err));
    }
    return st;
}

static pm_status send_one_by_one(pm_probe *probe, pm_error *err) {
    pm_status st = PM_OK;
    bool answers = true;
    while (st == PM_OK && answers && probe->n_sent < probe->n && !is_stopped(probe)) {
        st = send_units(probe, 1, err);
        PM_THEN(st, wait_for(probe, probe->n_sent, err));
        answers = probe->n_ended == probe->n_sent;
    }
    return st;
}

static pm_status send_at_rate(pm_probe *probe, pm_error *err) {
    double start = pmi_seconds();
    pm_status st = PM_OK;
    while (st == PM_OK && probe->n_sent < probe->n && !is_stopped(probe)) {
        double due = start + (double)probe->n_sent / probe->rate, now = pmi_seconds();
        double ahead = due - now;
        st = ahead > 0 ? see(probe, ahead < POLL_SECONDS ? ahead : POLL_SECONDS, err) : send_units(probe, 1, err);
    }
    return st;
}

static pm_status run_probe(pm_probe *probe, pm_error *err) {
    double start = pmi_seconds();
    probe->next_sweep = start + SWEEP_SECONDS;
    pm_status st = probe->is_sequential ? send_one_by_one(probe, err)
                   : probe->rate > 0    ? send_at_rate(probe, err)
                                        : send_all(probe, err);
    if (st == PM_OK && probe->n_sent == probe->n) {
        st = wait_for(probe, probe->n, err);
    }
    probe->seconds = pmi_seconds() - start;
    return st;
}

/* Nobody waits for what has not ended by now. */
static void cancel_rest(const pm_probe *probe) {
    pm_error unused;
    if (probe->n_ended < probe->n_sent) {
        (void)pmi_board_cancel(probe->producer->traces->redis, probe->job, &unused);
    }
}

pm_status pmi_probe_run(pm_probe *probe, pm_error *err) {
    const pm_producer *producer = probe->producer;
    probe->items = pmi_pool_array(&probe->pool, probe->n, sizeof *probe->items);
    probe->places = pmi_pool_array(&probe->pool, probe->n, sizeof *probe->places);
    probe->units = pmi_pool_zeros(&probe->pool, probe->n, sizeof *probe->units);
    pm_status st = pmi_pool_check(&probe->pool, err, "units", probe->n * sizeof *probe->units);
    PM_THEN(st, name_units(probe, err));
    PM_THEN(st, pmi_reader_open(producer->kafka, PM_TOPIC_EVENTS, false,
                                pmi_deadline_within(&producer->deadline, REACH_SECONDS, 0.1), producer->log,
                                &probe->events, err));
    if (st == PM_OK) {
        st = run_probe(probe, err);
        cancel_rest(probe);
    }
    if (probe->events != NULL) {
        pmi_reader_close(probe->events);
        probe->events = NULL;
    }
    return st;
}

void pmi_probe_free(pm_probe *probe) {
    pmi_pool_free(&probe->pool);
    probe->units = NULL;
    probe->items = NULL;
    probe->places = NULL;
}
