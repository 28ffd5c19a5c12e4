/* Handles of a command of the cluster: signals, closing. */
#include "support/cluster.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/retry.h"

#define CLOSE_SECONDS 1.5

static void stop_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

pm_status cli_cluster_hold_signals(cli_cluster *c, pm_error *err) {
    sigset_t set;
    stop_signals(&set);
    if (c->signal_fd > 0) {
        return PM_OK;
    }
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return pmi_fail(err, PM_EOSERR, "signals cannot be held: %s", strerror(errno));
    }
    c->signal_fd = fd;
    return PM_OK;
}

void cli_cluster_release_signals(cli_cluster *c) {
    sigset_t set;
    if (c->signal_fd > 0) {
        close(c->signal_fd);
        c->signal_fd = 0;
        stop_signals(&set);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
}

bool cli_cluster_is_stopped(void *ctx) {
    cli_cluster *c = ctx;
    struct signalfd_siginfo info;
    if (c->signal_fd > 0 && read(c->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        c->is_stopped = true;
        cli_cluster_release_signals(c);
    }
    return c->is_stopped;
}

/* Fails for want of time: the time limit, then what was waited for. */
static pm_status say_time_is_over(const cli_cluster *c, pm_status st, pm_error *err) {
    if (!pmi_is_transient(st) || c->deadline.at == 0 || pmi_deadline_left(&c->deadline) > 0 ||
        strncmp(err->text, "time is over", 12) == 0) {
        return st;
    }
    err->code = PM_ETEMPORARY;
    return pmi_fail_prefix(err, "time is over (--timeout)");
}

/* Closing waits for threads of librdkafka. What there is to say then is said by the watchdog. */
void cli_cluster_limit_closing(cli_cluster *c, pm_status st, const pm_error *err) {
    pm_error last_words = {.code = st, .text = ""}, unused;
    if (st != PM_OK) {
        last_words = *err;
    }
    (void)cli_watchdog_set(&c->watchdog, pmi_seconds() + CLOSE_SECONDS, &last_words, &c->console, &unused);
}

static void close_producer(cli_cluster *c, pm_status st, const pm_error *err) {
    if (c->has_producer) {
        cli_cluster_limit_closing(c, st, err);
        pmi_producer_close(&c->producer);
        c->has_producer = false;
    }
    cli_watchdog_stop(&c->watchdog);
}

pm_status cli_cluster_close(cli_cluster *c, pm_status st, pm_error *err) {
    st = say_time_is_over(c, st, err);
    cli_cluster_release_signals(c);
    cli_console_clear(&c->console);
    cli_cluster_close_store(c);
    close_producer(c, st, err);
    cli_console_clear(&c->console);
    if (st != PM_OK && c->console.is_json) {
        cli_console_error(&c->console, err);
        err->text[0] = '\0';
    }
    pmi_seal_free(c->seal);
    c->seal = NULL;
    pmi_settings_free(&c->settings);
    return st;
}
