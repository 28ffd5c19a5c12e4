/* What a unit's headers say of it: enough to look it up, count it and blame it, before anything is decoded. */
#ifndef PM_WORKER_HEADING_H
#define PM_WORKER_HEADING_H

#include "kafka/headers.h"
#include "worker/task.h"

#define PM_HEADING_PREFIX 68 /* a longer one is none of Redis's, and cut */

typedef struct pm_heading {
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES]; /* unit: of the message's position when there is no id */
    char kind[PM_KIND_NAME];
    bool has_job, has_unit;
    char redis_prefix[PM_HEADING_PREFIX]; /* "": not said */
    char traceparent[PM_TRACEPARENT];     /* "" when there is none */
    char trace[33];                       /* its trace id, or "" */
} pm_heading;

/* Reads untrusted headers. Fills what can be told, also after a failure. Errors: PM_EDATA naming the header that is
 * missing or wrong; a version that is not known. */
pm_status pm_heading_read(const rd_kafka_message_t *message, pm_heading *out, pm_error *err);

/* The same of headers (NULL: none) of a message at this position. */
pm_status pm_heading_parse(const rd_kafka_headers_t *headers, const char *topic, int32_t partition, int64_t offset,
                           pm_heading *out, pm_error *err);

/* Takes back what the headers say of job and unit: a message that is not believed is named by its position. Errors:
 * PM_ESOFTWARE, PM_EOSERR. */
pm_status pm_heading_disown(const rd_kafka_message_t *message, pm_heading *heading, pm_error *err);

#endif
