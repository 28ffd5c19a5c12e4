#include "kafka/topics.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "kafka/fault.h"

#define PATIENCE 30.0        /* seconds */
#define REGISTRATION 5.0     /* seconds that brokers which start together may take to know each other */
#define REQUEST_TIMEOUT 5000 /* ms */

static void view_topic(const struct rd_kafka_metadata_topic *t, pm_topic_view *view) {
    view->exists = t->err == RD_KAFKA_RESP_ERR_NO_ERROR && t->partition_cnt > 0;
    view->has_leaders = view->exists;
    view->partitions = t->partition_cnt > 0 ? (size_t)t->partition_cnt : 0;
    view->replicas = SIZE_MAX;
    for (int i = 0; i < t->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *p = &t->partitions[i];
        size_t replicas = p->replica_cnt > 0 ? (size_t)p->replica_cnt : 0;
        view->has_leaders = view->has_leaders && p->leader >= 0;
        view->replicas = replicas < view->replicas ? replicas : view->replicas;
    }
}

pm_status pmi_topic_look(rd_kafka_t *rk, pm_topic_view *view, pm_error *err) {
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, view->name, NULL);
    if (topic == NULL) {
        return pmi_kafka_fail(err, rd_kafka_last_error(), NULL, "topic %s", view->name);
    }
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, topic, &metadata, REQUEST_TIMEOUT);
    rd_kafka_topic_destroy(topic);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return pmi_kafka_fail(err, code, NULL, "asking Kafka for topic %s", view->name);
    }
    pm_status st = PM_OK;
    if (metadata->topic_cnt != 1) {
        st = pmi_fail(err, PM_ETEMPORARY, "asking Kafka for topic %s: %d topics in the answer", view->name,
                      metadata->topic_cnt);
    } else if (pmi_kafka_is_refusal(metadata->topics[0].err, NULL)) {
        st = pmi_kafka_fail(err, metadata->topics[0].err, NULL, "topic %s", view->name);
    } else {
        view_topic(&metadata->topics[0], view);
    }
    rd_kafka_metadata_destroy(metadata);
    return st;
}

static pm_status fill_topic(rd_kafka_NewTopic_t *topic, const pm_kafka_options *options, pm_topic which,
                            pm_error *err) {
    pm_topic_rule rules[PM_TOPIC_RULES];
    size_t n = pmi_topic_rules(options, which, rules);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (size_t i = 0; i < n && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        code = rd_kafka_NewTopic_set_config(topic, rules[i].name, rules[i].value);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        /* the broker's clock: a machine whose own is wrong is not refused, and its messages are kept as long as others
         */
        code = rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && options->replication >= 3) {
        /* an acknowledged unit then survives the loss of any one broker */
        code = rd_kafka_NewTopic_set_config(topic, "min.insync.replicas", "2");
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? PM_OK : pmi_kafka_fail(err, code, NULL, "the settings of a new topic");
}

static pm_status describe_topic(const pm_kafka_options *options, pm_topic which, const char *name,
                                rd_kafka_NewTopic_t **out, pm_error *err) {
    char words[PM_KAFKA_REASON];
    size_t partitions = which == PM_TOPIC_UNITS ? options->partitions : 1;
    int replication = options->replication == 0 ? -1 : (int)options->replication;
    *out = rd_kafka_NewTopic_new(name, (int)partitions, replication, words, sizeof words);
    if (*out == NULL) {
        return pmi_fail(err, PM_ECONFIG, "topic %s with %zu partitions and %d replicas: %s", name, partitions,
                        replication, words);
    }
    pm_status st = fill_topic(*out, options, which, err);
    if (st != PM_OK) {
        rd_kafka_NewTopic_destroy(*out);
        *out = NULL;
    }
    return st;
}

pm_status pmi_admin_event_error(const rd_kafka_event_t *event, const char *what, pm_error *err) {
    if (event == NULL) {
        return pmi_fail(err, PM_ETEMPORARY, "%s: Kafka did not answer within %d s", what, 2 * REQUEST_TIMEOUT / 1000);
    }
    rd_kafka_event_t *mine = (rd_kafka_event_t *)(uintptr_t)event;
    rd_kafka_resp_err_t code = rd_kafka_event_error(mine);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? PM_OK
               : pmi_kafka_fail(err, code, rd_kafka_event_error_string(mine), "%s", what);
}

/* A refusal that the same again does not change is PM_ECONFIG or PM_EPERMISSION. */
static pm_status judge_creation(const rd_kafka_topic_result_t *result, bool is_early, pm_error *err) {
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result);
    const char *words = rd_kafka_topic_result_error_string(result);
    const char *name = rd_kafka_topic_result_name(result);
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: /* another producer was faster */
        return PM_OK;
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
        return pmi_fail(err, is_early ? PM_ETEMPORARY : PM_ECONFIG,
                        "topic %s cannot be made: %s; see kafka.replication", name, words);
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return pmi_fail(err, PM_ECONFIG, "topic %s cannot be made: %s: %s", name, rd_kafka_err2name(code), words);
    default:
        return pmi_kafka_fail(err, code, words, "topic %s cannot be made", name);
    }
}

static pm_status read_creation(const rd_kafka_event_t *event, bool is_early, const pm_log *log, pm_error *err) {
    pm_status st = pmi_admin_event_error(event, "making topics", err);
    PM_TRY(st);
    const rd_kafka_CreateTopics_result_t *result =
        rd_kafka_event_CreateTopics_result((rd_kafka_event_t *)(uintptr_t)event);
    size_t n = 0;
    const rd_kafka_topic_result_t **topics = result == NULL ? NULL : rd_kafka_CreateTopics_result_topics(result, &n);
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        st = judge_creation(topics[i], is_early, err);
        if (st == PM_OK && rd_kafka_topic_result_error(topics[i]) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            pmi_logf(log, PM_LOG_INFO, "made topic %s", rd_kafka_topic_result_name(topics[i]));
        }
    }
    return st;
}

