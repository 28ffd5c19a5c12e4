#include "base/clock.h"

#include <stdio.h>
#include <time.h>

double pmi_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double pmi_thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double pmi_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void pmi_time_text(double seconds_since_1970, char text[PM_TIME_TEXT]) {
    const double last = 253402300799.0; /* of the year 9999 */
    double clamped = seconds_since_1970 > 0 ? seconds_since_1970 : 0;
    clamped = clamped < last ? clamped : last;
    time_t whole = (time_t)clamped;
    unsigned ms = (unsigned)((clamped - (double)whole) * 1000) % 1000;
    struct tm parts = {.tm_mday = 1, .tm_year = 70};
    gmtime_r(&whole, &parts);
    char day[24];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, PM_TIME_TEXT, "%s.%03uZ", day, ms);
}
