/* librdkafka's mock brokers, inside the process of the test. */
#ifndef MOCK_KAFKA_H
#define MOCK_KAFKA_H

#include "kafka/kafka.h"

#include <librdkafka/rdkafka_mock.h> /* wants rdkafka.h before it */

typedef struct mock_kafka {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    pm_kafka_options options; /* of clients: prefix "t", group "t.workers" */
    pm_log log;
    char lines[65536]; /* what was logged at info and above: "W text\n" */
    size_t used;
} mock_kafka;

/* Brokers with the topics t.units (`partitions`), t.events, t.dead-letters. */
void mock_kafka_start(mock_kafka *m, int brokers, int partitions);
void mock_kafka_stop(mock_kafka *m);
/* How often `text` was logged. */
size_t mock_kafka_count(const mock_kafka *m, const char *text);

#endif
