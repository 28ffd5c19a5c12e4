#include "kafka/kafka.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "base/clock.h"

/* ---- faults -------------------------------------------------------------------------------------------- */

pm_status pmi_kafka_status(rd_kafka_resp_err_t code) {
    switch ((int)code) { /* librdkafka knows codes by the hundred: these are the ones that say more than "again" */
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return PM_OK;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return PM_EPERMISSION;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return PM_EDATA;
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
        return PM_ECONFIG;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return PM_EUNAVAILABLE;
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__CONFLICT:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
        return PM_ESOFTWARE;
    default:
        return PM_ETEMPORARY;
    }
}

pm_status pmi_kafka_fail(pm_error *err, rd_kafka_resp_err_t code, const char *reason, const char *what, ...) {
    char text[PM_ERROR_TEXT];
    va_list args;
    va_start(args, what);
    int n = vsnprintf(text, sizeof text, what, args);
    va_end(args);
    const char *words = reason != NULL && reason[0] != '\0' ? reason : rd_kafka_err2str(code);
    pm_status st = pmi_kafka_status(code);
    return pmi_fail(err, st == PM_OK ? PM_ESOFTWARE : st, "%s: %s", n < 0 ? "Kafka" : text, words);
}

static bool contains_any(const char *text, const char *const *words) {
    for (; text != NULL && *words != NULL; words++) {
        if (strstr(text, *words) != NULL) {
            return true;
        }
    }
    return false;
}

bool pmi_kafka_is_refusal(rd_kafka_resp_err_t code, const char *reason) {
    /* librdkafka says "authentication" also of a connection that broke while it logged in, and "SSL" of one that broke
     * during the handshake: brokers that stop and start do that, and then asking again helps */
    static const char *const broken[] = {"Local: ", "Disconnected", NULL};
    static const char *const tls[] = {"certificate", "alert", "wrong version", "no shared cipher", "unsupported", NULL};
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
        return !contains_any(reason, broken);
    }
    if (code == RD_KAFKA_RESP_ERR__SSL) {
        return contains_any(reason, tls);
    }
    return pmi_kafka_status(code) == PM_EPERMISSION;
}

static void note_fatal(pm_kafka_health *health, rd_kafka_t *rk) {
    char words[PM_KAFKA_REASON];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(rk, words, sizeof words);
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        pmi_fail(&health->fatal, PM_ECONFIG,
                 "another client took over this one's group.instance.id (%s): give each worker its own", words);
    } else if (pmi_kafka_status(code) == PM_EPERMISSION) {
        pmi_fail(&health->fatal, PM_EPERMISSION, "Kafka refused: %s", words);
    } else {
        pmi_fail(&health->fatal, PM_ESOFTWARE, "librdkafka gave up: %s: %s", rd_kafka_err2name(code), words);
    }
}

void pmi_kafka_note(pm_kafka_health *health, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *reason) {
    const char *words = reason != NULL ? reason : rd_kafka_err2str(code);
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        note_fatal(health, rk);
    } else if (pmi_kafka_is_refusal(code, words)) {
        pmi_fail(&health->fatal, PM_EPERMISSION,
                 "Kafka refused: %s: %s; check the credentials (sasl.*, ssl.*) and the rights of this user",
                 rd_kafka_err2name(code), words);
    } else if (pmi_kafka_status(code) == PM_ECONFIG) {
        pmi_fail(&health->fatal, PM_ECONFIG, "Kafka refused: %s: %s", rd_kafka_err2name(code), words);
    } else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        if (!health->is_away) {
            pmi_logf(health->log, PM_LOG_WARNING, "Kafka is away: %s%s%s%s", words, health->last[0] ? " (" : "",
                     health->last, health->last[0] ? ")" : "");
        }
        health->is_away = true;
    } else {
        if (pmi_kafka_status(code) == PM_EUNAVAILABLE && snprintf(health->last, sizeof health->last, "%s", words) < 0) {
            health->last[0] = '\0';
        }
        pmi_logf(health->log, PM_LOG_DEBUG, "Kafka: %s: %s", rd_kafka_err2name(code), words);
    }
}

pm_status pmi_kafka_check(const pm_kafka_health *health, pm_error *err) {
    if (health->fatal.code == PM_OK) {
        return PM_OK;
    }
    return pmi_fail(err, health->fatal.code, "%s", health->fatal.text);
}

