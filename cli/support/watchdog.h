/* Ends the program when a wait outlives its time limit, whatever a library does: librdkafka joins its threads without
 * limit, and names are resolved without one. */
#ifndef PM_CLI_WATCHDOG_H
#define PM_CLI_WATCHDOG_H

#include <pthread.h>

#include "support/console.h"

/* All-zero: asleep. */
typedef struct cli_watchdog {
    pthread_t thread, watched;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_running, is_ending;
    double at; /* pmi_seconds(); 0: asleep */
    pm_error last_words;
    cli_console *console;
} cli_watchdog;

/* Unless it is set anew or stopped, writes `last_words` (an empty text: nothing) at `at` and ends the program with
 * their code; later while the calling thread computes: that is no wait. */
pm_status cli_watchdog_set(cli_watchdog *w, double at, const pm_error *last_words, cli_console *console, pm_error *err);
void cli_watchdog_stop(cli_watchdog *w);

#endif
