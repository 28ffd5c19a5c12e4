/* What a unit's headers say of it: enough to look it up, count it and blame it, before anything is decoded. */
#ifndef PM_WORKER_UNIT_HEADERS_H
#define PM_WORKER_UNIT_HEADERS_H

#include "kafka/sender.h"
#include "worker/task.h"

#define PM_UNIT_HEADERS_PREFIX 68 /* a longer one is none of Redis's, and cut */

typedef struct pm_unit_headers {
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES]; /* unit: of the message's position when there is no id */
    char kind[PM_KIND_NAME];
    bool has_job, has_unit;
    char redis_prefix[PM_UNIT_HEADERS_PREFIX]; /* "": not said */
    char traceparent[PM_TRACEPARENT];          /* "" when there is none */
    char trace[33];                            /* its trace id, or "" */
} pm_unit_headers;

/* Reads untrusted headers. Fills what can be told, also after a failure. Errors: PM_EDATA naming the header that is
 * missing or wrong; a version that is not known. */
pm_status pmi_unit_headers_read(const rd_kafka_message_t *message, pm_unit_headers *out, pm_error *err);

/* The same of headers (NULL: none) of a message at this position. */
pm_status pmi_unit_headers_parse(const rd_kafka_headers_t *headers, const char *topic, int32_t partition,
                                 int64_t offset, pm_unit_headers *out, pm_error *err);

/* Takes back what the headers say of job and unit: a message that is not believed is named by its position. Errors:
 * PM_ESOFTWARE, PM_EOSERR. */
pm_status pmi_unit_headers_disown(const rd_kafka_message_t *message, pm_unit_headers *unit_headers, pm_error *err);

#endif
