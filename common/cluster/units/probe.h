/* Probes: no-op units, sent and timed. */
#ifndef PM_UNITS_PROBE_H
#define PM_UNITS_PROBE_H

#include "units/producer.h"

typedef struct pm_probe_unit {
    pm_digest unit;
    double sent, ended; /* pmi_seconds() */
    bool has_ended, has_failed;
    bool is_timed;    /* an event told when it ended; a sweep only tells that it did */
    unsigned strikes; /* looks in a row that found it unclaimed */
} pm_probe_unit;

typedef struct pm_probe {
    pm_producer *producer;
    size_t n;
    pm_probe_body body; /* of each; the number is set */
    double rate;        /* units a second; 0: all at once */
    bool is_sequential;
    double timeout;                                               /* seconds after the last was sent */
    pm_status (*limit)(void *ctx, double seconds, pm_error *err); /* called before each wait: sets the deadline anew */
    void *ctx;
    /* filled by pmi_probe_run: */
    pm_digest job;
    pm_probe_unit *units; /* by id */
    pm_digest *items;     /* of each unit, in the order of sending */
    uint32_t *places;     /* of each unit in `units`, in the order of sending */
    pm_pool pool;         /* the arrays */
    struct pm_reader *events;
    double next_sweep;
    size_t n_sent;
    double last_ended, looked; /* pmi_seconds(): when a unit ended; when lost ones were looked for */
    size_t n_ended, n_failed;
    double seconds; /* from the first sent to the last ended */
} pm_probe;

/* Sends and waits until all have ended, the time is over, or the program is stopped. Free with pmi_probe_free. */
pm_status pmi_probe_run(pm_probe *probe, pm_error *err);
void pmi_probe_free(pm_probe *probe);

#endif
