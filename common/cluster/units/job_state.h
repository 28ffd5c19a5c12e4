/* Jobs as an operator sees them: their items, and what became of the units that are to make them. */
#ifndef PM_UNITS_JOB_STATE_H
#define PM_UNITS_JOB_STATE_H

#include "redis/board.h"

/* The job whose id is `text`, or begins with it (6 or more digits). Errors: PM_EUSAGE, PM_ENOINPUT. */
pm_status pmi_job_find(pm_redis *redis, const char *text, pm_digest job, pm_error *err);
/* The same among the jobs that workers compute for, which may be on no list. */
pm_status pmi_job_find_running(pm_redis *redis, const char *text, pm_digest job, pm_error *err);

typedef struct pm_unit_view {
    pm_digest unit;
    char kind[16];
    uint64_t partition;
    int64_t offset; /* -1: being sent */
    double time;
    size_t items, missing;
    /* of units with missing items, set by pmi_job_look_closer: */
    bool has_ended;
    uint64_t begun, faults;
} pm_unit_view;

/* "unit ..., SCC ..., 2 attempts, TOPIC partition 3 offset 4" */
#define PM_OUTCOME_PLACE 512
void pmi_outcome_place(const pm_outcome_message *o, char place[PM_OUTCOME_PLACE]);

typedef struct pm_job_view {
    pm_digest job;
    char kind[16], source[256];
    double created;
    uint64_t states, items, known;
    uint64_t missing, slices, slices_missing; /* of the items; results of evaluations */
    bool is_cancelled, has_failed;
    bool is_counted; /* by those who did the units (pmi_jobs_glance), not looked up */
    char fault[512]; /* what is stored of it makes no sense: names the key; "" otherwise */
    char failure[PM_MAX_TEXT + 8], failure_place[PM_OUTCOME_PLACE]; /* the error; unit, SCC, attempts, position */
    pm_unit_view *units;                                            /* of this job, those on the board */
    size_t n_units, n_open;                                         /* n_open: with missing items */
} pm_job_view;

/* Many jobs as those who worked on them counted. `views` has room for n; *n_found have a record. */
pm_status pmi_jobs_glance(pm_redis *redis, const pm_digest *jobs, size_t n, pm_job_view *views, size_t *n_found,
                          pm_error *err);

/* One job, item by item. A look writes nothing, and keeps nothing alive. */

/* *found is false when there is no such job on the board. Free with pmi_job_view_free. */
pm_status pmi_job_look(pm_redis *redis, const pm_digest job, pm_job_view *out, bool *found, pm_error *err);
void pmi_job_view_free(pm_job_view *view);

/* Attempts and ends of the first `max` units that have missing items. */
pm_status pmi_job_look_closer(pm_redis *redis, pm_job_view *view, size_t max, pm_error *err);

/* "running", "done", "failed", "cancelled" or "unreadable" */
const char *pmi_job_state(const pm_job_view *view);

#endif
