/* Deliveries under way: what the sender's reports are written to. */
#ifndef PM_PRODUCER_SENT_H
#define PM_PRODUCER_SENT_H

#include "producer/submit.h"

/* How long Kafka may take to accept one message before it is sent again. */
#define PM_DELIVERY_SECONDS 30.0

typedef struct pm_delivery {
    bool arrived;
    int64_t offset;
} pm_delivery;

/* A report names its message by a number that never comes again, so that a late one of an earlier batch touches
 * nothing. */
typedef struct pm_sent {
    uint64_t base; /* number of the first message of this batch */
    size_t n, capacity;
    pm_delivery *deliveries;
} pm_sent;

pm_status pm_sent_begin(pm_sent *sent, size_t n, pm_error *err);
void pm_sent_end(pm_sent *sent); /* reports still to come are of the past */
void *pm_sent_opaque(const pm_sent *sent, size_t i);

/* A pm_sender_report; ctx is the pm_sent. */
void pm_sent_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st, const pm_error *err);

#endif
