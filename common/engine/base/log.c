#include "base/log.h"

#include <stdio.h>
#include <string.h>

/* Fields that do not fit behind the text end in "...". */
static void add_fields(char text[PM_ERROR_TEXT], const pm_log_field *fields, size_t n_fields) {
    size_t used = strlen(text);
    for (size_t i = 0; i < n_fields; i++) {
        size_t room = PM_ERROR_TEXT - used;
        int n = fields[i].text != NULL ? snprintf(text + used, room, " %s=%s", fields[i].name, fields[i].text)
                                       : snprintf(text + used, room, " %s=%.12g", fields[i].name, fields[i].number);
        if (n < 0 || (size_t)n >= room) {
            memcpy(text + PM_ERROR_TEXT - 4, "...", 4);
            return;
        }
        used += (size_t)n;
    }
}

static void say(const pm_log *log, pm_log_level level, const pm_log_field *fields, size_t n_fields, const char *format,
                va_list args) {
    char text[PM_ERROR_TEXT];
    pmi_format_text(text, format, args);
    if (fields != NULL && log->event != NULL) {
        log->event(log->ctx, level, text, fields, n_fields);
    } else if (log->line != NULL) {
        add_fields(text, fields, n_fields);
        log->line(log->ctx, level, text);
    }
}

void pmi_logf(const pm_log *log, pm_log_level level, const char *format, ...) {
    if (log != NULL && log->line != NULL) {
        va_list args;
        va_start(args, format);
        say(log, level, NULL, 0, format, args);
        va_end(args);
    }
}

void pmi_log_event(const pm_log *log, pm_log_level level, const pm_log_field *fields, size_t n_fields,
                   const char *format, ...) {
    if (log != NULL) {
        va_list args;
        va_start(args, format);
        say(log, level, fields, n_fields, format, args);
        va_end(args);
    }
}

void pmi_log_progress(const pm_log *log, const char *stage, uint64_t done, uint64_t total) {
    if (log != NULL && log->progress != NULL) {
        log->progress(log->ctx, stage, done, total);
    }
}
