/* The moment by which something must be over: made once, passed down to whatever waits. */
#ifndef PM_BASE_DEADLINE_H
#define PM_BASE_DEADLINE_H

/* All-zero: none. */
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
