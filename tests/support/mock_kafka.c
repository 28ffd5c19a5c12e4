#include "mock_kafka.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void keep_line(void *ctx, pm_log_level level, const char *text) {
    mock_kafka *m = ctx;
    if (level == PM_LOG_DEBUG) {
        return;
    }
    size_t room = sizeof m->lines - m->used;
    int n = snprintf(m->lines + m->used, room, "%c %s\n", "DIWE"[level], text);
    cr_assert(n > 0 && (size_t)n < room, "the log is full");
    m->used += (size_t)n;
}

size_t mock_kafka_count(const mock_kafka *m, const char *text) {
    size_t n = 0;
    for (const char *at = m->lines; (at = strstr(at, text)) != NULL; at += strlen(text)) {
        n++;
    }
    return n;
}

void mock_kafka_start(mock_kafka *m, int brokers, int partitions) {
    *m = (mock_kafka){0};
    char words[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    m->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof words);
    cr_assert_not_null(m->host, "%s", words);
    m->cluster = rd_kafka_mock_cluster_new(m->host, brokers);
    cr_assert_not_null(m->cluster);
    rd_kafka_mock_topic_create(m->cluster, "t.units", partitions, brokers < 3 ? brokers : 3);
    rd_kafka_mock_topic_create(m->cluster, "t.events", 1, 1);
    rd_kafka_mock_topic_create(m->cluster, "t.dead-letters", 1, 1);
    m->log = (pm_log){.ctx = m, .line = keep_line};
    m->options = (pm_kafka_options){.brokers = rd_kafka_mock_cluster_bootstraps(m->cluster),
                                    .topic_prefix = "t",
                                    .group = "t.workers",
                                    .partitions = (size_t)partitions,
                                    .retention_hours = 24,
                                    .client = "test"};
}

void mock_kafka_stop(mock_kafka *m) {
    rd_kafka_mock_cluster_destroy(m->cluster);
    rd_kafka_destroy(m->host);
}
