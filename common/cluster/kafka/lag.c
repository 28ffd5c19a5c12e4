/* Where the workers' group stands, asked from outside of it. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "kafka/reader.h"

#define ASK_MS 1000
#define DESTROY_SECONDS 0.5

static int left_ms(double until) {
    double left = until - pmi_seconds();
    return left > 3600 ? 3600000 : left > 0.1 ? (int)(left * 1000) : 100;
}

static pm_status read_offsets(const rd_kafka_topic_partition_list_t *list, const char *group, size_t n, pm_lag *lags,
                              pm_error *err) {
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return pmi_kafka_fail(err, p->err, NULL, "the offset of group %s in partition %d", group,
                                  (int)p->partition);
        }
        if (p->partition >= 0 && (size_t)p->partition < n && p->offset >= 0) {
            lags[p->partition].committed = p->offset;
        }
    }
    return PM_OK;
}

/* A consumer that belongs to the group and joins nothing. (The admin interface can ask too, but 2.0.2's crashes when
 * the coordinator moves or loads meanwhile.) */
static pm_status open_asker(const pm_kafka_options *options, pm_kafka_health *health, rd_kafka_t **out, pm_error *err) {
    const pm_property extra[] = {
        {"group.id", options->group},
        {"enable.auto.commit", "false"},
        {"statistics.interval.ms", "0"},
        {NULL, NULL},
    };
    return pmi_kafka_new(options, RD_KAFKA_CONSUMER, extra, NULL, health, out, err);
}

/* What a broker refuses of the group comes on the consumer's queue, while the question itself only times out. */
static void serve_asker(rd_kafka_t *asker, pm_kafka_health *health) {
    rd_kafka_message_t *m;
    rd_kafka_poll(asker, 0);
    while ((m = rd_kafka_consumer_poll(asker, 0)) != NULL) {
        pmi_kafka_note(health, asker, m->err, rd_kafka_message_errstr(m));
        rd_kafka_message_destroy(m);
    }
}

static rd_kafka_resp_err_t ask_committed(rd_kafka_t *asker, rd_kafka_topic_partition_list_t *list,
                                         pm_kafka_health *health, double until) {
    rd_kafka_resp_err_t code;
    do {
        int ms = left_ms(until);
        code = rd_kafka_committed(asker, list, ms < ASK_MS ? ms : ASK_MS);
        serve_asker(asker, health);
    } while (code == RD_KAFKA_RESP_ERR__TIMED_OUT && health->fatal.code == PM_OK && pmi_seconds() < until);
    return code;
}

static pm_status find_committed(const pm_kafka_options *options, const char *topic, size_t n, pm_lag *lags,
                                double until, pm_error *err) {
    rd_kafka_t *asker;
    pm_kafka_health *health = pmi_calloc(1, sizeof *health);
    pm_status st = health != NULL ? open_asker(options, health, &asker, err)
                                  : pmi_fail_memory(err, "the health of a handle", sizeof *health);
    if (st != PM_OK) {
        free(health);
        return st;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)i);
    }
    rd_kafka_resp_err_t code = ask_committed(asker, list, health, until);
    st = pmi_kafka_check(health, err);
    PM_THEN(st, code == RD_KAFKA_RESP_ERR_NO_ERROR
                    ? read_offsets(list, options->group, n, lags, err)
                    : pmi_kafka_fail(err, code, NULL, "the offsets of group %s", options->group));
    rd_kafka_topic_partition_list_destroy(list);
    if (pmi_kafka_destroy(asker, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, DESTROY_SECONDS, NULL)) {
        free(health);
    }
    return st;
}

static pm_status find_ends(rd_kafka_t *rk, const char *topic, size_t n, pm_lag *lags, double until, pm_error *err) {
    int64_t *ends = pmi_malloc(n, sizeof *ends);
    if (ends == NULL) {
        return pmi_fail_memory(err, "the ends of a topic", n * sizeof *ends);
    }
    pm_status st = pmi_topic_ends(rk, topic, 0, n, false, left_ms(until), ends, err);
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        lags[i].low = ends[i];
    }
    PM_THEN(st, pmi_topic_ends(rk, topic, 0, n, true, left_ms(until), ends, err));
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        lags[i].high = ends[i];
    }
    free(ends);
    return st;
}

pm_status pmi_group_lag(rd_kafka_t *rk, const pm_kafka_options *options, size_t n, pm_lag *lags, double seconds,
                        pm_error *err) {
    char topic[PM_TOPIC_NAME];
    double until = pmi_seconds() + seconds;
    pmi_topic_name(options, PM_TOPIC_UNITS, topic);
    for (size_t i = 0; i < n; i++) {
        lags[i] = (pm_lag){.committed = -1};
    }
    pm_status st = n > 0 ? find_committed(options, topic, n, lags, until, err) : PM_OK;
    return st == PM_OK && n > 0 ? find_ends(rk, topic, n, lags, until, err) : st;
}
