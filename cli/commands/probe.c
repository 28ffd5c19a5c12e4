#include <math.h>
#include <string.h>
#include <time.h>

#include "base/number.h"
#include "collector/watch.h"
#include "support/cluster.h"
#include "support/json_writer.h"
#include "units/probe.h"
#include "units/producer.h"

typedef struct probe_options {
    size_t units, bytes, timeout;
    const char *seconds, *rate;
    bool crash, sequential, json;
} probe_options;

typedef struct probe_report {
    pm_probe probe;
    size_t workers, slots;
} probe_report;

#define FIELD(name) offsetof(probe_options, name)

static const cli_option options[] = {
    {"units", CLI_COUNT, FIELD(units), 1, 10000000, NULL},
    {"seconds", CLI_TEXT, FIELD(seconds), 0, 0, NULL},
    {"bytes", CLI_BYTES, FIELD(bytes), 0, 0, NULL},
    {"rate", CLI_TEXT, FIELD(rate), 0, 0, NULL},
    {"timeout", CLI_COUNT, FIELD(timeout), 1, 1000000, NULL},
    {"crash", CLI_FLAG, FIELD(crash), 0, 0, NULL},
    {"sequential", CLI_FLAG, FIELD(sequential), 0, 0, NULL},
    {"json", CLI_FLAG, FIELD(json), 0, 0, NULL},
    {0},
};

static pm_status read_number(const char *flag, const char *text, double max, double *out, pm_error *err) {
    if (text == NULL) {
        return PM_OK;
    }
    pm_number_fault fault = pmi_number_parse(text, strlen(text), out);
    if (fault != PM_NUMBER_OK || !(*out >= 0) || *out > max) {
        return pmi_fail(err, PM_EUSAGE, "%s: found \"%s\", expected a number from 0 to %g", flag, text, max);
    }
    return PM_OK;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share of the n ascending ones does not exceed. */
static double quantile(const double *values, size_t n, double share) {
    return values[(size_t)ceil(share * (double)n) - 1];
}

static void write_text(const probe_report *report, const double *trips, size_t n, cli_out *out) {
    const pm_probe *probe = &report->probe;
    cli_out_format(out, "%zu units in %.3f s: %.1f units/s; %zu failed; %zu workers, %zu slots\n", probe->n_ended,
                   probe->seconds, (double)probe->n_ended / probe->seconds, probe->n_failed, report->workers,
                   report->slots);
    if (n > 0) {
        cli_out_format(out, "there and back: median %.1f ms, 95 %% %.1f ms, longest %.1f ms\n",
                       1e3 * quantile(trips, n, 0.5), 1e3 * quantile(trips, n, 0.95), 1e3 * trips[n - 1]);
    }
}

static void put_number(cli_json *j, const char *key, double value) {
    cli_json_number(cli_json_key(j, key), value);
}

static void write_json(const probe_report *report, const double *trips, size_t n, cli_out *out) {
    const pm_probe *probe = &report->probe;
    cli_json j = {.out = out};
    cli_json_open(&j, '{');
    put_number(&j, "units", (double)probe->n);
    put_number(&j, "ended", (double)probe->n_ended);
    put_number(&j, "failed", (double)probe->n_failed);
    put_number(&j, "seconds", probe->seconds);
    put_number(&j, "units_per_second", (double)probe->n_ended / probe->seconds);
    put_number(&j, "workers", (double)report->workers);
    put_number(&j, "slots", (double)report->slots);
    if (n > 0) {
        cli_json_open(cli_json_key(&j, "round_trip"), '{');
        put_number(&j, "median", quantile(trips, n, 0.5));
        put_number(&j, "p95", quantile(trips, n, 0.95));
        put_number(&j, "max", trips[n - 1]);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}

static pm_status write_report(const probe_report *report, bool as_json, pm_error *err) {
    const pm_probe *probe = &report->probe;
    size_t n = 0;
    double *trips;
    PM_TRY(PM_NEW(&trips, probe->n, "times", err));
    for (size_t i = 0; i < probe->n; i++) {
        if (probe->units[i].is_timed) {
            trips[n++] = probe->units[i].ended - probe->units[i].sent;
        }
    }
    qsort(trips, n, sizeof *trips, ascending);
    cli_out *out;
    pm_status st = cli_out_open(NULL, &out, err);
    if (st == PM_OK) {
        (as_json ? write_json : write_text)(report, trips, n, out);
    }
    free(trips);
    return cli_out_close(out, st, err);
}

static pm_status check_outcome(const pm_probe *probe, const probe_options *o, pm_error *err) {
    if (probe->n_ended < probe->n) {
        return pmi_fail(err, PM_ETEMPORARY, "%zu of %zu units did not end within %zu s; see `phasemill status`",
                        probe->n - probe->n_ended, probe->n, o->timeout);
    }
    size_t expected = o->crash ? probe->n : 0;
    if (probe->n_failed != expected) {
        return pmi_fail(err, PM_EDATA, "%zu of %zu units failed, expected %zu; see `phasemill dead-letters list`",
                        probe->n_failed, probe->n, expected);
    }
    return PM_OK;
}

static pm_status count_workers(cli_cluster *c, probe_report *report, pm_error *err) {
    pm_status st = pmi_wait_for_workers(&c->producer, &report->workers, &report->slots, err);
    return st == PM_OK && report->workers == 0
               ? pmi_fail(err, PM_EUNAVAILABLE, "no worker is alive; start one with `phasemill worker`")
               : st;
}

static pm_status limit(void *ctx, double seconds, pm_error *err) {
    return cli_cluster_limit(ctx, seconds, err);
}

static pm_status serve(cli_cluster *c, const probe_options *o, pm_error *err) {
    probe_report report = {.probe = {.producer = &c->producer,
                                     .n = o->units,
                                     .body = {.bytes = o->bytes, .crash = o->crash},
                                     .timeout = (double)o->timeout,
                                     .is_sequential = o->sequential,
                                     .limit = limit,
                                     .ctx = c}};
    pm_probe *probe = &report.probe;
    pm_status st = read_number("--seconds", o->seconds, 1e6, &probe->body.seconds, err);
    PM_THEN(st, read_number("--rate", o->rate, 1e6, &probe->rate, err));
    PM_THEN(st, cli_cluster_limit(c, probe->timeout, err));
    PM_THEN(st, cli_cluster_open_producer(c, true, NULL, 0, err));
    PM_THEN(st, count_workers(c, &report, err));
    PM_THEN(st, cli_cluster_hold_signals(c, err));
    PM_THEN(st, pmi_probe_run(probe, err));
    PM_THEN(st, cli_cluster_limit(c, 0, err));
    PM_THEN(st, write_report(&report, o->json, err));
    PM_THEN(st, check_outcome(probe, o, err));
    pmi_probe_free(probe);
    return st;
}

pm_status cli_main_probe(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_cluster c = {0};
    probe_options o = {.units = 100, .timeout = 60};
    cli_operands operands = {.what = "nothing"};
    bool is_done;
    pm_status st = cli_cluster_parse(&c, self, argc, argv, options, &o, &operands, &is_done, err);
    if (st == PM_OK && !is_done && o.sequential && o.rate != NULL) {
        st = pmi_fail(err, PM_EUSAGE, "probe: --rate and --sequential contradict each other");
    }
    PM_THEN(st, !is_done ? serve(&c, &o, err) : PM_OK);
    return cli_cluster_close(&c, st, err);
}
