#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/disk_impl.h"

char *pmi_disk_path(const char *dir, const char *name) {
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = pmi_malloc(n, 1);
    if (path != NULL) {
        (void)snprintf(path, n, "%s/%s", dir, name); /* fits: n counts it */
    }
    return path;
}

pm_status pmi_disk_default_dir(const char *xdg_cache_home, const char *home, char **out, pm_error *err) {
    *out = NULL;
    bool has_xdg =
        xdg_cache_home != NULL && xdg_cache_home[0] == '/'; /* the XDG specification ignores relative paths */
    if (!has_xdg && (home == NULL || home[0] == '\0')) {
        return pmi_fail(
            err, PM_EUNAVAILABLE,
            "no folder for the trace cache: neither XDG_CACHE_HOME (an absolute path) nor HOME is set; name "
            "one with --cache-dir, or use --no-cache");
    }
    *out = has_xdg ? pmi_disk_path(xdg_cache_home, "phasemill") : pmi_disk_path(home, ".cache/phasemill");
    return *out != NULL ? PM_OK : pmi_fail_memory(err, "the name of the cache folder", 4096);
}

/* ---- the folder ---- */

/* Makes path[0..n), which becomes zero-terminated there and is restored. What is there already may be another's to make
 * (a read-only file system says EROFS, not EEXIST). */
static pm_status make_one(const char *dir, char *path, size_t n, pm_error *err) {
    struct stat info;
    char kept = path[n];
    pm_status st = PM_OK;
    path[n] = '\0';
    if (mkdir(path, 0700) != 0) {
        int code = errno;
        bool is_there = stat(path, &info) == 0;
        if (!is_there || !S_ISDIR(info.st_mode)) {
            st =
                pmi_fail(err, PM_ECANTCREAT,
                         "the cache folder %s cannot be made: %s: %s; name another with --cache-dir, or use --no-cache",
                         dir, path, strerror(is_there ? ENOTDIR : code));
        }
    }
    path[n] = kept;
    return st;
}

pm_status pmi_disk_make_dir(const char *dir, pm_error *err) {
    size_t n = strlen(dir);
    if (n == 0) {
        return pmi_fail(err, PM_EUSAGE, "the name of the cache folder is empty");
    }
    char *path = strdup(dir);
    if (path == NULL) {
        return pmi_fail_memory(err, "the name of the cache folder", n + 1);
    }
    pm_status st = PM_OK;
    for (size_t i = 1; i <= n && st == PM_OK; i++) {
        if (path[i] == '\0' || (path[i] == '/' && path[i - 1] != '/')) {
            st = make_one(dir, path, i, err);
        }
    }
    free(path);
    return st;
}

bool pmi_disk_may_write(const pm_disk *disk) {
    return access(disk->path, W_OK) == 0 && access(disk->dir, W_OK | X_OK) == 0;
}

/* ---- its files ---- */

#define ASIDE ".damaged"

/* The database, and what SQLite puts beside it. */
static const char *const names[] = {PM_DISK_FILE, PM_DISK_FILE "-journal", PM_DISK_FILE "-wal", PM_DISK_FILE "-shm"};
#define N_NAMES (sizeof names / sizeof *names)

/* Name i with an ending, in a buffer of the caller. */
static const char *name_of(size_t i, const char *ending, char text[64]) {
    (void)snprintf(text, 64, "%s%s", names[i], ending);
    return text;
}

uint64_t pmi_disk_file_bytes(const char *dir) {
    static const char *const endings[] = {"", ASIDE};
    uint64_t bytes = 0;
    for (size_t i = 0; i < 2 * N_NAMES; i++) {
        struct stat info;
        char name[64];
        char *path = pmi_disk_path(dir, name_of(i / 2, endings[i % 2], name));
        if (path != NULL && lstat(path, &info) == 0) {
            bytes += (uint64_t)info.st_blocks * 512;
        }
        free(path);
    }
    return bytes;
}

/* In place of what was set aside before. */
static bool move_aside(const char *path, const char *aside) {
    return rename(path, aside) == 0 || (remove(aside) == 0 && rename(path, aside) == 0);
}

/* A file that is no regular file cannot be in use: SQLite would have refused it, or waited for it. */
static bool set_one_aside(pm_disk *disk, size_t i) {
    struct stat info;
    char name[64];
    char *path = pmi_disk_path(disk->dir, names[i]);
    char *aside = pmi_disk_path(disk->dir, name_of(i, ASIDE, name));
    bool has_memory = path != NULL && aside != NULL;
    if (has_memory && lstat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        if (move_aside(path, aside)) {
            pmi_logf(disk->log, PM_LOG_ERROR, "trace cache: %s was no regular file; it is set aside as %s", path, name);
            disk->was_damaged = true;
        } else {
            pmi_logf(disk->log, PM_LOG_ERROR, "trace cache: %s is no regular file, and cannot be set aside as %s: %s",
                     path, name, strerror(errno));
        }
    }
    free(path);
    free(aside);
    return has_memory;
}

bool pmi_disk_set_aside(pm_disk *disk) {
    bool has_memory = true;
    for (size_t i = 0; i < N_NAMES && has_memory; i++) {
        has_memory = set_one_aside(disk, i);
    }
    return has_memory;
}

void pmi_disk_remove_set_aside(const pm_disk *disk) {
    for (size_t i = 0; i < N_NAMES; i++) {
        char name[64];
        char *aside = pmi_disk_path(disk->dir, name_of(i, ASIDE, name));
        if (aside != NULL && remove(aside) != 0 && errno != ENOENT) {
            pmi_logf(disk->log, PM_LOG_WARNING, "trace cache: %s cannot be removed: %s", aside, strerror(errno));
        }
        free(aside);
    }
}
