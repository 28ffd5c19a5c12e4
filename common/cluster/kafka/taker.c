#include "kafka/taker.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "kafka/taker_impl.h"

#define ASK_MS 2000
#define DESTROY_SECONDS 2.0
#define MIN_DESTROY 0.1
#define PROVE_SECONDS 1.5 /* how long a close waits for proofs; the first one of all takes a second */
#define COOPERATIVE_SINCE                                                                                              \
    0x020a0000 /* Before 2.3.0, a consumer with this assignor that is closed before its first assignment aborts the    \
                * process; before 2.10.0, one that commits during a rebalance loses its assignment. */
static pm_status check_assignor(const pm_kafka_options *options, pm_error *err) {
    for (size_t i = 0; i < options->n_properties; i++) {
        const pm_property *p = &options->properties[i];
        if (strcmp(p->name, "partition.assignment.strategy") == 0 && strstr(p->value, "cooperative") != NULL &&
            rd_kafka_version() < COOPERATIVE_SINCE) {
            return pmi_fail(err, PM_EUSAGE,
                            "-X %s=%s needs librdkafka 2.10.0 or later, this is %s, where it aborts the process and "
                            "loses partitions: leave it out",
                            p->name, p->value, rd_kafka_version_str());
        }
    }
    return PM_OK;
}

static pm_status make_handle(pm_taker *t, pm_error *err) {
    const pm_property extra[] = {
        {"group.id", t->options.group},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {NULL, NULL},
    };
    static const pm_property defaults[] = {
        {"partition.assignment.strategy", "roundrobin"},
        /* enough at hand for a second of small units, since a broker is asked anew only when its answer is in; both
         * limits are for each partition */
        {"queued.min.messages", "1000"},
        {"queued.max.messages.kbytes", "2048"},
        {"fetch.wait.max.ms", "100"},
        {"fetch.error.backoff.ms", "100"},
        {"topic.metadata.refresh.interval.ms", "2000"}, /* topics that are made later are found */
        {NULL, NULL},
    };
    rd_kafka_conf_t *conf;
    PM_TRY(pmi_kafka_prepare(defaults, &conf, err));
    rd_kafka_conf_set_rebalance_cb(conf, pmi_taker_rebalance);
    return pmi_kafka_new(&t->options, RD_KAFKA_CONSUMER, extra, conf, &t->health, &t->rk, err);
}

pm_status pmi_taker_join(pm_taker *t, pm_error *err) {
    if (t->is_joined) {
        return PM_OK;
    }
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, t->topic_name, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(t->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    t->is_joined = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    t->unanswered = pmi_seconds();
    return t->is_joined ? PM_OK : pmi_kafka_fail(err, code, NULL, "subscribing to %s", t->topic_name);
}

pm_status pmi_taker_withdraw(pm_taker *t, pm_error *err) {
    rd_kafka_resp_err_t code = t->is_joined ? rd_kafka_unsubscribe(t->rk) : RD_KAFKA_RESP_ERR_NO_ERROR;
    t->is_joined = t->is_joined && code != RD_KAFKA_RESP_ERR_NO_ERROR;
    return t->is_joined ? pmi_kafka_fail(err, code, NULL, "leaving the group of %s", t->topic_name) : PM_OK;
}

bool pmi_taker_is_joined(const pm_taker *t) {
    return t->is_joined;
}

static pm_status set_up(pm_taker *t, pm_error *err) {
    static const uint64_t one = 1;
    t->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->fd < 0) {
        return pmi_fail(err, PM_EOSERR, "an event descriptor could not be made: %s", strerror(errno));
    }
    PM_TRY(make_handle(t, err));
    PM_TRY(pmi_prover_open(&t->options, t->fd, &t->prover, err));
    t->topic = rd_kafka_topic_new(t->rk, t->topic_name, NULL);
    t->consumer = rd_kafka_queue_get_consumer(t->rk);
    t->commits = rd_kafka_queue_new(t->rk);
    if (t->topic == NULL || t->consumer == NULL || t->commits == NULL) {
        return pmi_fail(err, PM_ESOFTWARE, "librdkafka has no queue for a consumer of %s", t->topic_name);
    }
    rd_kafka_queue_io_event_enable(t->consumer, t->fd, &one, sizeof one);
    rd_kafka_resp_err_t code = rd_kafka_poll_set_consumer(t->rk);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? PM_OK
               : pmi_kafka_fail(err, code, NULL, "polling as a consumer of %s", t->topic_name);
}

