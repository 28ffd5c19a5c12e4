/* Reads single messages again, with a consumer of its own that belongs to no group, so that what the taker reads is not
 * held up. */
#include <stdlib.h>

#include "base/mem.h"
#include "kafka/taker_impl.h"
#include "kafka/topics.h"

struct pm_prover {
    pm_kafka_health health; /* first: the opaque of the handle is both */
    char topic_name[PM_TOPIC_NAME];
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *answers;
};

static pm_status make_handle(pm_prover *v, const pm_kafka_options *options, pm_error *err) {
    const pm_property extra[] = {
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "earliest"},
        {"auto.commit.enable", "false"},
        {"queued.min.messages", "1"}, /* one is asked for; what comes with it in a batch is enough */
        {"fetch.wait.max.ms", "20"},  /* so long may one that is not there hold up the others */
        {"fetch.error.backoff.ms", "100"},
        {"topic.metadata.refresh.interval.ms", "2000"},
        {"statistics.interval.ms", "0"},
        {NULL, NULL},
    };
    return pmi_kafka_new(options, RD_KAFKA_CONSUMER, extra, NULL, &v->health, &v->rk, err);
}

static pm_status set_up(pm_prover *v, const pm_kafka_options *options, int fd, pm_error *err) {
    static const uint64_t one = 1;
    PM_TRY(make_handle(v, options, err));
    v->topic = rd_kafka_topic_new(v->rk, v->topic_name, NULL);
    v->answers = rd_kafka_queue_new(v->rk);
    if (v->topic == NULL || v->answers == NULL) {
        return pmi_kafka_fail(err, rd_kafka_last_error(), NULL, "reading %s again", v->topic_name);
    }
    rd_kafka_queue_io_event_enable(v->answers, fd, &one, sizeof one);
    return PM_OK;
}

pm_status pmi_prover_open(const pm_kafka_options *options, int fd, pm_prover **out, pm_error *err) {
    *out = NULL;
    pm_prover *v = pmi_calloc(1, sizeof *v);
    if (v == NULL) {
        return pmi_fail_memory(err, "a consumer for single messages", sizeof *v);
    }
    pmi_topic_name(options, PM_TOPIC_UNITS, v->topic_name);
    pm_status st = set_up(v, options, fd, err);
    if (st != PM_OK) {
        (void)pmi_prover_close(v, 1);
        return st;
    }
    *out = v;
    return PM_OK;
}

bool pmi_prover_close(pm_prover *v, double seconds) {
    if (v == NULL) {
        return true;
    }
    if (v->answers != NULL) {
        rd_kafka_queue_io_event_enable(v->answers, -1, NULL, 0);
        rd_kafka_queue_destroy(v->answers);
    }
    if (v->topic != NULL) {
        rd_kafka_topic_destroy(v->topic);
    }
    bool is_over = v->rk == NULL || pmi_kafka_destroy(v->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, seconds, NULL);
    if (is_over) {
        free(v);
    }
    return is_over;
}

pm_status pmi_prover_check(pm_prover *v, pm_error *err) {
    rd_kafka_poll(v->rk, 0);
    return pmi_kafka_check(&v->health, err);
}

rd_kafka_t *pmi_prover_handle(pm_prover *v) {
    return v->rk;
}

bool pmi_prover_ask(pm_prover *v, int32_t partition, int64_t offset) {
    return rd_kafka_consume_start_queue(v->topic, partition, offset, v->answers) == 0;
}

void pmi_prover_stop(pm_prover *v, int32_t partition) {
    rd_kafka_consume_stop(v->topic, partition);
}

rd_kafka_message_t *pmi_prover_answer(pm_prover *v) {
    rd_kafka_message_t *m;
    while ((m = rd_kafka_consume_queue(v->answers, 0)) != NULL) {
        if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR || m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            return m;
        }
        pmi_kafka_note(&v->health, v->rk, m->err, rd_kafka_message_errstr(m));
        rd_kafka_message_destroy(m);
    }
    return NULL;
}
