#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static double read_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double pmi_seconds(void) {
    return read_clock(CLOCK_MONOTONIC);
}

double pmi_thread_seconds(void) {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

double pmi_now(void) {
    return read_clock(CLOCK_REALTIME);
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

pm_deadline pmi_deadline_in(double seconds) {
    double now = pmi_seconds();
    return (pm_deadline){.begun = now, .at = seconds > 0 ? now + seconds : 0};
}

double pmi_deadline_left(const pm_deadline *deadline) {
    return deadline->at == 0 ? INFINITY : fmax(deadline->at - pmi_seconds(), 0.0);
}

double pmi_deadline_within(const pm_deadline *deadline, double seconds, double least) {
    return fmax(fmin(seconds, pmi_deadline_left(deadline)), least);
}
