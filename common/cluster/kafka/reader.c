#include "kafka/reader.h"

#include "base/clock.h"

#define ASK_MS 5000
#define SLICE_MS 100
#define DESTROY_SECONDS 0.5

/* librdkafka's simple consumer: no group, so no right to any group is needed. */
struct pm_reader {
    pm_kafka_health health; /* first: the opaque of the handle is both */
    pm_kafka_options options;
    pm_topic_view topic;
    rd_kafka_t *rk;
    rd_kafka_topic_t *handle;
    rd_kafka_queue_t *queue; /* of all partitions */
    int64_t *next;           /* of each partition: the offset after the last that was visited or is known to be gone */
    size_t n_started;
};

static pm_status make_handle(pm_reader *r, pm_error *err) {
    const pm_property extra[] = {
        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "earliest"},
        {"auto.commit.enable", "false"},
        {NULL, NULL},
    };
    static const pm_property defaults[] = {
        {"fetch.wait.max.ms", "100"}, {"fetch.error.backoff.ms", "100"}, {NULL, NULL}};
    rd_kafka_conf_t *conf;
    PM_TRY(pmi_kafka_prepare(defaults, &conf, err));
    return pmi_kafka_new(&r->options, RD_KAFKA_CONSUMER, extra, conf, &r->health, &r->rk, err);
}

static pm_status find_topic(pm_reader *r, pm_error *err) {
    pm_status st = pmi_topic_look(r->rk, &r->topic, err);
    if (st == PM_OK && !r->topic.exists) {
        st = pmi_fail(err, PM_EUNAVAILABLE, "topic %s does not exist: the first submit makes it", r->topic.name);
    }
    PM_TRY(st);
    return PM_ZEROS(&r->next, r->topic.partitions, "the partitions of a reader", err);
}

/* Where the partitions begin or end; asks again while brokers come and go. */
static pm_status find_ends(pm_reader *r, bool is_end, double seconds, int64_t *ends, pm_error *err) {
    double until = pmi_seconds() + seconds;
    pm_status st;
    do {
        double left = until - pmi_seconds();
        int ms = left > 5 ? ASK_MS : left > 0.1 ? (int)(left * 1000) : 100;
        st = pmi_topic_ends(r->rk, r->topic.name, 0, r->topic.partitions, is_end, ms, ends, err);
        rd_kafka_poll(r->rk, 0);
        if (r->health.fatal.code != PM_OK) {
            return pmi_kafka_check(&r->health, err);
        }
    } while (st != PM_OK && st != PM_EPERMISSION && pmi_seconds() < until);
    return st;
}

static pm_status start_partition(pm_reader *r, size_t partition, pm_error *err) {
    if (rd_kafka_consume_start_queue(r->handle, (int32_t)partition, r->next[partition], r->queue) != 0) {
        return pmi_kafka_fail(err, rd_kafka_last_error(), NULL, "reading %s partition %zu", r->topic.name, partition);
    }
    r->n_started++;
    return PM_OK;
}

static pm_status start(pm_reader *r, bool from_beginning, double until, pm_error *err) {
    PM_TRY(make_handle(r, err));
    PM_TRY(pmi_kafka_reach(r->rk, &r->options, &r->health, until - pmi_seconds(), err));
    PM_TRY(find_topic(r, err));
    r->handle = rd_kafka_topic_new(r->rk, r->topic.name, NULL);
    r->queue = rd_kafka_queue_new(r->rk);
    if (r->handle == NULL || r->queue == NULL) {
        return pmi_kafka_fail(err, rd_kafka_last_error(), NULL, "reading %s", r->topic.name);
    }
    pm_status st = find_ends(r, !from_beginning, until - pmi_seconds(), r->next, err);
    for (size_t i = 0; i < r->topic.partitions && st == PM_OK; i++) {
        st = start_partition(r, i, err);
    }
    return st;
}

pm_status pmi_reader_open(const pm_kafka_options *options, pm_topic topic, bool from_beginning, double seconds,
                          const pm_log *log, pm_reader **out, pm_error *err) {
    *out = NULL;
    pm_reader *r = pmi_calloc(1, sizeof *r);
    PM_TRY(r != NULL ? PM_OK : pmi_fail_memory(err, "a reader", sizeof *r));
    r->health.log = log;
    r->options = *options;
    pmi_topic_name(options, topic, r->topic.name);
    pm_status st = start(r, from_beginning, pmi_seconds() + seconds, err);
    if (st != PM_OK) {
        pmi_reader_close(r);
        return st;
    }
    *out = r;
    return PM_OK;
}

void pmi_reader_close(pm_reader *r) {
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->n_started; i++) {
        rd_kafka_consume_stop(r->handle, (int32_t)i);
    }
    if (r->queue != NULL) {
        rd_kafka_queue_destroy(r->queue);
    }
    if (r->handle != NULL) {
        rd_kafka_topic_destroy(r->handle);
    }
    if (r->rk == NULL || pmi_kafka_destroy(r->rk, 0, DESTROY_SECONDS, r->health.log)) {
        free(r->next);
        free(r);
    }
}

