#include "kafka/kafka.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/fault.h"

void pmi_topic_name(const pm_kafka_options *options, pm_topic topic, char name[PM_TOPIC_NAME]) {
    static const char *const suffix[PM_N_TOPICS] = {"units", "events", "dead-letters"};
    int n = snprintf(name, PM_TOPIC_NAME, "%s.%s", options->topic_prefix, suffix[topic]);
    if (n < 0) {
        name[0] = '\0';
    }
}

/* Kafka's own rule for names: 249 of these characters. */
static pm_status check_prefix(const char *prefix, pm_error *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(prefix);
    if (n == 0 || n > 200 || strspn(prefix, allowed) != n) {
        return pmi_fail(
            err, PM_ECONFIG,
            "kafka.topic-prefix \"%.220s\" is no name of a topic: 1 to 200 letters, digits, '.', '_' or '-'", prefix);
    }
    return PM_OK;
}

/* Properties that the protocol between our processes stands on, and what to use instead. */
static const struct {
    const char *name, *instead;
} reserved[] = {
    {"bootstrap.servers", "kafka.brokers"},
    {"metadata.broker.list", "kafka.brokers"},
    {"group.id", "kafka.group"},
    {"enable.auto.commit", NULL},
    {"auto.commit.enable", NULL},
    {"enable.auto.offset.store", NULL},
    {"enable.partition.eof", NULL},
    {"auto.offset.reset", NULL},
    {"allow.auto.create.topics", NULL},
    {"enable.idempotence", NULL},
    {"transactional.id", NULL},
    {"acks", NULL},
    {"request.required.acks", NULL},
    {"delivery.timeout.ms", NULL},
    {"message.timeout.ms", NULL},
    {"log.queue", NULL},
};

static pm_status check_reserved(const char *name, pm_error *err) {
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (strcmp(name, reserved[i].name) != 0) {
            continue;
        }
        if (reserved[i].instead != NULL) {
            return pmi_fail(err, PM_EUSAGE, "-X %s cannot be set: use the setting %s", name, reserved[i].instead);
        }
        return pmi_fail(err, PM_EUSAGE, "-X %s cannot be set: phasemill sets it itself, so that no unit is lost", name);
    }
    return PM_OK;
}

static pm_status set_property(rd_kafka_conf_t *conf, const char *name, const char *value, pm_error *err) {
    char words[PM_KAFKA_REASON];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, words, sizeof words);
    if (result == RD_KAFKA_CONF_OK) {
        return PM_OK;
    }
    if (pmi_property_is_secret(name)) { /* the words repeat the value */
        return pmi_fail(err, PM_EUSAGE, "-X %s: librdkafka %s", name,
                        result == RD_KAFKA_CONF_UNKNOWN ? "knows no such property" : "refuses the value (not shown)");
    }
    return pmi_fail(err, PM_EUSAGE, "-X %s: %s", name, words);
}

static pm_status set_all(rd_kafka_conf_t *conf, const pm_property *list, pm_error *err) {
    pm_status st = PM_OK;
    for (; list != NULL && list->name != NULL && st == PM_OK; list++) {
        st = set_property(conf, list->name, list->value, err);
    }
    return st;
}

static pm_status set_users(rd_kafka_conf_t *conf, const pm_kafka_options *options, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; i < options->n_properties && st == PM_OK; i++) {
        const pm_property *p = &options->properties[i];
        st = check_reserved(p->name, err);
        PM_THEN(st, set_property(conf, p->name, p->value, err));
    }
    return st;
}

static pm_status configure(rd_kafka_conf_t *conf, const pm_kafka_options *options, const pm_property *extra,
                           pm_error *err) {
    const pm_property ours[] = {
        {"bootstrap.servers", options->brokers},
        {"client.id", options->client != NULL ? options->client : "phasemill"},
        {"allow.auto.create.topics", "false"}, /* with settings of the broker's choice */
        {"log.queue", "true"},                 /* log lines come from the thread that polls */
        {"socket.nagle.disable", "true"},
        {"socket.keepalive.enable", "true"},
        {"reconnect.backoff.max.ms", "2000"},
        {"statistics.interval.ms", "2000"},
        {NULL, NULL},
    };
    PM_TRY(set_all(conf, ours, err));
    PM_TRY(set_users(conf, options, err));
    return set_all(conf, extra, err);
}

pm_status pmi_kafka_new(const pm_kafka_options *options, rd_kafka_type_t type, const pm_property *extra,
                        rd_kafka_conf_t *prepared, pm_kafka_health *health, rd_kafka_t **out, pm_error *err) {
    *out = NULL;
    rd_kafka_conf_t *conf = prepared != NULL ? prepared : rd_kafka_conf_new();
    pm_status st = check_prefix(options->topic_prefix, err);
    PM_THEN(st, configure(conf, options, extra, err));
    if (st != PM_OK) {
        rd_kafka_conf_destroy(conf);
        return st;
    }
    pmi_kafka_watch(conf, health);
    char words[PM_KAFKA_REASON];
    rd_kafka_t *rk = rd_kafka_new(type, conf, words, sizeof words);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        rd_kafka_resp_err_t code = rd_kafka_last_error();
        if (code == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE) {
            return pmi_fail(err, PM_EOSERR, "librdkafka cannot begin: %s: memory, or threads, may be limited", words);
        }
        return pmi_fail(err, PM_EUSAGE, "librdkafka refuses its properties (-X): %s", words);
    }
    rd_kafka_resp_err_t code = rd_kafka_set_log_queue(rk, NULL);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_destroy(rk);
        return pmi_kafka_fail(err, code, NULL, "log lines of librdkafka");
    }
    *out = rk;
    return PM_OK;
}

pm_status pmi_kafka_reach(rd_kafka_t *rk, const pm_kafka_options *options, pm_kafka_health *health, double seconds,
                          pm_error *err) {
    double until = pmi_seconds() + seconds;
    do {
        const struct rd_kafka_metadata *metadata = NULL;
        rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, NULL, &metadata, 300);
        rd_kafka_poll(rk, 0);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_metadata_destroy(metadata);
            pmi_kafka_is_back(health);
            return PM_OK;
        }
        PM_TRY(pmi_kafka_check(health, err));
        if (code == RD_KAFKA_RESP_ERR__TRANSPORT) {
            rd_kafka_poll(rk, 100); /* no broker is up: metadata returns at once */
        }
    } while (pmi_seconds() < until);
    const char *words = health->last[0] != '\0' ? health->last : "no connection yet";
    return pmi_fail(err, PM_EUNAVAILABLE, "no broker of Kafka answered at %s within %.3g s: %s; check kafka.brokers",
                    options->brokers, seconds, words);
}
