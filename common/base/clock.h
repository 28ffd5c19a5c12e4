/* A clock that does not jump. */
#ifndef PM_BASE_CLOCK_H
#define PM_BASE_CLOCK_H

/* Seconds since some fixed moment. */
double pm_seconds(void);

#endif
