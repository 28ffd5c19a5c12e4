#include "kafka/sender.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

/* While an idempotent producer has its 5 requests under way and another message is due, librdkafka turns without rest:
 * with 1 ms and a busy broker, three quarters of a worker's time. A flush does not wait for it. */
#define LINGER_MS "5"

/* What dropping messages, and then the handle, may take. */
#define PURGE_SECONDS 0.5
#define DESTROY_SECONDS 0.5

struct pm_sender {
    pm_kafka_health health; /* first: the opaque of the handle is both */
    pm_kafka_options options;
    char timeout_ms[16];
    double seconds;
    pm_sender_report report; /* NULL while closing */
    void *ctx;
    rd_kafka_t *rk;
    size_t pending;   /* queued, not reported */
    bool is_broken;   /* the idempotent producer gave up: a new handle is due */
    pm_error failure; /* the first of a delivery since the last flush */
};

static pm_status describe_failure(const pm_sender *s, const rd_kafka_message_t *m, pm_error *err) {
    const char *topic = m->rkt != NULL ? rd_kafka_topic_name(m->rkt) : "(unknown topic)";
    if (m->err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT) {
        return pmi_fail(err, PM_ETEMPORARY,
                        "a message to %s partition %d was not acknowledged within %.3g s%s%s: Kafka away, or fewer "
                        "replicas in sync than it asks for",
                        topic, (int)m->partition, s->seconds, s->health.last[0] ? ": " : "", s->health.last);
    }
    if (m->err == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP) {
        char now[PM_TIME_TEXT];
        pmi_time_text(pmi_now(), now);
        return pmi_fail(err, PM_ECONFIG,
                        "Kafka refused a message to %s partition %d for its timestamp: by the clock of this machine it "
                        "is %s: set it right, or see message.timestamp.type, .before.max.ms and .after.max.ms of the "
                        "topic",
                        topic, (int)m->partition, now);
    }
    pmi_kafka_fail(err, m->err, NULL, "a message to %s partition %d was not delivered", topic, (int)m->partition);
    if (err->code == PM_ESOFTWARE) { /* of the handle, not of the message: a new handle takes it */
        err->code = PM_ETEMPORARY;
    }
    return err->code;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    pm_sender *s = opaque;
    pm_error err = {.code = PM_OK};
    pm_status st = PM_OK;
    s->pending--;
    if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        pmi_kafka_is_back(&s->health);
    } else {
        st = describe_failure(s, m, &err);
        if (pmi_kafka_is_refusal(m->err, NULL)) {
            pmi_kafka_note(&s->health, rk, m->err, err.text);
        }
        if (s->failure.code == PM_OK) {
            s->failure = err;
        }
    }
    if (s->report != NULL) {
        s->report(s->ctx, m->_private, m->partition, m->offset, st, &err);
    }
}

static pm_status make_handle(pm_sender *s, pm_error *err) {
    const pm_property extra[] = {
        {"enable.idempotence", "true"},
        {"delivery.timeout.ms", s->timeout_ms},
        {NULL, NULL},
    };
    /* one batch of small messages stays within what every topic takes */
    static const pm_property defaults[] = {
        {"linger.ms", LINGER_MS}, {"message.max.bytes", "2097152"}, {"batch.size", "1000000"}, {NULL, NULL}};
    rd_kafka_conf_t *conf;
    PM_TRY(pmi_kafka_prepare(defaults, &conf, err));
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return pmi_kafka_new(&s->options, RD_KAFKA_PRODUCER, extra, conf, &s->health, &s->rk, err);
}

pm_status pmi_sender_open(const pm_kafka_options *options, double seconds, pm_sender_report report, void *ctx,
                          const pm_log *log, pm_sender **out, pm_error *err) {
    *out = NULL;
    if (!(seconds >= 0.1 && seconds <= 1e6)) {
        return pmi_fail(err, PM_EUSAGE, "a message cannot be given %g s to be delivered: 0.1 to 1000000", seconds);
    }
    pm_sender *s = pmi_calloc(1, sizeof *s);
    PM_TRY(s != NULL ? PM_OK : pmi_fail_memory(err, "a sender", sizeof *s));
    s->health.log = log;
    s->options = *options;
    s->seconds = seconds;
    s->report = report;
    s->ctx = ctx;
    int n = snprintf(s->timeout_ms, sizeof s->timeout_ms, "%ld", (long)(seconds * 1000));
    pm_status st = n < 0 ? pmi_fail(err, PM_ESOFTWARE, "a number could not be formatted") : make_handle(s, err);
    if (st != PM_OK) {
        free(s);
        return st;
    }
    *out = s;
    return PM_OK;
}

