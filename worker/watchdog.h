/* The watchdog: a thread that receives the signals that end a worker, and ends the process when the worker does not do
 * so in time, whatever hangs: a library that joins its own threads for ever, a log that nobody reads. */
#ifndef PM_WORKER_WATCHDOG_H
#define PM_WORKER_WATCHDOG_H

#include "base/error.h"

typedef struct pm_watchdog pm_watchdog;

/* `end` must not return when it is given a process to end; a test's may. `why` is for a log line. */
typedef struct pm_watchdog_options {
    double drain_seconds; /* from the first signal to the deadline */
    double grace_seconds; /* from the deadline, or the second signal, to the end */
    void (*end)(void *ctx, pm_status code, const char *why);
    void *ctx;
} pm_watchdog_options;

/* Blocks SIGTERM and SIGINT in the calling thread and those it makes from now on. */
pm_status pmi_watchdog_start(const pm_watchdog_options *options, pm_watchdog **out, pm_error *err);
/* Readable when a signal came; reading it is pmi_watchdog_signals' matter. */
int pmi_watchdog_fd(const pm_watchdog *w);
/* How many signals came so far, and the first one. The third ends the process at once. */
unsigned pmi_watchdog_signals(pm_watchdog *w, int *first);
/* The process is to end by then, pmi_seconds(), if it is not to end earlier; with this code. */
void pmi_watchdog_arm(pm_watchdog *w, double when, pm_status code);
/* The process is to end by then if what is under way hangs, with this code and reason; INFINITY: it is done. */
void pmi_watchdog_limit(pm_watchdog *w, double when, pm_status code, const char *why);
/* pmi_seconds() of the end, INFINITY as long as there is none. */
double pmi_watchdog_end(const pm_watchdog *w);
/* NULL is allowed. Signals stay blocked. */
void pmi_watchdog_stop(pm_watchdog *w);

#endif
