#include "units/deliveries.h"

#include <string.h>

#include "base/mem.h"

pm_status pmi_deliveries_begin(pm_deliveries *deliveries, size_t n, pm_error *err) {
    pmi_deliveries_end(deliveries);
    if (!pmi_reserve((void **)&deliveries->items, &deliveries->capacity, n, sizeof *deliveries->items)) {
        return pmi_fail_memory(err, "the deliveries of units", n * sizeof *deliveries->items);
    }
    if (n > 0) {
        memset(deliveries->items, 0, n * sizeof *deliveries->items);
    }
    deliveries->n = n;
    return PM_OK;
}

void pmi_deliveries_end(pm_deliveries *deliveries) {
    deliveries->base += deliveries->n;
    deliveries->n = 0;
}

void *pmi_deliveries_opaque(const pm_deliveries *deliveries, size_t i) {
    return (void *)(uintptr_t)(deliveries->base + i + 1);
}

void pmi_deliveries_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st,
                           const pm_error *err) {
    (void)partition;
    (void)err;
    pm_deliveries *deliveries = ctx;
    uint64_t number = (uint64_t)(uintptr_t)opaque - 1;
    if (st == PM_OK && number >= deliveries->base && number - deliveries->base < deliveries->n) {
        deliveries->items[number - deliveries->base] = (pm_delivery){.arrived = true, .offset = offset};
    }
}
