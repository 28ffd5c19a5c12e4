/* Taking units, against librdkafka's mock brokers: joining a group takes them three seconds. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/sender.h"
#include "kafka/taker.h"
#include "mock_kafka.h"

#define PARTITIONS 4
#define MOST 400

static const pm_property quick[] = {{"session.timeout.ms", "6000"}, {"heartbeat.interval.ms", "200"}};

typedef struct bench {
    mock_kafka mock;
    pm_error err;
} bench;

static void set_up(bench *b) {
    mock_kafka_start(&b->mock, 1, PARTITIONS);
    b->mock.options.properties = quick;
    b->mock.options.n_properties = 2;
}

static void send_units(bench *b, int partition, size_t n) {
    pm_sender *s;
    cr_assert_eq(pmi_sender_open(&b->mock.options, 10, NULL, NULL, &b->mock.log, &s, &b->err), PM_OK);
    for (size_t i = 0; i < n; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "%d/%zu", partition, i);
        pm_outgoing m = {.partition = partition, .value = {(const uint8_t *)text, (size_t)size}};
        cr_assert_eq(pmi_sender_send(s, &m, &b->err), PM_OK, "%s", b->err.text);
    }
    cr_assert_eq(pmi_sender_flush(s, 10, &b->err), PM_OK, "%s", b->err.text);
    pmi_sender_close(s);
}

static pm_taker *open_taker(bench *b, size_t window) {
    pm_taker *t;
    cr_assert_eq(pmi_taker_open(&b->mock.options, window, &b->mock.log, &t, &b->err), PM_OK, "%s", b->err.text);
    cr_assert_eq(pmi_taker_join(t, &b->err), PM_OK, "%s", b->err.text);
    return t;
}

static void serve(bench *b, pm_taker *t) {
    cr_assert_eq(pmi_taker_serve(t, &b->err), PM_OK, "%s", b->err.text);
}

/* Waits on the descriptor as a worker does, and takes one unit; false after `seconds`. */
static bool take(bench *b, pm_taker *t, double seconds, pm_taken *unit) {
    double until = pmi_seconds() + seconds;
    do {
        bool taken;
        serve(b, t);
        cr_assert_eq(pmi_taker_take(t, unit, &taken, &b->err), PM_OK, "%s", b->err.text);
        if (taken) {
            return true;
        }
        struct pollfd fd = {.fd = pmi_taker_fd(t), .events = POLLIN};
        poll(&fd, 1, 100);
    } while (pmi_seconds() < until);
    return false;
}

static void serve_until_owned(bench *b, pm_taker *t, size_t n, double seconds) {
    double until = pmi_seconds() + seconds;
    while (pmi_taker_partitions(t, NULL, 0) != n) {
        cr_assert(pmi_seconds() < until, "%zu partitions\n%s", pmi_taker_partitions(t, NULL, 0), b->mock.lines);
        serve(b, t);
        poll(NULL, 0, 20);
    }
}

/* What is committed for the partition, or -1. */
static int64_t committed(bench *b, int partition) {
    char words[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", b->mock.options.brokers, words, sizeof words);
    rd_kafka_conf_set(conf, "group.id", b->mock.options.group, words, sizeof words);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, words, sizeof words);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "t.units", partition);
    cr_assert_eq(rd_kafka_committed(rk, list, 5000), RD_KAFKA_RESP_ERR_NO_ERROR);
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return offset < 0 ? -1 : offset;
}

static void check_text(const pm_taken *unit) {
    char text[32];
    int n = snprintf(text, sizeof text, "%d/%lld", (int)unit->partition, (long long)unit->offset);
    cr_assert_eq(unit->value.size, (size_t)n);
    cr_assert_eq(memcmp(unit->value.bytes, text, unit->value.size), 0);
}

