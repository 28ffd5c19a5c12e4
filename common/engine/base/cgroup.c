#include "base/cgroup.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_ROOM 4096

typedef struct text {
    const char *at;
    size_t n;
} text;

static bool is_text(text t, const char *word) {
    return t.n == strlen(word) && memcmp(t.at, word, t.n) == 0;
}

/* Takes what stands before the next `separator`, or all that is left; false at the end. */
static bool take(text *rest, char separator, text *out) {
    if (rest->at == NULL) {
        return false;
    }
    const char *end = memchr(rest->at, separator, rest->n);
    size_t n = end == NULL ? rest->n : (size_t)(end - rest->at);
    *out = (text){rest->at, n};
    *rest = end == NULL ? (text){NULL, 0} : (text){end + 1, rest->n - n - 1};
    return true;
}

static bool lists(text words, const char *word) {
    text one;
    while (take(&words, ',', &one)) {
        if (is_text(one, word)) {
            return true;
        }
    }
    return false;
}

static bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

/* A path of mountinfo, where blanks, line feeds and backslashes stand as \ooo; false when it does not fit. */
static bool unescape(text t, char out[PATH_ROOM]) {
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
    text root, point; /* what of it is mounted, and where; escaped */
    text controllers; /* version 1: among the mount's options */
    bool is_v2;
} hierarchy;

/* "36 35 98:0 /root /point rw,noatime master:1 - cgroup cgroup rw,memory": any number of words stand before the dash */
static bool parse_mount(text line, hierarchy *out) {
    text word, source, options, kind;
    size_t i;
    for (i = 0; take(&line, ' ', &word) && !is_text(word, "-"); i++) {
        out->root = i == 3 ? word : out->root;
        out->point = i == 4 ? word : out->point;
    }
    if (i < 6 || !take(&line, ' ', &kind) || !take(&line, ' ', &source) || !take(&line, ' ', &options)) {
        return false;
    }
    out->is_v2 = is_text(kind, "cgroup2");
    out->controllers = options;
    return out->is_v2 || is_text(kind, "cgroup");
}

/* The path in the line "5:cpu,cpuacct:/path", or "0::/path" for version 2 (`controller` NULL). */
static bool find_group(const char *cgroup, const char *controller, text *path) {
    text rest = {cgroup, strlen(cgroup)}, line, number, names;
    while (take(&rest, '\n', &line)) {
        if (take(&line, ':', &number) && take(&line, ':', &names) && line.n > 0 && line.at[0] == '/' &&
            (controller == NULL ? names.n == 0 && is_text(number, "0") : lists(names, controller))) {
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

static void limit_groups(const hierarchy *h, text path, const pm_text_files *files, limit_group *apply,
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
    text rest = {mountinfo, strlen(mountinfo)}, line;
    while (take(&rest, '\n', &line)) {
        hierarchy h = {0};
        if (!parse_mount(line, &h)) {
            continue;
        }
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            text path;
            if ((h.is_v2 || lists(h.controllers, kinds[i].controller)) &&
                find_group(cgroup, h.is_v2 ? NULL : kinds[i].controller, &path)) {
                limit_groups(&h, path, files, kinds[i].apply, &limits);
            }
        }
    }
    return limits;
}
