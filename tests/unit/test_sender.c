/* Sending, against librdkafka's mock brokers. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/sender.h"
#include "mock_kafka.h"

typedef struct reports {
    size_t n, failed;
    int64_t offset[64];
    pm_status last;
    char text[PM_ERROR_TEXT];
} reports;

static void on_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st, const pm_error *err) {
    reports *r = ctx;
    size_t i = (size_t)(uintptr_t)opaque;
    (void)partition;
    r->n++;
    r->failed += st != PM_OK;
    r->last = st;
    if (i < 64) {
        r->offset[i] = offset;
    }
    snprintf(r->text, sizeof r->text, "%s", st == PM_OK ? "" : err->text);
}

static pm_span span(const char *text) {
    return (pm_span){(const uint8_t *)text, strlen(text)};
}

static pm_outgoing message(int32_t partition, size_t number) {
    return (pm_outgoing){.topic = PM_TOPIC_UNITS,
                         .partition = partition,
                         .key = span("key"),
                         .value = span("value"),
                         .opaque = (void *)(uintptr_t)number};
}

Test(sender, reports_each_message_with_its_offset, .timeout = 30) {
    mock_kafka mock;
    pm_error err = {0};
    reports r = {0};
    pm_sender *s;
    mock_kafka_start(&mock, 1, 4);
    cr_assert_eq(pmi_sender_open(&mock.options, 10, on_report, &r, &mock.log, &s, &err), PM_OK, "%s", err.text);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
    pmi_headers_add(headers, "a", span("1"));
    pmi_headers_add(headers, "b", (pm_span){NULL, 0});
    for (size_t i = 0; i < 20; i++) {
        pm_outgoing m = message((int32_t)(i % 4), i);
        m.headers = headers;
        cr_assert_eq(pmi_sender_send(s, &m, &err), PM_OK, "%s", err.text);
    }
    rd_kafka_headers_destroy(headers);
    cr_assert_eq(pmi_sender_flush(s, 10, &err), PM_OK, "%s", err.text);
    cr_assert_eq(r.n, 20);
    cr_assert_eq(r.failed, 0);
    for (size_t i = 0; i < 20; i++) {
        cr_assert_eq(r.offset[i], (int64_t)(i / 4));
    }
    pmi_sender_close(s);
    mock_kafka_stop(&mock);
}

Test(sender, too_large_is_told_at_once, .timeout = 30) {
    mock_kafka mock;
    pm_error err = {0};
    reports r = {0};
    pm_sender *s;
    mock_kafka_start(&mock, 1, 1);
    cr_assert_eq(pmi_sender_open(&mock.options, 10, on_report, &r, &mock.log, &s, &err), PM_OK);
    uint8_t *large = calloc(1, 3 << 20);
    pm_outgoing m = message(0, 0);
    m.value = (pm_span){large, 3 << 20};
    cr_assert_eq(pmi_sender_send(s, &m, &err), PM_EDATA);
    cr_assert(strstr(err.text, "3145728 bytes to t.units partition 0") != NULL, "%s", err.text);
    cr_assert_eq(pmi_sender_flush(s, 1, &err), PM_OK);
    cr_assert_eq(r.n, 0);
    free(large);
    pmi_sender_close(s);
    mock_kafka_stop(&mock);
}

Test(sender, a_message_that_times_out_is_temporary, .timeout = 30) {
    mock_kafka mock;
    pm_error err = {0};
    reports r = {0};
    pm_sender *s;
    mock_kafka_start(&mock, 1, 1);
    cr_assert_eq(pmi_sender_open(&mock.options, 1, on_report, &r, &mock.log, &s, &err), PM_OK);
    rd_kafka_mock_broker_set_down(mock.cluster, -1);
    pm_outgoing m = message(0, 0);
    cr_assert_eq(pmi_sender_send(s, &m, &err), PM_OK);
    cr_assert_eq(pmi_sender_flush(s, 0.2, &err), PM_ETEMPORARY);
    cr_assert(strstr(err.text, "1 messages are not acknowledged") != NULL, "%s", err.text);
    cr_assert_eq(pmi_sender_flush(s, 10, &err), PM_ETEMPORARY);
    cr_assert_eq(r.failed, 1);
    cr_assert(strstr(r.text, "was not acknowledged within 1 s") != NULL, "%s", r.text);
    cr_assert_eq(mock_kafka_count(&mock, "W Kafka is away"), 1, "%s", mock.lines);

    rd_kafka_mock_broker_set_up(mock.cluster, -1);
    do {
        cr_assert_eq(pmi_sender_send(s, &m, &err), PM_OK);
    } while (pmi_sender_flush(s, 10, &err) != PM_OK);
    cr_assert_eq(r.last, PM_OK);
    cr_assert_eq(mock_kafka_count(&mock, "I Kafka is back"), 1, "%s", mock.lines);
    pmi_sender_close(s);
    mock_kafka_stop(&mock);
}

Test(sender, a_missing_right_is_fatal_in_seconds, .timeout = 30) {
    mock_kafka mock;
    pm_error err = {0};
    reports r = {0};
    pm_sender *s;
    mock_kafka_start(&mock, 1, 1);
    cr_assert_eq(pmi_sender_open(&mock.options, 60, on_report, &r, &mock.log, &s, &err), PM_OK);
    rd_kafka_mock_push_request_errors(mock.cluster, 0 /* Produce */, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    pm_outgoing m = message(0, 0);
    double begin = pmi_seconds();
    cr_assert_eq(pmi_sender_send(s, &m, &err), PM_OK);
    cr_assert_eq(pmi_sender_flush(s, 30, &err), PM_EPERMISSION);
    cr_assert(pmi_seconds() - begin < 10);
    cr_assert(strstr(err.text, "Topic authorization failed") != NULL, "%s", err.text);
    cr_assert_eq(r.last, PM_EPERMISSION);
    cr_assert_eq(pmi_sender_send(s, &m, &err), PM_EPERMISSION);
    pmi_sender_close(s);
    mock_kafka_stop(&mock);
}

/* Out-of-order sequence numbers are fatal to an idempotent producer; the sender makes another. */
Test(sender, a_dead_producer_is_replaced, .timeout = 30) {
    mock_kafka mock;
    pm_error err = {0};
    reports r = {0};
    pm_sender *s;
    mock_kafka_start(&mock, 1, 1);
    cr_assert_eq(pmi_sender_open(&mock.options, 10, on_report, &r, &mock.log, &s, &err), PM_OK);
    pm_outgoing m = message(0, 0);
    cr_assert_eq(pmi_sender_send(s, &m, &err), PM_OK);
    cr_assert_eq(pmi_sender_flush(s, 10, &err), PM_OK, "%s", err.text);
    rd_kafka_t *before = pmi_sender_handle(s);
    rd_kafka_test_fatal_error(before, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test");
    cr_assert_eq(pmi_sender_send(s, &m, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_sender_flush(s, 10, &err), PM_OK, "%s", err.text);
    cr_assert_eq(r.n, 2);
    cr_assert_eq(r.failed, 0);
    cr_assert_eq(mock_kafka_count(&mock, "sending starts anew"), 1, "%s", mock.lines);
    pmi_sender_close(s);
    mock_kafka_stop(&mock);
}
