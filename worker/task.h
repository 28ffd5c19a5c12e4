/* What worker and child say to each other over their socket: a task, then its answer. Both are the same program, so
 * that structs travel as they are; the worker still checks what it reads, for a child may have lost its mind. */
#ifndef PM_WORKER_TASK_H
#define PM_WORKER_TASK_H

#include <stdatomic.h>

#include "wire/message.h"

#define PM_KIND_NAME 16 /* bytes of a kind's name with its final zero */

/* Before the message's value, of `size` bytes, as it came from Kafka. The rest is what its headers say it is. */
typedef struct pm_task_head {
    uint64_t size;
    pm_digest job, unit;
    char kind[PM_KIND_NAME];
} pm_task_head;

typedef struct pm_unit_result {
    uint64_t items, recorded, known;
    pm_digest scc; /* the item at fault */
    uint32_t has_scc;
} pm_unit_result;

typedef struct pm_answer {
    pm_unit_result result;
    uint32_t status; /* pm_status */
    double seconds;  /* of compute */
    char text[PM_ERROR_TEXT];
} pm_answer;

/* ---- the page that they share: what the child is doing; while the child has a unit, it alone writes ---- */

typedef enum pm_phase {
    PM_PHASE_IDLE,
    PM_PHASE_FETCH,   /* claim check, known traces: waits on Redis */
    PM_PHASE_COMPUTE, /* the clock of the unit's time limit runs in this phase only */
    PM_PHASE_STORE
} pm_phase;

typedef struct pm_progress_page {
    _Atomic int phase;
    _Atomic uint64_t computed_us;  /* compute phases of this unit that are over */
    _Atomic uint64_t compute_from; /* microseconds of pmi_seconds() at which the present one began */
    _Atomic uint64_t item, items;
    _Atomic uint64_t signs; /* of life, while it waits for Redis */
    pm_digest scc;          /* of the item; torn reads are harmless, it is for people */
} pm_progress_page;

/* Parent, before it hands a unit over: idle, nothing computed. */
void pmi_progress_page_clear(pm_progress_page *page);
/* Child: a unit begins, a phase begins. */
void pmi_progress_page_begin(pm_progress_page *page, uint64_t items);
void pmi_progress_page_phase(pm_progress_page *page, pm_phase phase);
/* Child: it waits, and lives. */
void pmi_progress_page_sign(pm_progress_page *page);
void pmi_progress_page_item(pm_progress_page *page, uint64_t item, const pm_digest scc);
/* Parent: seconds of compute so far. */
double pmi_progress_page_computed(const pm_progress_page *page);

#endif
