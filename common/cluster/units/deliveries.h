/* Deliveries under way: what the sender's reports are written to. */
#ifndef PM_UNITS_DELIVERIES_H
#define PM_UNITS_DELIVERIES_H

#include "base/error.h"

/* How long Kafka may take to accept one message before it is sent again. */
#define PM_DELIVERY_SECONDS 30.0

typedef struct pm_delivery {
    bool arrived;
    int64_t offset;
} pm_delivery;

/* A report names its message by a number that never comes again, so that a late one of an earlier batch touches
 * nothing. */
typedef struct pm_deliveries {
    uint64_t base; /* number of the first message of this batch */
    size_t n, capacity;
    pm_delivery *items;
} pm_deliveries;

pm_status pmi_deliveries_begin(pm_deliveries *deliveries, size_t n, pm_error *err);
void pmi_deliveries_end(pm_deliveries *deliveries); /* reports still to come are of the past */
void *pmi_deliveries_opaque(const pm_deliveries *deliveries, size_t i);

/* A pm_sender_report; ctx is the pm_deliveries. */
void pmi_deliveries_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st,
                           const pm_error *err);

#endif
