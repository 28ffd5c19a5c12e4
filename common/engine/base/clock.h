/* A clock that does not jump, the time of day, and deadlines. */
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

/* The moment by which something must be over: made once, passed down to whatever waits. All-zero: none. */
typedef struct pm_deadline {
    double begun, at; /* pmi_seconds() */
} pm_deadline;

/* `seconds` from now; 0: none. */
pm_deadline pmi_deadline_in(double seconds);
/* Seconds that are left: INFINITY where there is no deadline, 0 when it is over. */
double pmi_deadline_left(const pm_deadline *deadline);
/* `seconds`, or what is left where that is less; never below `least`. */
double pmi_deadline_within(const pm_deadline *deadline, double seconds, double least);

#endif