/* Everything but the handle's close. */
static void free_taker(pm_taker *t, double seconds) {
    for (size_t i = 0; i < t->n_parts; i++) {
        if (t->parts[i].queue != NULL) {
            rd_kafka_queue_destroy(t->parts[i].queue);
        }
        pmi_window_free(&t->parts[i].window);
    }
    free(t->parts);
    (void)pmi_prover_close(t->prover, seconds / 2);
    if (t->consumer != NULL) {
        rd_kafka_queue_destroy(t->consumer);
    }
    if (t->commits != NULL) {
        rd_kafka_queue_destroy(t->commits);
    }
    if (t->topic != NULL) {
        rd_kafka_topic_destroy(t->topic);
    }
    if (t->rk != NULL && !pmi_kafka_destroy(t->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, seconds / 2, t->health.log)) {
        return;
    }
    if (t->fd >= 0) {
        close(t->fd);
    }
    free(t);
}

pm_status pmi_taker_open(const pm_kafka_options *options, size_t window, const pm_log *log, pm_taker **out,
                         pm_error *err) {
    *out = NULL;
    if (window == 0) {
        return pmi_fail(err, PM_EUSAGE, "a window of 0 units takes nothing");
    }
    PM_TRY(check_assignor(options, err));
    pm_taker *t = pmi_calloc(1, sizeof *t);
    PM_TRY(t != NULL ? PM_OK : pmi_fail_memory(err, "a taker", sizeof *t));
    t->fd = -1;
    t->health.log = log;
    t->options = *options;
    t->window = window;
    pmi_topic_name(options, PM_TOPIC_UNITS, t->topic_name);
    pm_status st = set_up(t, err);
    if (st != PM_OK) {
        free_taker(t, DESTROY_SECONDS);
        return st;
    }
    *out = t;
    return PM_OK;
}

int pmi_taker_fd(const pm_taker *t) {
    return t->fd;
}

pm_kafka_health *pmi_taker_health(pm_taker *t) {
    return &t->health;
}

/* ---- serving ---- */

static void note_missing(pm_taker *t) {
    if (!t->is_topic_missing) {
        pmi_logf(t->health.log, PM_LOG_INFO, "topic %s does not exist yet: waiting for it", t->topic_name);
    }
    t->is_topic_missing = true;
}

static void note_fault(pm_taker *t, const rd_kafka_message_t *m) {
    switch ((int)m->err) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        note_missing(t);
        break;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        break;
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
        pmi_logf(t->health.log, PM_LOG_WARNING, "%s: this worker was held up and left the group; it joins again: %s",
                 t->topic_name, rd_kafka_message_errstr(m));
        break;
    default:
        pmi_kafka_note(&t->health, t->rk, m->err, rd_kafka_message_errstr(m));
    }
}

void pmi_part_seek(pm_taker *t, const pm_part *p, int64_t offset) {
    rd_kafka_resp_err_t code = rd_kafka_seek(t->topic, p->partition, offset, 0);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        pmi_logf(t->health.log, PM_LOG_DEBUG, "%s partition %d: back to offset %lld: %s", t->topic_name,
                 (int)p->partition, (long long)offset, rd_kafka_err2str(code));
    }
}

/* A message on the consumer queue, where only those of a partition that was assigned behind our back can come. */
static void return_stray(pm_taker *t, const rd_kafka_message_t *m) {
    pm_part *p = pmi_taker_part(t, m->partition);
    if (p != NULL && p->is_owned && pmi_window_find(&p->window, m->offset) == PM_WINDOW_UNKNOWN &&
        pmi_window_take(&p->window, m->offset, pmi_message_mark(m), &t->failure) == PM_OK) {
        pmi_window_give(&p->window, m->offset);
        pmi_part_seek(t, p, pmi_window_lowest_given(&p->window));
    }
}

pm_status pmi_taker_serve(pm_taker *t, pm_error *err) {
    uint64_t count;
    ssize_t n = read(t->fd, &count, sizeof count); /* before the queues are looked at, so that no event is missed */
    (void)n;
    rd_kafka_message_t *m;
    while ((m = rd_kafka_consumer_poll(t->rk, 0)) != NULL) {
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            note_fault(t, m);
        } else {
            return_stray(t, m);
        }
        rd_kafka_message_destroy(m);
    }
    PM_TRY(pmi_prover_check(t->prover, err));
    pmi_taker_prove(t);
    pmi_taker_mend_stalls(t);
    pmi_taker_commit(t);
    if (t->failure.code != PM_OK) {
        return pmi_fail(err, t->failure.code, "%s", t->failure.text);
    }
    return pmi_kafka_check(&t->health, err);
}

