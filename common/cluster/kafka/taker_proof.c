#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "kafka/taker_impl.h"

/* ---- the handle that reads again ----------------------------------------------------------------------- */

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
    pm_prover *v;
    PM_TRY(PM_ZEROS(&v, 1, "a consumer for single messages", err));
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

static rd_kafka_message_t *prover_answer(pm_prover *v) {
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

/* ---- proofs -------------------------------------------------------------------------------------------- */

#define LOOK_EVERY 0.2  /* seconds between looks at what is due: then all partitions are asked together */
#define PROVE_EVERY 5.0 /* seconds between proofs of a partition without messages */
#define ASK_AGAIN 2.0   /* seconds after which a question that was not answered is asked otherwise */
#define ENDS_MS 500     /* what asking for the ends of partitions may take */
#define LOOK_AFTER 10.0 /* seconds of silence of a partition of which nothing was read, and between looks */
#define SAY_EVERY 30.0  /* seconds: the partitions of one new topic make one line */

static uint64_t add_bytes(uint64_t mark, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++) {
        mark = (mark ^ at[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    }
    return mark;
}

uint64_t pmi_message_mark(const rd_kafka_message_t *m) {
    rd_kafka_timestamp_type_t type;
    int64_t time = rd_kafka_message_timestamp(m, &type);
    uint64_t mark = add_bytes(UINT64_C(0xcbf29ce484222325), &time, sizeof time);
    mark = add_bytes(mark, &m->len, sizeof m->len);
    return m->key == NULL ? mark : add_bytes(mark, m->key, m->key_len);
}

#define MARK_DIGITS 16

char *pmi_mark_text(uint64_t mark, size_t *size) {
    char *text = pmi_malloc(MARK_DIGITS + 1, 1);
    *size = text != NULL ? MARK_DIGITS : 0;
    if (text != NULL && snprintf(text, MARK_DIGITS + 1, "%016" PRIx64, mark) != MARK_DIGITS) {
        *size = 0;
    }
    return text;
}

bool pmi_mark_read(const void *text, size_t size, uint64_t *mark) {
    char copy[MARK_DIGITS + 1] = "";
    if (text == NULL || size != MARK_DIGITS) {
        return false;
    }
    memcpy(copy, text, MARK_DIGITS);
    if (strspn(copy, "0123456789abcdef") != MARK_DIGITS) {
        return false;
    }
    *mark = strtoull(copy, NULL, 16);
    return true;
}

pm_proof pmi_proof_none(double now) {
    return (pm_proof){.anchor = -1, .last = -1, .proved = -1, .came = now, .heard = now};
}

void pmi_part_renew(pm_taker *t, pm_part *p, const char *why) {
    double now = pmi_seconds();
    bool is_news = t->renewed == 0 || now - t->renewed > SAY_EVERY;
    pmi_logf(t->health.log, is_news ? PM_LOG_WARNING : PM_LOG_DEBUG,
             "%s was deleted and made again (partition %d: %s): it is taken from its beginning; units of the old topic "
             "are finished, but not committed",
             t->topic_name, (int)p->partition, why);
    t->renewed = now;
    pmi_part_end_proof(t, p);
    pmi_window_free(&p->window);
    p->epoch++;
    p->next = p->prefix = p->sent = p->committed = -1;
    p->has_prefix_mark = false;
    p->proof = pmi_proof_none(now);
    p->is_fresh = p->was_renewed = true;
}

static void start_anew(pm_taker *t, pm_part *p, const char *why) {
    pmi_part_renew(t, p, why);
    pmi_part_seek(t, p, RD_KAFKA_OFFSET_BEGINNING);
}

bool pmi_part_recognise(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now) {
    pm_proof *proof = &p->proof;
    uint64_t mark = pmi_message_mark(m);
    proof->came = now;
    if (!pmi_window_fits(&p->window, m->offset, mark)) {
        start_anew(t, p, "a unit that was taken is another one");
        return false;
    }
    if (p->is_fresh) {
        pmi_part_begin(p, m->offset);
    }
    /* unasked for, librdkafka goes back where the topic ends before the offset that it was to read */
    bool went_back = m->offset < p->next && pmi_window_find(&p->window, m->offset) == PM_WINDOW_UNKNOWN;
    if (went_back && p->window.n_given == 0 && !proof->has_mark) {
        start_anew(t, p, "it ends before what the group had committed");
        return false;
    }
    if (went_back) {
        pmi_part_doubt(t, p);
    }
    p->next = m->offset >= p->next ? m->offset + 1 : p->next;
    if (m->offset > proof->last) {
        proof->last = m->offset;
        proof->last_mark = mark;
    }
    if (proof->anchor < 0) {
        proof->anchor = m->offset;
        proof->anchor_mark = mark;
        proof->has_mark = true;
    }
    return true;
}

/* ---- asking ---- */

void pmi_part_doubt(pm_taker *t, pm_part *p) {
    if (!p->proof.is_doubted && p->proof.anchor >= 0) {
        pmi_part_end_proof(t, p); /* it was asked for before there was doubt */
        p->proof.is_doubted = true;
    }
}

static void ask(pm_taker *t, pm_part *p, double now) {
    pm_proof *proof = &p->proof;
    pmi_part_end_proof(t, p);
    proof->asked_last = proof->last;
    proof->asked_mark = proof->last_mark;
    proof->asked = now;
    proof->is_at_end = false;
    proof->is_under_way =
        rd_kafka_consume_start_queue(t->prover->topic, p->partition, proof->anchor, t->prover->answers) == 0;
}

void pmi_part_end_proof(pm_taker *t, pm_part *p) {
    if (p->proof.is_under_way) {
        rd_kafka_consume_stop(t->prover->topic, p->partition);
    }
    p->proof.is_under_way = false;
}

/* Something is done that may not be committed yet. */
static bool is_wanted(const pm_part *p) {
    return p->is_owned && p->proof.last > p->proof.proved && pmi_window_is_front_done(&p->window);
}

/* What the last answer of a broker said of the end, for nothing. */
static bool ends_early(const pm_taker *t, const pm_part *p) {
    int64_t low = -1, high = -1;
    return rd_kafka_get_watermark_offsets(t->rk, t->topic_name, p->partition, &low, &high) ==
               RD_KAFKA_RESP_ERR_NO_ERROR &&
           high >= 0 && high < p->next;
}

static bool is_due(const pm_taker *t, const pm_part *p, double now) {
    const pm_proof *proof = &p->proof;
    return p->is_owned && proof->anchor >= 0 && !proof->is_under_way &&
           (proof->is_doubted || is_wanted(p) || now - proof->heard > PROVE_EVERY || ends_early(t, p));
}

static void ask_what_is_due(pm_taker *t, double now) {
    for (size_t i = 0; i < t->n_parts; i++) {
        if (is_due(t, &t->parts[i], now)) {
            ask(t, &t->parts[i], now);
        }
    }
    t->next_look = now + LOOK_EVERY;
}

/* ---- answers ---- */

static bool is_quiet_for_long(const pm_part *p, double now) {
    return now - p->proof.came > LOOK_AFTER && rd_kafka_queue_length(p->queue) == 0;
}

static void read_again(pm_taker *t, pm_part *p, int64_t offset, double now) {
    pmi_logf(t->health.log, PM_LOG_INFO, "%s partition %d: nothing came for %.0f s: read again from offset %lld",
             t->topic_name, (int)p->partition, now - p->proof.came, (long long)offset);
    p->proof.came = now;
    pmi_part_seek(t, p, offset);
}

/* The partition ends at `high`, as the answer to a proof says: what should have come long since is read again. */
static void mend_stall(pm_taker *t, pm_part *p, int64_t high, double now) {
    if (!t->is_quiet && p->queue != NULL && p->window.n_given == 0 && p->next < high && is_quiet_for_long(p, now)) {
        read_again(t, p, p->next, now);
    }
}

/* All that came until the question was asked is of this topic. */
static void accept_proof(pm_taker *t, pm_part *p, double now) {
    pm_proof *proof = &p->proof;
    int64_t low = -1, high = -1;
    proof->heard = now;
    proof->is_doubted = false;
    proof->proved = proof->asked_last;
    if (proof->asked_last >= proof->anchor) {
        proof->anchor = proof->asked_last;
        proof->anchor_mark = proof->asked_mark;
    }
    pmi_part_advance(p);
    if (rd_kafka_get_watermark_offsets(t->prover->rk, t->topic_name, p->partition, &low, &high) ==
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        mend_stall(t, p, high, now);
    }
}

static void judge(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now) {
    pm_proof *proof = &p->proof;
    uint64_t mark = pmi_message_mark(m);
    pmi_part_end_proof(t, p);
    if (m->offset < proof->anchor) {
        start_anew(t, p, "it ends before what was read");
        return;
    }
    if (m->offset == proof->anchor && proof->has_mark && proof->anchor_mark != mark) {
        start_anew(t, p, "a message that was read is another one");
        return;
    }
    if (m->offset == proof->anchor && proof->asked_last == proof->anchor) { /* perhaps its first */
        proof->asked_mark = mark;
    }
    proof->has_mark = proof->has_mark || m->offset == proof->anchor || proof->asked_last > proof->anchor;
    accept_proof(t, p, now); /* a later one: retention took the anchor */
}

/* Where the anchor should be, there is no message, or none yet. The group may have the old offset, which the beginning
 * of this topic then takes the place of. */
static void judge_by_ends(pm_taker *t, pm_part *p, int64_t low, int64_t high, double now) {
    if (high <= p->proof.anchor) {
        start_anew(t, p, "it ends before what was read");
        pmi_part_begin(p, low);
    } else {
        ask(t, p, now);
    }
}

/* Where the partitions up to the last owned begin, and end (*high); free() it. NULL: the brokers do not say. */
static int64_t *find_ends(pm_taker *t, const int64_t **high) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_parts; i++) {
        n = t->parts[i].is_owned ? (size_t)t->parts[i].partition + 1 : n;
    }
    int64_t *low = pmi_malloc(2 * n, sizeof *low);
    pm_error why = {.text = "no memory"};
    rd_kafka_t *rk = t->prover->rk; /* nothing waits there for long */
    if (low == NULL || pmi_topic_ends(rk, t->topic_name, 0, n, false, ENDS_MS, low, &why) != PM_OK ||
        pmi_topic_ends(rk, t->topic_name, 0, n, true, ENDS_MS, low + n, &why) != PM_OK) {
        pmi_logf(t->health.log, PM_LOG_DEBUG, "the ends of %s are not known: %s", t->topic_name, why.text);
        free(low);
        return NULL;
    }
    *high = low + n;
    return low;
}