void pmi_kafka_is_back(pm_kafka_health *health) {
    if (health->is_away) {
        pmi_logf(health->log, PM_LOG_INFO, "Kafka is back");
    }
    health->is_away = false;
    health->last[0] = '\0';
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    pmi_kafka_note(opaque, rk, (rd_kafka_resp_err_t)code, reason);
}

/* librdkafka tells when brokers go, and by statistics alone when they come. */
static int on_statistics(rd_kafka_t *rk, char *json, size_t n, void *opaque) {
    (void)rk, (void)n;
    pm_kafka_health *health = opaque;
    if (health->is_away && strstr(json, "\"state\":\"UP\"") != NULL) {
        pmi_kafka_is_back(health);
    }
    return 0; /* librdkafka frees it */
}

/* About properties that we set: producers and consumers get one set, a reader outside of groups its own. */
static bool is_of_our_own(const char *text) {
    static const char *const words[] = {"will be ignored by this", "auto.commit.enable is deprecated", NULL};
    return contains_any(text, words);
}

/* Lines about lost connections come as errors of the handle too, where what is worth a line of ours is said. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
    const pm_kafka_health *health = rd_kafka_opaque(rk);
    pm_log_level ours = PM_LOG_DEBUG;
    if (level <= LOG_CRIT) {
        ours = PM_LOG_ERROR;
    } else if (strcmp(facility, "CONFWARN") == 0 && !is_of_our_own(text)) {
        ours = PM_LOG_WARNING;
    } else if (strcmp(facility, "MAXPOLL") == 0) {
        ours = PM_LOG_WARNING;
    }
    pmi_logf(health->log, ours, "librdkafka: %s: %s", facility, text);
}

/* ---- properties ---------------------------------------------------------------------------------------- */

bool pmi_property_is_secret(const char *name) {
    static const char *const parts[] = {"password", "secret", "key.pem", "oauthbearer.config", "kinit.cmd"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcasestr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

void pmi_properties_list(pm_property_visit visit, void *ctx) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL) {
        return;
    }
    rd_kafka_conf_properties_show(file);
    if (fclose(file) == 0) {
        visit(ctx, text);
    }
    free(text);
}

/* ---- handles ------------------------------------------------------------------------------------------- */

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
    for (; list != NULL && list->name != NULL; list++) {
        PM_TRY(set_property(conf, list->name, list->value, err));
    }
    return PM_OK;
}

pm_status pmi_kafka_prepare(const pm_property *defaults, rd_kafka_conf_t **out, pm_error *err) {
    *out = rd_kafka_conf_new();
    pm_status st = set_all(*out, defaults, err);
    if (st != PM_OK) {
        rd_kafka_conf_destroy(*out);
        *out = NULL;
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
    for (size_t i = 0; i < options->n_properties; i++) {
        const pm_property *p = &options->properties[i];
        PM_TRY(check_reserved(p->name, err));
        PM_TRY(set_property(conf, p->name, p->value, err));
    }
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
    rd_kafka_conf_set_opaque(conf, health);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    rd_kafka_conf_set_log_cb(conf, on_log);
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

/* ---- the end of a handle, which may not come ----------------------------------------------------------- */

typedef struct ending {
    rd_kafka_t *rk;
    int flags;
} ending;

static void *destroy(void *argument) {
    const ending e = *(ending *)argument;
    free(argument);
    rd_kafka_destroy_flags(e.rk, e.flags);
    return NULL;
}

static bool begin(rd_kafka_t *rk, int flags, pthread_t *thread) {
    ending *e = pmi_malloc(1, sizeof *e);
    if (e == NULL) {
        return false;
    }
    *e = (ending){rk, flags};
    bool has_begun = pthread_create(thread, NULL, destroy, e) == 0;
    if (!has_begun) {
        free(e);
    }
    return has_begun;
}

bool pmi_kafka_destroy(rd_kafka_t *rk, int flags, double seconds, const pm_log *log) {
    double until = pmi_seconds() + seconds;
    pthread_t thread;
    bool has_begun = begin(rk, flags, &thread), is_over = has_begun && pthread_tryjoin_np(thread, NULL) == 0;
    while (has_begun && !is_over && pmi_seconds() < until) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        is_over = pthread_tryjoin_np(thread, NULL) == 0;
    }
    if (!is_over) {
        pmi_logf(log, PM_LOG_DEBUG, "librdkafka did not end a handle within %.3g s: it is left behind", seconds);
    }
    if (has_begun && !is_over) {
        pthread_detach(thread);
    }
    return is_over;
}
