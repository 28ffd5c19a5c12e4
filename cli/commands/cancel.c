#include <stdio.h>
#include <string.h>

#include "support/cluster.h"
#include "units/job_state.h"

typedef struct cancel_options {
    size_t timeout;
} cancel_options;

static const cli_option options[] = {
    {"timeout", CLI_COUNT, offsetof(cancel_options, timeout), 1, 1000000, NULL},
    {0},
};

/* Of a job that is done there is nothing to cancel, and a mark would only keep others from collecting it. */
static pm_status cancel_unless_done(pm_redis *redis, const uint8_t job[PM_DIGEST_BYTES], bool *is_done, pm_error *err) {
    pm_job_view view;
    bool found;
    pm_status st = pmi_job_look(redis, job, &view, &found, err);
    *is_done = st == PM_OK && found && view.fault[0] == '\0' && strcmp(pmi_job_state(&view), "done") == 0;
    pmi_job_view_free(&view);
    return st == PM_OK && !*is_done ? pmi_board_cancel(redis, job, err) : st;
}

static pm_status cancel(cli_cluster *c, const char *text, const cancel_options *o, pm_error *err) {
    uint8_t job[PM_DIGEST_BYTES];
    bool is_done = false;
    pm_status st = cli_cluster_limit(c, (double)o->timeout, err);
    PM_THEN(st, cli_cluster_open_redis(c, err));
    PM_THEN(st, pmi_job_find(c->redis, text, job, err));
    if (st == PM_ENOINPUT) {
        st = pmi_job_find_running(c->redis, text, job, err);
    }
    PM_THEN(st, cancel_unless_done(c->redis, job, &is_done, err));
    PM_TRY(st);
    PM_TRY(cli_cluster_limit(c, 0, err));
    char hex[PM_DIGEST_HEX], line[PM_DIGEST_HEX + 64];
    pmi_hex(job, hex);
    snprintf(line, sizeof line, "%s %s\n", hex, is_done ? "is done: nothing to cancel" : "cancelled");
    return cli_show(line, err);
}

pm_status cli_main_cancel(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_cluster c = {0};
    cancel_options o = {.timeout = CLI_TIMEOUT};
    cli_operands operands = {.min = 1, .max = 1, .what = "JOB"};
    bool is_done;
    pm_status st = cli_cluster_parse(&c, self, argc, argv, options, &o, &operands, &is_done, err);
    PM_THEN(st, !is_done ? cancel(&c, operands.values[0], &o, err) : PM_OK);
    return cli_cluster_close(&c, st, err);
}