/* Drops what is queued or under way; each is reported as failed. False when librdkafka still has the handle. */
static bool discard_handle(pm_sender *s) {
    if (s->rk == NULL) {
        return true;
    }
    rd_kafka_purge(s->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    double until = pmi_seconds() + PURGE_SECONDS;
    while (s->pending > 0 && pmi_seconds() < until) {
        rd_kafka_poll(s->rk, 50);
    }
    bool is_gone = pmi_kafka_destroy(s->rk, 0, DESTROY_SECONDS, s->health.log);
    s->rk = NULL;
    s->is_broken = false;
    if (s->health.fatal.code == PM_ESOFTWARE) { /* it was this handle's */
        s->health.fatal = (pm_error){.code = PM_OK};
    }
    return is_gone;
}

void pmi_sender_close(pm_sender *s) {
    if (s == NULL) {
        return;
    }
    s->report = NULL;
    if (discard_handle(s)) {
        free(s);
    }
}

rd_kafka_t *pmi_sender_handle(pm_sender *s) {
    return s->rk;
}

pm_kafka_health *pmi_sender_health(pm_sender *s) {
    return &s->health;
}

/* A fatal error of the idempotent producer (2.0.2 raises some by mistake) ends a handle, not the process. */
static void see_broken(pm_sender *s) {
    if (s->rk == NULL || s->is_broken || rd_kafka_fatal_error(s->rk, NULL, 0) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    pmi_kafka_note(&s->health, s->rk, RD_KAFKA_RESP_ERR__FATAL, NULL);
    if (s->health.fatal.code == PM_ESOFTWARE) {
        s->is_broken = true;
        pmi_logf(s->health.log, PM_LOG_WARNING, "%s: sending starts anew", s->health.fatal.text);
    }
}

static pm_status ensure_handle(pm_sender *s, pm_error *err) {
    see_broken(s);
    if (s->is_broken) {
        discard_handle(s);
    }
    PM_TRY(pmi_kafka_check(&s->health, err));
    return s->rk != NULL ? PM_OK : make_handle(s, err);
}

static rd_kafka_resp_err_t produce(pm_sender *s, const char *topic, const pm_outgoing *m, rd_kafka_headers_t *headers) {
    /* librdkafka asks for memory that it does not change */
    void *key = m->key.size > 0 ? (void *)(uintptr_t)m->key.bytes : NULL;
    void *value = (void *)(uintptr_t)m->value.bytes;
    return rd_kafka_producev(s->rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(m->partition),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, m->key.size),
                             RD_KAFKA_V_VALUE(value, m->value.size), RD_KAFKA_V_HEADERS(headers),
                             RD_KAFKA_V_OPAQUE(m->opaque), RD_KAFKA_V_END);
}

/* One attempt; PM_ETEMPORARY with *again when librdkafka's queue is full or the handle died. */
static pm_status try_send(pm_sender *s, const char *topic, const pm_outgoing *m, bool *again, pm_error *err) {
    *again = false;
    PM_TRY(ensure_handle(s, err));
    rd_kafka_headers_t *headers = m->headers != NULL ? rd_kafka_headers_copy(m->headers) : rd_kafka_headers_new(0);
    rd_kafka_resp_err_t code = produce(s, topic, m, headers);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        s->pending++; /* the headers went with it; reports come from rd_kafka_poll alone */
        return PM_OK;
    }
    rd_kafka_headers_destroy(headers);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL) {
        *again = true;
        return pmi_fail(err, PM_ETEMPORARY, "a message to %s found no room among %zu that wait for Kafka for %.3g s",
                        topic, s->pending, s->seconds);
    }
    return pmi_kafka_fail(err, code, NULL, "a message of %zu bytes to %s partition %d", m->value.size, topic,
                          (int)m->partition);
}

pm_status pmi_sender_send(pm_sender *s, const pm_outgoing *message, pm_error *err) {
    char topic[PM_TOPIC_NAME];
    pmi_topic_name(&s->options, message->topic, topic);
    double until = pmi_seconds() + s->seconds;
    bool again;
    pm_status st = try_send(s, topic, message, &again, err);
    while (st != PM_OK && again && pmi_seconds() < until) {
        rd_kafka_poll(s->rk, 20);
        st = try_send(s, topic, message, &again, err);
    }
    return st;
}

