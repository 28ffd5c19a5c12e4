#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/retry.h"
#include "kafka/kafka.h"

/* ---- where partitions begin and end -------------------------------------------------------------------- */

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

/* ---- what topics should be ----------------------------------------------------------------------------- */

#define REQUEST_TIMEOUT 5000 /* ms */

static void add_rule(pm_topic_rule *rules, size_t *n, const char *name, pm_topic_rule_kind kind, const char *value) {
    pm_topic_rule *rule = &rules[(*n)++];
    rule->name = name;
    rule->kind = kind;
    snprintf(rule->value, sizeof rule->value, "%s", value);
}

static void add_number(pm_topic_rule *rules, size_t *n, const char *name, pm_topic_rule_kind kind, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    add_rule(rules, n, name, kind, text);
}

size_t pmi_topic_rules(const pm_kafka_options *options, pm_topic topic, pm_topic_rule rules[PM_TOPIC_RULES]) {
    size_t n = 0;
    add_rule(rules, &n, "cleanup.policy", PM_TOPIC_EXACT, topic == PM_TOPIC_DEAD ? "compact" : "delete");
    add_number(rules, &n, "max.message.bytes", PM_TOPIC_AT_LEAST,
               topic == PM_TOPIC_DEAD ? PM_KAFKA_DEAD_BYTES : PM_KAFKA_MESSAGE_BYTES);
    if (topic == PM_TOPIC_UNITS) {
        /* shorter loses units that wait; longer outlives what they refer to in Redis */
        add_number(rules, &n, "retention.ms", PM_TOPIC_EXACT, (uint64_t)options->retention_hours * 3600000);
        add_rule(rules, &n, "retention.bytes", PM_TOPIC_EXACT, "-1");
    } else if (topic == PM_TOPIC_EVENTS) {
        add_number(rules, &n, "retention.ms", PM_TOPIC_AT_LEAST, 24 * 3600000);
    }
    return n;
}

pm_status pmi_topic_check_shape(const pm_kafka_options *options, pm_topic topic, const pm_topic_view *view,
                                pm_error *err) {
    size_t partitions = topic == PM_TOPIC_UNITS ? options->partitions : 1;
    if (view->partitions < partitions) {
        return pmi_fail(err, PM_ECONFIG,
                        "topic %s has %zu partitions, expected at least %zu: add some (kafka-topics.sh --alter "
                        "--partitions %zu), or set kafka.partitions to what it has",
                        view->name, view->partitions, partitions, partitions);
    }
    if (topic != PM_TOPIC_UNITS && view->partitions != 1) {
        return pmi_fail(err, PM_ECONFIG, "topic %s has %zu partitions, expected 1: make it anew", view->name,
                        view->partitions);
    }
    if (view->replicas < options->replication) {
        return pmi_fail(
            err, PM_ECONFIG,
            "topic %s has %zu replicas, expected at least %zu: add replicas (kafka-reassign-partitions.sh), "
            "or set kafka.replication to what it has",
            view->name, view->replicas, options->replication);
    }
    return PM_OK;
}

static bool rule_holds(const pm_topic_rule *rule, const char *found) {
    if (rule->kind == PM_TOPIC_EXACT) {
        return strcmp(rule->value, found) == 0;
    }
    long long value = strtoll(found, NULL, 10);
    return value == -1 || value >= strtoll(rule->value, NULL, 10); /* -1: no limit */
}

static const char *found_value(const rd_kafka_ConfigEntry_t **entries, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) == 0) {
            return rd_kafka_ConfigEntry_value(entries[i]);
        }
    }
    return NULL;
}

static pm_status check_insync(const pm_topic_view *view, const char *found, pm_error *err) {
    if (found != NULL && strtoll(found, NULL, 10) > (long long)view->replicas) {
        return pmi_fail(err, PM_ECONFIG,
                        "topic %s: min.insync.replicas is %s, expected at most its %zu replicas: nothing could be sent",
                        view->name, found, view->replicas);
    }
    return PM_OK;
}

