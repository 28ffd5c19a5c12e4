/* Errors: one struct carries what failed, why, with which values, and what to do, through every layer. */
#ifndef PM_BASE_ERROR_H
#define PM_BASE_ERROR_H

#include <stdarg.h>

#include "phasemill.h"

#if defined(__GNUC__)
#define PM_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define PM_PRINTF(f, a)
#endif

/* The formatted text, cut with "..." at its end when longer. */
void pmi_format_text(char text[PM_ERROR_TEXT], const char *format, va_list args);

/* Writes the text (cut at PM_ERROR_TEXT with "..." when longer) and returns `code`, so that callers can
 * write `return pmi_fail(err, PM_EDATA, ...)`. `err` may be NULL. The first error written wins only by the
 * caller's care: a later call overwrites. */
pm_status pmi_fail(pm_error *err, pm_status code, const char *format, ...) PM_PRINTF(3, 4);

/* Puts "prefix: " before the text already in `err`; returns err->code. */
pm_status pmi_fail_prefix(pm_error *err, const char *format, ...) PM_PRINTF(2, 3);

/* Rewrites "theta row 3" (or "times: row 3") of the error of a part of a batch to the row of the whole batch, of which
 * row `first` was row 0 of the part. */
void pmi_error_shift_row(pm_error *err, size_t first);

/* The error of an allocation of `bytes` for `what`. */
pm_status pmi_fail_memory(pm_error *err, const char *what, size_t bytes);

/* Where a function owns nothing: leaves it with the status of a step that failed: a pm_status, or as of SQLite an int,
 * of which 0 is success, too. */
#define PM_TRY(step)                                                                                                   \
    do {                                                                                                               \
        const __typeof__(step) pm_tried = (step);                                                                      \
        if (pm_tried != PM_OK) {                                                                                       \
            return pm_tried;                                                                                           \
        }                                                                                                              \
    } while (0)

/* Where something is owned, which the one exit frees: takes the step unless one before it has failed. */
#define PM_THEN(st, step)                                                                                              \
    do {                                                                                                               \
        if ((st) == PM_OK) {                                                                                           \
            (st) = (step);                                                                                             \
        }                                                                                                              \
    } while (0)

#endif
