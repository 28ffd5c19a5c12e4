/* What this process may have of the machine: the one owner of the defaults for threads and memory. */
#ifndef PM_BASE_MACHINE_H
#define PM_BASE_MACHINE_H

#include <sys/types.h>

#include "base/error.h"

/* Processors to keep busy, at least 1: those that this process may run on, at most what the CPU quotas of its control
 * groups allow (rounded up), at most the first number of OMP_NUM_THREADS. Does not wake up OpenMP. Reads files of
 * /proc, so ask once, not for each evaluation. */
unsigned pmi_processors(void);

/* Bytes that traces and replay may take when nothing is said: 4/5 of the least of the machine's memory, the limits of
 * this process's control groups, and its RLIMIT_AS and RLIMIT_DATA. Reads files of /proc. */
size_t pmi_default_memory(void);

/* What control groups (those of a container, of a service) let this process have. */
typedef struct pm_cgroup_limits {
    uint64_t memory;   /* bytes; UINT64_MAX: no limit */
    double processors; /* of CPU quotas, such as 1.5; HUGE_VAL: no limit */
} pm_cgroup_limits;

/* How a small file is read: at most n - 1 bytes and a final zero; false when there is no such file. */
typedef struct pm_text_files {
    void *ctx;
    bool (*read)(void *ctx, const char *path, char *text, size_t n);
} pm_text_files;

/* The least limits of this process's control groups and those above them, of version 1, version 2 or both. `cgroup` and
 * `mountinfo` are the texts of /proc/self/cgroup and /proc/self/mountinfo (cgroups(7), proc(5)); what is not as
 * described there is no limit. */
pm_cgroup_limits pmi_cgroup_read(const char *cgroup, const char *mountinfo, const pm_text_files *files);

/* ---- processes ---- */

/* Bytes of this process's private writable memory, what RLIMIT_DATA counts; 0: /proc does not tell. */
size_t pmi_data_bytes(void);

/* Bytes that a process has in memory; 0 when there is none of that number. */
size_t pmi_resident_bytes(pid_t pid);

/* Seconds of processor time that a process has used; 0 when there is none of that number. */
double pmi_cpu_seconds(pid_t pid);

/* From here on `bytes` more than now may be had; 0: no limit. Memory beyond it is refused as if there were none. */
pm_status pmi_limit_data(size_t bytes, pm_error *err);

/* From here on this process and those that it forks write no core file, and no other process of their user may look
 * into their memory or environment. Errors: PM_EOSERR. */
pm_status pmi_forbid_dumps(pm_error *err);

/* What this process may not write of its own in /proc since then, it may once more: text into /proc/self/NAME, for the
 * moment that takes. False when that is refused all the same. */
bool pmi_write_own_proc(const char *name, const char *text);

#endif