static bool is_overdue(const pm_part *p, double now) {
    double patience = p->proof.is_at_end ? LOOK_EVERY : ASK_AGAIN;
    return p->is_owned && p->proof.is_under_way && now - p->proof.asked > patience;
}

static void ask_for_ends(pm_taker *t, double now) {
    const int64_t *high = NULL;
    int64_t *low = find_ends(t, &high);
    for (size_t i = 0; i < t->n_parts; i++) {
        pm_part *p = &t->parts[i];
        if (is_overdue(p, now) && low != NULL) {
            judge_by_ends(t, p, low[p->partition], high[p->partition], now);
        } else if (is_overdue(p, now)) {
            ask(t, p, now);
        }
    }
    free(low);
}

static void hear(pm_taker *t, double now) {
    rd_kafka_message_t *m;
    while ((m = prover_answer(t->prover)) != NULL) {
        pm_part *p = pmi_taker_part(t, m->partition);
        bool is_asked = p != NULL && p->proof.is_under_way;
        if (is_asked && m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            judge(t, p, m, now);
        } else if (is_asked) {
            p->proof.is_at_end = true;
        }
        rd_kafka_message_destroy(m);
    }
}

void pmi_taker_prove(pm_taker *t) {
    double now = pmi_seconds();
    hear(t, now);
    bool is_late = false, is_doubted = false;
    for (size_t i = 0; i < t->n_parts; i++) {
        const pm_part *p = &t->parts[i];
        is_late = is_late || is_overdue(p, now);
        is_doubted = is_doubted || (p->is_owned && p->proof.is_doubted && !p->proof.is_under_way);
    }
    if (is_late) {
        ask_for_ends(t, now);
    }
    if (is_doubted || now >= t->next_look) {
        ask_what_is_due(t, now);
    }
}

