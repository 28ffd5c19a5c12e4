/* A page that a child and its worker share: what the child is doing. While the child has a unit, it alone writes. */
#ifndef PM_WORKER_PROGRESS_PAGE_H
#define PM_WORKER_PROGRESS_PAGE_H

#include <stdatomic.h>

#include "base/hash.h"

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
    _Atomic uint64_t signs;       /* of life, while it waits for Redis */
    uint8_t scc[PM_DIGEST_BYTES]; /* of the item; torn reads are harmless, it is for people */
} pm_progress_page;

/* Parent, before it hands a unit over: idle, nothing computed. */
void pmi_progress_page_clear(pm_progress_page *page);
/* Child: a unit begins, a phase begins. */
void pmi_progress_page_begin(pm_progress_page *page, uint64_t items);
void pmi_progress_page_phase(pm_progress_page *page, pm_phase phase);
/* Child: it waits, and lives. */
void pmi_progress_page_sign(pm_progress_page *page);
void pmi_progress_page_item(pm_progress_page *page, uint64_t item, const uint8_t scc[PM_DIGEST_BYTES]);
/* Parent: seconds of compute so far. */
double pmi_progress_page_computed(const pm_progress_page *page);

#endif
