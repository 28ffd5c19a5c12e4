/* Log lines: the library never prints; it hands lines to the caller's sink. */
#ifndef PM_BASE_LOG_H
#define PM_BASE_LOG_H

#include "base/error.h"

/* Formats one line (no newline) and hands it to the sink; nothing happens when `log` or its function is NULL. */
void pmi_logf(const pm_log *log, pm_log_level level, const char *format, ...) PM_PRINTF(3, 4);

/* One line with fields, as pm_log.event says. */
void pmi_log_event(const pm_log *log, pm_log_level level, const pm_log_field *fields, size_t n_fields,
                   const char *format, ...) PM_PRINTF(5, 6);

/* Reports `done` of `total` of a stage; nothing happens when `log` or its progress function is NULL. */
void pmi_log_progress(const pm_log *log, const char *stage, uint64_t done, uint64_t total);

#endif
