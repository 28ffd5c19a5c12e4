/* Reading topics without a group, and the group's lag, against librdkafka's mock brokers. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/reader.h"
#include "mock_kafka.h"

typedef struct seen {
    size_t n, tombstones, headers;
    int64_t last;
    char texts[4096];
    pm_status answer; /* of the visit */
} seen;

static pm_status on_read(void *ctx, const pm_read_message *m, pm_error *err) {
    seen *s = ctx;
    size_t used = strlen(s->texts);
    s->n++;
    s->tombstones += m->value.bytes == NULL;
    s->headers += m->headers != NULL ? rd_kafka_header_cnt(m->headers) : 0;
    s->last = m->offset;
    snprintf(s->texts + used, sizeof s->texts - used, "%.*s=%.*s ", (int)m->key.size, (const char *)m->key.bytes,
             (int)m->value.size, m->value.bytes != NULL ? (const char *)m->value.bytes : "");
    cr_assert(m->time > 1.6e9);
    return s->answer == PM_OK ? PM_OK : pmi_fail(err, s->answer, "the visitor's own words");
}

static pm_span span(const char *text) {
    return (pm_span){(const uint8_t *)text, text != NULL ? strlen(text) : 0};
}

typedef struct bench {
    mock_kafka mock;
    pm_sender *sender;
    pm_error err;
} bench;

static void set_up(bench *b) {
    mock_kafka_start(&b->mock, 1, 4);
    cr_assert_eq(pmi_sender_open(&b->mock.options, 10, NULL, NULL, &b->mock.log, &b->sender, &b->err), PM_OK);
}

static void tear_down(bench *b) {
    pmi_sender_close(b->sender);
    mock_kafka_stop(&b->mock);
}

static void send_text(bench *b, pm_topic topic, const char *key, const char *value, const rd_kafka_headers_t *headers) {
    pm_outgoing m = {.topic = topic, .key = span(key), .value = span(value), .headers = headers};
    cr_assert_eq(pmi_sender_send(b->sender, &m, &b->err), PM_OK, "%s", b->err.text);
    cr_assert_eq(pmi_sender_flush(b->sender, 10, &b->err), PM_OK, "%s", b->err.text);
}

static pm_reader *open_reader(bench *b, pm_topic topic, bool from_beginning) {
    pm_reader *r;
    cr_assert_eq(pmi_reader_open(&b->mock.options, topic, from_beginning, 10, &b->mock.log, &r, &b->err), PM_OK, "%s",
                 b->err.text);
    return r;
}

Test(reader, reads_a_topic_whole, .timeout = 30) {
    bench b;
    seen s = {0};
    set_up(&b);
    pm_reader *empty = open_reader(&b, PM_TOPIC_DEAD, true);
    cr_assert_eq(pmi_reader_drain(empty, 5, on_read, &s, &b.err), PM_OK, "%s", b.err.text);
    cr_assert_eq(s.n, 0);
    pmi_reader_close(empty);
    send_text(&b, PM_TOPIC_DEAD, "a", "1", NULL);
    send_text(&b, PM_TOPIC_DEAD, "b", "", NULL);
    send_text(&b, PM_TOPIC_DEAD, "a", NULL, NULL);
    pm_reader *r = open_reader(&b, PM_TOPIC_DEAD, true);
    cr_assert_eq(pmi_reader_drain(r, 5, on_read, &s, &b.err), PM_OK, "%s", b.err.text);
    cr_assert_str_eq(s.texts, "a=1 b= a= ");
    cr_assert_eq(s.tombstones, 1);
    send_text(&b, PM_TOPIC_DEAD, "c", "2", NULL);
    cr_assert_eq(pmi_reader_drain(r, 5, on_read, &s, &b.err), PM_OK);
    cr_assert_eq(s.n, 4);
    pmi_reader_close(r);
    tear_down(&b);
}

Test(reader, from_the_end_misses_nothing_sent_after_it_was_opened, .timeout = 30) {
    bench b;
    seen s = {0};
    set_up(&b);
    send_text(&b, PM_TOPIC_EVENTS, "old", "1", NULL);
    pm_reader *r = open_reader(&b, PM_TOPIC_EVENTS, false);
    send_text(&b, PM_TOPIC_EVENTS, "new", "2", NULL);
    send_text(&b, PM_TOPIC_EVENTS, "new", "3", NULL);
    double begin = pmi_seconds();
    while (s.n < 2) {
        cr_assert(pmi_seconds() - begin < 10);
        cr_assert_eq(pmi_reader_poll(r, 5, on_read, &s, &b.err), PM_OK);
    }
    cr_assert_str_eq(s.texts, "new=2 new=3 ");
    begin = pmi_seconds();
    cr_assert_eq(pmi_reader_poll(r, 0.3, on_read, &s, &b.err), PM_OK);
    cr_assert(pmi_seconds() - begin < 2);
    cr_assert_eq(s.n, 2);
    pmi_reader_close(r);
    tear_down(&b);
}

