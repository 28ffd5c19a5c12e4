/* A process that holds secrets leaves none behind. */
#ifndef PM_BASE_DUMPS_H
#define PM_BASE_DUMPS_H

#include "base/error.h"

/* From here on this process and those that it forks write no core file, and no other process of their user may look
 * into their memory or environment. Errors: PM_EOSERR. */
pm_status pmi_forbid_dumps(pm_error *err);

/* What this process may not write of its own in /proc since then, it may once more: text into /proc/self/NAME, for the
 * moment that takes. False when that is refused all the same. */
bool pmi_write_own_proc(const char *name, const char *text);

#endif
