#include "worker/task.h"

#include <string.h>

#include "base/clock.h"

static uint64_t microseconds(void) {
    return (uint64_t)(pmi_seconds() * 1e6);
}

void pmi_progress_page_clear(pm_progress_page *page) {
    atomic_store(&page->phase, PM_PHASE_IDLE);
    atomic_store(&page->computed_us, 0);
    atomic_store(&page->item, 0);
    atomic_store(&page->items, 0);
    memset(page->scc, 0, sizeof page->scc);
}

void pmi_progress_page_begin(pm_progress_page *page, uint64_t items) {
    pmi_progress_page_clear(page);
    atomic_store(&page->items, items);
    atomic_store(&page->phase, PM_PHASE_FETCH);
}

void pmi_progress_page_phase(pm_progress_page *page, pm_phase phase) {
    if (atomic_load(&page->phase) == PM_PHASE_COMPUTE) {
        atomic_fetch_add(&page->computed_us, microseconds() - atomic_load(&page->compute_from));
    }
    if (phase == PM_PHASE_COMPUTE) {
        atomic_store(&page->compute_from, microseconds());
    }
    atomic_store(&page->phase, phase);
}

void pmi_progress_page_item(pm_progress_page *page, uint64_t item, const pm_digest scc) {
    memcpy(page->scc, scc, PM_DIGEST_BYTES);
    atomic_store(&page->item, item);
}

void pmi_progress_page_sign(pm_progress_page *page) {
    atomic_fetch_add(&page->signs, 1);
}

double pmi_progress_page_computed(const pm_progress_page *page) {
    uint64_t total = atomic_load(&page->computed_us), now = microseconds();
    uint64_t from = atomic_load(&page->compute_from);
    if (atomic_load(&page->phase) == PM_PHASE_COMPUTE && now > from) {
        total += now - from;
    }
    return (double)total / 1e6;
}
