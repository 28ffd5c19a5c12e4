/* What the subcommands of `dead-letters` share. */
#ifndef PM_CLI_DEAD_LETTERS_H
#define PM_CLI_DEAD_LETTERS_H

#include "support/cluster.h"
#include "support/dead_letter_list.h"
#include "units/deliveries.h"

typedef struct cli_dead_options {
    bool all, json;
    const char *job;
    size_t timeout;
} cli_dead_options;

typedef struct cli_dead {
    cli_cluster cluster;
    cli_dead_options options;
    int n_ids;
    char **ids;
    cli_dead_letter_list letters;
    pm_sender *sender;
    pm_deliveries sent;
} cli_dead;

/* Sends the units of n letters anew, then takes the letters back. Writes what was done to the log. PM_EDATA for letters
 * that cannot be replayed, when all others were. */
pm_status cli_dead_replay(cli_dead *dead, const cli_letter *const *letters, size_t n, pm_error *err);
/* Takes the letters back. */
pm_status cli_dead_drop(cli_dead *dead, const cli_letter *const *letters, size_t n, pm_error *err);

#endif