static pm_status check_entries(const pm_kafka_options *options, pm_topic topic, const pm_topic_view *view,
                               const rd_kafka_ConfigEntry_t **entries, size_t n, pm_error *err) {
    pm_topic_rule rules[PM_TOPIC_RULES];
    size_t n_rules = pmi_topic_rules(options, topic, rules);
    for (size_t i = 0; i < n_rules; i++) {
        const char *found = found_value(entries, n, rules[i].name);
        if (found != NULL && !rule_holds(&rules[i], found)) {
            return pmi_fail(err, PM_ECONFIG,
                            "topic %s: %s is %s, expected %s%s: change it (kafka-configs.sh --alter)%s", view->name,
                            rules[i].name, found, rules[i].kind == PM_TOPIC_AT_LEAST ? "at least " : "", rules[i].value,
                            strcmp(rules[i].name, "retention.ms") == 0 && topic == PM_TOPIC_UNITS
                                ? ", or set kafka.retention-hours to it"
                                : "");
        }
    }
    return check_insync(view, found_value(entries, n, "min.insync.replicas"), err);
}

static pm_status check_resource(const pm_kafka_options *options, const pm_topic_view *views,
                                const rd_kafka_ConfigResource_t *resource, const pm_log *log, pm_error *err) {
    const char *name = rd_kafka_ConfigResource_name(resource);
    rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resource);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char *words = rd_kafka_ConfigResource_error_string(resource);
        pmi_logf(log, PM_LOG_WARNING, "the settings of topic %s could not be checked: %s", name,
                 words != NULL ? words : rd_kafka_err2str(code));
        return PM_OK;
    }
    size_t n = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &n);
    for (int t = 0; t < PM_N_TOPICS; t++) {
        if (strcmp(name, views[t].name) == 0) {
            return check_entries(options, (pm_topic)t, &views[t], entries, n, err);
        }
    }
    return PM_OK;
}

static pm_status answer_error(const rd_kafka_event_t *event, const char *what, pm_error *err) {
    if (event == NULL) {
        return pmi_fail(err, PM_ETEMPORARY, "%s: Kafka did not answer within %d s", what, 2 * REQUEST_TIMEOUT / 1000);
    }
    rd_kafka_event_t *mine = (rd_kafka_event_t *)(uintptr_t)event;
    rd_kafka_resp_err_t code = rd_kafka_event_error(mine);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? PM_OK
               : pmi_kafka_fail(err, code, rd_kafka_event_error_string(mine), "%s", what);
}

/* A request to the admin interface. End with admin_end, also after a failure. */
typedef struct admin {
    rd_kafka_AdminOptions_t *how;
    rd_kafka_queue_t *answers;
    rd_kafka_event_t *event; /* NULL: no answer in time */
} admin;

static pm_status admin_begin(rd_kafka_t *rk, rd_kafka_admin_op_t op, const char *what, admin *out, pm_error *err) {
    char words[PM_KAFKA_REASON];
    *out = (admin){.how = rd_kafka_AdminOptions_new(rk, op), .answers = rd_kafka_queue_new(rk)};
    return out->how != NULL && rd_kafka_AdminOptions_set_request_timeout(out->how, REQUEST_TIMEOUT, words,
                                                                         sizeof words) == RD_KAFKA_RESP_ERR_NO_ERROR
               ? PM_OK
               : pmi_fail(err, PM_ESOFTWARE, "librdkafka refuses to %s", what);
}

static void admin_wait(admin *a) {
    a->event = rd_kafka_queue_poll(a->answers, 2 * REQUEST_TIMEOUT);
}

static void admin_end(admin *a) {
    if (a->event != NULL) {
        rd_kafka_event_destroy(a->event);
    }
    rd_kafka_queue_destroy(a->answers);
    if (a->how != NULL) {
        rd_kafka_AdminOptions_destroy(a->how);
    }
}

