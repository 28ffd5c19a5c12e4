/* The kinds of units, in one table: what their items are, and where the results of these are kept. */
#ifndef PM_UNITS_KINDS_H
#define PM_UNITS_KINDS_H

#include "wire/messages.h"

/* Digests of a unit's items: `bytes` is a multiple of PM_DIGEST_BYTES long. */
typedef struct pm_unit_items {
    pm_span bytes; /* in the message, or in `own` */
    pm_digest own;
    pm_message_memory memory;
} pm_unit_items;

typedef struct pm_unit_kind {
    const char *name;
    const char *space;    /* of the items' results in Redis (redis/traces.h); NULL: the outcome of the unit is all */
    const char *progress; /* "recording" */
    bool fails_alone;     /* a unit that failed concerns its own items; else the whole job */
    pm_status (*find_items)(const pm_unit_message *unit, pm_unit_items *out, pm_error *err);
} pm_unit_kind;

extern const pm_unit_kind pmi_record_units, pmi_evaluate_units, pmi_probe_units;
#define PM_UNIT_KINDS "record, evaluate, probe"

/* The items of a unit, which borrow from it. Free also after a failure. PM_EDATA also for an unknown kind. */
pm_status pmi_unit_items_find(const pm_unit_message *unit, pm_unit_items *out, pm_error *err);
void pmi_unit_items_free(pm_unit_items *items);

#endif
