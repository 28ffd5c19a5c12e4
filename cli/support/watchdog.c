#include "support/watchdog.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SAMPLE_SECONDS 0.3 /* over which it is told whether the watched thread computes */
#define COMPUTES 0.02      /* of that time */

static double cpu_seconds(pthread_t thread) {
    clockid_t clock;
    struct timespec t = {0};
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) != 0) {
        return 0;
    }
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for a change, until a moment (0: for ever). The mutex is held. */
static void wait_until(cli_watchdog *w, double at) {
    if (at == 0) {
        pthread_cond_wait(&w->changed, &w->mutex);
        return;
    }
    double left = at - pmi_seconds();
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double nanoseconds = (double)t.tv_nsec + 1e9 * (left > 0 ? left : 0);
    t.tv_sec += (time_t)(nanoseconds / 1e9);
    t.tv_nsec = (long)(nanoseconds - 1e9 * (double)(time_t)(nanoseconds / 1e9));
    pthread_cond_timedwait(&w->changed, &w->mutex, &t);
}

/* Time is over: whether it is with waiting that it went. The mutex is held, and given up meanwhile. */
static bool is_waiting(cli_watchdog *w) {
    double at = w->at, before = cpu_seconds(w->watched), until = pmi_seconds() + SAMPLE_SECONDS;
    while (w->at == at && !w->is_ending && pmi_seconds() < until) {
        wait_until(w, until);
    }
    return w->at == at && !w->is_ending && cpu_seconds(w->watched) - before < COMPUTES * SAMPLE_SECONDS;
}

/* A standard error that nobody reads must not hold this up. */
static bool can_speak(void) {
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&log, 1, 0) == 1 && (log.revents & POLLOUT) != 0 && ftrylockfile(stderr) == 0;
}

static void end_program(const cli_watchdog *w) {
    if (!can_speak()) {
        _exit((int)w->last_words.code);
    }
    if (w->last_words.text[0] != '\0' && w->console->is_json) {
        cli_console_error(w->console, &w->last_words);
    } else if (w->last_words.text[0] != '\0') {
        cli_log_last_words(w->last_words.text);
    }
    _exit((int)w->last_words.code);
}

static void *watch(void *ctx) {
    cli_watchdog *w = ctx;
    pthread_mutex_lock(&w->mutex);
    while (!w->is_ending) {
        if (w->at != 0 && pmi_seconds() >= w->at) {
            if (is_waiting(w)) {
                end_program(w);
            }
        } else {
            wait_until(w, w->at);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* Signals are for the other threads. */
static int start_thread(cli_watchdog *w) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int code = pthread_create(&w->thread, NULL, watch, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

static pm_status start(cli_watchdog *w, pm_error *err) {
    pthread_condattr_t attributes;
    w->watched = pthread_self();
    pthread_mutex_init(&w->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int code = start_thread(w);
    if (code != 0) {
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        return pmi_fail(err, PM_EOSERR, "a thread that keeps the time limit cannot be started: %s", strerror(code));
    }
    w->is_running = true;
    return PM_OK;
}

pm_status cli_watchdog_set(cli_watchdog *w, double at, const pm_error *last_words, cli_console *console,
                           pm_error *err) {
    pm_status st = PM_OK;
    if (!w->is_running) {
        st = at == 0 ? PM_OK : start(w, err);
    }
    if (w->is_running) {
        pthread_mutex_lock(&w->mutex);
        w->at = at;
        w->last_words = *last_words;
        w->console = console;
        pthread_cond_signal(&w->changed);
        pthread_mutex_unlock(&w->mutex);
    }
    return st;
}

void cli_watchdog_stop(cli_watchdog *w) {
    if (!w->is_running) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    w->is_ending = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    *w = (cli_watchdog){0};
}