static pm_status check_answer(const pm_kafka_options *options, const pm_topic_view *views, rd_kafka_event_t *event,
                              const pm_log *log, pm_error *err) {
    pm_error failure;
    pm_status st = answer_error(event, "the settings of the topics could not be checked", &failure);
    if (st != PM_OK) { /* some brokers do not let one ask */
        pmi_logf(log, PM_LOG_WARNING, "%s", failure.text);
        return PM_OK;
    }
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t n = 0;
    const rd_kafka_ConfigResource_t **resources =
        result == NULL ? NULL : rd_kafka_DescribeConfigs_result_resources(result, &n);
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        st = check_resource(options, views, resources[i], log, err);
    }
    return st;
}

static pm_status check_settings(rd_kafka_t *rk, const pm_kafka_options *options, const pm_topic_view views[PM_N_TOPICS],
                                const pm_log *log, pm_error *err) {
    admin a;
    rd_kafka_ConfigResource_t *resources[PM_N_TOPICS];
    for (int t = 0; t < PM_N_TOPICS; t++) {
        resources[t] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, views[t].name);
    }
    pm_status st = admin_begin(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, "ask for the settings of topics", &a, err);
    if (st == PM_OK) {
        rd_kafka_DescribeConfigs(rk, resources, PM_N_TOPICS, a.how, a.answers);
        admin_wait(&a);
        st = check_answer(options, views, a.event, log, err);
    }
    admin_end(&a);
    rd_kafka_ConfigResource_destroy_array(resources, PM_N_TOPICS);
    return st;
}

/* ---- making them --------------------------------------------------------------------------------------- */

#define PATIENCE 30.0    /* seconds */
#define REGISTRATION 5.0 /* seconds that brokers which start together may take to know each other */

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
        /* the broker's clock: a machine whose own is wrong is not refused */
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
    PM_TRY(answer_error(event, "making topics", err));
    const rd_kafka_CreateTopics_result_t *result =
        rd_kafka_event_CreateTopics_result((rd_kafka_event_t *)(uintptr_t)event);
    size_t n = 0;
    const rd_kafka_topic_result_t **topics = result == NULL ? NULL : rd_kafka_CreateTopics_result_topics(result, &n);
    for (size_t i = 0; i < n; i++) {
        PM_TRY(judge_creation(topics[i], is_early, err));
        if (rd_kafka_topic_result_error(topics[i]) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            pmi_logf(log, PM_LOG_INFO, "made topic %s", rd_kafka_topic_result_name(topics[i]));
        }
    }
    return PM_OK;
}

static pm_status request_creation(rd_kafka_t *rk, rd_kafka_NewTopic_t **topics, size_t n, bool is_early,
                                  const pm_log *log, pm_error *err) {
    admin a;
    pm_status st = admin_begin(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS, "make topics", &a, err);
    if (st == PM_OK) {
        rd_kafka_CreateTopics(rk, topics, n, a.how, a.answers);
        admin_wait(&a);
        st = read_creation(a.event, is_early, log, err);
    }
    admin_end(&a);
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
    for (int t = 0; t < PM_N_TOPICS; t++) {
        PM_TRY(pmi_topic_look(rk, &views[t], err));
        *is_missing = *is_missing || !views[t].exists;
    }
    for (int t = 0; t < PM_N_TOPICS; t++) {
        PM_TRY(views[t].exists ? PM_OK : pmi_fail(err, PM_EUNAVAILABLE, "topic %s does not exist", views[t].name));
        PM_TRY(views[t].has_leaders
                   ? PM_OK
                   : pmi_fail(err, PM_ETEMPORARY, "a partition of topic %s has no leader", views[t].name));
    }
    return PM_OK;
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
        PM_TRY(pmi_kafka_check(health, err));
        if (!pmi_is_transient(st) || pmi_seconds() - begin > PATIENCE) {
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
    if (is_missing && pmi_is_transient(st)) {
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
    PM_TRY(settle(rk, options, check_only, views, log, err));
    for (int t = 0; t < PM_N_TOPICS; t++) {
        PM_TRY(pmi_topic_check_shape(options, (pm_topic)t, &views[t], err));
    }
    PM_TRY(check_settings(rk, options, views, log, err));
    *n_partitions = views[PM_TOPIC_UNITS].partitions;
    return PM_OK;
}
