#include "worker/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"

/* A small file as text; false when it cannot be read. */
static bool read_text(const char *path, char *text, size_t n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, n - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* Number `which` (from 0) of /proc/PID/statm, in bytes: 1 is what is resident, 5 data and stack. */
static size_t statm(const char *process, int which) {
    char path[64], text[256];
    int n = snprintf(path, sizeof path, "/proc/%s/statm", process);
    if (n < 0 || (size_t)n >= sizeof path || !read_text(path, text, sizeof text)) {
        return 0;
    }
    char *at = text;
    unsigned long long pages = 0;
    for (int i = 0; i <= which; i++) {
        pages = strtoull(at, &at, 10);
    }
    size_t bytes;
    return pmi_mul((size_t)pages, (size_t)sysconf(_SC_PAGESIZE), &bytes) ? bytes : 0;
}

size_t pmi_data_bytes(void) {
    return statm("self", 5);
}

double pmi_cpu_seconds(pid_t pid) {
    char path[64], text[1024];
    int n = snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (n < 0 || (size_t)n >= sizeof path || !read_text(path, text, sizeof text)) {
        return 0;
    }
    char *at = strrchr(text, ')'); /* behind a name that may hold anything */
    unsigned long long user = 0, kernel = 0;
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &kernel) != 2) {
        return 0;
    }
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

size_t pmi_resident_bytes(pid_t pid) {
    char process[24];
    int n = snprintf(process, sizeof process, "%d", (int)pid);
    return n > 0 && (size_t)n < sizeof process ? statm(process, 1) : 0;
}

pm_status pmi_limit_data(size_t bytes, pm_error *err) {
    struct rlimit limit;
    size_t max;
    if (getrlimit(RLIMIT_DATA, &limit) != 0) {
        return pmi_fail(err, PM_EOSERR, "cannot read the limit on memory: %s", strerror(errno));
    }
    bool is_limited = bytes > 0 && pmi_add(pmi_data_bytes(), bytes, &max);
    limit.rlim_cur = is_limited && (limit.rlim_max == RLIM_INFINITY || max < limit.rlim_max) ? max : limit.rlim_max;
    if (setrlimit(RLIMIT_DATA, &limit) != 0) {
        return pmi_fail(err, PM_EOSERR, "cannot limit the memory of a unit to %zu bytes more: %s", bytes,
                        strerror(errno));
    }
    return PM_OK;
}
