#include "support/cluster.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

static void close_store(cli_cluster *c) {
    pmi_traces_close(&c->traces);
    pmi_disk_close(c->disk);
    if (c->redis != NULL) {
        pmi_redis_close(c->redis);
    }
    c->traces = (pm_traces){0};
    c->redis = NULL;
    c->disk = NULL;
}

pm_status cli_cluster_close(cli_cluster *c, pm_status st, pm_error *err) {
    st = say_time_is_over(c, st, err);
    cli_cluster_release_signals(c);
    cli_console_clear(&c->console);
    close_store(c);
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

/* For a server that is away when a command begins, and for a Redis that is there, and full or loading. */
#define AWAY_SECONDS 10.0
#define REACH_SECONDS 10.0 /* for a broker's first answer */
#define REFUSED_SECONDS 120.0
/* After the deadline, until the program is ended. */
#define MERCY_SECONDS 1.0

/* ---- time ---- */

static pm_status set_watchdog(cli_cluster *c, pm_error *err) {
    pm_error last_words;
    double at = c->deadline.at == 0 ? 0 : c->deadline.at + MERCY_SECONDS;
    (void)pmi_fail(&last_words, PM_ETEMPORARY, "time is over (--timeout): still waiting for %s after %.1f s",
                   c->waits_for[0] != '\0' ? c->waits_for : "the cluster", at - c->deadline.begun);
    return cli_watchdog_set(&c->watchdog, at, &last_words, &c->console, err);
}

pm_status cli_cluster_limit(cli_cluster *c, double seconds, pm_error *err) {
    c->deadline = pmi_deadline_in(seconds);
    if (c->redis != NULL) {
        pmi_redis_set_deadline(c->redis, c->deadline.at);
    }
    if (c->has_producer) {
        c->producer.deadline = c->deadline;
    }
    return set_watchdog(c, err);
}

void cli_cluster_waits_for(cli_cluster *c, const char *what) {
    pm_error unused;
    (void)snprintf(c->waits_for, sizeof c->waits_for, "%s", what);
    if (c->watchdog.is_running) {
        (void)set_watchdog(c, &unused);
    }
}

pm_status cli_cluster_open_reader(cli_cluster *c, pm_topic topic, bool from_beginning, pm_reader **out, pm_error *err) {
    return pmi_reader_open(&c->kafka, topic, from_beginning, pmi_deadline_within(&c->deadline, REACH_SECONDS, 0.1),
                           &c->console.log, out, err);
}

pm_status cli_cluster_open_redis(cli_cluster *c, pm_error *err) {
    pm_status st = cli_cluster_redis_options(c, err);
    PM_THEN(st, pmi_redis_open(&c->redis_options, &c->console.log, &c->redis, err));
    PM_TRY(st);
    cli_cluster_waits_for(c, "Redis");
    pmi_redis_set_deadline(c->redis, c->deadline.at);
    c->traces = (pm_traces){.redis = c->redis, .log = &c->console.log};
    double begun = pmi_seconds();
    pm_retry retry = pmi_retry_begin("Redis", 0, cli_cluster_is_stopped, c, &c->console.log);
    do {
        st = pmi_redis_check(c->redis, err);
        double patience = st == PM_ETEMPORARY ? REFUSED_SECONDS : AWAY_SECONDS;
        retry.give_up = fmin(begun + patience, c->deadline.at == 0 ? INFINITY : c->deadline.at);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

pm_status cli_cluster_open_store(cli_cluster *c, bool no_cache, const char *cache_dir, size_t cache_limit,
                                 pm_error *err) {
    /* what is not configured is told before anything is connected to */
    PM_TRY(cli_cluster_kafka_options(c, err));
    PM_TRY(cli_cluster_open_redis(c, err));
    if (!no_cache) {
        PM_TRY(pmi_disk_open_if_usable(cache_dir, getenv("XDG_CACHE_HOME"), getenv("HOME"),
                                       cache_limit == 0 ? PM_DISK_DEFAULT_LIMIT : cache_limit, &c->console.log,
                                       &c->disk, err));
        c->traces.disk = c->disk;
    }
    return PM_OK;
}

pm_status cli_cluster_open_sending(cli_cluster *c, pm_error *err) {
    const char *trace = getenv("TRACEPARENT");
    cli_cluster_waits_for(c, "Kafka");
    pm_status st = pmi_producer_open(&c->kafka, &c->traces, trace != NULL && trace[0] != '\0' ? trace : NULL,
                                     &c->deadline, &c->console.log, &c->producer, err);
    c->has_producer = st == PM_OK;
    if (c->has_producer) {
        c->producer.is_stopped = cli_cluster_is_stopped;
        c->producer.ctx = c;
        cli_cluster_waits_for(c, "Kafka or Redis");
    }
    return st;
}

pm_status cli_cluster_open_producer(cli_cluster *c, bool no_cache, const char *cache_dir, size_t cache_limit,
                                    pm_error *err) {
    PM_TRY(cli_cluster_open_store(c, no_cache, cache_dir, cache_limit, err));
    return cli_cluster_open_sending(c, err);
}
