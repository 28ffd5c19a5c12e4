#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/disk_impl.h"

#define LOCK_FILE_BYTES 65536

char *pm_disk_path(const char *dir, const char *name) {
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = pm_malloc(n, 1);
    if (path != NULL) {
        (void)snprintf(path, n, "%s/%s", dir, name); /* fits: n counts it */
    }
    return path;
}

pm_status pm_disk_default_dir(const char *xdg_cache_home, const char *home, char **out, pm_error *err) {
    *out = NULL;
    bool has_xdg =
        xdg_cache_home != NULL && xdg_cache_home[0] == '/'; /* the XDG specification ignores relative paths */
    if (!has_xdg && (home == NULL || home[0] == '\0')) {
        return pm_fail(err, PM_EUNAVAILABLE,
                       "no folder for the trace cache: neither XDG_CACHE_HOME (an absolute path) nor HOME is set; name "
                       "one with --cache-dir, or use --no-cache");
    }
    *out = has_xdg ? pm_disk_path(xdg_cache_home, "phasemill") : pm_disk_path(home, ".cache/phasemill");
    return *out != NULL ? PM_OK : pm_fail_memory(err, "the name of the cache folder", 4096);
}

static pm_status cannot_make(const char *path, int code, pm_error *err) {
    return pm_fail(err, PM_ECANTCREAT,
                   "the cache folder cannot be used: %s: %s; name another with --cache-dir, or use --no-cache", path,
                   strerror(code));
}

/* Makes path[0..n), which becomes zero-terminated there and is restored. */
static pm_status make_one(char *path, size_t n, pm_error *err) {
    struct stat info;
    char kept = path[n];
    pm_status st = PM_OK;
    path[n] = '\0';
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        int code = errno;
        /* a parent may be there and yet not be ours to make (read-only file systems say EROFS, not EEXIST) */
        if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
            st = cannot_make(path, code, err);
        }
    }
    path[n] = kept;
    return st;
}

pm_status pm_disk_make_dir(const char *dir, pm_error *err) {
    size_t n = strlen(dir);
    if (n == 0) {
        return pm_fail(err, PM_EUSAGE, "the name of the cache folder is empty");
    }
    char *path = strdup(dir);
    if (path == NULL) {
        return pm_fail_memory(err, "the name of the cache folder", n + 1);
    }
    pm_status st = PM_OK;
    for (size_t i = 1; i <= n && st == PM_OK; i++) {
        if (path[i] == '\0' || (path[i] == '/' && path[i - 1] != '/')) {
            st = make_one(path, i, err);
        }
    }
    free(path);
    return st;
}

pm_status pm_disk_open_file(const char *dir, const char *name, int *fd, pm_error *err) {
    char *path = pm_disk_path(dir, name);
    if (path == NULL) {
        return pm_fail_memory(err, "the name of a cache file", strlen(dir));
    }
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    pm_status st = *fd >= 0 ? PM_OK : cannot_make(path, errno, err);
    free(path);
    return st;
}

pm_status pm_disk_flock(int fd, int operation, const char *dir, pm_error *err) {
    int rc;
    do {
        rc = flock(fd, operation);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        return pm_fail(err, PM_EIO, "locking the cache folder %s: %s; its file system must support flock", dir,
                       strerror(errno));
    }
    return PM_OK;
}

uint64_t pm_disk_file_bytes(const char *dir) {
    static const char *const names[] = {"data.mdb", "lock.mdb", "data.mdb.damaged", "open.lock", "alive.lock"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct stat info;
        char *path = pm_disk_path(dir, names[i]);
        if (path != NULL && stat(path, &info) == 0) {
            bytes += (uint64_t)info.st_blocks * 512;
        }
        free(path);
    }
    return bytes;
}

pm_status pm_disk_reserve_lock_file(const char *dir, pm_error *err) {
    int fd = -1;
    pm_status st = pm_disk_open_file(dir, "lock.mdb", &fd, err);
    if (st != PM_OK) {
        return st;
    }
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_FILE_BYTES) != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        st = cannot_make("lock.mdb", errno, err);
    }
    close(fd);
    return st;
}
