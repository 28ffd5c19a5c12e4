#include "base/dumps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

pm_status pmi_forbid_dumps(pm_error *err) {
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return pmi_fail(err, PM_EOSERR, "core files, which would hold secrets, cannot be forbidden: %s",
                        strerror(errno));
    }
    return PM_OK;
}

static bool write_text(const char *path, const char *text) {
    size_t n = strlen(text);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, text, n) == (ssize_t)n;
    if (fd >= 0) {
        close(fd);
    }
    return is_written;
}

/* The kernel gives the files in /proc of a process without dumps to root. */
bool pmi_write_own_proc(const char *name, const char *text) {
    char path[64];
    int n = snprintf(path, sizeof path, "/proc/self/%s", name);
    bool is_named = n > 0 && (size_t)n < sizeof path;
    bool is_written = is_named && write_text(path, text);
    if (is_named && !is_written && errno == EACCES && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0) {
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        is_written = write_text(path, text);
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    return is_written;
}
