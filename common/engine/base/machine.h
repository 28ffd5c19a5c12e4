/* What this process may have of the machine: the one owner of the defaults for threads and memory. */
#ifndef PM_BASE_MACHINE_H
#define PM_BASE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

#endif
