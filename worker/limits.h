/* What processes take of memory, and the limit on a unit's. */
#ifndef PM_WORKER_LIMITS_H
#define PM_WORKER_LIMITS_H

#include <sys/types.h>

#include "base/error.h"

/* Bytes of this process's private writable memory, what RLIMIT_DATA counts; 0: /proc does not tell. */
size_t pmi_data_bytes(void);

/* Bytes that a process has in memory; 0 when there is none of that number. */
size_t pmi_resident_bytes(pid_t pid);

/* Seconds of processor time that a process has used; 0 when there is none of that number. */
double pmi_cpu_seconds(pid_t pid);

/* From here on `bytes` more than now may be had; 0: no limit. Memory beyond it is refused as if there were none. */
pm_status pmi_limit_data(size_t bytes, pm_error *err);

#endif
