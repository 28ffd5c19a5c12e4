/* Watching items until all are there: events as hints, sweeps of Redis as the truth, lost ones sent again. */
#ifndef PM_COLLECTOR_WATCH_H
#define PM_COLLECTOR_WATCH_H

#include "kafka/reader.h"
#include "units/send.h"

typedef struct pm_watch_options {
    const uint8_t *job; /* PM_DIGEST_BYTES */
    const pm_unit_kind *kind;
    const pm_digest *items;
    size_t n_items;
    /* Sends the items (numbers) anew; NULL: nothing is sent again. */
    pm_status (*send)(void *ctx, const uint32_t *items, size_t n, pm_error *err);
    void *ctx;
    double sweep_seconds; /* 0: chosen */
} pm_watch_options;

typedef struct pm_watch_report {
    size_t items, units_seen, sent_again;
    size_t missing; /* at the first look */
    size_t workers; /* seen alive */
    double seconds;
    pm_digest failed_unit; /* after PM_EDATA for a failed unit */
    uint64_t failed_code;  /* of its outcome: PM_ENOINPUT when what it needs was gone from Redis */
    bool has_failed_unit;
} pm_watch_report;

/* `reader` was opened on the events topic before the items were sent or swept. Redis or Kafka away is waited out, and
 * all ends by the producer's deadline. Errors: PM_EDATA: the job (of "evaluate": one of these items) failed or was
 * cancelled; PM_ETEMPORARY at the deadline with how many items are missing, and how many workers are alive. */
pm_status pmi_watch(pm_producer *producer, pm_reader *reader, const pm_watch_options *options, pm_watch_report *report,
                    pm_error *err);

#endif
