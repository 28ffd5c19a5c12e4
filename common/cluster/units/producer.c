/* A producer: what is sent through, and what has arrived. */
#include <stdio.h>
#include <time.h>

#include "units/producer.h"

/* Until Kafka answers at the start, and what either server may be away later. */
#define REACH_SECONDS 10.0
#define PATIENCE_SECONDS 120.0

static pm_status reach(pm_producer *p, pm_error *err) {
    PM_TRY(
        pmi_sender_open(p->kafka, PM_DELIVERY_SECONDS, pmi_deliveries_report, p->deliveries, p->log, &p->sender, err));
    rd_kafka_t *rk = pmi_sender_handle(p->sender);
    PM_TRY(pmi_kafka_reach(rk, p->kafka, pmi_sender_health(p->sender),
                           pmi_deadline_within(&p->deadline, REACH_SECONDS, 0.1), err));
    return pmi_topics_ensure(rk, p->kafka, false, p->log, &p->n_partitions, err);
}

static pm_status set_trace(pm_producer *p, const char *traceparent, pm_error *err) {
    if (traceparent != NULL && pmi_traceparent_is_valid(traceparent)) {
        snprintf(p->trace, sizeof p->trace, "%s", traceparent);
        return PM_OK;
    }
    if (traceparent != NULL) {
        pmi_logf(p->log, PM_LOG_WARNING, "traceparent \"%.80s\" is not one of W3C's form; a new trace begins",
                 traceparent);
    }
    return pmi_traceparent_draw(p->trace, err);
}

static pm_status set_partitions(pm_producer *p, size_t n, pm_error *err) {
    uint64_t *load = n > 0 ? pmi_calloc(n, sizeof *load) : NULL;
    PM_TRY(load != NULL ? PM_OK : pmi_fail_memory(err, "the loads of partitions", n * sizeof *load));
    free(p->load);
    p->load = load;
    p->n_partitions = n;
    return PM_OK;
}

pm_status pmi_producer_open(const pm_kafka_options *kafka, pm_traces *traces, const char *traceparent,
                            const pm_deadline *deadline, const pm_log *log, pm_producer *out, pm_error *err) {
    *out = (pm_producer){.kafka = kafka,
                         .traces = traces,
                         .patience = PATIENCE_SECONDS,
                         .deadline = *deadline,
                         .log = log,
                         .deliveries = pmi_calloc(1, sizeof *out->deliveries)};
    pm_status st = out->deliveries != NULL ? set_trace(out, traceparent, err)
                                           : pmi_fail_memory(err, "a producer", sizeof *out->deliveries);
    PM_THEN(st, reach(out, err));
    PM_THEN(st, set_partitions(out, out->n_partitions, err));
    if (st != PM_OK) {
        pmi_producer_close(out);
    }
    return st;
}

/* With fewer partitions than before, units that were sent to the others are lost, and found to be. */
pm_status pmi_producer_mend_topics(pm_producer *p, pm_error *err) {
    size_t n;
    pm_status st = pmi_topics_mend(pmi_sender_handle(p->sender), p->kafka, p->log, &n, err);
    if (st != PM_OK || n == p->n_partitions) {
        return st;
    }
    return set_partitions(p, n, err);
}

pm_retry pmi_producer_retry(pm_producer *p, const char *what) {
    pm_retry retry =
        pmi_retry_begin(what, pmi_deadline_within(&p->deadline, p->patience, 0), p->is_stopped, p->ctx, p->log);
    retry.outage = &p->outage;
    return retry;
}

void pmi_producer_close(pm_producer *p) {
    pmi_outage_end(&p->outage, p->log);
    pmi_sender_close(p->sender);
    if (p->deliveries != NULL) {
        free(p->deliveries->items);
    }
    free(p->deliveries);
    free(p->load);
    *p = (pm_producer){0};
}

/* ---- who works ---- */

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