static pm_status request_creation(rd_kafka_t *rk, rd_kafka_NewTopic_t **topics, size_t n, bool is_early,
                                  const pm_log *log, pm_error *err) {
    char words[PM_KAFKA_REASON];
    rd_kafka_AdminOptions_t *how = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(rk);
    pm_status st = PM_OK;
    if (how == NULL || rd_kafka_AdminOptions_set_request_timeout(how, REQUEST_TIMEOUT, words, sizeof words) !=
                           RD_KAFKA_RESP_ERR_NO_ERROR) {
        st = pmi_fail(err, PM_ESOFTWARE, "librdkafka refuses to make topics");
    } else {
        rd_kafka_CreateTopics(rk, topics, n, how, answers);
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, 2 * REQUEST_TIMEOUT);
        st = read_creation(event, is_early, log, err);
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

static pm_status create_missing(rd_kafka_t *rk, const pm_kafka_options *options, const pm_topic_view *views,
                                bool is_early, const pm_log *log, pm_error *err) {
    rd_kafka_NewTopic_t *topics[PM_N_TOPICS];
    size_t n = 0;
    pm_status st = PM_OK;
    for (int t = 0; t < PM_N_TOPICS && st == PM_OK; t++) {
        if (!views[t].exists) {
            st = describe_topic(options, (pm_topic)t, views[t].name, &topics[n], err);
            n += st == PM_OK;
        }
    }
    if (st == PM_OK && n > 0) {
        st = request_creation(rk, topics, n, is_early, log, err);
    }
    rd_kafka_NewTopic_destroy_array(topics, n);
    return st;
}

/* One look at all topics: PM_OK when each exists and has leaders; PM_ETEMPORARY when that may come. */
static pm_status look_at_all(rd_kafka_t *rk, pm_topic_view *views, bool *is_missing, pm_error *err) {
    *is_missing = false;
    pm_status st = PM_OK;
    for (int t = 0; t < PM_N_TOPICS && st == PM_OK; t++) {
        st = pmi_topic_look(rk, &views[t], err);
        *is_missing = *is_missing || (st == PM_OK && !views[t].exists);
    }
    for (int t = 0; t < PM_N_TOPICS && st == PM_OK; t++) {
        if (!views[t].exists) {
            st = pmi_fail(err, PM_EUNAVAILABLE, "topic %s does not exist", views[t].name);
        } else if (!views[t].has_leaders) {
            st = pmi_fail(err, PM_ETEMPORARY, "a partition of topic %s has no leader", views[t].name);
        }
    }
    return st;
}

static bool is_passing(pm_status st) {
    return st == PM_ETEMPORARY || st == PM_EUNAVAILABLE;
}

static pm_status settle(rd_kafka_t *rk, const pm_kafka_options *options, bool check_only, pm_topic_view *views,
                        const pm_log *log, pm_error *err) {
    const pm_kafka_health *health = rd_kafka_opaque(rk);
    double begin = pmi_seconds();
    for (;;) {
        bool is_missing;
        pm_status st = look_at_all(rk, views, &is_missing, err);
        if (st == PM_OK || (check_only && is_missing)) {
            return st;
        }
        if (is_missing) {
            pm_status made = create_missing(rk, options, views, pmi_seconds() - begin < REGISTRATION, log, err);
            st = made != PM_OK ? made : st;
        }
        rd_kafka_poll(rk, 0);
        pm_error fatal;
        if (pmi_kafka_check(health, &fatal) != PM_OK) {
            return pmi_fail(err, fatal.code, "%s", fatal.text);
        }
        if (!is_passing(st) || pmi_seconds() - begin > PATIENCE) {
            return st;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

pm_status pmi_topics_mend(rd_kafka_t *rk, const pm_kafka_options *options, const pm_log *log, size_t *n_partitions,
                          pm_error *err) {
    pm_topic_view views[PM_N_TOPICS] = {0};
    bool is_missing;
    for (int t = 0; t < PM_N_TOPICS; t++) {
        pmi_topic_name(options, (pm_topic)t, views[t].name);
    }
    pm_status st = look_at_all(rk, views, &is_missing, err);
    if (is_missing && is_passing(st)) {
        pmi_logf(log, PM_LOG_WARNING, "%s: it was deleted; it is made again", err->text);
        st = create_missing(rk, options, views, false, log, err);
        PM_THEN(st, look_at_all(rk, views, &is_missing, err));
    }
    *n_partitions = st == PM_OK ? views[PM_TOPIC_UNITS].partitions : 0;
    return st;
}

pm_status pmi_topics_ensure(rd_kafka_t *rk, const pm_kafka_options *options, bool check_only, const pm_log *log,
                            size_t *n_partitions, pm_error *err) {
    pm_topic_view views[PM_N_TOPICS] = {0};
    for (int t = 0; t < PM_N_TOPICS; t++) {
        pmi_topic_name(options, (pm_topic)t, views[t].name);
    }
    pm_status st = settle(rk, options, check_only, views, log, err);
    for (int t = 0; t < PM_N_TOPICS && st == PM_OK; t++) {
        st = pmi_topic_check_shape(options, (pm_topic)t, &views[t], err);
    }
    PM_TRY(st);
    PM_TRY(pmi_topics_check_settings(rk, options, views, log, err));
    *n_partitions = views[PM_TOPIC_UNITS].partitions;
    return PM_OK;
}
