/* Inside of the worker: the units in hand, each at a step of its way, and what is known of Redis. */
#ifndef PM_WORKER_STATE_H
#define PM_WORKER_STATE_H

#include "kafka/taker.h"
#include "redis/board.h"
#include "worker/child.h"
#include "worker/health.h"
#include "worker/slots.h"
#include "worker/unit_headers.h"
#include "worker/watchdog.h"
#include "worker/worker.h"

/* A unit that was begun so many times more often than it failed took its whole worker down each time. */
#define PM_LOST_LIMIT 10

/* The way of a unit. Steps marked R wait for Redis, K for Kafka. */
typedef enum pm_step {
    PM_STEP_BEGIN,     /* R: look whether it is wanted, count the attempt */
    PM_STEP_READY,     /* waits for a child */
    PM_STEP_RUNNING,   /* in a child; pm_slots tells when it ended */
    PM_STEP_FAULT,     /* R: its child died, or it got too little memory: count it */
    PM_STEP_BURY,      /* K: it will never do: send the dead letter */
    PM_STEP_BURYING,   /* K: the dead letter's delivery is under way */
    PM_STEP_END,       /* R: write how it ended, then tell */
    PM_STEP_CANCELLED, /* tell */
    PM_STEP_ASTRAY,    /* meant for workers of another Redis: tell */
    PM_STEP_GIVE_BACK, /* R where it is there: take the attempt back; then let go of it */
    PM_STEP_OVER,      /* its offset is done */
    PM_STEP_GONE       /* nothing is left of it here */
} pm_step;

typedef struct pm_held {
    pm_taken taken;
    pm_span value; /* of the message, out of its seal */
    pm_unit_headers unit_headers;
    pm_step step;
    double not_before; /* pmi_seconds(): the step is not tried earlier */
    pm_attempt attempt;
    bool is_begun;     /* counted in `begun`, and not ended */
    bool is_cancelled; /* why its child was dismissed; else the worker is leaving */
    double since;      /* seconds since 1970 of its start */
    double seconds;    /* of compute */
    pm_unit_result result;
    pm_error error; /* code PM_OK: it is done */
} pm_held;

typedef struct pm_link {
    bool is_up;                            /* Redis answered and was found fit */
    bool is_reported;                      /* that it is away */
    double away_since, up_since, next_try; /* pmi_seconds(); away_since: of a fault that comes and goes, its first */
    char words[PM_ERROR_TEXT];             /* what it was away for last */
    pm_backoff backoff;
} pm_link;

typedef struct pm_worker {
    const pm_worker_options *options;
    char host[256];
    pm_child_options child;
    pm_slots slots;
    pm_redis_options redis_options;
    pm_redis *redis;
    pm_link link;
    pm_taker *taker;
    pm_sender *sender;
    pm_health health;
    pm_watchdog *watchdog;
    pm_held **held;
    size_t n_held;      /* at most 2 * slots */
    struct pollfd *fds; /* signals, taker, spawner, slots */
    bool has_more;      /* units may be at hand that were not taken */
    bool is_leaving;    /* takes nothing more */
    bool is_dismissing; /* the deadline is over, or a second signal came: children are killed */
    bool has_owned;     /* partitions were assigned at some time */
    double deadline;    /* of leaving, pmi_seconds() */
    double idle_since;  /* pmi_seconds() */
    double next_beat, started;
    double begun;                                 /* pmi_seconds() */
    double beaten;                                /* pmi_seconds() of the last heartbeat that was written; 0: none */
    double slots_fit;                             /* the same of the last moment when a child could take a unit */
    bool was_unfit;                               /* said so */
    bool is_event_refused;                        /* said so */
    uint64_t astray;                              /* units that were meant for another Redis */
    uint64_t done, failed, recorded, known, over; /* units; traces; units that ended here */
    pm_error fatal;                               /* why it ends, when not asked to */
} pm_worker;

/* ---- link.c ---- */

void pmi_link_init(pm_link *link, uint64_t seed);
/* Tries Redis when it is time to; from then on `is_up` says whether it is there. */
void pmi_link_serve(pm_worker *w, double now);
/* What a call to Redis came to: transient faults take the link down; refusals end the worker. */
void pmi_link_note(pm_worker *w, pm_status st, const pm_error *err);

/* ---- steps.c ---- */

/* Takes the unit as far as it goes now. */
void pmi_held_advance(pm_worker *w, pm_held *h, double now);
/* A pm_slots_ended; ctx is the worker. */
void pmi_held_ended(void *ctx, const pm_ending *ending);
/* A pm_sender_report; ctx is the worker. */
void pmi_held_reported(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st, const pm_error *err);

/* ---- report.c ---- */

/* One line about a unit, with all that tells which. */
void pmi_held_log(const pm_worker *w, const pm_held *h, pm_log_level level, const char *format, ...) PM_PRINTF(4, 5);
pm_status pmi_held_bury(pm_worker *w, pm_held *h, pm_error *err);
pm_status pmi_held_write_end(pm_worker *w, const pm_held *h, pm_error *err);
/* "done", "failed", "cancelled" or "astray". An event is a hint: one that cannot be sent is a debug line. */
void pmi_held_tell(pm_worker *w, const pm_held *h, const char *type);

/* ---- fitness.c ---- */

/* Joins the group once the worker can do its work, leaves it while it cannot. */
void pmi_worker_judge_fitness(pm_worker *w, double now);

/* ---- beat.c ---- */

/* Writes the heartbeat, and looks which of the jobs in hand were cancelled. */
void pmi_worker_beat(pm_worker *w, double now);

#endif
