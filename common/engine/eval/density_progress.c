#include <omp.h>

#include "eval/density_block.h"

#define PER_ROW 1000

void pmi_progress_start(pm_progress *p, const pm_log *log, size_t rows) {
    *p = (pm_progress){.log = log, .started = omp_get_wtime(), .rows = rows};
}

void pmi_progress_add(pm_progress *p, size_t rows) {
    __atomic_fetch_add(&p->rows_done, rows, __ATOMIC_RELAXED);
}

void pmi_progress_tell(pm_progress *p, double fraction, size_t rows) {
    if (omp_get_thread_num() != 0) {
        return;
    }
    double now = omp_get_wtime();
    if (now - p->started < 1.0 || now - p->reported < 0.2) {
        return;
    }
    p->reported = now;
    uint64_t done = __atomic_load_n(&p->rows_done, __ATOMIC_RELAXED) * PER_ROW;
    done += (uint64_t)(fraction * (double)rows * PER_ROW);
    pmi_log_progress(p->log, "densities", done, p->rows * PER_ROW);
}
