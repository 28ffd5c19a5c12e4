/* Where a unit is: told from its record, the group's offsets and the workers' heartbeats. */
#ifndef PM_UNITS_PLACE_H
#define PM_UNITS_PLACE_H

#include "kafka/reader.h"

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
