/* The console: log lines and progress, all on standard error. */
#ifndef PM_CLI_CONSOLE_H
#define PM_CLI_CONSOLE_H

#include "base/error.h"

typedef struct cli_log_line {
    char text[8 * PM_ERROR_TEXT]; /* what does not fit is left out, and the end tells so: "..." or "cut": true */
    size_t used;
} cli_log_line;

typedef struct cli_log_entry {
    pm_log_level level;
    const char *text;
    const pm_log_field *fields;
    size_t n_fields;
    double time; /* seconds since 1970; below 0: none */
} cli_log_entry;

/* "phasemill: warning: text name=value ...", with the time before it where there is one. */
void cli_log_as_text(const cli_log_entry *entry, cli_log_line *line);

/* What a program ends with, on standard error. */
void cli_log_last_words(const char *text);

/* {"ts": "2026-01-31T12:00:00.123Z", "level": "warning", "component": ..., "msg": ..., fields} */
void cli_log_as_json(const cli_log_entry *entry, const char *component, cli_log_line *line);

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
