#include "support/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"

#define OUT_BUFFER ((size_t)1 << 16)

struct cli_out {
    int fd;
    int error;         /* errno of the first failure; 0: none */
    const char *name;  /* for messages; the caller's */
    char *path, *temp; /* NULL: written in place */
    size_t used;
    char buffer[OUT_BUFFER];
};

const char *cli_path_ending(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL || strchr(dot, '/') != NULL ? "" : dot;
}

/* The file that a rename would replace: a symbolic link is followed, so that it stays. */
static char *final_path(const char *path) {
    char *real = realpath(path, NULL);
    return real != NULL ? real : strdup(path);
}

static char *temp_path(const char *path) {
    static const char ending[] = ".part.XXXXXX";
    size_t n = strlen(path);
    char *temp = pmi_malloc(n + sizeof ending, 1);
    if (temp != NULL) {
        memcpy(temp, path, n);
        memcpy(temp + n, ending, sizeof ending);
    }
    return temp;
}

static bool is_special(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

/* The permissions a plain open() would give, or those of the file that is there. */
static mode_t wanted_mode(const char *path) {
    struct stat info;
    if (stat(path, &info) == 0) {
        return info.st_mode & 07777;
    }
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

static pm_status cannot_make(const char *path, pm_error *err) {
    return pmi_fail(err, PM_ECANTCREAT, "output \"%s\" cannot be made: %s", path, strerror(errno));
}

static pm_status open_beside(cli_out *out, const char *path, pm_error *err) {
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return cannot_make(path, err);
    }
    out->path = final_path(path);
    out->temp = out->path == NULL ? NULL : temp_path(out->path);
    if (out->temp == NULL) {
        return pmi_fail_memory(err, "an output path", strlen(path));
    }
    out->fd = mkstemp(out->temp);
    if (out->fd < 0) {
        return cannot_make(path, err);
    }
    if (fchmod(out->fd, wanted_mode(out->path)) != 0) {
        return cannot_make(path, err);
    }
    return PM_OK;
}

static void drop(cli_out *out) {
    if (out->fd >= 0 && out->fd != STDOUT_FILENO) {
        close(out->fd);
    }
    if (out->temp != NULL && out->fd >= 0) {
        unlink(out->temp);
    }
    free(out->temp);
    free(out->path);
    free(out);
}

pm_status cli_out_open(const char *path, cli_out **result, pm_error *err) {
    *result = NULL;
    cli_out *out;
    PM_TRY(PM_ZEROS(&out, 1, "an output buffer", err));
    out->fd = -1;
    out->name = path == NULL ? "standard output" : path;
    pm_status st = PM_OK;
    if (path == NULL) {
        out->fd = STDOUT_FILENO;
    } else if (is_special(path)) {
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        st = out->fd < 0 ? cannot_make(path, err) : PM_OK;
    } else {
        st = open_beside(out, path, err);
    }
    if (st != PM_OK) {
        drop(out);
        return st;
    }
    *result = out;
    return PM_OK;
}

pm_status cli_out_check(const char *path, pm_error *err) {
    if (path == NULL) {
        return PM_OK;
    }
    cli_out *out;
    PM_TRY(cli_out_open(path, &out, err));
    drop(out);
    return PM_OK;
}

/* A reader that went away ends the program as it ends others, also where SIGPIPE is ignored for the sake of sockets. */
static void end_quietly(void) {
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

static void write_all(cli_out *out, const char *bytes, size_t n) {
    while (n > 0 && out->error == 0) {
        ssize_t k = write(out->fd, bytes, n);
        if (k >= 0) {
            bytes += k;
            n -= (size_t)k;
        } else if (errno == EPIPE) {
            end_quietly();
            out->error = EPIPE;
        } else if (errno != EINTR) {
            out->error = errno;
        }
    }
}

static void flush(cli_out *out) {
    write_all(out, out->buffer, out->used);
    out->used = 0;
}

void cli_out_bytes(cli_out *out, const void *bytes, size_t n) {
    if (n > OUT_BUFFER - out->used) {
        flush(out);
    }
    if (n > OUT_BUFFER) {
        write_all(out, bytes, n);
        return;
    }
    memcpy(out->buffer + out->used, bytes, n);
    out->used += n;
}

void cli_out_text(cli_out *out, const char *text) {
    cli_out_bytes(out, text, strlen(text));
}

void cli_out_shown(cli_out *out, const char *text) {
    for (size_t left = strlen(text); left > 0;) {
        char shown[PM_UTF8_SHOWN];
        size_t taken = pmi_utf8_show(text, left, shown);
        cli_out_text(out, shown);
        text += taken;
        left -= taken;
    }
}

void cli_out_format(cli_out *out, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) {
        out->error = EOVERFLOW;
        return;
    }
    cli_out_bytes(out, text, (size_t)n);
}

/* Closes the file and puts it in its place; false with errno set on a failure. */
static bool finish_file(cli_out *out) {
    if (out->temp != NULL && fsync(out->fd) != 0) {
        return false;
    }
    int fd = out->fd;
    out->fd = STDOUT_FILENO;
    if (fd != STDOUT_FILENO && close(fd) != 0) {
        return false;
    }
    if (out->temp != NULL && rename(out->temp, out->path) != 0) {
        return false;
    }
    free(out->temp);
    out->temp = NULL;
    return true;
}

pm_status cli_out_status(const cli_out *out, pm_error *err) {
    return out->error == 0 ? PM_OK : pmi_fail(err, PM_EIO, "writing to %s failed: %s", out->name, strerror(out->error));
}

pm_status cli_out_close(cli_out *out, pm_status st, pm_error *err) {
    if (out == NULL) {
        return st;
    }
    if (st == PM_OK) {
        flush(out);
        if (out->error == 0 && !finish_file(out)) {
            out->error = errno;
        }
        st = cli_out_status(out, err);
    }
    drop(out);
    return st;
}

pm_status cli_show(const char *text, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_out_text(out, text);
    return cli_out_close(out, PM_OK, err);
}

pm_status cli_show_count(size_t count, const char *what, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_out_format(out, "%zu %s\n", count, what);
    return cli_out_close(out, PM_OK, err);
}
