/* Sending units of any kind. */
#ifndef PM_UNITS_SEND_H
#define PM_UNITS_SEND_H

#include "units/kinds.h"
#include "units/producer.h"

/* A unit to send. */
typedef struct pm_new_unit {
    const pm_unit_kind *kind;
    const uint8_t (*items)[PM_DIGEST_BYTES];
    size_t n_items;
    uint64_t cost;
    pm_buffer body; /* an encoded body (wire/messages.h); taken over */
} pm_new_unit;

/* Sends units of any kind: claim check where large, unit records before and after, delivery waited for. `fresh` forgets
 * their attempts and outcomes. Bodies are freed. */
pm_status pmi_send_units(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], pm_new_unit *units, size_t n, bool fresh,
                         size_t *n_claims, pm_error *err);

#endif