static void move_on(pm_reader *r, int32_t partition, int64_t next) {
    if (partition >= 0 && (size_t)partition < r->topic.partitions && next > r->next[partition]) {
        r->next[partition] = next;
    }
}

static pm_status visit_one(pm_reader *r, const rd_kafka_message_t *m, pm_read_visit visit, void *ctx, pm_error *err) {
    rd_kafka_timestamp_type_t type;
    int64_t ms = rd_kafka_message_timestamp(m, &type);
    pm_read_message message = {.partition = m->partition,
                               .offset = m->offset,
                               .time = ms > 0 ? (double)ms / 1000 : 0,
                               .key = {m->key, m->key != NULL ? m->key_len : 0},
                               .value = {m->payload, m->payload != NULL ? m->len : 0}};
    rd_kafka_headers_t *headers;
    message.headers = rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR ? headers : NULL;
    move_on(r, m->partition, m->offset + 1);
    return visit(ctx, &message, err);
}

/* One message or event, waited for at most `ms`. *came: a message was visited. *is_idle: nothing was there. */
static pm_status step(pm_reader *r, int ms, pm_read_visit visit, void *ctx, bool *came, bool *is_idle, pm_error *err) {
    rd_kafka_message_t *m = rd_kafka_consume_queue(r->queue, ms);
    rd_kafka_poll(r->rk, 0);
    *is_idle = m == NULL;
    pm_status st = PM_OK;
    if (m != NULL && m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        *came = true;
        st = visit_one(r, m, visit, ctx, err);
    } else if (m != NULL && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        move_on(r, m->partition, m->offset);
    } else if (m != NULL) {
        pmi_kafka_note(&r->health, r->rk, m->err, rd_kafka_message_errstr(m));
    }
    if (m != NULL) {
        rd_kafka_message_destroy(m);
    }
    PM_TRY(st);
    return pmi_kafka_check(&r->health, err);
}

pm_status pmi_reader_poll(pm_reader *r, double seconds, pm_read_visit visit, void *ctx, pm_error *err) {
    double until = pmi_seconds() + seconds;
    bool came = false, is_idle = false;
    for (;;) {
        double left = until - pmi_seconds();
        int ms = came || left <= 0 ? 0 : left * 1000 < SLICE_MS ? (int)(left * 1000) : SLICE_MS;
        pm_status st = step(r, ms, visit, ctx, &came, &is_idle, err);
        if (st != PM_OK || (is_idle && came) || pmi_seconds() >= until) {
            return st;
        }
    }
}

static size_t count_behind(const pm_reader *r, const int64_t *ends) {
    size_t n = 0;
    for (size_t i = 0; i < r->topic.partitions; i++) {
        n += r->next[i] < ends[i];
    }
    return n;
}

pm_status pmi_reader_drain(pm_reader *r, double seconds, pm_read_visit visit, void *ctx, pm_error *err) {
    int64_t *ends = pmi_calloc(r->topic.partitions, sizeof *ends);
    PM_TRY(ends != NULL ? PM_OK : pmi_fail_memory(err, "the ends of a topic", r->topic.partitions * sizeof *ends));
    pm_status st = find_ends(r, true, seconds, ends, err);
    double until = pmi_seconds() + seconds;
    while (st == PM_OK && count_behind(r, ends) > 0) {
        bool came = false, is_idle = false;
        st = step(r, SLICE_MS, visit, ctx, &came, &is_idle, err);
        if (!is_idle) {
            until = pmi_seconds() + seconds;
        } else if (st == PM_OK && pmi_seconds() > until) {
            st = pmi_fail(err, PM_ETEMPORARY,
                          "topic %s: nothing came for %.3g s, and %zu partitions are not read whole%s%s", r->topic.name,
                          seconds, count_behind(r, ends), r->health.last[0] ? ": " : "", r->health.last);
        }
    }
    free(ends);
    return st;
}

/* ---- where the workers' group stands, asked from outside of it ----------------------------------------- */

#define ASK_GROUP_MS 1000

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

/* A consumer of the group that joins nothing. (The admin interface of 2.0.2 crashes when the coordinator moves.) */
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
        code = rd_kafka_committed(asker, list, ms < ASK_GROUP_MS ? ms : ASK_GROUP_MS);
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

static pm_status find_group_ends(rd_kafka_t *rk, const char *topic, size_t n, pm_lag *lags, double until,
                                 pm_error *err) {
    int64_t *ends = pmi_malloc(n, sizeof *ends);
    pm_status st = ends != NULL ? PM_OK : pmi_fail_memory(err, "the ends of a topic", n * sizeof *ends);
    for (int is_end = 0; is_end < 2; is_end++) {
        PM_THEN(st, pmi_topic_ends(rk, topic, 0, n, is_end == 1, left_ms(until), ends, err));
        for (size_t i = 0; i < n && st == PM_OK; i++) {
            *(is_end == 1 ? &lags[i].high : &lags[i].low) = ends[i];
        }
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
    return st == PM_OK && n > 0 ? find_group_ends(rk, topic, n, lags, until, err) : st;
}
