/* Commands: one file each, found by name in a table. */
#ifndef PM_CLI_COMMAND_H
#define PM_CLI_COMMAND_H

#include "base/error.h"

typedef struct cli_command cli_command;

/* argv[0] is the command's name. Writes results, never errors. */
typedef pm_status cli_main(const cli_command *self, int argc, char **argv, pm_error *err);

struct cli_command {
    const char *name;
    const char *summary; /* one line */
    cli_main *run;
    bool has_settings;  /* cli_cluster_help follows its help */
    bool runs_for_long; /* its log lines begin with the time */
};

cli_main cli_main_cache, cli_main_cancel, cli_main_collect, cli_main_completion, cli_main_config, cli_main_convert;
cli_main cli_main_dead_letters, cli_main_generate, cli_main_inspect, cli_main_loglik, cli_main_probe, cli_main_run,
    cli_main_status;
cli_main cli_main_submit, cli_main_topics, cli_main_worker;

/* What is built in: the files of cli/help by their commands' names, and the completion script, "phasemill.bash". */
typedef struct cli_embedded_text {
    const char *name, *text;
} cli_embedded_text;
extern const cli_embedded_text cli_texts[]; /* ends at name == NULL */
const char *cli_text(const char *name);

/* Writes a command's help, whole, to standard output. */
pm_status cli_show_help(const cli_command *command, pm_error *err);

#endif
