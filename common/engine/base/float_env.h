/* The floating-point environment of a thread: what a caller has set must not change results, and what arithmetic left
 * behind must be noticed.
 *
 * Functions of a file of their own, and results in memory before they are called: a compiler keeps arithmetic on values
 * that it may have to store on its side of the call. */
#ifndef PM_BASE_FLOAT_ENV_H
#define PM_BASE_FLOAT_ENV_H

#include <stdbool.h>
#include <stdint.h>

/* What a thread's environment was. */
typedef struct pm_float_env {
    uint64_t control, status;
} pm_float_env;

/* Rounding to nearest, denormals kept, no traps, no flags raised; the environment from before is returned, for
 * pmi_float_leave. Each thread has its own. */
pm_float_env pmi_float_enter(void);
void pmi_float_leave(pm_float_env before);

/* Whether overflow, underflow (a tiny result that is not exact), an invalid operation or a division by zero occurred in
 * this thread since the flags were cleared. */
void pmi_float_clear(void);
bool pmi_float_raised(void);

#endif
