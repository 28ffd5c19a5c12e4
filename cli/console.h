/* The console: log lines and progress, all on standard error. */
#ifndef PM_CLI_CONSOLE_H
#define PM_CLI_CONSOLE_H

#include "base/error.h"

typedef struct cli_console {
    pm_log_level least; /* lines below are not shown */
    bool shows_progress, is_terminal;
    bool bar_is_drawn;
    const char *stage; /* of the progress under way; compared by its text */
    double stage_start, last_shown;
    pm_log log; /* what the library is given; its ctx is this struct */
} cli_console;

/* `quiet`: errors only. `verbose`: debug lines too. The console must stay where it is while its log is in use. */
void cli_console_init(cli_console *console, bool quiet, bool verbose);

/* Takes a progress bar off the screen. */
void cli_console_clear(cli_console *console);

#endif
