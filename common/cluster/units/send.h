/* Sending units of any kind. */
#ifndef PM_UNITS_SEND_H
#define PM_UNITS_SEND_H

#include "units/kinds.h"
#include "units/pack.h"
#include "units/producer.h"

/* A unit to send. */
typedef struct pm_new_unit {
    const pm_unit_kind *kind;
    const pm_digest *items;
    size_t n_items;
    uint64_t cost;
    pm_buffer body; /* an encoded body (wire/messages.h); taken over */
} pm_new_unit;

/* Sends units of any kind and waits for delivery. `fresh` forgets their attempts and outcomes. Bodies are freed. */
pm_status pmi_send_units(pm_producer *p, const pm_digest job, pm_new_unit *units, size_t n, bool fresh,
                         size_t *n_claims, pm_error *err);

/* ---- SCC classes packed into record units, and sent ---- */

/* Packs classes (`numbers`) into units, largest cost first. Free with pmi_packing_free, also after a failure. */
pm_status pmi_pack_classes(const pm_producer *p, const pm_classes *classes, const uint32_t *numbers, size_t n,
                           pm_packing *out, pm_error *err);

/* Sends the packed units, each to the least loaded partition. */
pm_status pmi_send_packing(pm_producer *p, const pm_digest job, const pm_classes *classes, pm_effort effort,
                           const pm_packing *packing, size_t *n_claims, pm_error *err);

/* Both. */
pm_status pmi_send_classes(pm_producer *p, const pm_digest job, const pm_classes *classes, pm_effort effort,
                           const uint32_t *numbers, size_t n, size_t *n_units, size_t *n_claims, pm_error *err);

#endif
