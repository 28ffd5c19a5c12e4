/* Handles on Kafka: configuration, faults, topics.
 *
 * librdkafka connects again by itself; what is left to us is to tell what will pass from what will not, in seconds, and
 * to say so once. */
#ifndef PM_KAFKA_KAFKA_H
#define PM_KAFKA_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "base/log.h"
#include "wire/message.h"

typedef struct pm_property {
    const char *name, *value; /* librdkafka's, as in -X name=value */
} pm_property;

/* Texts and properties must outlive every handle that was opened with them. */
typedef struct pm_kafka_options {
    const char *brokers;            /* "host:port,host:port" */
    const char *topic_prefix;       /* topics are PREFIX.units, PREFIX.events, PREFIX.dead-letters */
    const char *group;              /* of the workers */
    size_t partitions, replication; /* of the units topic, of all topics (0: the brokers' default) */
    size_t retention_hours;
    const pm_property *properties; /* the user's; they win over ours, but for those that the protocol stands on */
    size_t n_properties;
    const char *client; /* unique: "HOST-PID-..." */
} pm_kafka_options;

typedef enum pm_topic { PM_TOPIC_UNITS, PM_TOPIC_EVENTS, PM_TOPIC_DEAD, PM_N_TOPICS } pm_topic;

/* "PREFIX.units" into `name` (of PM_TOPIC_NAME bytes). */
#define PM_TOPIC_NAME 256
void pmi_topic_name(const pm_kafka_options *options, pm_topic topic, char name[PM_TOPIC_NAME]);

/* The faults of one handle, gathered by librdkafka's callbacks, which run inside the calls that poll the handle. */
#define PM_KAFKA_REASON 512
typedef struct pm_kafka_health {
    const pm_log *log;
    bool is_away;   /* all brokers down; logged once, and once when they are back */
    pm_error fatal; /* refused SASL, TLS or authorisation, or librdkafka's fatal error: PM_EPERMISSION, PM_ESOFTWARE */
    char last[PM_KAFKA_REASON]; /* what the last lost connection died of; "" */
} pm_kafka_health;

/* The `prepared` of pmi_kafka_new with defaults that the user may change; `defaults` ends with name NULL. */
pm_status pmi_kafka_prepare(const pm_property *defaults, rd_kafka_conf_t **out, pm_error *err);

/* A client of `type`: our defaults, the user's properties, log lines to health->log (secrets left out). `health` must
 * outlive the handle and is its opaque. `prepared` (callbacks; may be NULL) is taken over, also after a failure.
 * `extra` ends with name NULL (may be NULL) and wins over all. Errors: PM_EUSAGE for a property that librdkafka
 * refuses, naming it, and for one that phasemill sets itself, naming what to use instead. */
pm_status pmi_kafka_new(const pm_kafka_options *options, rd_kafka_type_t type, const pm_property *extra,
                        rd_kafka_conf_t *prepared, pm_kafka_health *health, rd_kafka_t **out, pm_error *err);

/* Waits until a broker has answered, serving the handle's callbacks. For a handle that consumes nothing (yet). Errors:
 * PM_EUNAVAILABLE after `seconds`, naming the brokers and what they died of; PM_EPERMISSION once they refuse us. */
pm_status pmi_kafka_reach(rd_kafka_t *rk, const pm_kafka_options *options, pm_kafka_health *health, double seconds,
                          pm_error *err);

/* rd_kafka_destroy_flags, for at most `seconds`: librdkafka 2.0.2 waits for ever for a thread of its own where a topic
 * was deleted and made again. False: it is left behind with what its callbacks use, which must not be freed. */
bool pmi_kafka_destroy(rd_kafka_t *rk, int flags, double seconds, const pm_log *log);

/* Marks that a broker answered, for the line "Kafka is back". */
void pmi_kafka_is_back(pm_kafka_health *health);

/* Bytes of one message with its headers that the topics must take. A dead letter carries a unit and its error. */
#define PM_KAFKA_MESSAGE_BYTES ((size_t)1 << 20)
#define PM_KAFKA_DEAD_BYTES ((size_t)2 << 20)

/* Makes the topics that are missing, waits until every partition has a leader, and checks those that were there: enough
 * partitions and replicas, retention, cleanup policy, message size. `check_only` makes none. *n_partitions: of the
 * units topic. Errors: PM_ECONFIG naming topic, setting, found and expected value; PM_EUNAVAILABLE for a topic that is
 * missing; PM_EPERMISSION; PM_ETEMPORARY after 30 s without an answer. Settings that we may not read are a warning. */
pm_status pmi_topics_ensure(rd_kafka_t *rk, const pm_kafka_options *options, bool check_only, const pm_log *log,
                            size_t *n_partitions, pm_error *err);

/* Makes topics that were deleted under a command. One look, and no more: PM_ETEMPORARY or PM_EUNAVAILABLE when they are
 * not ready yet. */
pm_status pmi_topics_mend(rd_kafka_t *rk, const pm_kafka_options *options, const pm_log *log, size_t *n_partitions,
                          pm_error *err);

/* A property of librdkafka that must not be shown. */
bool pmi_property_is_secret(const char *name);

/* Visits a text of all properties of librdkafka with their defaults, for -X list; none when memory is out. */
typedef void (*pm_property_visit)(void *ctx, const char *text);
void pmi_properties_list(pm_property_visit visit, void *ctx);

/* ---- what librdkafka's error codes mean to us: for the files of this folder ---- */

/* PM_EPERMISSION; PM_EDATA (too large); PM_ECONFIG (refused, and the same again will be: a setting of the topic or of
 * this client, or a clock); PM_EUNAVAILABLE (no broker, no topic); PM_ESOFTWARE; else PM_ETEMPORARY. */
pm_status pmi_kafka_status(rd_kafka_resp_err_t code);

/* Writes "WHAT: reason" with the status of the code. `reason` NULL: librdkafka's own words. */
pm_status pmi_kafka_fail(pm_error *err, rd_kafka_resp_err_t code, const char *reason, const char *what, ...)
    PM_PRINTF(4, 5);

/* True for words of a broker that will not change by asking again: a refused log-in, a certificate, a missing right. A
 * connection that broke in the middle of a log-in is none. */
bool pmi_kafka_is_refusal(rd_kafka_resp_err_t code, const char *reason);

/* Takes note of an error that librdkafka told: of the handle itself (its error callback), or on a queue. */
void pmi_kafka_note(pm_kafka_health *health, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *reason);

/* PM_OK, or health->fatal copied to `err`. */
pm_status pmi_kafka_check(const pm_kafka_health *health, pm_error *err);

/* ---- what our topics should be, and what they are: for the files of this folder ---- */

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

#endif