Test(taker, commits_the_contiguous_prefix, .timeout = 40) {
    bench b;
    pm_taken units[30];
    set_up(&b);
    for (int p = 0; p < 3; p++) {
        send_units(&b, p, 10);
    }
    pm_taker *t = open_taker(&b, 100);
    for (size_t i = 0; i < 30; i++) {
        cr_assert(take(&b, t, 15, &units[i]), "unit %zu", i);
        check_text(&units[i]);
    }
    uint32_t owned[PARTITIONS];
    cr_assert_eq(pmi_taker_partitions(t, owned, PARTITIONS), PARTITIONS);
    cr_assert_eq(owned[3], 3);
    pm_taken none;
    cr_assert_not(take(&b, t, 0.3, &none));
    /* partition 0 but for offset 4, partition 1 whole, partition 2 but for its first */
    pm_taken *kept[2];
    size_t n_kept = 0;
    for (size_t i = 30; i-- > 0;) {
        pm_taken *u = &units[i];
        cr_assert(pmi_taker_owns(t, u));
        if ((u->partition == 0 && u->offset == 4) || (u->partition == 2 && u->offset == 0)) {
            kept[n_kept++] = u;
        } else {
            pmi_taker_done(t, u);
        }
    }
    double until = pmi_seconds() + 1;
    while (pmi_seconds() < until) {
        serve(&b, t);
        poll(NULL, 0, 20);
    }
    cr_assert_eq(committed(&b, 0), 4);
    cr_assert_eq(committed(&b, 1), 10);
    cr_assert_eq(committed(&b, 2), -1);
    pmi_taker_done(t, kept[0]);
    pmi_taker_done(t, kept[1]);
    pmi_taker_close(t, 10);
    cr_assert_eq(committed(&b, 0), 10);
    cr_assert_eq(committed(&b, 2), 10);
    mock_kafka_stop(&b.mock);
}

