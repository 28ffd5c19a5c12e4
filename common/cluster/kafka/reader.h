/* Reading a topic outside of any group, and where the workers' group stands. */
#ifndef PM_KAFKA_READER_H
#define PM_KAFKA_READER_H

#include "kafka/sender.h"

typedef struct pm_reader pm_reader;

/* What it points to lives until the visit returns. */
typedef struct pm_read_message {
    int32_t partition;
    int64_t offset;
    double time;                       /* seconds since 1970; 0: the message has none */
    pm_span key, value;                /* value.bytes NULL: a tombstone */
    const rd_kafka_headers_t *headers; /* NULL: none */
} pm_read_message;

/* An error ends the reading; the message counts as visited. */
typedef pm_status (*pm_read_visit)(void *ctx, const pm_read_message *message, pm_error *err);

/* From the present end of every partition (all that is sent once this has returned is visited), or from the beginning.
 * Errors: PM_EUNAVAILABLE for a topic that is missing, and after `seconds` without a broker; PM_EPERMISSION. */
pm_status pmi_reader_open(const pm_kafka_options *options, pm_topic topic, bool from_beginning, double seconds,
                          const pm_log *log, pm_reader **out, pm_error *err);
void pmi_reader_close(pm_reader *r);

/* Visits what comes within `seconds`; returns early once something came and nothing more is at hand. Kafka away is no
 * error: nothing comes. Errors: PM_EPERMISSION and fatal ones; that of a visit. */
pm_status pmi_reader_poll(pm_reader *r, double seconds, pm_read_visit visit, void *ctx, pm_error *err);
/* Visits everything up to the ends as they were at the call. Errors: PM_ETEMPORARY after `seconds` without progress. */
pm_status pmi_reader_drain(pm_reader *r, double seconds, pm_read_visit visit, void *ctx, pm_error *err);

/* Where the workers' group stands in each partition of the units topic. */
typedef struct pm_lag {
    int64_t committed; /* -1: nothing yet: the group begins at `low` */
    int64_t low, high;
} pm_lag;
/* `rk` is a sender's handle. Errors: PM_EUNAVAILABLE, PM_ETEMPORARY within `seconds`; PM_EPERMISSION. */
pm_status pmi_group_lag(rd_kafka_t *rk, const pm_kafka_options *options, size_t n, pm_lag *lags, double seconds,
                        pm_error *err);

#endif