/* ---- taking ---- */

typedef enum admission { ADMIT, SKIP, ADMISSION_FAILED } admission;

/* What lies below the first offset is not ours to see to. */
void pmi_part_begin(pm_part *p, int64_t first) {
    p->is_fresh = false;
    p->next = first;
    if (p->was_renewed) {
        p->prefix = first;
        p->was_renewed = false;
    }
    pmi_window_forget(&p->window, first);
}

/* A unit that was given back did not come again: retention deleted it, or the seek was lost in a fault. */
static admission miss_given(pm_taker *t, pm_part *p, int64_t given) {
    int64_t low = -1;
    pm_error why;
    if (pmi_topic_ends(t->rk, t->topic_name, (size_t)p->partition, 1, false, ASK_MS, &low, &why) == PM_OK &&
        given < low) {
        pmi_logf(t->health.log, PM_LOG_WARNING, "%s partition %d offset %lld: given back, and deleted by retention",
                 t->topic_name, (int)p->partition, (long long)given);
        if (pmi_window_take(&p->window, given, 0, &t->failure) != PM_OK) {
            return ADMISSION_FAILED;
        }
        pmi_window_done(&p->window, given);
        pmi_part_advance(p);
    }
    int64_t next = pmi_window_lowest_given(&p->window);
    pmi_part_seek(t, p, next >= 0 ? next : given);
    return SKIP;
}

static admission admit(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, pm_error *err) {
    int64_t offset = m->offset;
    double now = pmi_seconds();
    if (!pmi_part_recognise(t, p, m, now)) {
        return SKIP;
    }
    pm_window_state state = pmi_window_find(&p->window, offset);
    if (state == PM_WINDOW_DONE) { /* in an earlier assignment, perhaps */
        pmi_part_advance(p);
    }
    if (state == PM_WINDOW_HELD || state == PM_WINDOW_DONE || offset < p->prefix) {
        return SKIP;
    }
    int64_t given = pmi_window_lowest_given(&p->window);
    if (given >= 0 && given < offset) {
        return miss_given(t, p, given);
    }
    return pmi_window_take(&p->window, offset, pmi_message_mark(m), err) == PM_OK ? ADMIT : ADMISSION_FAILED;
}

static void hand_out(const pm_part *p, rd_kafka_message_t *m, pm_taken *out) {
    *out = (pm_taken){.message = m,
                      .partition = m->partition,
                      .offset = m->offset,
                      .epoch = p->epoch,
                      .key = {m->key, m->key != NULL ? m->key_len : 0},
                      .value = {m->payload, m->payload != NULL ? m->len : 0}};
}

/* A partition that begins anew is looked at even with a full window: its first offset tells which units still count. */
static bool has_room(const pm_taker *t, const pm_part *p) {
    return p->window.count < t->window || p->window.n_given > 0 || p->is_fresh;
}

static pm_status take_from(pm_taker *t, pm_part *p, pm_taken *out, bool *taken, pm_error *err) {
    rd_kafka_message_t *m;
    while (has_room(t, p) && (m = rd_kafka_consume_queue(p->queue, 0)) != NULL) {
        admission verdict = SKIP;
        if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            note_fault(t, m);
        } else {
            verdict = admit(t, p, m, err);
        }
        if (verdict == ADMIT) {
            hand_out(p, m, out);
            *taken = true;
            return PM_OK;
        }
        rd_kafka_message_destroy(m);
        if (verdict == ADMISSION_FAILED) {
            return t->failure.code != PM_OK ? pmi_fail(err, t->failure.code, "%s", t->failure.text) : err->code;
        }
    }
    return PM_OK;
}

pm_status pmi_taker_take(pm_taker *t, pm_taken *out, bool *taken, pm_error *err) {
    pm_status st = pmi_kafka_check(&t->health, err);
    *taken = false;
    for (size_t k = 0; k < t->n_parts && st == PM_OK && !*taken && !t->is_quiet; k++) {
        size_t i = (t->next + k) % t->n_parts;
        if (t->parts[i].is_owned && t->parts[i].queue != NULL) {
            st = take_from(t, &t->parts[i], out, taken, err);
        }
        if (*taken) {
            t->next = i + 1;
        }
    }
    return st;
}