void pmi_sender_poll(pm_sender *s) {
    if (s->rk != NULL) {
        rd_kafka_poll(s->rk, 0);
        see_broken(s);
    }
}

pm_status pmi_sender_flush(pm_sender *s, double seconds, pm_error *err) {
    double until = pmi_seconds() + seconds;
    do {
        if (s->pending > 0 && s->rk != NULL) {
            rd_kafka_poll(s->rk, 20);
        }
        pmi_sender_poll(s);
        if (s->is_broken) {
            discard_handle(s);
        }
    } while (s->pending > 0 && s->health.fatal.code == PM_OK && pmi_seconds() < until);
    pm_error failure = s->failure;
    s->failure = (pm_error){.code = PM_OK};
    PM_TRY(pmi_kafka_check(&s->health, err));
    if (s->pending > 0) {
        return pmi_fail(err, PM_ETEMPORARY, "%zu messages are not acknowledged by Kafka after %.3g s%s%s", s->pending,
                        seconds, s->health.last[0] ? ": " : "", s->health.last);
    }
    return failure.code == PM_OK ? PM_OK : pmi_fail(err, failure.code, "%s", failure.text);
}

/* ---- headers of our messages --------------------------------------------------------------------------- */

void pmi_headers_add(rd_kafka_headers_t *h, const char *name, pm_span value) {
    (void)rd_kafka_header_add(h, name, -1, value.size > 0 ? value.bytes : (const uint8_t *)"", (ssize_t)value.size);
}

void pmi_headers_add_digest(rd_kafka_headers_t *h, const char *name, const pm_digest digest) {
    pmi_headers_add(h, name, pmi_span_of(PM_HEX(digest)));
}

rd_kafka_headers_t *pmi_headers_new(const pm_digest id, const char *type, const char *source, double time) {
    rd_kafka_headers_t *h = rd_kafka_headers_new(16);
    char from[256], at[PM_TIME_TEXT];
    (void)snprintf(from, sizeof from, "/phasemill/%s", source);
    pmi_time_text(time, at);
    pmi_headers_add(h, "content-type", pmi_span_of("application/msgpack"));
    pmi_headers_add(h, "ce_specversion", pmi_span_of("1.0"));
    pmi_headers_add_digest(h, "ce_id", id);
    pmi_headers_add(h, "ce_type", pmi_span_of(type));
    pmi_headers_add(h, "ce_source", pmi_span_of(from));
    pmi_headers_add(h, "ce_time", pmi_span_of(at));
    pmi_headers_add(h, "phasemill-version", pmi_span_of("1"));
    return h;
}

#define MAX_HEADERS 24 /* of a unit: so that what somebody else has sent finds room beside ours */

static bool is_of_death(const char *name) {
    static const char *const added[] = {"phasemill-attempts", "phasemill-attempt", "phasemill-scc"};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        if (strcmp(name, added[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "__dlq.", 6) == 0;
}

rd_kafka_headers_t *pmi_headers_of_unit(const rd_kafka_headers_t *headers) {
    rd_kafka_headers_t *out = rd_kafka_headers_new(16);
    const char *name;
    const void *value;
    size_t size, n = headers != NULL ? rd_kafka_header_cnt(headers) : 0;
    n = n < MAX_HEADERS ? n : MAX_HEADERS;
    for (size_t i = 0; i < n && rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        if (!is_of_death(name)) {
            pmi_headers_add(out, name, (pm_span){value, value != NULL ? size : 0});
        }
    }
    return out;
}

/* ---- traceparent ---- */

#define HEX "0123456789abcdef"

static bool is_id(const char *text, size_t n) {
    return strspn(text, HEX) == n && strspn(text, "0") < n;
}

bool pmi_traceparent_is_valid(const char *text) {
    return strlen(text) == PM_TRACEPARENT - 1 && strncmp(text, "00-", 3) == 0 && text[35] == '-' && text[52] == '-' &&
           is_id(text + 3, 32) && is_id(text + 36, 16) && strspn(text + 53, HEX) == 2;
}

pm_status pmi_traceparent_draw(char text[PM_TRACEPARENT], pm_error *err) {
    uint8_t bytes[24];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return pmi_fail(err, PM_EOSERR, "the system gives no random bytes: %s", strerror(errno));
    }
    bytes[15] |= 1; /* neither id may be zero */
    bytes[23] |= 1;
    char hex[49];
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    snprintf(text, PM_TRACEPARENT, "00-%.32s-%.16s-01", hex, hex + 32);
    return PM_OK;
}
