/* Submitting: a graph becomes a job, and what nobody has recorded becomes units on the topic. */
#ifndef PM_PRODUCER_SUBMIT_H
#define PM_PRODUCER_SUBMIT_H

#include "base/deadline.h"
#include "base/retry.h"
#include "kafka/sender.h"
#include "redis/board.h"
#include "redis/traces.h"
#include "scc/classes.h"
#include "wire/units.h"

/* What a producer works with; all borrowed. */
typedef struct pm_producer {
    const pm_kafka_options *kafka;
    pm_sender *sender;    /* opened by pm_producer_open with its reports */
    struct pm_sent *sent; /* deliveries under way (producer/sent.h) */
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
 * goes with every message. Close with pm_producer_close. */
pm_status pm_producer_open(const pm_kafka_options *kafka, pm_traces *traces, const char *traceparent,
                           const pm_deadline *deadline, const pm_log *log, pm_producer *out, pm_error *err);
void pm_producer_close(pm_producer *p);
/* After Kafka knew nothing of a topic: makes what was deleted since, and counts the partitions again. */
pm_status pm_producer_mend_topics(pm_producer *p, pm_error *err);

/* Waits out `what` ("Redis"), for the producer's patience and never beyond its deadline. */
pm_retry pm_producer_retry(pm_producer *p, const char *what);

typedef struct pm_submit_options {
    pm_effort effort;
    size_t min_size;     /* a graph with fewer states is recorded here, not on the cluster */
    size_t memory;       /* for recording here */
    const char *source;  /* where the graph came from, for people */
    pm_buffer *manifest; /* gets the encoded manifest; NULL: not wanted */
} pm_submit_options;

typedef struct pm_submit_report {
    uint8_t job[PM_DIGEST_BYTES];
    size_t states, sccs, items, known, uploaded, recorded_here, units, units_by_claim;
} pm_submit_report;

/* Submits: twice, or again after a kill, is one job. `split` and `classes` may be NULL (then they are found). Errors:
 * those of the graph; Redis and Kafka away beyond patience; PM_ETEMPORARY when stopped. */
pm_status pm_submit(pm_producer *p, const pm_graph *graph, const pm_split *split, const pm_classes *classes,
                    const pm_submit_options *options, pm_submit_report *report, pm_error *err);

/* ---- what the collector uses to send again, and for other kinds of units ---- */

/* A unit to send. */
typedef struct pm_new_unit {
    const char *kind;
    const uint8_t (*items)[PM_DIGEST_BYTES];
    size_t n_items;
    uint64_t cost;
    pm_buffer body; /* an encoded body (wire/messages.h); taken over */
} pm_new_unit;

/* Packs classes (numbers into `classes`) into record units and sends them, largest cost first, each to the least loaded
 * partition. */
pm_status pm_send_classes(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_classes *classes,
                          pm_effort effort, const uint32_t *numbers, size_t n, size_t *n_units, size_t *n_claims,
                          pm_error *err);

/* Sends units of any kind: claim check where large, unit records before and after, delivery waited for. `fresh` forgets
 * their attempts and outcomes. Bodies are freed. */
pm_status pm_send_units(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], pm_new_unit *units, size_t n, bool fresh,
                        size_t *n_claims, pm_error *err);

#endif
