/* Sending and watching, with a real Redis and librdkafka's mock brokers. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "collector/watch.h"
#include "mock_kafka.h"
#include "redis_server.h"
#include "units/in_flight.h"
#include "units/producer.h"

enum { PARTITIONS = 4, ITEMS = 6 };

typedef struct watch_fixture {
    redis_server server;
    mock_kafka mock;
    pm_traces traces;
    pm_producer p;
    pm_reader *events;
    uint8_t job[PM_DIGEST_BYTES], items[ITEMS][PM_DIGEST_BYTES];
    size_t sent; /* items that the watch has asked to send again */
    bool stores; /* sending again brings them about */
    pm_error err;
} watch_fixture;

#define OK(call) cr_assert_eq((call), PM_OK, "%s", r->err.text)

static void set_up(watch_fixture *r) {
    *r = (watch_fixture){.job = {1, 2, 3}};
    redis_server_start(&r->server, NULL);
    mock_kafka_start(&r->mock, 1, PARTITIONS);
    r->traces.redis = redis_server_open(&r->server);
    r->p = (pm_producer){.kafka = &r->mock.options,
                         .n_partitions = PARTITIONS,
                         .load = pmi_calloc(PARTITIONS, sizeof *r->p.load),
                         .deliveries = pmi_calloc(1, sizeof *r->p.deliveries),
                         .traces = &r->traces,
                         .patience = 5,
                         .log = &r->mock.log,
                         .trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};
    OK(pmi_sender_open(&r->mock.options, 10, pmi_deliveries_report, r->p.deliveries, &r->mock.log, &r->p.sender,
                       &r->err));
    OK(pmi_reader_open(&r->mock.options, PM_TOPIC_EVENTS, false, 10, &r->mock.log, &r->events, &r->err));
    for (size_t i = 0; i < ITEMS; i++) {
        fixture_key(i, r->items[i]);
    }
}

static void tear_down(watch_fixture *r) {
    pmi_reader_close(r->events);
    pm_redis *redis = r->traces.redis;
    pmi_producer_close(&r->p);
    pmi_redis_close(redis);
    mock_kafka_stop(&r->mock);
    redis_server_stop(&r->server);
}

static const uint8_t (*items_of(const watch_fixture *r))[PM_DIGEST_BYTES] {
    return (const uint8_t(*)[PM_DIGEST_BYTES])r->items;
}

static void store(watch_fixture *r, size_t i) {
    pm_blob_item item = {.bytes = (const uint8_t *)"value", .size = 5};
    memcpy(item.digest, r->items[i], PM_DIGEST_BYTES);
    OK(pmi_blob_put(r->traces.redis, PM_SPACE_TRACE, &item, 1, false, &r->err));
}

/* A unit of items first..first+n-1 with a body of so many random bytes. */
static void send_unit(watch_fixture *r, size_t first, size_t n, size_t bytes, size_t *claims) {
    pm_new_unit unit = {.kind = &pmi_record_units, .items = items_of(r) + first, .n_items = n, .cost = 5};
    pm_random random = {.state = 11};
    unit.body.bytes = pmi_malloc(bytes, 1);
    unit.body.size = unit.body.capacity = bytes;
    for (size_t i = 0; i < bytes; i++) {
        unit.body.bytes[i] = (uint8_t)pmi_random_next(&random);
    }
    OK(pmi_send_units(&r->p, r->job, &unit, 1, true, claims, &r->err));
}

static pm_status send_again(void *ctx, const uint32_t *items, size_t n, pm_error *err) {
    (void)err;
    watch_fixture *r = ctx;
    r->sent += n;
    for (size_t i = 0; r->stores && i < n; i++) {
        store(r, items[i]);
    }
    return PM_OK;
}

static pm_status watch(watch_fixture *r, double timeout, pm_watch_report *report) {
    pm_watch_options options = {.job = r->job,
                                .kind = &pmi_record_units,
                                .items = items_of(r),
                                .n_items = ITEMS,
                                .send = send_again,
                                .ctx = r,
                                .sweep_seconds = 0.1};
    r->p.deadline = pmi_deadline_in(timeout);
    return pmi_watch(&r->p, r->events, &options, report, &r->err);
}

/* ---- sending ---- */

typedef struct received {
    size_t units, claims, headers;
    pm_unit_message unit;
    uint8_t blob[PM_DIGEST_BYTES];
    size_t blob_size, body_size;
} received;

