"""Libraries for LD_PRELOAD: a clock that is wrong for one program, and names that take long to resolve.

(faketime will not do: it changes the time of day, but not what C11's cnd_timedwait, which librdkafka calls, compares it
with; its threads then wait for hours, or not at all.)"""
import pathlib
import subprocess

SKEW = r"""
#define _GNU_SKEW
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <pthread.h>
#include <unistd.h>

static long skew(void) {
    const char *text = getenv("SKEW_SECONDS");
    return text == NULL ? 0 : atol(text);
}
int clock_gettime(clockid_t id, struct timespec *t) {
    int done = (int)syscall(SYS_clock_gettime, id, t);
    if (done == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        t->tv_sec += skew();
    }
    return done;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t != NULL) {
        *t = now.tv_sec;
    }
    return now.tv_sec;
}
int timespec_get(struct timespec *t, int base) {
    clock_gettime(CLOCK_REALTIME, t);
    return base;
}
int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    struct timespec true_time = {until->tv_sec - skew(), until->tv_nsec};
    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "cnd_timedwait");
    }
    return real(c, m, &true_time);
}
"""
SLOW_NAME = "slow.invalid"
NAMES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name != NULL && strcmp(name, "slow.invalid") == 0) {
        sleep(60);
        return EAI_AGAIN;
    }
    return real(name, service, hints, found);
}
"""


def _compile(folder, name, source):
    path = pathlib.Path(folder) / f"{name}.c"
    path.write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path.with_suffix(".so"), path, "-ldl"], check=True)
    return str(path.with_suffix(".so"))


def skew(folder):
    """The path of a library, compiled into a folder, that adds SKEW_SECONDS to the time of day."""
    return _compile(folder, "skew", SKEW)


def slow_names(folder):
    """One with which SLOW_NAME takes a minute, and does not resolve then."""
    return _compile(folder, "names", NAMES)
