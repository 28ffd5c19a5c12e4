/* One log line, put together in memory so that it is written by one write: lines of processes that share standard
 * error do not mix. */
#ifndef PM_CLI_LOG_LINE_H
#define PM_CLI_LOG_LINE_H

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

#endif
