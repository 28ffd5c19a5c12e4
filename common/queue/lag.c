/* Where the workers' group stands, asked from outside of it. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "queue/fault.h"
#include "queue/reader.h"
#include "queue/topics.h"

static int left_ms(double until) {
    double left = until - pm_seconds();
    return left > 3600 ? 3600000 : left > 0.1 ? (int)(left * 1000) : 100;
}

static pm_status read_offsets(const rd_kafka_event_t *event, const pm_kafka_options *options, size_t n, pm_lag *lags,
                              pm_error *err) {
    size_t n_groups = 0;
    const rd_kafka_ListConsumerGroupOffsets_result_t *result =
        rd_kafka_event_ListConsumerGroupOffsets_result((rd_kafka_event_t *)(uintptr_t)event);
    const rd_kafka_group_result_t **groups =
        result == NULL ? NULL : rd_kafka_ListConsumerGroupOffsets_result_groups(result, &n_groups);
    if (n_groups != 1) {
        return pm_fail(err, PM_ETEMPORARY, "the offsets of group %s: %zu groups in the answer", options->group,
                       n_groups);
    }
    const rd_kafka_error_t *error = rd_kafka_group_result_error(groups[0]);
    if (error != NULL) {
        return pm_kafka_fail(err, rd_kafka_error_code(error), rd_kafka_error_string(error), "the offsets of group %s",
                             options->group);
    }
    const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return pm_kafka_fail(err, p->err, NULL, "the offset of group %s in partition %d", options->group,
                                 (int)p->partition);
        }
        if (p->partition >= 0 && (size_t)p->partition < n && p->offset >= 0) {
            lags[p->partition].committed = p->offset;
        }
    }
    return PM_OK;
}

static pm_status ask_offsets(rd_kafka_t *rk, const pm_kafka_options *options,
                             rd_kafka_ListConsumerGroupOffsets_t *request, size_t n, pm_lag *lags, double until,
                             pm_error *err) {
    char words[PM_KAFKA_REASON];
    int ms = left_ms(until);
    rd_kafka_AdminOptions_t *how = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(rk);
    pm_status st = PM_OK;
    if (how == NULL ||
        rd_kafka_AdminOptions_set_request_timeout(how, ms, words, sizeof words) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        st = pm_fail(err, PM_ESOFTWARE, "librdkafka refuses to ask for the offsets of a group");
    } else {
        rd_kafka_ListConsumerGroupOffsets(rk, &request, 1, how, answers);
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, ms + 1000);
        st = pm_admin_event_error(event, "the offsets of the workers' group", err);
        if (st == PM_OK) {
            st = read_offsets(event, options, n, lags, err);
        }
        if (event != NULL) {
            rd_kafka_event_destroy(event);
        }
    }
    rd_kafka_queue_destroy(answers);
    if (how != NULL) {
        rd_kafka_AdminOptions_destroy(how);
    }
    return st;
}

static pm_status find_committed(rd_kafka_t *rk, const pm_kafka_options *options, const char *topic, size_t n,
                                pm_lag *lags, double until, pm_error *err) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)i);
    }
    rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(options->group, list);
    pm_status st = ask_offsets(rk, options, request, n, lags, until, err);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}

static pm_status find_ends(rd_kafka_t *rk, const char *topic, size_t n, pm_lag *lags, double until, pm_error *err) {
    int64_t *ends = pm_malloc(n, sizeof *ends);
    if (ends == NULL) {
        return pm_fail_memory(err, "the ends of a topic", n * sizeof *ends);
    }
    pm_status st = pm_topic_ends(rk, topic, 0, n, false, left_ms(until), ends, err);
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        lags[i].low = ends[i];
    }
    if (st == PM_OK) {
        st = pm_topic_ends(rk, topic, 0, n, true, left_ms(until), ends, err);
    }
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        lags[i].high = ends[i];
    }
    free(ends);
    return st;
}

pm_status pm_group_lag(rd_kafka_t *rk, const pm_kafka_options *options, size_t n, pm_lag *lags, double seconds,
                       pm_error *err) {
    char topic[PM_TOPIC_NAME];
    double until = pm_seconds() + seconds;
    pm_topic_name(options, PM_TOPIC_UNITS, topic);
    for (size_t i = 0; i < n; i++) {
        lags[i] = (pm_lag){.committed = -1};
    }
    pm_status st = n > 0 ? find_committed(rk, options, topic, n, lags, until, err) : PM_OK;
    return st == PM_OK && n > 0 ? find_ends(rk, topic, n, lags, until, err) : st;
}
