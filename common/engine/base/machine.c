#include "base/machine.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH_ROOM 4096

typedef struct slice {
    const char *at;
    size_t n;
} slice;

static bool is_word(slice t, const char *word) {
    return t.n == strlen(word) && memcmp(t.at, word, t.n) == 0;
}

/* Takes what stands before the next `separator`, or all that is left; false at the end. */
static bool take(slice *rest, char separator, slice *out) {
    if (rest->at == NULL) {
        return false;
    }
    const char *end = memchr(rest->at, separator, rest->n);
    size_t n = end == NULL ? rest->n : (size_t)(end - rest->at);
    *out = (slice){rest->at, n};
    *rest = end == NULL ? (slice){NULL, 0} : (slice){end + 1, rest->n - n - 1};
    return true;
}

static bool lists(slice words, const char *word) {
    slice one;
    while (take(&words, ',', &one)) {
        if (is_word(one, word)) {
            return true;
        }
    }
    return false;
}

static bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

/* A path of mountinfo, where blanks, line feeds and backslashes stand as \ooo; false when it does not fit. */
static bool unescape(slice t, char out[PATH_ROOM]) {
    size_t used = 0;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.at[i];
        if (c == '\\' && t.n - i > 3 && is_octal(t.at[i + 1]) && is_octal(t.at[i + 2]) && is_octal(t.at[i + 3])) {
            c = (char)((t.at[i + 1] - '0') * 64 + (t.at[i + 2] - '0') * 8 + (t.at[i + 3] - '0'));
            i += 3;
        }
        if (used + 1 == PATH_ROOM) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

/* ---- lines of /proc ------------------------------------------------------------------------------------ */

/* A hierarchy of control groups: version 2 has one, version 1 one for each controller or some of them. */
typedef struct hierarchy {
    slice root, point; /* what of it is mounted, and where; escaped */
    slice controllers; /* version 1: among the mount's options */
    bool is_v2;
} hierarchy;

/* "36 35 98:0 /root /point rw,noatime master:1 - cgroup cgroup rw,memory": any number of words stand before the dash */
static bool parse_mount(slice line, hierarchy *out) {
    slice word, source, options, kind;
    size_t i;
    for (i = 0; take(&line, ' ', &word) && !is_word(word, "-"); i++) {
        out->root = i == 3 ? word : out->root;
        out->point = i == 4 ? word : out->point;
    }
    if (i < 6 || !take(&line, ' ', &kind) || !take(&line, ' ', &source) || !take(&line, ' ', &options)) {
        return false;
    }
    out->is_v2 = is_word(kind, "cgroup2");
    out->controllers = options;
    return out->is_v2 || is_word(kind, "cgroup");
}

/* The path in the line "5:cpu,cpuacct:/path", or "0::/path" for version 2 (`controller` NULL). */
static bool find_group(const char *cgroup, const char *controller, slice *path) {
    slice rest = {cgroup, strlen(cgroup)}, line, number, names;
    while (take(&rest, '\n', &line)) {
        if (take(&line, ':', &number) && take(&line, ':', &names) && line.n > 0 && line.at[0] == '/' &&
            (controller == NULL ? names.n == 0 && is_word(number, "0") : lists(names, controller))) {
            *path = line;
            return true;
        }
    }
    return false;
}

/* ---- limits of one group ------------------------------------------------------------------------------- */

/* A whole number that is not negative; false for "max", "-1" and whatever else. */
static bool parse_count(const char *from, const char **end, uint64_t *out) {
    if (*from < '0' || *from > '9') {
        return false;
    }
    char *stop;
    *out = strtoull(from, &stop, 10);
    *end = stop;
    return true;
}

static bool read_count(const pm_text_files *files, const char *folder, const char *name, uint64_t *out) {
    char path[PATH_ROOM + 64], content[64];
    const char *end;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path && files->read(files->ctx, path, content, sizeof content) &&
           parse_count(content, &end, out);
}

static void limit_memory(const pm_text_files *files, const char *folder, bool is_v2, pm_cgroup_limits *limits) {
    uint64_t bytes;
    if (read_count(files, folder, is_v2 ? "memory.max" : "memory.limit_in_bytes", &bytes) && bytes < limits->memory) {
        limits->memory = bytes;
    }
}

/* Version 2: "QUOTA PERIOD" in one file, in microseconds. */
static bool read_quota(const pm_text_files *files, const char *folder, uint64_t *quota, uint64_t *period) {
    char path[PATH_ROOM + 64], content[64];
    const char *end;
    int n = snprintf(path, sizeof path, "%s/cpu.max", folder);
    return n > 0 && (size_t)n < sizeof path && files->read(files->ctx, path, content, sizeof content) &&
           parse_count(content, &end, quota) && *end == ' ' && parse_count(end + 1, &end, period);
}

static void limit_processors(const pm_text_files *files, const char *folder, bool is_v2, pm_cgroup_limits *limits) {
    uint64_t quota, period;
    bool is_limited = is_v2 ? read_quota(files, folder, &quota, &period)
                            : read_count(files, folder, "cpu.cfs_quota_us", &quota) &&
                                  read_count(files, folder, "cpu.cfs_period_us", &period);
    if (is_limited && quota > 0 && period > 0) {
        limits->processors = fmin(limits->processors, (double)quota / (double)period);
    }
}

/* ---- this process's group and those above it ----------------------------------------------------------- */

/* What of the group's path lies below the folder that is mounted. A group that is not in there (seen from a namespace
 * of its own, or left out of the mount) can be known by the mounted folder alone: "". */
static const char *below(const char *group, const char *root) {
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    bool is_inside = strncmp(group, root, n) == 0 && (group[n] == '/' || group[n] == '\0');
    return is_inside && strstr(group, "/..") == NULL ? group + n : "";
}

typedef void limit_group(const pm_text_files *files, const char *folder, bool is_v2, pm_cgroup_limits *limits);

static void limit_groups(const hierarchy *h, slice path, const pm_text_files *files, limit_group *apply,
                         pm_cgroup_limits *limits) {
    char root[PATH_ROOM], folder[2 * PATH_ROOM], group[PATH_ROOM], point[PATH_ROOM];
    if (path.n >= sizeof group || !unescape(h->root, root) || !unescape(h->point, point)) {
        return;
    }
    memcpy(group, path.at, path.n);
    group[path.n] = '\0';
    size_t top = strlen(point);
    int n = snprintf(folder, sizeof folder, "%s%s", point, below(group, root));
    for (size_t at = n < 0 ? 0 : (size_t)n; at >= top && at < sizeof folder && at > 0; at--) {
        if (at == top || folder[at] == '/' || folder[at] == '\0') {
            folder[at] = '\0';
            apply(files, folder, h->is_v2, limits);
        }
    }
}

pm_cgroup_limits pmi_cgroup_read(const char *cgroup, const char *mountinfo, const pm_text_files *files) {
    static const struct {
        const char *controller;
        limit_group *apply;
    } kinds[] = {{"memory", limit_memory}, {"cpu", limit_processors}};
    pm_cgroup_limits limits = {UINT64_MAX, HUGE_VAL};
    slice rest = {mountinfo, strlen(mountinfo)}, line;
    while (take(&rest, '\n', &line)) {
        hierarchy h = {0};
        if (!parse_mount(line, &h)) {
            continue;
        }
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            slice path;
            if ((h.is_v2 || lists(h.controllers, kinds[i].controller)) &&
                find_group(cgroup, h.is_v2 ? NULL : kinds[i].controller, &path)) {
                limit_groups(&h, path, files, kinds[i].apply, &limits);
            }
        }
    }
    return limits;
}

/* ---- this machine ------------------------------------------------------------------------------------- */

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

/* ---- processes ---- */

/* Number `which` (from 0) of /proc/PID/statm, in bytes: 1 is what is resident, 5 data and stack. */
static size_t statm(const char *process, int which) {
    char path[64], text[256];
    int n = snprintf(path, sizeof path, "/proc/%s/statm", process);
    if (n < 0 || (size_t)n >= sizeof path || !read_text(NULL, path, text, sizeof text)) {
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
    if (n < 0 || (size_t)n >= sizeof path || !read_text(NULL, path, text, sizeof text)) {
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
