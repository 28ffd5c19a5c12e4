/* What librdkafka does not notice after a topic was deleted or brokers fell: that the group never answers a consumer
 * that asks to join, or that a seek was lost and a partition waits beyond what there is to read. Nobody would see it:
 * no error comes, and heartbeats go on. So whoever waits for long looks, and begins again. */
#include <stdlib.h>

#include "base/clock.h"
#include "kafka/kafka.h"
#include "kafka/taker_impl.h"

#define REJOIN_AFTER 5.0 /* seconds without an answer of the group, beyond the session timeout */
#define SESSION_PRESET 45.0
#define LOOK_AFTER 10.0 /* seconds of silence of a partition of which nothing was read, and between looks */
#define ENDS_MS 500     /* what asking for the ends of partitions may take */

/* ---- a group that does not answer ---- */

static void join_again(pm_taker *t, double waited) {
    pmi_logf(
        t->health.log, PM_LOG_WARNING,
        "%s: the group has given no partitions for %.0f s, although the topic is there: this worker joins it again",
        t->topic_name, waited);
    if (pmi_taker_withdraw(t, &t->failure) == PM_OK) {
        (void)pmi_taker_join(t, &t->failure);
    }
}

/* A member that died may hold up an answer for as long. */
static double session_seconds(const pm_taker *t) {
    char text[32];
    size_t size = sizeof text;
    return rd_kafka_conf_get(rd_kafka_conf(t->rk), "session.timeout.ms", text, &size) == RD_KAFKA_CONF_OK
               ? strtod(text, NULL) / 1000
               : SESSION_PRESET;
}

static void look_at_group(pm_taker *t, double now) {
    double waited = now - t->unanswered, max = session_seconds(t) + REJOIN_AFTER;
    if (!t->is_joined || t->unanswered <= 0 || waited < max || now - t->group_looked < max) {
        return;
    }
    int64_t end;
    pm_error why;
    t->group_looked = now;
    if (pmi_topic_ends(t->rk, t->topic_name, 0, 1, true, ENDS_MS, &end, &why) == PM_OK) {
        join_again(t, waited);
    } else {
        pmi_logf(t->health.log, PM_LOG_DEBUG, "no partitions for %.0f s, and no topic: %s", waited, why.text);
    }
}

/* ---- a partition that is silent ---- */

static bool is_quiet_for_long(const pm_part *p, double now) {
    return now - p->proof.came > LOOK_AFTER && rd_kafka_queue_length(p->queue) == 0;
}

/* Where a message was read, proofs tell the end, for nothing. */
static bool is_silent(const pm_part *p, double now) {
    return p->is_owned && p->queue != NULL && (p->proof.anchor < 0 || p->window.n_given > 0) &&
           is_quiet_for_long(p, now);
}

/* The offset that should have come by now, or -1. */
static int64_t overdue(const pm_part *p, int64_t low, int64_t high) {
    int64_t given = pmi_window_lowest_given(&p->window);
    int64_t next = given >= 0 ? given : p->is_fresh || p->next < low ? low : p->next;
    return next < high ? next : -1;
}

static void read_again(pm_taker *t, pm_part *p, int64_t offset, double now) {
    pmi_logf(t->health.log, PM_LOG_INFO, "%s partition %d: nothing came for %.0f s: read again from offset %lld",
             t->topic_name, (int)p->partition, now - p->proof.came, (long long)offset);
    p->proof.came = now;
    pmi_part_seek(t, p, offset);
}

void pmi_part_mend_stall(pm_taker *t, pm_part *p, int64_t high, double now) {
    if (!t->is_quiet && p->queue != NULL && p->window.n_given == 0 && p->next < high && is_quiet_for_long(p, now)) {
        read_again(t, p, p->next, now);
    }
}

static void look_at_parts(pm_taker *t, double now) {
    const int64_t *high = NULL;
    int64_t *low = pmi_taker_ends(t, &high);
    for (size_t i = 0; i < t->n_parts && low != NULL; i++) {
        pm_part *p = &t->parts[i];
        int64_t offset = is_silent(p, now) ? overdue(p, low[p->partition], high[p->partition]) : -1;
        if (offset >= 0) {
            read_again(t, p, offset, now);
        }
    }
    free(low);
}

void pmi_taker_mend_stalls(pm_taker *t) {
    double now = pmi_seconds();
    if (t->health.is_away || t->is_quiet) {
        return;
    }
    look_at_group(t, now);
    bool any = false;
    for (size_t i = 0; i < t->n_parts && now - t->parts_looked > LOOK_AFTER; i++) {
        any = any || is_silent(&t->parts[i], now);
    }
    if (any) {
        t->parts_looked = now;
        look_at_parts(t, now);
    }
}