/* NULL: never ours, or of a topic that is no more. */
static pm_part *part_of(const pm_taker *t, const pm_taken *unit) {
    pm_part *p = pmi_taker_part(t, unit->partition);
    return p != NULL && p->epoch == unit->epoch ? p : NULL;
}

static void let_go(pm_taken *unit) {
    rd_kafka_message_destroy(unit->message);
    *unit = (pm_taken){.partition = unit->partition, .offset = unit->offset};
}

void pmi_taker_done(pm_taker *t, pm_taken *unit) {
    pm_part *p = part_of(t, unit);
    if (p != NULL) {
        pmi_window_done(&p->window, unit->offset);
        /* before the first offset of an assignment has come, the window tells what is not to be given out again */
        if (p->is_owned && !p->is_fresh) {
            pmi_part_advance(p);
        }
    }
    let_go(unit);
    pmi_taker_prove(t);
    pmi_taker_commit(t);
}

void pmi_taker_drop(pm_taker *t, pm_taken *unit) {
    pm_part *p = part_of(t, unit);
    if (p != NULL && pmi_window_find(&p->window, unit->offset) == PM_WINDOW_HELD) {
        pmi_window_give(&p->window, unit->offset);
        if (p->is_owned && !p->is_fresh && !t->is_quiet) {
            pmi_part_seek(t, p, pmi_window_lowest_given(&p->window));
        }
    }
    let_go(unit);
}

/* ---- looking ---- */

bool pmi_taker_owns(const pm_taker *t, const pm_taken *unit) {
    const pm_part *p = part_of(t, unit);
    return p != NULL && p->is_owned && pmi_window_find(&p->window, unit->offset) == PM_WINDOW_HELD;
}

void pmi_taker_quiet(pm_taker *t) {
    t->is_quiet = true;
}

size_t pmi_taker_partitions(const pm_taker *t, uint32_t *partitions, size_t n) {
    size_t owned = 0;
    for (size_t i = 0; i < t->n_parts; i++) {
        if (t->parts[i].is_owned) {
            if (owned < n) {
                partitions[owned] = (uint32_t)t->parts[i].partition;
            }
            owned++;
        }
    }
    return owned;
}

/* ---- closing ---- */

/* Serves the queue of a handle that closes until it is closed. */
static bool serve_close(pm_taker *t, rd_kafka_queue_t *closing, double until) {
    while (rd_kafka_consumer_closed(t->rk) == 0) {
        if (pmi_seconds() > until) {
            return false;
        }
        rd_kafka_message_t *m = rd_kafka_consume_queue(closing, 50);
        if (m != NULL) {
            rd_kafka_message_destroy(m);
        }
    }
    return true;
}

static bool leave_group(pm_taker *t, double until) {
    rd_kafka_queue_t *closing = rd_kafka_queue_new(t->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(t->rk, closing);
    bool is_closed = true;
    if (error != NULL) { /* closed before, or a fatal error: nothing to leave */
        pmi_logf(t->health.log, PM_LOG_DEBUG, "leaving the group: %s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    } else {
        is_closed = serve_close(t, closing, until);
    }
    if (is_closed) {
        rd_kafka_queue_destroy(closing);
    }
    return is_closed;
}

void pmi_taker_close(pm_taker *t, double seconds) {
    if (t == NULL) {
        return;
    }
    double until = pmi_seconds() + seconds;
    t->is_quiet = true;
    if (!t->health.is_away) {
        pmi_taker_prove_now(t, fmin(seconds / 4, PROVE_SECONDS));
    }
    pmi_taker_commit_now(t, t->health.is_away ? 0 : seconds / 2);
    t->is_closing = true;
    if (!leave_group(t, until)) {
        pmi_logf(t->health.log, PM_LOG_WARNING,
                 "%s: librdkafka did not leave the group within %.3g s; units of this worker wait for the session "
                 "timeout",
                 t->topic_name, seconds);
        return; /* its threads still use all of it */
    }
    double left = until - pmi_seconds();
    free_taker(t, left > MIN_DESTROY ? fmin(left, DESTROY_SECONDS) : MIN_DESTROY);
}
