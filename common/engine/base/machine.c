#include "base/machine.h"

#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cgroup.h"

static bool read_text(void *ctx, const char *path, char *text, size_t n) {
    (void)ctx;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, n - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* Far above what a machine of thousands of mounts has. */
#define GROUPS_ROOM ((size_t)1 << 16)
#define MOUNTS_ROOM ((size_t)1 << 24)

/* A file of /proc, whose size is known when it ends, as text; NULL when it cannot be read or does not fit. Pages that
 * it does not fill are never made. Release with munmap. */
static char *map_text(const char *path, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t used = 0;
    ssize_t got = -1;
    while (fd >= 0 && text != MAP_FAILED && used + 1 < room && (got = read(fd, text + used, room - 1 - used)) > 0) {
        used += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (text != MAP_FAILED && got != 0) {
        munmap(text, room);
        text = MAP_FAILED;
    }
    return text == MAP_FAILED ? NULL : text;
}

/* What cannot be read limits nothing. */
static pm_cgroup_limits read_cgroups(void) {
    pm_cgroup_limits limits = {UINT64_MAX, HUGE_VAL};
    char *groups = map_text("/proc/self/cgroup", GROUPS_ROOM), *mounts = map_text("/proc/self/mountinfo", MOUNTS_ROOM);
    if (groups != NULL && mounts != NULL) {
        const pm_text_files files = {.read = read_text};
        limits = pmi_cgroup_read(groups, mounts, &files);
    }
    if (groups != NULL) {
        munmap(groups, GROUPS_ROOM);
    }
    if (mounts != NULL) {
        munmap(mounts, MOUNTS_ROOM);
    }
    return limits;
}

/* The processors that the scheduler may choose from; a set that grows until it holds all of this machine's. */
static double count_affinity(void) {
    double found = 0;
    for (size_t most = CPU_SETSIZE; found == 0 && most <= (1u << 20); most *= 4) {
        cpu_set_t *set = CPU_ALLOC(most);
        if (set != NULL && sched_getaffinity(0, CPU_ALLOC_SIZE(most), set) == 0) {
            found = CPU_COUNT_S(CPU_ALLOC_SIZE(most), set);
        }
        CPU_FREE(set);
    }
    return fmax(found, 1);
}

unsigned pmi_processors(void) {
    double processors = fmin(count_affinity(), ceil(read_cgroups().processors));
    const char *threads = getenv("OMP_NUM_THREADS");
    double asked = threads == NULL ? 0 : (double)strtoul(threads, NULL, 10);
    return (unsigned)fmax(1, asked > 0 ? fmin(processors, asked) : processors);
}

static double resource_limit(int which) {
    struct rlimit limit;
    bool is_limited = getrlimit((__rlimit_resource_t)which, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return is_limited ? (double)limit.rlim_cur : HUGE_VAL;
}

size_t pmi_default_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    double physical = pages > 0 && size > 0 ? (double)pages * (double)size : HUGE_VAL;
    uint64_t group = read_cgroups().memory;
    double bytes = fmin(fmin(physical, group == UINT64_MAX ? HUGE_VAL : (double)group),
                        fmin(resource_limit(RLIMIT_AS), resource_limit(RLIMIT_DATA)));
    return bytes < (double)(SIZE_MAX / 2) ? (size_t)(bytes / 5 * 4) : SIZE_MAX / 2;
}
