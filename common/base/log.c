#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pm_logf(const pm_log *log, pm_log_level level, const char *format, ...) {
    if (log == NULL || log->line == NULL) {
        return;
    }
    char text[PM_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= (int)sizeof text) {
        memcpy(text + sizeof text - 4, "...", 4);
    }
    log->line(log->ctx, level, n < 0 ? "(a log line could not be formatted)" : text);
}

void pm_log_progress(const pm_log *log, const char *stage, uint64_t done, uint64_t total) {
    if (log != NULL && log->progress != NULL) {
        log->progress(log->ctx, stage, done, total);
    }
}
