#include "kafka/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

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

/* Of properties that we set: one set is given to producers and to consumers, and a reader outside of groups needs the
 * property that consumers in groups should not use. */
static bool is_of_our_own(const char *text) {
    static const char *const words[] = {"will be ignored by this", "auto.commit.enable is deprecated", NULL};
    return contains_any(text, words);
}

/* Lines about lost connections repeat with every attempt and come as errors of the handle too; what is worth a line of
 * ours is said there. */
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

void pmi_kafka_watch(rd_kafka_conf_t *conf, pm_kafka_health *health) {
    rd_kafka_conf_set_opaque(conf, health);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    rd_kafka_conf_set_log_cb(conf, on_log);
}
