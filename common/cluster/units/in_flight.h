/* Which of a job's items are in flight: told from unit records, the group's offsets and heartbeats. */
#ifndef PM_UNITS_IN_FLIGHT_H
#define PM_UNITS_IN_FLIGHT_H

#include "kafka/reader.h"
#include "units/kinds.h"
#include "units/producer.h"

/* Items by digest. */
typedef struct pm_item_index {
    const pm_digest *items;
    uint32_t *order;
    size_t n;
} pm_item_index;
pm_status pmi_item_index_new(const pm_digest *items, size_t n, pm_item_index *out, pm_error *err);
void pmi_item_index_free(pm_item_index *index);
/* The number of the item, or n when there is none. */
size_t pmi_item_find(const pm_item_index *index, const pm_digest digest);

/* What one look at the board and the topic told. Free with pmi_in_flight_free. */
typedef struct pm_in_flight {
    bool *held;       /* n items: missing, and in flight */
    pm_digest *ended; /* units that have ended although an item of theirs is missing */
    size_t n_ended;
    size_t units;          /* that have a missing item */
    size_t workers, slots; /* alive */
} pm_in_flight;

/* Looks, once: errors are those of Redis and Kafka. `missing` has a flag for each item of the index. */
pm_status pmi_in_flight_look(pm_producer *p, const pm_digest job, const pm_unit_kind *kind, const pm_item_index *index,
                             const bool *missing, pm_in_flight *out, pm_error *err);
void pmi_in_flight_free(pm_in_flight *in_flight);

/* ---- where a unit is: told from its record, the group's offsets and the workers' heartbeats ---- */

/* A unit that is "being sent" for longer is taken to have no sender any more. */
#define PM_SENDING_SECONDS 30.0

/* What is known of one unit. */
typedef struct pm_unit_signs {
    int64_t offset; /* -1: being sent */
    uint64_t partition;
    double since;       /* seconds since its record was written; below 0: it is of the future */
    bool has_ended;     /* outcome:{unit} exists */
    bool is_running;    /* a heartbeat lists it */
    const pm_lag *lags; /* of the topic's n_lags partitions; NULL: they are not known */
    size_t n_lags;
} pm_unit_signs;

/* Where a unit is. The first that is true, in this order. */
typedef enum pm_unit_place {
    PM_UNIT_ENDED,
    PM_UNIT_RUNNING,
    PM_UNIT_SENDING, /* for PM_SENDING_SECONDS at most, then it is lost */
    PM_UNIT_UNKNOWN, /* it was sent, and Kafka could not be asked */
    PM_UNIT_EXPIRED, /* retention took its message */
    PM_UNIT_QUEUED,  /* on the topic, and the group has not passed it */
    PM_UNIT_LOST     /* the group has passed it, or its topic is gone */
} pm_unit_place;
pm_unit_place pmi_unit_find(const pm_unit_signs *signs);

/* Whether somebody has the unit, or will get it: it is running, being sent, queued or not known to be gone. */
bool pmi_unit_is_in_flight(pm_unit_place place);

#endif
