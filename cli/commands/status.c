#include "support/status.h"

#include <time.h>
#include <unistd.h>

#define WATCH_TENTHS 20 /* between two looks */
#define OPEN_UNITS 1000 /* looked at closely */

typedef struct status_options {
    bool json, watch;
    size_t max, timeout;
} status_options;

#define FIELD(name) offsetof(status_options, name)

static const cli_option options[] = {
    {"json", CLI_FLAG, FIELD(json), 0, 0, NULL},
    {"watch", CLI_FLAG, FIELD(watch), 0, 0, NULL},
    {"most", CLI_COUNT, FIELD(max), 1, 10000, NULL},
    {"timeout", CLI_COUNT, FIELD(timeout), 1, 1000000, NULL},
    {0},
};

static pm_status write_status(const cli_status *status, const pm_job_view *detail, const status_options *o,
                              pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    if (o->json) {
        cli_status_json(status, detail, out);
    } else {
        cli_out_text(out, o->watch && isatty(STDOUT_FILENO) == 1 ? "\033[H\033[J" : "");
        cli_status_text(status, detail, out);
    }
    return cli_out_close(out, PM_OK, err);
}

/* The fault of a server, once what the other told is written. */
static pm_status fault_of(const cli_status *status, pm_error *err) {
    if (status->redis_st != PM_OK) {
        *err = status->redis_err;
        return status->redis_st;
    }
    if (status->kafka_st != PM_OK) {
        *err = status->kafka_err;
    }
    return status->kafka_st;
}

static pm_status look_once(cli_status_source *source, const status_options *o, pm_error *err) {
    cli_status status = {0};
    pm_status st = cli_cluster_limit(source->cluster, (double)o->timeout, err);
    PM_THEN(st, cli_status_look(source, &status, err));
    pm_job_view *detail = source->job != NULL && status.n_jobs == 1 ? &status.jobs[0] : NULL;
    PM_THEN(st, cli_cluster_limit(source->cluster, 0, err));
    PM_THEN(st, write_status(&status, detail, o, err));
    PM_THEN(st, fault_of(&status, err));
    cli_status_free(&status);
    return st;
}

static void wait_a_little(cli_cluster *c) {
    const struct timespec tenth = {.tv_nsec = 100000000};
    for (int i = 0; i < WATCH_TENTHS && !cli_cluster_is_stopped(c); i++) {
        nanosleep(&tenth, NULL);
    }
}

/* While it watches, a server that is away is shown and looked for again. */
static pm_status watch(cli_status_source *source, const status_options *o, pm_error *err) {
    pm_status st = cli_cluster_hold_signals(source->cluster, err);
    while (st == PM_OK && !cli_cluster_is_stopped(source->cluster)) {
        st = look_once(source, o, err);
        st = st == PM_EUNAVAILABLE || st == PM_ETEMPORARY ? PM_OK : st;
        wait_a_little(source->cluster);
    }
    return st;
}

/* Opens without connecting: what cannot be reached is part of the answer. */
static pm_status open_servers(cli_cluster *c, pm_error *err) {
    PM_TRY(cli_cluster_kafka_options(c, err));
    PM_TRY(cli_cluster_redis_options(c, err));
    return pmi_redis_open(&c->redis_options, &c->console.log, &c->redis, err);
}

static pm_status serve(cli_cluster *c, const char *text, const status_options *o, pm_error *err) {
    uint8_t job[PM_DIGEST_BYTES];
    cli_status_source source = {.cluster = c, .max = o->max, .max_units = OPEN_UNITS, .job = text == NULL ? NULL : job};
    pm_status st = open_servers(c, err);
    PM_THEN(st, cli_cluster_limit(c, (double)o->timeout, err));
    PM_THEN(st, text != NULL ? pmi_job_find(c->redis, text, job, err) : PM_OK);
    PM_THEN(st, o->watch ? watch(&source, o, err) : look_once(&source, o, err));
    cli_cluster_limit_closing(c, st, err);
    cli_status_source_close(&source);
    return st;
}

pm_status cli_main_status(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_cluster c = {0};
    status_options o = {.max = 20, .timeout = CLI_TIMEOUT};
    cli_operands operands = {.min = 0, .max = 1, .what = "JOB"};
    bool is_done;
    pm_status st = cli_cluster_parse(&c, self, argc, argv, options, &o, &operands, &is_done, err);
    if (st == PM_OK && !is_done) {
        st = serve(&c, operands.n == 1 ? operands.values[0] : NULL, &o, err);
    }
    return cli_cluster_close(&c, st, err);
}
