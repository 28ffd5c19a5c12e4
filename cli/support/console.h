/* The console: log lines and progress, all on standard error. */
#ifndef PM_CLI_CONSOLE_H
#define PM_CLI_CONSOLE_H

#include "base/error.h"

/* What a program ends with, on standard error. */
void cli_log_last_words(const char *text);

typedef struct cli_console {
    pm_log_level min; /* lines below are not shown */
    bool shows_progress, is_terminal;
    bool bar_is_drawn;
    bool is_json, has_times; /* lines as JSON objects; text lines begin with the time */
    const char *component;   /* of JSON lines: the command */
    const char *stage;       /* of the progress under way; compared by its text */
    uint64_t stage_first;    /* what was done when the stage began */
    double stage_start, last_shown;
    pm_log log; /* what the library is given; its ctx is this struct */
} cli_console;

/* `quiet`: errors only. `verbose`: debug lines too. The console must stay where it is while its log is in use. */
void cli_console_init(cli_console *console, bool quiet, bool verbose);

/* Log lines as one JSON object each, on a line: ts (RFC 3339, milliseconds), level, msg, component, then the fields. No
 * bar is drawn then. `component` must outlive the console. */
void cli_console_as_json(cli_console *console, const char *component);

/* Text lines begin with the time: for what runs for long. */
void cli_console_with_times(cli_console *console);

/* Writes the program's last words as log lines are written. */
void cli_console_error(cli_console *console, const pm_error *err);

/* Takes a progress bar off the screen. */
void cli_console_clear(cli_console *console);

#endif
