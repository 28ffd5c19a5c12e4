/* What this process may have of the machine: the one owner of the defaults for threads and memory. */
#ifndef PM_BASE_MACHINE_H
#define PM_BASE_MACHINE_H

#include <stddef.h>

/* Processors to keep busy, at least 1: those that this process may run on, at most what the CPU quotas of its control
 * groups allow (rounded up), at most the first number of OMP_NUM_THREADS. Does not wake up OpenMP. Reads files of
 * /proc, so ask once, not for each evaluation. */
unsigned pmi_processors(void);

/* Bytes that traces and replay may take when nothing is said: 4/5 of the least of the machine's memory, the limits of
 * this process's control groups, and its RLIMIT_AS and RLIMIT_DATA. Reads files of /proc. */
size_t pmi_default_memory(void);

#endif
