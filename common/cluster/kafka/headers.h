/* Headers of our messages: CloudEvents in binary mode, and ours (docs/messages.md). */
#ifndef PM_KAFKA_HEADERS_H
#define PM_KAFKA_HEADERS_H

#include "base/hash.h"
#include "kafka/sender.h"

/* The texts live in the struct: do not copy it. */
typedef struct pm_headers {
    pm_header list[PM_MAX_HEADERS];
    size_t n;
    char text[4096];
    size_t used;
    bool is_full; /* something did not fit */
} pm_headers;

/* content-type, ce_specversion, ce_id, ce_type ("phasemill.unit.record"), ce_source ("/phasemill/NAME"), ce_time,
 * phasemill-version. */
void pmi_headers_begin(pm_headers *h, const uint8_t id[PM_DIGEST_BYTES], const char *type, const char *source,
                       double time);
/* Both are copied. */
void pmi_headers_add(pm_headers *h, const char *name, pm_span value);
void pmi_headers_add_digest(pm_headers *h, const char *name, const uint8_t digest[PM_DIGEST_BYTES]);
/* PM_ESOFTWARE when something did not fit. */
pm_status pmi_headers_status(const pm_headers *h, pm_error *err);

/* On units: where their jobs are, so that a worker with another Redis notices. */
#define PM_HEADER_REDIS_PREFIX "phasemill-redis-prefix"

/* A W3C traceparent: "00-<32 hex>-<16 hex>-<2 hex>", neither id all zero. */
#define PM_TRACEPARENT 56 /* 55 characters and the final zero */
bool pmi_traceparent_is_valid(const char *text);
/* Draws one anew. Errors: PM_EOSERR when the system gives no random bytes. */
pm_status pmi_traceparent_draw(char text[PM_TRACEPARENT], pm_error *err);

#endif
