/* Probes: no-op units, sent and timed. */
#ifndef PM_CLI_PROBE_H
#define PM_CLI_PROBE_H

#include "support/cluster.h"

typedef struct cli_probe_unit {
    uint8_t unit[PM_DIGEST_BYTES];
    double sent, ended; /* pmi_seconds() */
    bool has_ended, has_failed;
    bool is_timed;    /* an event told when it ended; a sweep only tells that it did */
    unsigned strikes; /* looks in a row that found it unclaimed */
} cli_probe_unit;

typedef struct cli_probe {
    cli_cluster *cluster; /* with a producer */
    size_t n;
    pm_probe_body body; /* of each; the number is set */
    double rate;        /* units a second; 0: all at once */
    bool is_sequential;
    double timeout; /* seconds after the last was sent */
    size_t workers, slots;
    /* filled by cli_probe_run: */
    uint8_t job[PM_DIGEST_BYTES];
    cli_probe_unit *units;             /* by id */
    uint8_t (*items)[PM_DIGEST_BYTES]; /* of each unit, in the order of sending */
    uint32_t *places;                  /* of each unit in `units`, in the order of sending */
    size_t n_sent;
    double last_ended, looked; /* pmi_seconds(): when a unit ended; when lost ones were looked for */
    size_t n_ended, n_failed;
    double seconds; /* from the first sent to the last ended */
} cli_probe;

/* Sends and waits until all have ended, the time is over, or the program is stopped. Free with cli_probe_free. */
pm_status cli_probe_run(cli_probe *probe, pm_error *err);
void cli_probe_free(cli_probe *probe);

/* After some seconds in which nothing ended: numbers of units to send again, since nobody has them (also on an error
 * to be freed; NULL when it was not looked). */
pm_status cli_probe_find_lost(cli_probe *probe, size_t **lost, size_t *n_lost, pm_error *err);

#endif
