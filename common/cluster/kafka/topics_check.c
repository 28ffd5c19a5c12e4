#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/fault.h"
#include "kafka/topics.h"

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

static pm_status check_answer(const pm_kafka_options *options, const pm_topic_view *views, rd_kafka_event_t *event,
                              const pm_log *log, pm_error *err) {
    pm_error failure;
    pm_status st = pmi_admin_event_error(event, "the settings of the topics could not be checked", &failure);
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

pm_status pmi_topics_check_settings(rd_kafka_t *rk, const pm_kafka_options *options,
                                    const pm_topic_view views[PM_N_TOPICS], const pm_log *log, pm_error *err) {
    char words[PM_KAFKA_REASON];
    rd_kafka_ConfigResource_t *resources[PM_N_TOPICS];
    for (int t = 0; t < PM_N_TOPICS; t++) {
        resources[t] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, views[t].name);
    }
    rd_kafka_AdminOptions_t *how = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *answers = rd_kafka_queue_new(rk);
    pm_status st = PM_OK;
    if (how == NULL || rd_kafka_AdminOptions_set_request_timeout(how, REQUEST_TIMEOUT, words, sizeof words) !=
                           RD_KAFKA_RESP_ERR_NO_ERROR) {
        st = pmi_fail(err, PM_ESOFTWARE, "librdkafka refuses to ask for the settings of topics");
    } else {
        rd_kafka_DescribeConfigs(rk, resources, PM_N_TOPICS, how, answers);
        rd_kafka_event_t *event = rd_kafka_queue_poll(answers, 2 * REQUEST_TIMEOUT);
        st = check_answer(options, views, event, log, err);
        if (event != NULL) {
            rd_kafka_event_destroy(event);
        }
    }
    rd_kafka_queue_destroy(answers);
    if (how != NULL) {
        rd_kafka_AdminOptions_destroy(how);
    }
    rd_kafka_ConfigResource_destroy_array(resources, PM_N_TOPICS);
    return st;
}
