/* Whose hands are a job's items in: told from unit records, the group's offsets and the workers' heartbeats. */
#ifndef PM_UNITS_IN_FLIGHT_H
#define PM_UNITS_IN_FLIGHT_H

#include "units/kinds.h"
#include "units/place.h"
#include "units/producer.h"

/* Items by digest. */
typedef struct pm_item_index {
    const uint8_t (*items)[PM_DIGEST_BYTES];
    uint32_t *order;
    size_t n;
} pm_item_index;
pm_status pmi_item_index_new(const uint8_t (*items)[PM_DIGEST_BYTES], size_t n, pm_item_index *out, pm_error *err);
void pmi_item_index_free(pm_item_index *index);
/* The number of the item, or n when there is none. */
size_t pmi_item_find(const pm_item_index *index, const uint8_t digest[PM_DIGEST_BYTES]);

/* What one look at the board and the topic told. Free with pmi_in_flight_free. */
typedef struct pm_in_flight {
    bool *held;                        /* n items: missing, and in somebody's hands */
    uint8_t (*ended)[PM_DIGEST_BYTES]; /* units that have ended although an item of theirs is missing */
    size_t n_ended;
    size_t units;          /* that have a missing item */
    size_t workers, slots; /* alive */
} pm_in_flight;

/* Looks, once: errors are those of Redis and Kafka. `missing` has a flag for each item of the index. */
pm_status pmi_in_flight_look(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_unit_kind *kind,
                             const pm_item_index *index, const bool *missing, pm_in_flight *out, pm_error *err);
void pmi_in_flight_free(pm_in_flight *hands);

#endif