static size_t header_size(const pm_read_message *m, const char *name) {
    const void *value = NULL;
    size_t size = 0;
    return rd_kafka_header_get_last(m->headers, name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR ? size : 0;
}

static pm_status on_unit(void *ctx, const pm_read_message *m, pm_error *err) {
    received *got = ctx;
    pm_message_memory memory = {0};
    pm_claim_message claim;
    cr_assert_eq(m->key.size, PM_DIGEST_BYTES);
    got->headers = rd_kafka_header_cnt(m->headers);
    cr_assert_eq(header_size(m, "traceparent"), 55);
    cr_assert_eq(header_size(m, "phasemill-job"), 64);
    if (pmi_message_decode(&pmi_unit_type, m->value.bytes, m->value.size, &got->unit, &memory, err) == PM_OK) {
        cr_assert_arr_eq(m->key.bytes, got->unit.unit, PM_DIGEST_BYTES);
        got->body_size = got->unit.body.size;
        got->units++;
    } else {
        cr_assert_eq(pmi_message_decode(&pmi_claim_type, m->value.bytes, m->value.size, &claim, &memory, err), PM_OK);
        memcpy(got->blob, claim.blob, PM_DIGEST_BYTES);
        got->blob_size = claim.size;
        got->claims++;
    }
    pmi_message_memory_free(&memory);
    return PM_OK;
}

static void receive(watch_fixture *r, received *got) {
    pm_reader *units;
    *got = (received){0};
    OK(pmi_reader_open(&r->mock.options, PM_TOPIC_UNITS, true, 10, &r->mock.log, &units, &r->err));
    OK(pmi_reader_drain(units, 10, on_unit, got, &r->err));
    pmi_reader_close(units);
}

static pm_status on_record(void *ctx, const pm_unit_record *unit, pm_error *err) {
    (void)err;
    size_t *placed = ctx;
    cr_assert(unit->offset >= 0 && unit->partition < PARTITIONS);
    *placed += unit->items.size / PM_DIGEST_BYTES;
    return PM_OK;
}

Test(watch, units_travel_whole_or_as_a_claim, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    received got;
    size_t claims = 0, placed = 0;
    set_up(r);
    send_unit(r, 0, 2, 1000, &claims);
    cr_assert_eq(claims, 0);
    send_unit(r, 2, 3, PM_UNIT_INLINE + 1000, &claims);
    cr_assert_eq(claims, 1);
    receive(r, &got);
    cr_assert(got.units == 1 && got.claims == 1, "%zu units, %zu claims", got.units, got.claims);
    cr_assert_eq(got.body_size, 1000);
    pm_buffer blob = {0};
    pm_blob_found found;
    OK(pmi_blob_get(r->traces.redis, PM_SPACE_BLOB, got.blob, (size_t)1 << 30, &blob, &found, &r->err));
    cr_assert(found == PM_BLOB_FOUND && blob.size == got.blob_size);
    pmi_buffer_free(&blob);
    OK(pmi_board_units(r->traces.redis, r->job, on_record, &placed, &r->err));
    cr_assert_eq(placed, 5);
    redis_server_check_keys(&r->server);
    tear_down(r);
}

/* ---- whose hands ---- */

Test(watch, what_is_on_the_topic_is_held_and_what_was_never_sent_is_not, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    bool missing[ITEMS] = {true, true, true, false, true, true};
    pm_item_index index;
    pm_in_flight hands;
    set_up(r);
    send_unit(r, 0, 4, 100, NULL);
    OK(pmi_item_index_new(items_of(r), ITEMS, &index, &r->err));
    OK(pmi_in_flight_look(&r->p, r->job, &pmi_record_units, &index, missing, &hands, &r->err));
    const bool expected[ITEMS] = {true, true, true, false, false, false};
    cr_assert_arr_eq(hands.held, expected, sizeof expected);
    cr_assert(hands.units == 1 && hands.n_ended == 0 && hands.workers == 0);
    pmi_in_flight_free(&hands);
    OK(pmi_in_flight_look(&r->p, r->job, &pmi_evaluate_units, &index, missing, &hands, &r->err));
    cr_assert_eq(hands.units, 0, "of another kind");
    pmi_in_flight_free(&hands);
    pmi_item_index_free(&index);
    tear_down(r);
}

/* ---- watching ---- */

Test(watch, ends_when_all_is_there, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    pm_watch_report report;
    set_up(r);
    for (size_t i = 0; i < ITEMS; i++) {
        store(r, i);
    }
    OK(watch(r, 5, &report));
    cr_assert(report.missing == 0 && report.sent_again == 0 && r->sent == 0);
    tear_down(r);
}

Test(watch, sends_again_what_nobody_has_and_nothing_else, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    pm_watch_report report;
    set_up(r);
    store(r, 0);
    send_unit(r, 1, 2, 100, NULL); /* nobody takes it, but it is on the topic */
    r->stores = true;
    cr_assert_eq(watch(r, 6, &report), PM_ETEMPORARY); /* a busy machine's look at Kafka takes seconds */
    cr_assert_eq(r->sent, 3);
    cr_assert_eq(report.sent_again, 3);
    cr_assert_eq(report.missing, 5);
    cr_assert_not_null(strstr(r->err.text, "2 of 6 items"), "%s", r->err.text);
    cr_assert_not_null(strstr(r->err.text, "0 workers are alive"), "%s", r->err.text);
    tear_down(r);
}

Test(watch, a_failed_unit_fails_the_job_with_its_whole_error, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    pm_watch_report report;
    set_up(r);
    pm_outcome_message outcome = {.kind = pmi_span_of("record"),
                                  .code = PM_EOSERR,
                                  .error = pmi_span_of("overran its memory limit of 1 GiB"),
                                  .scc = {r->items[2], PM_DIGEST_BYTES},
                                  .attempts = 3,
                                  .worker = pmi_span_of("w"),
                                  .topic = pmi_span_of("t.units"),
                                  .partition = 2,
                                  .offset = 17};
    memcpy(outcome.job, r->job, PM_DIGEST_BYTES);
    memset(outcome.unit, 0xab, PM_DIGEST_BYTES);
    OK(pmi_board_end(r->traces.redis, &outcome, 1, &r->err));
    cr_assert_eq(watch(r, 10, &report), PM_EDATA);
    static const char *const parts[] = {"overran its memory limit of 1 GiB", "abababab", "3 attempts",
                                        "t.units partition 2 offset 17"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        cr_expect_not_null(strstr(r->err.text, parts[i]), "%s", r->err.text);
    }
    char hex[PM_DIGEST_HEX];
    pmi_hex(r->items[2], hex);
    cr_expect_not_null(strstr(r->err.text, hex));
    cr_assert(report.has_failed_unit && report.failed_unit[0] == 0xab);
    tear_down(r);
}

Test(watch, a_failure_of_another_kind_is_no_matter, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    pm_watch_report report;
    set_up(r);
    pm_outcome_message outcome = {
        .kind = pmi_span_of("evaluate"), .code = PM_EDATA, .error = pmi_span_of("theta row 1")};
    memcpy(outcome.job, r->job, PM_DIGEST_BYTES);
    OK(pmi_board_end(r->traces.redis, &outcome, 1, &r->err));
    r->stores = true;
    OK(watch(r, 20, &report));
    cr_assert_eq(r->sent, ITEMS);
    tear_down(r);
}

Test(watch, a_cancelled_job_ends_it, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    pm_watch_report report;
    set_up(r);
    OK(pmi_board_cancel(r->traces.redis, r->job, &r->err));
    cr_assert_eq(watch(r, 10, &report), PM_EDATA);
    cr_assert_not_null(strstr(r->err.text, "cancelled"), "%s", r->err.text);
    tear_down(r);
}

Test(watch, an_event_is_a_hint_and_not_the_truth, .timeout = 60) {
    static watch_fixture s;
    watch_fixture *r = &s;
    pm_watch_report report;
    pm_buffer encoded = {0};
    set_up(r);
    pm_event_message event = {.type = pmi_span_of("done"), .kind = pmi_span_of("record"), .items = ITEMS};
    memcpy(event.job, r->job, PM_DIGEST_BYTES);
    OK(pmi_message_encode(&pmi_event_type, &event, &encoded, &r->err));
    pm_outgoing garbage = {.topic = PM_TOPIC_EVENTS, .value = pmi_span_of("no event at all")};
    pm_outgoing message = {.topic = PM_TOPIC_EVENTS, .value = {encoded.bytes, encoded.size}};
    OK(pmi_sender_send(r->p.sender, &garbage, &r->err));
    OK(pmi_sender_send(r->p.sender, &message, &r->err));
    OK(pmi_sender_flush(r->p.sender, 10, &r->err));
    send_unit(r, 0, ITEMS, 100, NULL);
    pm_watch_options options = {
        .job = r->job, .kind = &pmi_record_units, .items = items_of(r), .n_items = ITEMS, .sweep_seconds = 100};
    double begun = pmi_seconds();
    r->p.deadline = pmi_deadline_in(3);
    cr_assert_eq(pmi_watch(&r->p, r->events, &options, &report, &r->err), PM_ETEMPORARY, "the event was not true");
    cr_assert_eq(report.units_seen, 1);
    for (size_t i = 0; i < ITEMS; i++) {
        store(r, i);
    }
    OK(pmi_sender_send(r->p.sender, &message, &r->err));
    OK(pmi_sender_flush(r->p.sender, 10, &r->err));
    r->p.deadline = pmi_deadline_in(60);
    OK(pmi_watch(&r->p, r->events, &options, &report, &r->err));
    cr_assert_lt(pmi_seconds() - begun, 30);
    pmi_buffer_free(&encoded);
    tear_down(r);
}
