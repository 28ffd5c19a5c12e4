/* What units are sent through: Kafka, Redis, and the limits of waiting for them. */
#ifndef PM_UNITS_PRODUCER_H
#define PM_UNITS_PRODUCER_H

#include "base/clock.h"
#include "base/retry.h"
#include "kafka/sender.h"
#include "redis/board.h"
#include "redis/traces.h"
#include "scc/classes.h"
#include "wire/units.h"

/* What a producer works with; all borrowed. */
typedef struct pm_producer {
    const pm_kafka_options *kafka;
    pm_sender *sender;                /* opened by pmi_producer_open with its reports */
    struct pm_deliveries *deliveries; /* under way (units/deliveries.h) */
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

/* Reaches Kafka, checks it, makes the topics; Redis was checked by whoever opened it. `traceparent` (NULL: drawn anew)
 * goes with every message. Close with pmi_producer_close. */
pm_status pmi_producer_open(const pm_kafka_options *kafka, pm_traces *traces, const char *traceparent,
                            const pm_deadline *deadline, const pm_log *log, pm_producer *out, pm_error *err);
void pmi_producer_close(pm_producer *p);
/* After Kafka knew nothing of a topic: makes what was deleted since, and counts the partitions again. */
pm_status pmi_producer_mend_topics(pm_producer *p, pm_error *err);

/* Waits out `what` ("Redis"), for the producer's patience and never beyond its deadline. */
pm_retry pmi_producer_retry(pm_producer *p, const char *what);

#endif
