/* Where partitions begin and end. rd_kafka_query_watermark_offsets is not for this: it asks for one partition at a
 * time, and 2.0.2's waits for as long as the brokers are away, whatever its time limit. */
#include "kafka/fault.h"
#include "kafka/topics.h"

static pm_status read_ends(const rd_kafka_topic_partition_list_t *list, size_t first, size_t n, int64_t *offsets,
                           pm_error *err) {
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        if (p->err != RD_KAFKA_RESP_ERR_NO_ERROR || p->offset < 0) {
            return pmi_kafka_fail(err, p->err != RD_KAFKA_RESP_ERR_NO_ERROR ? p->err : RD_KAFKA_RESP_ERR__TIMED_OUT,
                                  NULL, "the ends of %s partition %d", p->topic, (int)p->partition);
        }
        if (p->partition >= 0 && (size_t)p->partition >= first && (size_t)p->partition - first < n) {
            offsets[(size_t)p->partition - first] = p->offset;
        }
    }
    return PM_OK;
}

pm_status pmi_topic_ends(rd_kafka_t *rk, const char *topic, size_t first, size_t n, bool is_end, int ms,
                         int64_t *offsets, pm_error *err) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++) {
        /* in the place of a time, Kafka takes these two for the ends */
        rd_kafka_topic_partition_list_add(list, topic, (int32_t)(first + i))->offset =
            is_end ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, list, ms);
    pm_status st = code == RD_KAFKA_RESP_ERR_NO_ERROR ? read_ends(list, first, n, offsets, err)
                                                      : pmi_kafka_fail(err, code, NULL, "the ends of %s", topic);
    rd_kafka_topic_partition_list_destroy(list);
    return st;
}
