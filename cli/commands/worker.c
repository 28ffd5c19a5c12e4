#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/machine.h"
#include "support/cluster.h"
#include "worker/health.h"
#include "worker/worker.h"

typedef struct worker_options {
    const char *slots, *drain_timeout; /* settings under shorter names */
    size_t exit_when_idle, max_units;
    const char *cache_dir;
    size_t cache_limit;
    bool no_cache;
} worker_options;

#define FIELD(name) offsetof(worker_options, name)

static const cli_option options[] = {
    {"slots", CLI_TEXT, FIELD(slots), 0, 0, NULL},
    {"drain-timeout", CLI_TEXT, FIELD(drain_timeout), 0, 0, NULL},
    {"exit-when-idle", CLI_COUNT, FIELD(exit_when_idle), 1, 100000000, NULL},
    {"max-units", CLI_COUNT, FIELD(max_units), 1, SIZE_MAX / 2, NULL},
    {"cache-dir", CLI_TEXT, FIELD(cache_dir), 0, 0, NULL},
    {"cache-limit", CLI_BYTES, FIELD(cache_limit), 0, 0, NULL},
    {"no-cache", CLI_FLAG, FIELD(no_cache), 0, 0, NULL},
    {0},
};

/* No place for a cache is a warning: its children do without. */
static void find_cache(const worker_options *o, const pm_log *log, char **found, const char **dir) {
    pm_error why;
    *found = NULL;
    *dir = o->no_cache ? NULL : o->cache_dir;
    if (o->no_cache || o->cache_dir != NULL) {
        return;
    }
    if (pmi_disk_default_dir(getenv("XDG_CACHE_HOME"), getenv("HOME"), found, &why) != PM_OK) {
        pmi_logf(log, PM_LOG_WARNING, "%s; traces are not kept on disk", why.text);
    }
    *dir = *found;
}

/* The last resort: something that the worker calls does not come back, and it was told to end, or cannot begin. What it
 * had is given back by Kafka, once the session is over. A log that cannot be written to must not hold this up. */
static void end_process(void *ctx, pm_status code, const char *why) {
    const cli_cluster *c = ctx;
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&log, 1, 0) == 1 && (log.revents & POLLOUT) != 0 && ftrylockfile(stderr) == 0) {
        pmi_logf(&c->console.log, code == PM_OK ? PM_LOG_WARNING : PM_LOG_ERROR, "the worker hangs, and is ended: %s",
                 why);
    }
    _exit((int)code);
}

static pm_status work(cli_cluster *c, const worker_options *o, pm_error *err) {
    const pm_setting_values *v = &c->settings.values;
    size_t slots = v->worker_slots > 0 ? v->worker_slots : pmi_processors();
    char *found;
    pm_worker_options w = {.kafka = &c->kafka,
                           .redis = &c->redis_options,
                           .id = c->client,
                           .slots = slots,
                           .attempts = v->worker_attempts,
                           .unit_memory =
                               v->worker_unit_memory > 0 ? v->worker_unit_memory : pmi_default_memory() / slots,
                           .unit_seconds = (double)v->worker_unit_seconds,
                           .drain_seconds = (double)v->worker_drain_timeout,
                           .idle_seconds = (double)o->exit_when_idle,
                           .max_units = o->max_units,
                           .end = end_process,
                           .ctx = c,
                           .cache_limit = o->cache_limit > 0 ? o->cache_limit : PM_DISK_DEFAULT_LIMIT,
                           .isa = getenv("PHASEMILL_ISA"),
                           .log = &c->console.log};
    pm_isa isa;
    pm_status st = pmi_isa_choose(w.isa, &isa, err);
    if (st != PM_OK) {
        return pmi_fail_prefix(err, "PHASEMILL_ISA");
    }
    find_cache(o, &c->console.log, &found, &w.cache_dir);
    st = pmi_worker_run(&w, err);
    free(found);
    return st;
}

/* `worker check`, for health checks of containers: how many workers of this user live on this host; argv[0] is "check".
 */
static pm_status check_health(int argc, char **argv, pm_error *err) {
    if (argc > 1) {
        return pmi_fail(err, PM_EUSAGE, "worker check: \"%s\" is one operand too many, expected none", argv[1]);
    }
    pm_health_report report;
    PM_TRY(pmi_health_check(NULL, pmi_now(), &report, err));
    if (report.alive == 0) {
        return pmi_fail(
            err, PM_EUNAVAILABLE,
            "no worker of this user lives on this host (health files are in $TMPDIR or /tmp: the check needs "
            "the worker's)");
    }
    if (report.hanging > 0) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "worker %ld hangs: its loop last turned %.0f s ago, expected each second; "
                        "%zu of %zu workers hang",
                        (long)report.oldest, report.age, report.hanging, report.alive);
    }
    return cli_show_count(report.alive, report.alive == 1 ? "worker alive" : "workers alive", err);
}

pm_status cli_main_worker(const cli_command *self, int argc, char **argv, pm_error *err) {
    if (argc > 1 && strcmp(argv[1], "check") == 0) {
        return check_health(argc - 1, argv + 1, err);
    }
    cli_cluster c = {0};
    worker_options o = {0};
    cli_operands operands = {.min = 0, .max = 0};
    bool is_done;
    pm_status st = cli_cluster_parse(&c, self, argc, argv, options, &o, &operands, &is_done, err);
    if (!is_done) {
        PM_THEN(st, cli_cluster_set(&c, "worker.slots", o.slots, "--slots", err));
        PM_THEN(st, cli_cluster_set(&c, "worker.drain-timeout", o.drain_timeout, "--drain-timeout", err));
        PM_THEN(st, cli_cluster_kafka_options(&c, err));
        PM_THEN(st, cli_cluster_redis_options(&c, err));
        PM_THEN(st, work(&c, &o, err));
    }
    return cli_cluster_close(&c, st, err);
}
