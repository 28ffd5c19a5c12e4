/* Sending: an idempotent producer whose every message is accounted for. */
#ifndef PM_KAFKA_SENDER_H
#define PM_KAFKA_SENDER_H

#include "kafka/kafka.h"

typedef struct pm_sender pm_sender;

typedef struct pm_header {
    const char *name;
    pm_span value;
} pm_header;
#define PM_MAX_HEADERS 24

/* A message to send, and where it ended up. Spans are copied. */
typedef struct pm_outgoing {
    pm_topic topic;
    int32_t partition; /* explicit for units; 0 for the other topics */
    pm_span key;       /* may be empty */
    pm_span value;     /* bytes == NULL: a tombstone */
    const pm_header *headers;
    size_t n_headers;
    void *opaque;
} pm_outgoing;

/* Called from pmi_sender_poll and _flush, once for each message: offset, or st != PM_OK with err. */
typedef void (*pm_sender_report)(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st,
                                 const pm_error *err);

/* `seconds`: delivery.timeout of a message. Close with pmi_sender_close, which drops what was not flushed. */
pm_status pmi_sender_open(const pm_kafka_options *options, double seconds, pm_sender_report report, void *ctx,
                          const pm_log *log, pm_sender **out, pm_error *err);
void pmi_sender_close(pm_sender *s);
rd_kafka_t *pmi_sender_handle(pm_sender *s);
pm_kafka_health *pmi_sender_health(pm_sender *s);

/* Queues one message; waits while librdkafka's queue is full. Errors: PM_EDATA for a message larger than Kafka takes;
 * PM_EPERMISSION; PM_EUNAVAILABLE. */
pm_status pmi_sender_send(pm_sender *s, const pm_outgoing *message, pm_error *err);
/* Serves delivery reports without waiting. */
void pmi_sender_poll(pm_sender *s);
/* Waits until every message is reported, at most `seconds`. Errors: PM_ETEMPORARY with how many are not; the first
 * failed delivery otherwise. After a fatal error of the idempotent producer the handle is made anew at the next send.
 */
pm_status pmi_sender_flush(pm_sender *s, double seconds, pm_error *err);

#endif
