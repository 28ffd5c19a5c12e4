#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pmi_format_text(char text[PM_ERROR_TEXT], const char *format, va_list args) {
    int n = vsnprintf(text, PM_ERROR_TEXT, format, args);
    if (n < 0) {
        strcpy(text, "(the text could not be formatted)");
    } else if ((size_t)n >= PM_ERROR_TEXT) {
        memcpy(text + PM_ERROR_TEXT - 4, "...", 4);
    }
}

pm_status pmi_fail(pm_error *err, pm_status code, const char *format, ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        pmi_format_text(err->text, format, args);
        va_end(args);
        err->code = code;
    }
    return code;
}

pm_status pmi_fail_prefix(pm_error *err, const char *format, ...) {
    if (err == NULL) {
        return PM_ESOFTWARE;
    }
    char prefix[PM_ERROR_TEXT];
    va_list args;
    va_start(args, format);
    pmi_format_text(prefix, format, args);
    va_end(args);
    char old[PM_ERROR_TEXT];
    memcpy(old, err->text, sizeof old);
    return pmi_fail(err, err->code, "%s: %s", prefix, old);
}

pm_status pmi_fail_memory(pm_error *err, const char *what, size_t bytes) {
    return pmi_fail(err, PM_EOSERR, "out of memory: %zu bytes for %s; free memory or use a smaller input", bytes, what);
}

void pmi_error_shift_row(pm_error *err, size_t first) {
    static const char *const marks[] = {"theta row ", "times: row "};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        char *at = strstr(err->text, marks[i]);
        if (at == NULL) {
            continue;
        }
        char *number = at + strlen(marks[i]), *end;
        unsigned long long row = strtoull(number, &end, 10);
        if (end == number) {
            continue;
        }
        char rest[PM_ERROR_TEXT];
        snprintf(rest, sizeof rest, "%s", end);
        int room = (int)(PM_ERROR_TEXT - (size_t)(number - err->text));
        if (snprintf(number, (size_t)room, "%llu%s", row + first, rest) >= room) {
            memcpy(err->text + PM_ERROR_TEXT - 4, "...", 4);
        }
        return;
    }
}
