/* What our topics should be, and what they are. For the files of this folder. */
#ifndef PM_KAFKA_TOPICS_H
#define PM_KAFKA_TOPICS_H

#include "kafka/kafka.h"

typedef struct pm_topic_view {
    char name[PM_TOPIC_NAME];
    bool exists, has_leaders;
    size_t partitions, replicas; /* replicas: of the partition that has fewest */
} pm_topic_view;

/* Asks the brokers for view->name; a topic that does not exist is PM_OK. */
pm_status pmi_topic_look(rd_kafka_t *rk, pm_topic_view *view, pm_error *err);

/* The first (`is_end` false) or one past the last offsets of partitions `first` .. `first + n - 1`, asked of their
 * leaders together, within `ms` milliseconds. */
pm_status pmi_topic_ends(rd_kafka_t *rk, const char *topic, size_t first, size_t n, bool is_end, int ms,
                         int64_t *offsets, pm_error *err);

typedef enum pm_topic_rule_kind { PM_TOPIC_EXACT, PM_TOPIC_AT_LEAST } pm_topic_rule_kind;

/* A setting of a topic; `value` is a word or a number. */
typedef struct pm_topic_rule {
    const char *name;
    pm_topic_rule_kind kind;
    char value[24];
} pm_topic_rule;
#define PM_TOPIC_RULES 5

/* The settings that a topic is made with, and must have; returns how many. */
size_t pmi_topic_rules(const pm_kafka_options *options, pm_topic topic, pm_topic_rule rules[PM_TOPIC_RULES]);

/* Partitions and replicas. */
pm_status pmi_topic_check_shape(const pm_kafka_options *options, pm_topic topic, const pm_topic_view *view,
                                pm_error *err);
/* Asks the brokers for the settings of all topics. */
pm_status pmi_topics_check_settings(rd_kafka_t *rk, const pm_kafka_options *options,
                                    const pm_topic_view views[PM_N_TOPICS], const pm_log *log, pm_error *err);

/* The error of an answer of the admin interface, or PM_OK. Frees neither. */
pm_status pmi_admin_event_error(const rd_kafka_event_t *event, const char *what, pm_error *err);

#endif
