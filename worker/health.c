#include "worker/health.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING ".alive"
#define MAX_TRIES 10

static bool write_path(char path[PM_HEALTH_PATH], const char *format, const char *folder, long number) {
    int n = snprintf(path, PM_HEALTH_PATH, format, folder, number);
    return n > 0 && n < PM_HEALTH_PATH;
}

static bool folder_path(const char *folder, char path[PM_HEALTH_PATH]) {
    const char *given = folder != NULL ? folder : getenv("TMPDIR");
    return write_path(path, "%s/phasemill-%ld", given != NULL && given[0] != '\0' ? given : "/tmp", (long)getuid());
}

/* Temporary folders are open to all: what is there must be a folder of ours. */
static bool is_ours(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) {
        return false;
    }
    errno = EPERM;
    return S_ISDIR(info.st_mode) && info.st_uid == getuid();
}

static bool lock(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &whole) == 0;
}

/* Made under another name and locked there, so that nobody sees the file without its lock. */
static bool make_file(pm_health *h, const char *hidden) {
    if (!is_ours(h->folder)) {
        return false;
    }
    h->fd = open(hidden, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (h->fd >= 0 && lock(h->fd) && rename(hidden, h->path) == 0) {
        return true;
    }
    int why = errno;
    pmi_health_close(h);
    errno = why;
    return false;
}

pm_status pmi_health_open(const char *folder, pm_health *out, pm_error *err) {
    char hidden[PM_HEALTH_PATH];
    *out = (pm_health){.fd = -1};
    if (!folder_path(folder, out->folder) || !write_path(out->path, "%s/worker-%ld" ENDING, out->folder, getpid()) ||
        !write_path(hidden, "%s/.worker-%ld", out->folder, getpid())) {
        return pmi_fail(err, PM_ECANTCREAT, "health file: the path of the temporary folder is too long");
    }
    /* another worker that ends may remove the folder in between */
    for (int i = 0; i < MAX_TRIES; i++) {
        if (mkdir(out->folder, 0700) != 0 && errno != EEXIST) {
            break;
        }
        if (make_file(out, hidden)) {
            return PM_OK;
        }
        if (errno != ENOENT) {
            break;
        }
    }
    return pmi_fail(err, PM_ECANTCREAT, "health file \"%s\" cannot be made: %s", out->path, strerror(errno));
}

void pmi_health_beat(pm_health *h) {
    if (h->fd >= 0) {
        futimens(h->fd, NULL);
    }
}

void pmi_health_close(pm_health *h) {
    if (h->fd >= 0) {
        unlink(h->path);
        close(h->fd);
        rmdir(h->folder);
        h->fd = -1;
    }
}

/* True with the owner's process id when the file is locked. */
static bool find_owner(int fd, pid_t *owner) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &whole) != 0 || whole.l_type == F_UNLCK) {
        return false;
    }
    *owner = whole.l_pid;
    return true;
}

static pm_status look_at(const char *folder, const char *name, double now, pm_health_report *report, pm_error *err) {
    char path[PM_HEALTH_PATH];
    struct stat info;
    pid_t owner;
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = n > 0 && n < PM_HEALTH_PATH ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0 || fstat(fd, &info) != 0) {
        int why = errno;
        if (fd >= 0) {
            close(fd);
        }
        return why == ENOENT ? PM_OK : pmi_fail(err, PM_EIO, "health file \"%s\": %s", path, strerror(why));
    }
    if (find_owner(fd, &owner)) {
        double age = now - ((double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec);
        report->alive++;
        report->hanging += age > PM_HEALTH_SECONDS;
        if (report->alive == 1 || age > report->age) {
            report->age = age;
            report->oldest = owner;
        }
    } else {
        unlink(path);
    }
    close(fd);
    return PM_OK;
}

static bool is_health_file(const char *name) {
    size_t n = strlen(name), k = strlen(ENDING);
    return n > k && strcmp(name + n - k, ENDING) == 0;
}

pm_status pmi_health_check(const char *folder, double now, pm_health_report *report, pm_error *err) {
    char path[PM_HEALTH_PATH];
    *report = (pm_health_report){0};
    if (!folder_path(folder, path)) {
        return pmi_fail(err, PM_EIO, "health files: the path of the temporary folder is too long");
    }
    DIR *dir = is_ours(path) ? opendir(path) : NULL;
    if (dir == NULL) {
        return errno == ENOENT ? PM_OK : pmi_fail(err, PM_EIO, "folder \"%s\": %s", path, strerror(errno));
    }
    pm_status st = PM_OK;
    for (struct dirent *entry = readdir(dir); st == PM_OK && entry != NULL; entry = readdir(dir)) {
        if (is_health_file(entry->d_name)) {
            st = look_at(path, entry->d_name, now, report, err);
        }
    }
    closedir(dir);
    return st;
}
