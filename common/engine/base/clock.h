/* A clock that does not jump, and the time of day. */
#ifndef PM_BASE_CLOCK_H
#define PM_BASE_CLOCK_H

/* Seconds since some fixed moment. */
double pmi_seconds(void);

/* Processor time of the calling thread, which does not grow while the machine does other work. */
double pmi_thread_seconds(void);

/* Seconds since 1970, as this machine's clock has them: for what other machines read. */
double pmi_now(void);

/* A moment as RFC 3339 in UTC with milliseconds, "2026-03-01T12:00:00.250Z"; moments before 1970 or after the year 9999
 * become the nearer of the two. */
#define PM_TIME_TEXT 32
void pmi_time_text(double seconds_since_1970, char text[PM_TIME_TEXT]);

#endif
