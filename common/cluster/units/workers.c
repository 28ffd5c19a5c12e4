#include "units/workers.h"

#include <time.h>

typedef struct worker_count {
    size_t workers, slots;
} worker_count;

static pm_status count_worker(void *ctx, const pm_worker_message *worker, pm_error *err) {
    (void)err;
    worker_count *count = ctx;
    count->workers++;
    count->slots += worker->slots;
    return PM_OK;
}

pm_status pmi_count_workers(pm_redis *r, size_t *workers, size_t *slots, pm_error *err) {
    worker_count count = {0};
    pm_status st = pmi_board_workers(r, count_worker, &count, err);
    *workers = count.workers;
    *slots = count.slots;
    return st;
}

pm_status pmi_wait_for_workers(pm_producer *p, size_t *workers, size_t *slots, pm_error *err) {
    const struct timespec pause = {.tv_nsec = 200000000};
    double begun = pmi_seconds();
    bool is_told = false;
    for (;;) {
        pm_status st;
        pm_retry retry = pmi_producer_retry(p, "Redis");
        do {
            st = pmi_count_workers(p->traces->redis, workers, slots, err);
            st = st == PM_OK && *workers == 0 ? pmi_redis_try_write(p->traces->redis, err) : st;
            begun = pmi_is_transient(st) ? pmi_seconds() : begun;
        } while (pmi_retry_again(&retry, st, err));
        double left = begun + PM_WORKER_WAIT - pmi_seconds();
        bool is_stopped = p->is_stopped != NULL && p->is_stopped(p->ctx);
        if (st != PM_OK || *workers > 0 || left <= 0 || pmi_deadline_left(&p->deadline) <= 0 || is_stopped) {
            return st;
        }
        if (!is_told) {
            pmi_logf(p->log, PM_LOG_INFO, "no worker has been heard of; waiting %.0f s for one", left);
            is_told = true;
        }
        nanosleep(&pause, NULL);
    }
}
