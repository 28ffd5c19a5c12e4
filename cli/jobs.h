/* Jobs as an operator sees them: how many of their items are there, and what became of the units that are to make the
 * others. */
#ifndef PM_CLI_JOBS_H
#define PM_CLI_JOBS_H

#include "store/board.h"

/* The job whose id is `text`, or begins with it (6 or more digits). Errors: PM_EUSAGE, PM_ENOINPUT. */
pm_status cli_job_find(pm_redis *redis, const char *text, uint8_t job[PM_DIGEST_BYTES], pm_error *err);

/* Kinds of units, as far as what their items are is known here. */
typedef enum cli_unit_kind { CLI_UNIT_RECORD, CLI_UNIT_EVALUATE, CLI_UNIT_OTHER, CLI_N_UNIT_KINDS } cli_unit_kind;

typedef struct cli_unit_view {
    uint8_t unit[PM_DIGEST_BYTES];
    char kind[16];
    cli_unit_kind what;
    uint64_t partition;
    int64_t offset; /* -1: being sent */
    double time;
    size_t items, missing;
    /* of units with missing items, set by cli_job_look_closer: */
    bool has_ended;
    uint64_t begun, faults;
} cli_unit_view;

typedef struct cli_job_view {
    uint8_t job[PM_DIGEST_BYTES];
    char kind[16], source[256];
    double created;
    uint64_t states, items, known;
    uint64_t missing, slices, slices_missing; /* of the items; results of evaluations */
    bool is_cancelled, has_failed;
    char failure[PM_TEXT_MOST + 8], failure_place[512]; /* the error; unit, SCC, attempts, position */
    cli_unit_view *units;                               /* of this job, those on the board */
    size_t n_units, n_open;                             /* n_open: with missing items */
} cli_job_view;

/* *found is false when there is no such job on the board. Free with cli_job_view_free. */
pm_status cli_job_look(pm_redis *redis, const uint8_t job[PM_DIGEST_BYTES], cli_job_view *out, bool *found,
                       pm_error *err);
void cli_job_view_free(cli_job_view *view);

/* Attempts and ends of the first `most` units that have missing items. */
pm_status cli_job_look_closer(pm_redis *redis, cli_job_view *view, size_t most, pm_error *err);

/* "running", "done", "failed" or "cancelled" */
const char *cli_job_state(const cli_job_view *view);

#endif
