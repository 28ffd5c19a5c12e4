/* Jobs as an operator sees them: how many of their items are there, and what became of the units that are to make the
 * others. */
#ifndef PM_UNITS_JOB_STATE_H
#define PM_UNITS_JOB_STATE_H

#include "redis/board.h"

/* The job whose id is `text`, or begins with it (6 or more digits). Errors: PM_EUSAGE, PM_ENOINPUT. */
pm_status pmi_job_find(pm_redis *redis, const char *text, uint8_t job[PM_DIGEST_BYTES], pm_error *err);
/* The same among the jobs that workers compute for, which may be on no list. */
pm_status pmi_job_find_running(pm_redis *redis, const char *text, uint8_t job[PM_DIGEST_BYTES], pm_error *err);

typedef struct pm_unit_view {
    uint8_t unit[PM_DIGEST_BYTES];
    char kind[16];
    uint64_t partition;
    int64_t offset; /* -1: being sent */
    double time;
    size_t items, missing;
    /* of units with missing items, set by pmi_job_look_closer: */
    bool has_ended;
    uint64_t begun, faults;
} pm_unit_view;

typedef struct pm_job_view {
    uint8_t job[PM_DIGEST_BYTES];
    char kind[16], source[256];
    double created;
    uint64_t states, items, known;
    uint64_t missing, slices, slices_missing; /* of the items; results of evaluations */
    bool is_cancelled, has_failed;
    bool is_counted; /* by those who did the units (pmi_jobs_glance), not looked up */
    char fault[512]; /* what is stored of it makes no sense: names the key; "" otherwise */
    char failure[PM_MAX_TEXT + 8], failure_place[512]; /* the error; unit, SCC, attempts, position */
    pm_unit_view *units;                               /* of this job, those on the board */
    size_t n_units, n_open;                            /* n_open: with missing items */
} pm_job_view;

/* Many jobs, as those who worked on them counted: the cost goes with the jobs, not with their units. `views` has room
 * for n; a job without a record is left out: *n_found. */
pm_status pmi_jobs_glance(pm_redis *redis, const uint8_t (*jobs)[PM_DIGEST_BYTES], size_t n, pm_job_view *views,
                          size_t *n_found, pm_error *err);

/* One job, item by item. A look writes nothing, and keeps nothing alive. */

/* *found is false when there is no such job on the board. Free with pmi_job_view_free. */
pm_status pmi_job_look(pm_redis *redis, const uint8_t job[PM_DIGEST_BYTES], pm_job_view *out, bool *found,
                       pm_error *err);
void pmi_job_view_free(pm_job_view *view);

/* Attempts and ends of the first `max` units that have missing items. */
pm_status pmi_job_look_closer(pm_redis *redis, pm_job_view *view, size_t max, pm_error *err);

/* "running", "done", "failed", "cancelled" or "unreadable" */
const char *pmi_job_state(const pm_job_view *view);

#endif
