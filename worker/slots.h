/* The slots: as many compute children, each with one unit at a time. Children that die are replaced; units that take
 * too long, or that nobody waits for any more, have theirs killed. Nothing in here knows of Kafka or Redis. */
#ifndef PM_WORKER_SLOTS_H
#define PM_WORKER_SLOTS_H

#include <poll.h>

#include "base/log.h"
#include "worker/spawner.h"
#include "worker/task.h"

typedef enum pm_slot_state {
    PM_SLOT_EMPTY, /* no child: it is asked for at spawn_at */
    PM_SLOT_ASKED,
    PM_SLOT_IDLE,
    PM_SLOT_BUSY,
    PM_SLOT_DOOMED /* its child is lost or to be killed, and has no unit; waits for its death */
} pm_slot_state;

/* Of a busy child's life outside of computing: when something of it last changed, and when it was last looked at. */
typedef struct pm_signs {
    int phase;
    uint64_t waits;  /* turns of waiting for Redis */
    size_t sent;     /* bytes that it took of its task */
    double cpu;      /* seconds */
    double moved;    /* pmi_seconds(): any of these changed */
    double advanced; /* pmi_seconds(): phase, waits or bytes changed */
    double looked;
} pm_signs;

typedef struct pm_slot {
    pm_slot_state state;
    pid_t pid;
    int fd;          /* -1: none, or broken */
    double since;    /* of the child's birth, of the unit's start when busy */
    bool is_refused; /* no child could be forked: said so */
    size_t misses;   /* children in a row that died without having been given a unit */
    double spawn_at;
    /* busy: */
    void *unit;
    pm_task_head head;
    pm_span value;
    size_t sent, got;
    pm_answer answer;
    bool is_dismissed, is_late, is_mad; /* killed on request; for taking too long; for a malformed reply */
    char lateness[80];                  /* is_late: in which way */
    pm_signs signs;
    double kill_asked; /* pmi_seconds(); 0: not */
} pm_slot;

typedef struct pm_slots {
    size_t n;
    pm_slot *slots;
    pm_progress_page *pages; /* shared with the children */
    pm_spawner *spawner;
    double unit_seconds;
    double quiet_seconds; /* without a sign of life, outside of computing */
    const pm_log *log;
} pm_slots;

typedef enum pm_ending_how {
    PM_ENDED_ANSWER,   /* `answer` holds what came of it */
    PM_ENDED_FAULT,    /* the child died, or was killed for taking too long: `text` */
    PM_ENDED_UNBEGUN,  /* the child had died before it looked at the unit: `text` */
    PM_ENDED_DISMISSED /* pmi_slots_dismiss */
} pm_ending_how;

typedef struct pm_ending {
    void *unit;
    pm_ending_how how;
    pm_answer answer; /* of a fault: the SCC and the seconds so far */
    const char *text;
} pm_ending;

/* Shared pages for n slots: made first, because children must know them. Free with pmi_pages_free. */
pm_status pmi_pages_new(size_t n, pm_progress_page **pages, pm_error *err);
void pmi_pages_free(pm_progress_page *pages, size_t n);

/* Forks the spawner; children come with pmi_slots_serve. Close with pmi_slots_stop. */
pm_status pmi_slots_start(size_t n, pm_progress_page *pages, pm_child_main child, void *ctx, double unit_seconds,
                          const pm_log *log, pm_slots *out, pm_error *err);
void pmi_slots_stop(pm_slots *s);

/* An idle slot, or n. */
size_t pmi_slots_idle(const pm_slots *s);
size_t pmi_slots_busy(const pm_slots *s);
/* Slots whose child lives, and did not only begin to. */
size_t pmi_slots_fit(const pm_slots *s);
/* Gives the idle slot a unit; head->size is value.size. `value` is borrowed until the unit's ending. */
void pmi_slots_give(pm_slots *s, size_t slot, const pm_task_head *head, pm_span value, void *unit);
/* Kills the unit's child; the ending is PM_ENDED_DISMISSED, unless it was answered before. */
pm_status pmi_slots_dismiss(pm_slots *s, const void *unit, pm_error *err);

/* Fills 1 + n descriptors to poll. */
void pmi_slots_poll(const pm_slots *s, struct pollfd *fds);
/* Seconds until serve is due without any descriptor being ready; at most `max`. */
double pmi_slots_due(const pm_slots *s, double now, double max);

/* Spawns, sends, reads, kills what is late: a unit that computes for longer than unit_seconds; a child that outside of
 * computing gives no sign of life for quiet_seconds, or is at one thing for longer than both. `ended` sees each unit
 * that ended. Errors: PM_ESOFTWARE when the spawner is gone or does not answer. */
typedef void (*pm_slots_ended)(void *ctx, const pm_ending *ending);
pm_status pmi_slots_serve(pm_slots *s, double now, pm_slots_ended ended, void *ctx, pm_error *err);

#endif