Test(reader, headers_by_the_dozen, .timeout = 30) {
    bench b;
    seen s = {0};
    set_up(&b);
    rd_kafka_headers_t *many = rd_kafka_headers_new(1);
    for (int i = 0; i < 30; i++) {
        pmi_headers_add(many, "name", i % 2 == 0 ? span("value") : (pm_span){NULL, 0});
    }
    send_text(&b, PM_TOPIC_DEAD, "a", "1", many);
    send_text(&b, PM_TOPIC_DEAD, "a", "1", NULL);
    rd_kafka_headers_destroy(many);
    pm_reader *r = open_reader(&b, PM_TOPIC_DEAD, true);
    cr_assert_eq(pmi_reader_drain(r, 5, on_read, &s, &b.err), PM_OK);
    cr_assert_eq(s.headers, 30);
    pmi_reader_close(r);
    tear_down(&b);
}

Test(reader, a_visitor_may_stop_it, .timeout = 30) {
    bench b;
    seen s = {.answer = PM_EDATA};
    set_up(&b);
    send_text(&b, PM_TOPIC_DEAD, "a", "1", NULL);
    send_text(&b, PM_TOPIC_DEAD, "b", "2", NULL);
    pm_reader *r = open_reader(&b, PM_TOPIC_DEAD, true);
    cr_assert_eq(pmi_reader_drain(r, 5, on_read, &s, &b.err), PM_EDATA);
    cr_assert_str_eq(b.err.text, "the visitor's own words");
    cr_assert_eq(s.n, 1);
    s.answer = PM_OK;
    cr_assert_eq(pmi_reader_drain(r, 5, on_read, &s, &b.err), PM_OK);
    cr_assert_eq(s.n, 2);
    pmi_reader_close(r);
    tear_down(&b);
}

Test(reader, a_drain_without_brokers_ends, .timeout = 30) {
    bench b;
    seen s = {0};
    set_up(&b);
    send_text(&b, PM_TOPIC_DEAD, "a", "1", NULL);
    pm_reader *r = open_reader(&b, PM_TOPIC_DEAD, true);
    rd_kafka_mock_broker_set_down(b.mock.cluster, -1);
    double begin = pmi_seconds();
    cr_assert_neq(pmi_reader_drain(r, 1, on_read, &s, &b.err), PM_OK);
    cr_assert(pmi_seconds() - begin < 10);
    cr_assert_eq(pmi_reader_poll(r, 0.2, on_read, &s, &b.err), PM_OK, "away is no error");
    pmi_reader_close(r);
    tear_down(&b);
}

Test(reader, lag_of_a_group, .timeout = 30) {
    bench b;
    pm_lag lags[4];
    set_up(&b);
    for (int i = 0; i < 3; i++) {
        send_text(&b, PM_TOPIC_UNITS, "a", "1", NULL);
    }
    rd_kafka_t *rk = pmi_sender_handle(b.sender);
    cr_assert_eq(pmi_group_lag(rk, &b.mock.options, 4, lags, 10, &b.err), PM_OK, "%s", b.err.text);
    cr_assert_eq(lags[0].committed, -1);
    cr_assert_eq(lags[0].low, 0);
    cr_assert_eq(lags[0].high, 3);
    cr_assert_eq(lags[3].high, 0);
    tear_down(&b);
}

Test(reader, lag_while_the_coordinator_moves, .timeout = 30) {
    bench b;
    pm_lag lags[4];
    set_up(&b);
    rd_kafka_mock_push_request_errors(b.mock.cluster, 9 /* OffsetFetch */, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    pm_status st = pmi_group_lag(pmi_sender_handle(b.sender), &b.mock.options, 4, lags, 10, &b.err);
    cr_assert(st == PM_OK || st == PM_ETEMPORARY, "%s", b.err.text);
    rd_kafka_mock_push_request_errors(b.mock.cluster, 9, 1, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    cr_assert_eq(pmi_group_lag(pmi_sender_handle(b.sender), &b.mock.options, 4, lags, 10, &b.err), PM_EPERMISSION);
    cr_assert(strstr(b.err.text, "t.workers") != NULL, "%s", b.err.text);
    rd_kafka_mock_clear_request_errors(b.mock.cluster, 9);
    rd_kafka_mock_broker_set_down(b.mock.cluster, -1);
    double begin = pmi_seconds();
    cr_assert_neq(pmi_group_lag(pmi_sender_handle(b.sender), &b.mock.options, 4, lags, 1, &b.err), PM_OK);
    cr_assert(pmi_seconds() - begin < 6);
    tear_down(&b);
}