static bool is_any_wanted(const pm_taker *t) {
    for (size_t i = 0; i < t->n_parts; i++) {
        if (is_wanted(&t->parts[i])) {
            return true;
        }
    }
    return false;
}

void pmi_taker_prove_now(pm_taker *t, double seconds) {
    double until = pmi_seconds() + seconds;
    t->next_look = 0;
    pmi_taker_prove(t);
    while (is_any_wanted(t) && pmi_seconds() < until) {
        struct pollfd news = {.fd = t->fd, .events = POLLIN};
        uint64_t count;
        if (poll(&news, 1, 20) > 0 && read(t->fd, &count, sizeof count) < 0 && errno != EAGAIN) {
            return;
        }
        pmi_taker_prove(t);
    }
}

/* ---- stalls: what librdkafka does not notice after a topic was deleted or brokers fell --------------- */

/* The group never answers a consumer that asks to join, or a seek was lost: no error comes, and heartbeats go on. So
 * whoever waits for long looks, and begins again. */
#define REJOIN_AFTER 5.0 /* seconds without an answer of the group, beyond the session timeout */
#define SESSION_PRESET 45.0

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

static void look_at_parts(pm_taker *t, double now) {
    const int64_t *high = NULL;
    int64_t *low = find_ends(t, &high);
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
