/* Sending: an idempotent producer whose every message is accounted for. */
#ifndef PM_KAFKA_SENDER_H
#define PM_KAFKA_SENDER_H

#include "kafka/kafka.h"

typedef struct pm_sender pm_sender;

/* A message to send, and where it ended up. Spans and headers are copied. */
typedef struct pm_outgoing {
    pm_topic topic;
    int32_t partition;                 /* explicit for units; 0 for the other topics */
    pm_span key;                       /* may be empty */
    pm_span value;                     /* bytes == NULL: a tombstone */
    const rd_kafka_headers_t *headers; /* NULL: none */
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

/* Queues one message; waits while the queue is full. Errors: PM_EDATA (too large); PM_EPERMISSION; PM_EUNAVAILABLE. */
pm_status pmi_sender_send(pm_sender *s, const pm_outgoing *message, pm_error *err);
/* Serves delivery reports without waiting. */
void pmi_sender_poll(pm_sender *s);
/* Waits until every message is reported, at most `seconds`. Errors: PM_ETEMPORARY; the first failed delivery. After a
 * fatal error the handle is made anew at the next send. */
pm_status pmi_sender_flush(pm_sender *s, double seconds, pm_error *err);

/* ---- headers of our messages: CloudEvents in binary mode, and ours (docs/messages.md) ---- */

/* content-type, ce_specversion, ce_id, ce_type, ce_source ("/phasemill/NAME"), ce_time, phasemill-version. */
rd_kafka_headers_t *pmi_headers_new(const pm_digest id, const char *type, const char *source, double time);
void pmi_headers_add(rd_kafka_headers_t *h, const char *name, pm_span value);
void pmi_headers_add_digest(rd_kafka_headers_t *h, const char *name, const pm_digest digest);
/* Those of a unit, 24 at most, without what was added when it became a dead letter. `headers` may be NULL. */
rd_kafka_headers_t *pmi_headers_of_unit(const rd_kafka_headers_t *headers);

/* On units: where their jobs are, so that a worker with another Redis notices. */
#define PM_HEADER_REDIS_PREFIX "phasemill-redis-prefix"

/* A W3C traceparent: "00-<32 hex>-<16 hex>-<2 hex>", neither id all zero. */
#define PM_TRACEPARENT 56 /* 55 characters and the final zero */
bool pmi_traceparent_is_valid(const char *text);
/* Draws one anew. Errors: PM_EOSERR when the system gives no random bytes. */
pm_status pmi_traceparent_draw(char text[PM_TRACEPARENT], pm_error *err);

#endif
