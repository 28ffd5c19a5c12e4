/* What a unit's headers say of it: enough to look it up, count it and blame it, before anything is decoded. */
#ifndef PM_WORKER_UNIT_HEADERS_H
#define PM_WORKER_UNIT_HEADERS_H

#include "kafka/sender.h"
#include "worker/task.h"

#define PM_UNIT_HEADERS_PREFIX 68 /* a longer one is none of Redis's, and cut */

typedef struct pm_unit_headers {
    pm_digest job, unit; /* unit: of the message's position when there is no id */
    char kind[PM_KIND_NAME];
    bool has_job, has_unit;
    char redis_prefix[PM_UNIT_HEADERS_PREFIX]; /* "": not said */
    char traceparent[PM_TRACEPARENT];          /* "" when there is none */
    char trace[33];                            /* its trace id, or "" */
} pm_unit_headers;

/* Reads untrusted headers; fills what can be told, also after a failure. PM_EDATA: names the missing or wrong one. */
pm_status pmi_unit_headers_read(const rd_kafka_message_t *message, pm_unit_headers *out, pm_error *err);

/* The same of headers (NULL: none) of a message at this position. */
pm_status pmi_unit_headers_parse(const rd_kafka_headers_t *headers, const char *topic, int32_t partition,
                                 int64_t offset, pm_unit_headers *out, pm_error *err);

/* Names a message that is not believed by its position, not by what its headers say. PM_ESOFTWARE, PM_EOSERR. */
pm_status pmi_unit_headers_disown(const rd_kafka_message_t *message, pm_unit_headers *unit_headers, pm_error *err);

#endif
