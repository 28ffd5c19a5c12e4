/* The board: what producers, workers, collectors and operators know of each other, in Redis (docs/cluster.md). Each
 * function is one round trip or a few pipelined ones; errors are those of pmi_redis_call, and PM_EDATA naming the key
 * of a value that does not decode. Keys get the TTL of the options unless said otherwise. What is visited lives during
 * the visit only, which must not use the connection. */
#ifndef PM_REDIS_BOARD_H
#define PM_REDIS_BOARD_H

#include "redis/redis.h"

#define PM_WORKER_SECONDS 15.0 /* a heartbeat lives so long */
#define PM_WORKER_WAIT 10.0    /* within which every live worker has had one, also when Redis was emptied or away */

/* A decoded message with what it borrows from. All-zero is empty; reading into one again frees what it held. */
typedef struct pm_stored {
    bool found;
    redisReply *reply;
    pm_message_memory memory;
} pm_stored;
void pmi_stored_free(pm_stored *note);

/* ---- jobs ---- */

/* Writes the job's record, `created` by the server's clock, and lists it; forgets failure and cancellation. */
pm_status pmi_board_open_job(pm_redis *r, const pm_job_message *job, pm_error *err);
/* Notes for pmi_board_glance that so many of the job's items are there. */
pm_status pmi_board_known(pm_redis *r, const pm_digest job, uint64_t known, pm_error *err);
/* What is kept of the job lives on for another TTL: for whoever works with it, not for whoever looks. */
pm_status pmi_board_keep_job(pm_redis *r, const pm_digest job, pm_error *err);
pm_status pmi_board_job(pm_redis *r, const pm_digest job, pm_job_message *out, pm_stored *note, pm_error *err);
/* The newest `max` jobs on the list whose record is still there (one may come twice); free(*digests). */
pm_status pmi_board_jobs(pm_redis *r, size_t max, pm_digest **digests, size_t *n, pm_error *err);
/* What the board says of many jobs at once, in a few commands each and without a write. Items and slices are as those
 * who made them counted them, for people: what is there is only told by looking for it. */
typedef struct pm_glance {
    uint64_t units, units_done;
    uint64_t known, recorded;     /* items: there at the submission, and recorded since */
    uint64_t slices, slices_done; /* of evaluations */
    bool is_cancelled;
} pm_glance;
/* Sees each job's record, its first failed unit, and why (naming the key) a value of it makes no sense, where there is
 * one; the others are NULL. */
typedef void (*pm_glance_visit)(void *ctx, size_t i, const pm_job_message *job, const pm_outcome_message *failure,
                                const char *fault);
pm_status pmi_board_glance(pm_redis *r, const pm_digest *jobs, size_t n, pm_glance *out, pm_glance_visit visit,
                           void *ctx, pm_error *err);

pm_status pmi_board_cancel(pm_redis *r, const pm_digest job, pm_error *err);

/* The first failed unit of a job. */
pm_status pmi_board_failure(pm_redis *r, const pm_digest job, pm_outcome_message *out, pm_stored *note, pm_error *err);
/* Forgets failure, the unit's outcome and its attempts (NULL: of none): before a dead letter is replayed. */
pm_status pmi_board_forgive(pm_redis *r, const pm_digest job, const pm_digest unit, pm_error *err);

/* ---- units ---- */

/* Writes n unit records, `time` by the server's clock, and lists them under their jobs; `fresh` forgets their attempts
 * and outcomes. Lists and counts of the wrong type are begun anew, with a warning line. */
pm_status pmi_board_place(pm_redis *r, const pm_unit_record *units, size_t n, bool fresh, pm_error *err);
/* Visits the records of a job's units, where there are any; one that makes no sense is a warning line. */
typedef pm_status (*pm_board_visit)(void *ctx, const pm_unit_record *unit, pm_error *err);
pm_status pmi_board_units(pm_redis *r, const pm_digest job, pm_board_visit visit, void *ctx, pm_error *err);

typedef struct pm_attempt {
    uint64_t begun, faults; /* this one included in begun */
    bool is_cancelled;      /* the job; then nothing was counted */
    bool is_ended;          /* outcome:{unit} says done or failed; then nothing was counted */
} pm_attempt;
/* Before compute: looks and counts in one step (by EVAL: five hundred bytes cost less than a second path for servers
 * that have forgotten a script). An outcome that makes no sense is removed, with a warning line. */
pm_status pmi_board_begin(pm_redis *r, const pm_digest job, const pm_digest unit, pm_attempt *out, pm_error *err);
pm_status pmi_board_fault(pm_redis *r, const pm_digest unit, uint64_t *faults, pm_error *err);
/* Takes one `begun` back, unless the attempts were forgotten meanwhile. */
pm_status pmi_board_give_back(pm_redis *r, const pm_digest unit, pm_error *err);
/* Attempts of a unit as they stand. */
pm_status pmi_board_attempts(pm_redis *r, const pm_digest unit, pm_attempt *out, pm_error *err);

/* The terminal record: outcome:{unit}. The first failed one is also failed:{job}; it changes nothing where the unit is
 * done. A done one replaces any other, forgets the unit's attempts, and counts its items. */
pm_status pmi_board_end(pm_redis *r, const pm_outcome_message *outcome, uint64_t n_items, pm_error *err);
pm_status pmi_board_outcome(pm_redis *r, const pm_digest unit, pm_outcome_message *out, pm_stored *note, pm_error *err);

/* ---- workers ---- */

/* A heartbeat for PM_WORKER_SECONDS. Its times are moved to the server's clock, in place. PM_EDATA: a bad id. */
pm_status pmi_board_beat(pm_redis *r, pm_worker_message *worker, pm_error *err);
pm_status pmi_board_leave(pm_redis *r, pm_span id, pm_error *err);
/* Visits the heartbeats that live; one that cannot be read, as a newer program's, one whose own time says that it
 * should be gone, and a list that makes no sense are warning lines. */
typedef pm_status (*pm_board_worker_visit)(void *ctx, const pm_worker_message *worker, pm_error *err);
pm_status pmi_board_workers(pm_redis *r, pm_board_worker_visit visit, void *ctx, pm_error *err);

#endif