static void commit_as_another(bench *b, int partition, int64_t offset, const char *mark) {
    char words[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", b->mock.options.brokers, words, sizeof words);
    rd_kafka_conf_set(conf, "group.id", b->mock.options.group, words, sizeof words);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, words, sizeof words);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_add(list, "t.units", partition);
    one->offset = offset;
    one->metadata = strdup(mark); /* freed with the list */
    one->metadata_size = strlen(mark);
    cr_assert_eq(rd_kafka_commit(rk, list, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

/* The group's offset is of another topic that had this name: its last message was another one, or it was longer. */
Test(taker, begins_anew_where_the_offset_is_of_another_topic, .timeout = 40) {
    static const int64_t old[] = {6, 6, 60};
    bench b;
    pm_taken unit;
    bool seen[3][10] = {{false}};
    set_up(&b);
    for (int p = 0; p < 3; p++) {
        send_units(&b, p, 10);
        commit_as_another(&b, p, old[p], p == 1 ? "no mark" : "0123456789abcdef");
    }
    pm_taker *t = open_taker(&b, 100);
    while (take(&b, t, 6, &unit)) {
        check_text(&unit);
        seen[unit.partition][unit.offset] = true;
        pmi_taker_done(t, &unit);
    }
    for (int i = 0; i < 10; i++) {
        cr_assert(seen[0][i], "%d\n%s", i, b.mock.lines);
        cr_assert_eq(seen[1][i], i >= 6, "%d: nothing tells that it is another one\n%s", i, b.mock.lines);
        cr_assert(seen[2][i], "%d\n%s", i, b.mock.lines);
    }
    cr_assert_eq(mock_kafka_count(&b.mock, "W t.units was deleted and made again"), 1, "%s", b.mock.lines);
    pmi_taker_close(t, 10);
    for (int p = 0; p < 3; p++) {
        cr_assert_eq(committed(&b, p), 10);
    }
    mock_kafka_stop(&b.mock);
}

Test(taker, the_window_bounds_what_a_slow_unit_holds_up, .timeout = 40) {
    bench b;
    pm_taken slow, unit;
    set_up(&b);
    send_units(&b, 1, 20);
    pm_taker *t = open_taker(&b, 5);
    cr_assert(take(&b, t, 15, &slow));
    for (int64_t i = 1; i < 5; i++) {
        cr_assert(take(&b, t, 5, &unit));
        cr_assert_eq(unit.offset, i);
        pmi_taker_done(t, &unit);
    }
    cr_assert_not(take(&b, t, 0.3, &unit));
    pmi_taker_done(t, &slow);
    cr_assert(take(&b, t, 5, &unit));
    cr_assert_eq(unit.offset, 5);
    pmi_taker_done(t, &unit);
    pmi_taker_close(t, 10);
    mock_kafka_stop(&b.mock);
}

Test(taker, what_is_dropped_comes_again, .timeout = 40) {
    bench b;
    pm_taken units[10], unit;
    set_up(&b);
    send_units(&b, 0, 10);
    pm_taker *t = open_taker(&b, 6);
    for (size_t i = 0; i < 6; i++) {
        cr_assert(take(&b, t, 15, &units[i]));
    }
    pmi_taker_done(t, &units[1]);
    pmi_taker_drop(t, &units[4]);
    pmi_taker_drop(t, &units[2]);
    cr_assert(take(&b, t, 5, &unit));
    cr_assert_eq(unit.offset, 2);
    check_text(&unit);
    pmi_taker_done(t, &unit);
    cr_assert(take(&b, t, 5, &unit));
    cr_assert_eq(unit.offset, 4);
    pmi_taker_done(t, &unit);
    cr_assert_not(take(&b, t, 0.3, &unit), "the window is full");
    pmi_taker_done(t, &units[0]);
    for (int64_t i = 6; i < 9; i++) {
        cr_assert(take(&b, t, 5, &unit));
        cr_assert_eq(unit.offset, i);
        pmi_taker_done(t, &unit);
    }
    pmi_taker_done(t, &units[3]);
    pmi_taker_quiet(t);
    cr_assert_not(take(&b, t, 0.2, &unit));
    pmi_taker_drop(t, &units[5]);
    pmi_taker_close(t, 10);
    cr_assert_eq(committed(&b, 0), 5);

    t = open_taker(&b, 100); /* the next owner does not wait for a session timeout */
    double begin = pmi_seconds();
    for (int64_t i = 5; i < 10; i++) {
        cr_assert(take(&b, t, 5.5, &unit));
        cr_assert_eq(unit.offset, i);
        pmi_taker_done(t, &unit);
    }
    cr_assert(pmi_seconds() - begin < 5.5);
    pmi_taker_close(t, 10);
    cr_assert_eq(committed(&b, 0), 10);
    mock_kafka_stop(&b.mock);
}

/* A second member joins and leaves while units are in hand: each is done once, none is lost. */
Test(taker, rebalances_neither_lose_nor_repeat, .timeout = 60) {
    bench b;
    static pm_taken held[MOST];
    static int seen[PARTITIONS][50];
    size_t n_held = 0;
    set_up(&b);
    for (int p = 0; p < PARTITIONS; p++) {
        send_units(&b, p, 50);
    }
    pm_taker *first = open_taker(&b, 20);
    pm_taken unit;
    while (n_held < 40) {
        cr_assert(take(&b, first, 15, &unit));
        seen[unit.partition][unit.offset]++;
        held[n_held++] = unit;
    }
    pm_kafka_options other = b.mock.options;
    other.client = "other";
    pm_taker *second;
    cr_assert_eq(pmi_taker_open(&other, 20, &b.mock.log, &second, &b.err), PM_OK);
    cr_assert_eq(pmi_taker_join(second, &b.err), PM_OK);
    double until = pmi_seconds() + 20;
    while (pmi_taker_partitions(second, NULL, 0) != 2 || pmi_taker_partitions(first, NULL, 0) != 2) {
        cr_assert(pmi_seconds() < until, "%s", b.mock.lines);
        serve(&b, first);
        serve(&b, second);
        poll(NULL, 0, 20);
    }
    size_t owned = 0;
    for (size_t i = 0; i < n_held; i++) {
        owned += pmi_taker_owns(first, &held[i]);
    }
    cr_assert(owned >= 10 && owned <= 30, "%zu", owned);
    /* what the first holds of its own partitions is not given out again */
    while (take(&b, first, 0.5, &unit)) {
        cr_assert_eq(seen[unit.partition][unit.offset]++, 0, "%d/%lld", unit.partition, (long long)unit.offset);
        pmi_taker_done(first, &unit);
    }
    for (size_t i = 0; i < n_held; i++) {
        pmi_taker_done(first, &held[i]); /* harmless for what the second has now */
    }
    while (take(&b, first, 1, &unit)) {
        cr_assert_eq(seen[unit.partition][unit.offset]++, 0);
        pmi_taker_done(first, &unit);
    }
    pmi_taker_close(first, 10);
    serve_until_owned(&b, second, PARTITIONS, 20);
    while (take(&b, second, 1.5, &unit)) {
        seen[unit.partition][unit.offset]++;
        pmi_taker_done(second, &unit);
    }
    pmi_taker_close(second, 10);
    for (int p = 0; p < PARTITIONS; p++) {
        for (int i = 0; i < 50; i++) {
            cr_assert(seen[p][i] >= 1 && seen[p][i] <= 2, "%d/%d: %d", p, i, seen[p][i]);
        }
        cr_assert_eq(committed(&b, p), 50);
    }
    mock_kafka_stop(&b.mock);
}

Test(taker, a_refused_group_is_told_in_seconds, .timeout = 40) {
    bench b;
    set_up(&b);
    rd_kafka_mock_push_request_errors(b.mock.cluster, 11 /* JoinGroup */, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    pm_taker *t = open_taker(&b, 5);
    double begin = pmi_seconds();
    pm_status st = PM_OK;
    while (st == PM_OK && pmi_seconds() - begin < 10) {
        st = pmi_taker_serve(t, &b.err);
        poll(NULL, 0, 20);
    }
    cr_assert_eq(st, PM_EPERMISSION);
    cr_assert(strstr(b.err.text, "Group authorization failed") != NULL, "%s", b.err.text);
    pmi_taker_close(t, 10);
    mock_kafka_stop(&b.mock);
}

Test(taker, waits_for_a_topic_that_comes_later, .timeout = 40) {
    bench b;
    pm_taken unit;
    set_up(&b);
    /* the mock makes every topic that it is asked for */
    rd_kafka_mock_topic_set_error(b.mock.cluster, "t.units", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    pm_taker *t = open_taker(&b, 5);
    cr_assert_not(take(&b, t, 4, &unit));
    cr_assert_eq(mock_kafka_count(&b.mock, "t.units does not exist yet"), 1, "%s", b.mock.lines);
    rd_kafka_mock_topic_set_error(b.mock.cluster, "t.units", RD_KAFKA_RESP_ERR_NO_ERROR);
    send_units(&b, 1, 1);
    cr_assert(take(&b, t, 15, &unit), "%s", b.mock.lines);
    pmi_taker_done(t, &unit);
    pmi_taker_close(t, 10);
    mock_kafka_stop(&b.mock);
}

Test(taker, brokers_that_go_and_come_are_two_lines, .timeout = 40) {
    bench b;
    pm_taken unit;
    set_up(&b);
    send_units(&b, 2, 2);
    pm_taker *t = open_taker(&b, 5);
    cr_assert(take(&b, t, 15, &unit));
    rd_kafka_mock_broker_set_down(b.mock.cluster, -1);
    pmi_taker_done(t, &unit);
    double until = pmi_seconds() + 4;
    while (pmi_seconds() < until) {
        serve(&b, t);
        poll(NULL, 0, 50);
    }
    cr_assert_eq(mock_kafka_count(&b.mock, "W Kafka is away"), 1, "%s", b.mock.lines);
    rd_kafka_mock_broker_set_up(b.mock.cluster, -1);
    until = pmi_seconds() + 15;
    while (mock_kafka_count(&b.mock, "I Kafka is back") == 0) {
        cr_assert(pmi_seconds() < until, "%s", b.mock.lines);
        serve(&b, t);
        poll(NULL, 0, 50);
    }
    pmi_taker_close(t, 10);
    mock_kafka_stop(&b.mock);
}

Test(taker, a_cooperative_assignor_needs_a_newer_librdkafka) {
    const pm_property wish = {"partition.assignment.strategy", "cooperative-sticky"};
    const pm_kafka_options options = {.brokers = "127.0.0.1:1",
                                      .topic_prefix = "t",
                                      .group = "g",
                                      .client = "test",
                                      .properties = &wish,
                                      .n_properties = 1};
    pm_error err = {0};
    pm_taker *t;
    pm_status st = pmi_taker_open(&options, 1, NULL, &t, &err);
    if (rd_kafka_version() < 0x020a0000) {
        cr_assert_eq(st, PM_EUSAGE);
        cr_assert(strstr(err.text, "needs librdkafka 2.10.0") != NULL, "%s", err.text);
    } else {
        cr_assert_eq(st, PM_OK, "%s", err.text);
        pmi_taker_close(t, 5);
    }
}
