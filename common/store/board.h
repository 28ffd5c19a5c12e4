/* The board: what producers, workers, collectors and operators know of each other, in Redis (docs/cluster.md).
 *
 * All functions are one round trip or a few pipelined ones; errors are those of pm_redis_call, and PM_EDATA for a value
 * that does not decode (naming its key). Every key gets the TTL of the options unless said otherwise. Buffers and
 * memory that decoded messages borrow from are the caller's. What is visited lives during the visit only, and a visit
 * must not use the connection. */
#ifndef PM_STORE_BOARD_H
#define PM_STORE_BOARD_H

#include "store/redis.h"
#include "wire/messages.h"

#define PM_WORKER_SECONDS 15.0 /* a heartbeat lives so long */

/* A decoded message with what it borrows from. All-zero is empty; free with pm_note_free. Reading into one again frees
 * what it held. */
typedef struct pm_note {
    bool found;
    pm_buffer bytes;
    pm_message_memory memory;
} pm_note;
void pm_note_free(pm_note *note);

/* ---- jobs ---- */

/* Writes the job's record and puts it on the list of jobs; forgets failure and cancellation. */
pm_status pm_board_open_job(pm_redis *r, const pm_job_message *job, pm_error *err);
/* The job's record; asking keeps it and the list of its units alive. */
pm_status pm_board_job(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_job_message *out, pm_note *note,
                       pm_error *err);
/* The newest `most` jobs on the list whose record is still there (one may come twice when jobs are submitted
 * meanwhile); *digests is freed with free(). */
pm_status pm_board_jobs(pm_redis *r, size_t most, uint8_t (**digests)[PM_DIGEST_BYTES], size_t *n, pm_error *err);
/* Takes the job's records and those of its units off the board (not its manifest, not its traces). */
pm_status pm_board_forget_job(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_error *err);

pm_status pm_board_cancel(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_error *err);
/* For each of n jobs (repeats allowed) whether it was cancelled. */
pm_status pm_board_cancelled(pm_redis *r, const uint8_t (*jobs)[PM_DIGEST_BYTES], size_t n, bool *cancelled,
                             pm_error *err);

/* The first failed unit of a job. */
pm_status pm_board_failure(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_outcome_message *out, pm_note *note,
                           pm_error *err);
/* Forgets failure, the unit's outcome and its attempts: before a dead letter is replayed. */
pm_status pm_board_forgive(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], const uint8_t unit[PM_DIGEST_BYTES],
                           pm_error *err);

/* ---- units ---- */

/* Writes n unit records and lists them under their jobs; with `fresh`, forgets their attempts and outcomes. */
pm_status pm_board_place(pm_redis *r, const pm_unit_record *units, size_t n, bool fresh, pm_error *err);
/* Visits the records of a job's units; a listed unit without record is not visited. */
typedef pm_status (*pm_board_visit)(void *ctx, const pm_unit_record *unit, pm_error *err);
pm_status pm_board_units(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_board_visit visit, void *ctx,
                         pm_error *err);

typedef struct pm_attempt {
    uint64_t begun, faults; /* this one included in begun */
    bool is_cancelled;      /* the job; then nothing was counted */
    bool is_ended;          /* outcome:{unit} says done or failed; then nothing was counted */
} pm_attempt;
/* Before compute: looks and counts in one step (a Lua script by EVAL: the server keeps it compiled, and five hundred
 * bytes cost less than a second path for servers that have forgotten it). */
pm_status pm_board_begin(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], const uint8_t unit[PM_DIGEST_BYTES],
                         pm_attempt *out, pm_error *err);
pm_status pm_board_fault(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], uint64_t *faults, pm_error *err);
/* Takes one `begun` back, unless the attempts were forgotten meanwhile. */
pm_status pm_board_give_back(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], pm_error *err);
/* Attempts of a unit as they stand. */
pm_status pm_board_attempts(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], pm_attempt *out, pm_error *err);

/* The terminal record: outcome:{unit}. A failed one is also failed:{job} unless there is one, and changes nothing where
 * the unit has ended as done; a done one takes the place of any other, and forgets the unit's attempts. */
pm_status pm_board_end(pm_redis *r, const pm_outcome_message *outcome, pm_error *err);
pm_status pm_board_outcome(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], pm_outcome_message *out, pm_note *note,
                           pm_error *err);
/* Which of n units have ended (done or failed). */
pm_status pm_board_ended(pm_redis *r, const uint8_t (*units)[PM_DIGEST_BYTES], size_t n, bool *ended, pm_error *err);

/* ---- workers ---- */

/* A heartbeat, which lives for PM_WORKER_SECONDS. An id has at most 160 printable characters (else PM_EDATA). */
pm_status pm_board_beat(pm_redis *r, const pm_worker_message *worker, pm_error *err);
pm_status pm_board_leave(pm_redis *r, pm_span id, pm_error *err);
/* Visits the heartbeats that live; one that cannot be read, as a newer program's, is a warning line. */
typedef pm_status (*pm_board_worker_visit)(void *ctx, const pm_worker_message *worker, pm_error *err);
pm_status pm_board_workers(pm_redis *r, pm_board_worker_visit visit, void *ctx, pm_error *err);

#endif
