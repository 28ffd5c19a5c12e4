#include "worker/watchdog.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct pm_watchdog {
    pm_watchdog_options options;
    int signals; /* signalfd */
    int news;    /* eventfd: for the worker */
    int control; /* eventfd: for the thread */
    pthread_t thread;
    atomic_uint count;
    atomic_int first;
    atomic_bool is_stopped;
    atomic_int code; /* pm_status */
    _Atomic double end;
    _Atomic double limit; /* of what is under way */
    atomic_int limit_code;
    const char *_Atomic limit_why;
};

static void ring(int fd) {
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;
}

static void hush(int fd) {
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

/* The earliest of all ends counts. */
static void bring_forward(pm_watchdog *w, double when) {
    double end = atomic_load(&w->end);
    while (when < end && !atomic_compare_exchange_weak(&w->end, &end, when)) {
    }
}

static void hear(pm_watchdog *w) {
    struct signalfd_siginfo info;
    while (read(w->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        unsigned count = atomic_load(&w->count) + 1;
        double wait = count == 1 ? w->options.drain_seconds + w->options.grace_seconds : w->options.grace_seconds;
        if (count == 1) {
            atomic_store(&w->first, (int)info.ssi_signo);
        }
        bring_forward(w, count > 2 ? 0 : pmi_seconds() + wait);
        atomic_store(&w->count, count);
        ring(w->news);
    }
}

static int wait_ms(const pm_watchdog *w) {
    double left = fmin(atomic_load(&w->end), atomic_load(&w->limit)) - pmi_seconds();
    return left > 3600 ? 3600000 : left > 0 ? (int)ceil(left * 1000) : 0;
}

/* True when it was time, and a test's end came back. */
static bool end_if_due(pm_watchdog *w) {
    double now = pmi_seconds();
    const pm_watchdog_options *o = &w->options;
    if (atomic_load(&w->is_stopped)) {
        return false;
    }
    if (now >= atomic_load(&w->end)) {
        o->end(o->ctx, (pm_status)atomic_load(&w->code),
               atomic_load(&w->count) > 2 ? "a third signal" : "the time to end is over");
        return true;
    }
    if (now >= atomic_load(&w->limit)) {
        o->end(o->ctx, (pm_status)atomic_load(&w->limit_code), atomic_load(&w->limit_why));
        return true;
    }
    return false;
}

static void *watch(void *argument) {
    pm_watchdog *w = argument;
    struct pollfd fds[] = {{.fd = w->signals, .events = POLLIN}, {.fd = w->control, .events = POLLIN}};
    bool is_over = false;
    while (!is_over && !atomic_load(&w->is_stopped)) {
        poll(fds, 2, wait_ms(w));
        hush(w->control);
        hear(w);
        is_over = end_if_due(w);
    }
    return NULL;
}

static pm_status open_all(pm_watchdog *w, pm_error *err) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        return pmi_fail(err, PM_EOSERR, "signals cannot be held: %s", strerror(errno));
    }
    w->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    w->news = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->control = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->signals < 0 || w->news < 0 || w->control < 0) {
        return pmi_fail(err, PM_EOSERR, "signals cannot be received: %s", strerror(errno));
    }
    int why = pthread_create(&w->thread, NULL, watch, w);
    return why == 0 ? PM_OK : pmi_fail(err, PM_EOSERR, "no thread for signals: %s", strerror(why));
}

static void close_all(pm_watchdog *w) {
    int fds[] = {w->signals, w->news, w->control};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(w);
}

pm_status pmi_watchdog_start(const pm_watchdog_options *options, pm_watchdog **out, pm_error *err) {
    *out = NULL;
    pm_watchdog *w = pmi_calloc(1, sizeof *w);
    PM_TRY(w != NULL ? PM_OK : pmi_fail_memory(err, "the watchdog", sizeof *w));
    w->options = *options;
    w->signals = w->news = w->control = -1;
    atomic_store(&w->end, INFINITY);
    atomic_store(&w->limit, INFINITY);
    pm_status st = open_all(w, err);
    if (st != PM_OK) {
        close_all(w);
        return st;
    }
    *out = w;
    return PM_OK;
}

int pmi_watchdog_fd(const pm_watchdog *w) {
    return w->news;
}

unsigned pmi_watchdog_signals(pm_watchdog *w, int *first) {
    hush(w->news);
    *first = atomic_load(&w->first);
    return atomic_load(&w->count);
}

void pmi_watchdog_arm(pm_watchdog *w, double when, pm_status code) {
    atomic_store(&w->code, (int)code);
    bring_forward(w, when);
    ring(w->control);
}

void pmi_watchdog_limit(pm_watchdog *w, double when, pm_status code, const char *why) {
    atomic_store(&w->limit_code, (int)code);
    atomic_store(&w->limit_why, why);
    atomic_store(&w->limit, when);
    ring(w->control);
}

double pmi_watchdog_end(const pm_watchdog *w) {
    return atomic_load(&w->end);
}

void pmi_watchdog_stop(pm_watchdog *w) {
    if (w == NULL) {
        return;
    }
    atomic_store(&w->is_stopped, true);
    ring(w->control);
    pthread_join(w->thread, NULL);
    close_all(w);
}
