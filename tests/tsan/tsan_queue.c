/* Kafka's clients in threads of their own, against librdkafka's mock brokers: log lines and reports come from the
 * thread that polls, and from no other. Prints nothing and exits 0 when all is well. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include "base/clock.h"
#include "kafka/reader.h"
#include "kafka/taker.h"

#include <librdkafka/rdkafka_mock.h> /* wants rdkafka.h before it */

/* librdkafka makes its threads by C11's calls, of which the sanitizer knows nothing: these take their place. */
typedef struct start {
    thrd_start_t function;
    void *argument;
} start;

static void *run_start(void *argument) {
    start s = *(start *)argument;
    free(argument);
    return (void *)(intptr_t)s.function(s.argument);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *argument) {
    start *s = malloc(sizeof *s);
    if (s == NULL) {
        return thrd_nomem;
    }
    *s = (start){function, argument};
    return pthread_create(thread, NULL, run_start, s) == 0 ? thrd_success : thrd_error;
}

int thrd_join(thrd_t thread, int *result) {
    void *value;
    if (pthread_join(thread, &value) != 0) {
        return thrd_error;
    }
    if (result != NULL) {
        *result = (int)(intptr_t)value;
    }
    return thrd_success;
}

enum { PARTITIONS = 3, UNITS = 60 };

typedef struct client {
    pthread_t thread;
    pm_kafka_options options;
    pm_log log;
    size_t lines, seen; /* written by the client's own thread alone: not atomic, so that another's write is a race */
    bool is_wrong;
    pm_status status;
    pm_error err;
} client;

static void on_line(void *ctx, pm_log_level level, const char *text) {
    client *c = ctx;
    (void)level, (void)text;
    c->lines++;
    c->is_wrong = c->is_wrong || !pthread_equal(pthread_self(), c->thread);
}

static void on_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st, const pm_error *err) {
    client *c = ctx;
    (void)opaque, (void)partition, (void)offset, (void)st, (void)err;
    c->seen++;
    c->is_wrong = c->is_wrong || !pthread_equal(pthread_self(), c->thread);
}

static void *produce(void *argument) {
    client *c = argument;
    pm_sender *s;
    c->status = pmi_sender_open(&c->options, 20, on_report, c, &c->log, &s, &c->err);
    if (c->status != PM_OK) {
        return NULL;
    }
    for (int32_t i = 0; i < 2 * UNITS && c->status == PM_OK; i++) {
        pm_outgoing m = {.topic = i % 2 == 0 ? PM_TOPIC_UNITS : PM_TOPIC_EVENTS,
                         .partition = i % 2 == 0 ? i / 2 % PARTITIONS : 0,
                         .value = {(const uint8_t *)"value", 5}};
        c->status = pmi_sender_send(s, &m, &c->err);
    }
    if (c->status == PM_OK) {
        c->status = pmi_sender_flush(s, 20, &c->err);
    }
    pmi_sender_close(s);
    return NULL;
}

static void *take(void *argument) {
    client *c = argument;
    pm_taker *t;
    c->status = pmi_taker_open(&c->options, 20, &c->log, &t, &c->err);
    if (c->status != PM_OK) {
        return NULL;
    }
    c->status = pmi_taker_join(t, &c->err);
    double until = pmi_seconds() + 40;
    while (c->status == PM_OK && c->seen < UNITS && pmi_seconds() < until) {
        pm_taken unit;
        bool taken = false;
        c->status = pmi_taker_serve(t, &c->err);
        if (c->status == PM_OK) {
            c->status = pmi_taker_take(t, &unit, &taken, &c->err);
        }
        if (taken) {
            c->seen++;
            pmi_taker_done(t, &unit);
        }
    }
    pmi_taker_close(t, 10);
    return NULL;
}

static pm_status count(void *ctx, const pm_read_message *m, pm_error *err) {
    (void)m, (void)err;
    ((client *)ctx)->seen++;
    return PM_OK;
}

static void *follow(void *argument) {
    client *c = argument;
    pm_reader *r;
    c->status = pmi_reader_open(&c->options, PM_TOPIC_EVENTS, true, 10, &c->log, &r, &c->err);
    if (c->status != PM_OK) {
        return NULL;
    }
    double until = pmi_seconds() + 40;
    while (c->status == PM_OK && c->seen < UNITS && pmi_seconds() < until) {
        c->status = pmi_reader_poll(r, 1, count, c, &c->err);
    }
    pmi_reader_close(r);
    return NULL;
}

static int run(const char *brokers) {
    static const pm_property talkative[] = {{"debug", "cgrp,topic,broker"}};
    static void *(*const roles[])(void *) = {produce, take, follow};
    static client clients[3];
    int faults = 0;
    for (int i = 0; i < 3; i++) {
        client *c = &clients[i];
        c->log = (pm_log){.ctx = c, .line = on_line};
        c->options = (pm_kafka_options){.brokers = brokers,
                                        .topic_prefix = "t",
                                        .group = "t.workers",
                                        .client = "test",
                                        .properties = talkative,
                                        .n_properties = 1};
        if (pthread_create(&c->thread, NULL, roles[i], c) != 0) {
            abort();
        }
    }
    for (int i = 0; i < 3; i++) {
        client *c = &clients[i];
        pthread_join(c->thread, NULL);
        size_t expected = i == 0 ? 2 * UNITS : UNITS;
        if (c->status != PM_OK || c->seen != expected || c->is_wrong || c->lines == 0) {
            fprintf(stderr, "client %d: %zu of %zu messages, %zu lines%s: %s\n", i, c->seen, expected, c->lines,
                    c->is_wrong ? ", some from another thread" : "", c->err.text);
            faults++;
        }
    }
    return faults;
}

int main(void) {
    char words[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof words);
    if (host == NULL) {
        fprintf(stderr, "%s\n", words);
        return EXIT_FAILURE;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(host, 1);
    rd_kafka_mock_topic_create(cluster, "t.units", PARTITIONS, 1);
    rd_kafka_mock_topic_create(cluster, "t.events", 1, 1);
    int faults = run(rd_kafka_mock_cluster_bootstraps(cluster));
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
    return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
