#include "producer/sent.h"

#include <string.h>

#include "base/mem.h"

pm_status pm_sent_begin(pm_sent *sent, size_t n, pm_error *err) {
    pm_sent_end(sent);
    if (!pm_reserve((void **)&sent->deliveries, &sent->capacity, n, sizeof *sent->deliveries)) {
        return pm_fail_memory(err, "the deliveries of units", n * sizeof *sent->deliveries);
    }
    if (n > 0) {
        memset(sent->deliveries, 0, n * sizeof *sent->deliveries);
    }
    sent->n = n;
    return PM_OK;
}

void pm_sent_end(pm_sent *sent) {
    sent->base += sent->n;
    sent->n = 0;
}

void *pm_sent_opaque(const pm_sent *sent, size_t i) {
    return (void *)(uintptr_t)(sent->base + i + 1);
}

void pm_sent_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st, const pm_error *err) {
    (void)partition;
    (void)err;
    pm_sent *sent = ctx;
    uint64_t number = (uint64_t)(uintptr_t)opaque - 1;
    if (st == PM_OK && number >= sent->base && number - sent->base < sent->n) {
        sent->deliveries[number - sent->base] = (pm_delivery){.arrived = true, .offset = offset};
    }
}
