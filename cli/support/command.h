/* Commands: one file each, found by name in a table. */
#ifndef PM_CLI_COMMAND_H
#define PM_CLI_COMMAND_H

#include "base/error.h"

typedef struct cli_command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* the text of `phasemill NAME --help` */
    bool runs_for_long;  /* its log lines begin with the time */
    bool has_settings;   /* cli_cluster_help follows the text */
    /* argv[0] is the command's name. Writes results, never errors. */
    pm_status (*run)(const struct cli_command *self, int argc, char **argv, pm_error *err);
} cli_command;

/* All commands, in the order of the help; ends at name == NULL. */
extern const cli_command *const cli_commands[];

/* Writes a command's help, whole, to standard output. */
pm_status cli_show_help(const cli_command *command, pm_error *err);

extern const cli_command cli_run, cli_inspect, cli_generate, cli_convert, cli_cache_command, cli_completion;
extern const cli_command cli_worker, cli_status_command, cli_dead_letters, cli_cancel, cli_probe_command, cli_topics;
extern const cli_command cli_submit, cli_collect, cli_config;

#endif
