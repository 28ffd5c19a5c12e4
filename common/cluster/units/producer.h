/* What units are sent through: Kafka, Redis, and the limits of waiting for them. */
#ifndef PM_UNITS_PRODUCER_H
#define PM_UNITS_PRODUCER_H

#include "base/clock.h"
#include "base/retry.h"
#include "kafka/sender.h"
#include "redis/board.h"
#include "redis/traces.h"
#include "wire/units.h"

/* What a producer works with; all borrowed. */
typedef struct pm_producer {
    const pm_kafka_options *kafka;
    pm_sender *sender;                /* opened by pmi_producer_open with its reports */
    struct pm_deliveries *deliveries; /* under way */
    size_t n_partitions;
    uint64_t *load;       /* of each partition: estimated microseconds sent to it by this producer */
    pm_traces *traces;    /* disk and Redis */
    double patience;      /* seconds that Redis or Kafka may be away */
    pm_deadline deadline; /* of the whole command: whatever waits ends by then */
    pm_outage outage;     /* of Redis, or of Kafka */
    char trace[64];       /* W3C traceparent of what is sent */
    const pm_log *log;
    bool (*is_stopped)(void *ctx); /* NULL: never */
    void *ctx;
} pm_producer;

/* Reaches Kafka, checks it, makes the topics. `traceparent` (NULL: drawn anew) goes with every message. */
pm_status pmi_producer_open(const pm_kafka_options *kafka, pm_traces *traces, const char *traceparent,
                            const pm_deadline *deadline, const pm_log *log, pm_producer *out, pm_error *err);
void pmi_producer_close(pm_producer *p);
/* After Kafka knew nothing of a topic: makes what was deleted since, and counts the partitions again. */
pm_status pmi_producer_mend_topics(pm_producer *p, pm_error *err);

/* Waits out `what` ("Redis"), for the producer's patience and never beyond its deadline. */
pm_retry pmi_producer_retry(pm_producer *p, const char *what);

/* Live workers and their slots. */
pm_status pmi_count_workers(pm_redis *r, size_t *workers, size_t *slots, pm_error *err);
/* The same; without any, waits for one at most PM_WORKER_WAIT (Redis may have been emptied), by the deadline. */
pm_status pmi_wait_for_workers(pm_producer *producer, size_t *workers, size_t *slots, pm_error *err);

/* ---- deliveries under way: what the sender's reports are written to ---- */

/* How long Kafka may take to accept one message before it is sent again. */
#define PM_DELIVERY_SECONDS 30.0

typedef struct pm_delivery {
    bool arrived;
    int64_t offset;
} pm_delivery;

/* A report names its message by a number that never comes again: a late one touches nothing. */
typedef struct pm_deliveries {
    uint64_t base; /* number of the first message of this batch */
    size_t n, capacity;
    pm_delivery *items;
} pm_deliveries;

pm_status pmi_deliveries_begin(pm_deliveries *deliveries, size_t n, pm_error *err);
void pmi_deliveries_end(pm_deliveries *deliveries); /* reports still to come are of the past */
void *pmi_deliveries_opaque(const pm_deliveries *deliveries, size_t i);

/* A pm_sender_report; ctx is the pm_deliveries. */
void pmi_deliveries_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st,
                           const pm_error *err);

#endif
