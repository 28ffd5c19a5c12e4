/* Handles on Kafka: properties, faults and what they mean, topics. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/kafka.h"
#include "kafka/sender.h"
#include "mock_kafka.h"

static pm_kafka_options options_with(const pm_property *property) {
    return (pm_kafka_options){.brokers = "127.0.0.1:1",
                              .topic_prefix = "t",
                              .group = "g",
                              .client = "test",
                              .properties = property,
                              .n_properties = 1};
}

static pm_status open_with(const char *name, const char *value, pm_error *err) {
    const pm_property property = {name, value};
    pm_kafka_options options = options_with(&property);
    pm_kafka_health health = {.log = NULL};
    rd_kafka_t *rk;
    pm_status st = pmi_kafka_new(&options, RD_KAFKA_PRODUCER, NULL, NULL, &health, &rk, err);
    if (st == PM_OK) {
        rd_kafka_destroy(rk);
    }
    return st;
}

Test(kafka, refused_properties_are_named) {
    pm_error err = {0};
    cr_assert_eq(open_with("socket.timeout.ms", "5000", &err), PM_OK, "%s", err.text);
    cr_assert_eq(open_with("no.such.property", "1", &err), PM_EUSAGE);
    cr_assert(strstr(err.text, "no.such.property") != NULL, "%s", err.text);
    cr_assert_eq(open_with("socket.timeout.ms", "soon", &err), PM_EUSAGE);
    cr_assert(strstr(err.text, "socket.timeout.ms") != NULL, "%s", err.text);
    cr_assert_eq(open_with("bootstrap.servers", "a:1", &err), PM_EUSAGE);
    cr_assert(strstr(err.text, "kafka.brokers") != NULL, "%s", err.text);
    cr_assert_eq(open_with("enable.auto.commit", "true", &err), PM_EUSAGE);
}

Test(kafka, secrets_stay_out_of_errors) {
    pm_error err = {0};
    static const char *const names[] = {"ssl.key.pem", "ssl.keystore.password", "sasl.oauthbearer.client.secret"};
    for (size_t i = 0; i < 3; i++) {
        cr_assert(pmi_property_is_secret(names[i]));
        err.text[0] = '\0';
        open_with(names[i], "geheim-5261", &err);
        cr_assert(strstr(err.text, "geheim") == NULL, "%s", err.text);
    }
    cr_assert_not(pmi_property_is_secret("sasl.username"));
}

Test(kafka, names_of_topics) {
    pm_kafka_options options = {.topic_prefix = "lab.phasemill"};
    char name[PM_TOPIC_NAME];
    pmi_topic_name(&options, PM_TOPIC_DEAD, name);
    cr_assert_str_eq(name, "lab.phasemill.dead-letters");
    pm_error err = {0};
    pm_kafka_options bad = options_with(NULL);
    bad.n_properties = 0;
    bad.topic_prefix = "two words";
    pm_kafka_health health = {.log = NULL};
    rd_kafka_t *rk;
    cr_assert_eq(pmi_kafka_new(&bad, RD_KAFKA_PRODUCER, NULL, NULL, &health, &rk, &err), PM_ECONFIG);
}

Test(kafka, what_is_refused_and_what_passes) {
    cr_assert(
        pmi_kafka_is_refusal(RD_KAFKA_RESP_ERR__AUTHENTICATION,
                             "sasl_ssl://a:1: SASL authentication error: Authentication failed: Invalid username"));
    cr_assert_not(pmi_kafka_is_refusal(RD_KAFKA_RESP_ERR__AUTHENTICATION,
                                       "SASL authentication error: SaslAuthenticateRequest "
                                       "failed: Local: Broker transport failure"));
    cr_assert(pmi_kafka_is_refusal(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: certificate verify failed"));
    cr_assert_not(pmi_kafka_is_refusal(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: Disconnected"));
    cr_assert(pmi_kafka_is_refusal(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL));
    cr_assert_not(pmi_kafka_is_refusal(RD_KAFKA_RESP_ERR__TRANSPORT, "Connection refused"));
    cr_assert_eq(pmi_kafka_status(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), PM_EDATA);
    cr_assert_eq(pmi_kafka_status(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS), PM_ETEMPORARY);
}

Test(kafka, faults_are_told_once) {
    static mock_kafka m; /* for its log alone */
    mock_kafka_start(&m, 1, 1);
    pm_kafka_health health = {.log = &m.log};
    pm_error err = {0};
    for (int i = 0; i < 3; i++) {
        pmi_kafka_note(&health, m.host, RD_KAFKA_RESP_ERR__TRANSPORT, "a:1: Connection refused");
        pmi_kafka_note(&health, m.host, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "1/1 brokers are down");
    }
    cr_assert_eq(mock_kafka_count(&m, "W Kafka is away: 1/1 brokers are down (a:1: Connection refused)"), 1);
    cr_assert_eq(pmi_kafka_check(&health, &err), PM_OK);
    pmi_kafka_is_back(&health);
    pmi_kafka_is_back(&health);
    cr_assert_eq(mock_kafka_count(&m, "I Kafka is back"), 1);
    pmi_kafka_note(&health, m.host, RD_KAFKA_RESP_ERR__AUTHENTICATION, "a:1: Invalid credentials");
    cr_assert_eq(pmi_kafka_check(&health, &err), PM_EPERMISSION);
    cr_assert(strstr(err.text, "Invalid credentials") != NULL, "%s", err.text);
    mock_kafka_stop(&m);
}

Test(kafka, an_unreachable_broker_is_named, .timeout = 20) {
    pm_kafka_options options = options_with(NULL);
    options.n_properties = 0;
    pm_sender *s;
    pm_error err = {0};
    cr_assert_eq(pmi_sender_open(&options, 5, NULL, NULL, NULL, &s, &err), PM_OK);
    double begin = pmi_seconds();
    cr_assert_eq(pmi_kafka_reach(pmi_sender_handle(s), &options, pmi_sender_health(s), 1, &err), PM_EUNAVAILABLE);
    cr_assert(pmi_seconds() - begin < 3);
    cr_assert(strstr(err.text, "127.0.0.1:1 within 1 s") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "Connection refused") != NULL, "%s", err.text);
    pmi_sender_close(s);
}

Test(kafka, shapes_of_topics) {
    const pm_kafka_options options = {.partitions = 12, .replication = 3};
    pm_topic_view view = {.name = "t.x", .exists = true, .partitions = 12, .replicas = 3};
    pm_error err = {0};
    cr_assert_eq(pmi_topic_check_shape(&options, PM_TOPIC_UNITS, &view, &err), PM_OK);
    cr_assert_eq(pmi_topic_check_shape(&options, PM_TOPIC_EVENTS, &view, &err), PM_ECONFIG);
    cr_assert(strstr(err.text, "t.x has 12 partitions, expected 1") != NULL, "%s", err.text);
    view.replicas = 1;
    cr_assert_eq(pmi_topic_check_shape(&options, PM_TOPIC_UNITS, &view, &err), PM_ECONFIG);
    cr_assert(strstr(err.text, "t.x has 1 replicas, expected at least 3") != NULL, "%s", err.text);
}

/* The mock brokers neither make topics nor tell their settings: what cannot be checked is a warning. */
Test(kafka, topics_are_checked, .timeout = 30) {
    mock_kafka m;
    mock_kafka_start(&m, 3, 6);
    pm_sender *s;
    pm_error err = {0};
    size_t n = 0;
    cr_assert_eq(pmi_sender_open(&m.options, 5, NULL, NULL, &m.log, &s, &err), PM_OK);
    rd_kafka_t *rk = pmi_sender_handle(s);
    cr_assert_eq(pmi_topics_ensure(rk, &m.options, false, &m.log, &n, &err), PM_OK, "%s", err.text);
    cr_assert_eq(n, 6);
    cr_assert_eq(mock_kafka_count(&m, "W the settings of the topics could not be checked"), 1, "%s", m.lines);
    m.options.partitions = 12;
    cr_assert_eq(pmi_topics_ensure(rk, &m.options, false, &m.log, &n, &err), PM_ECONFIG);
    cr_assert(strstr(err.text, "t.units has 6 partitions, expected at least 12") != NULL, "%s", err.text);
    pmi_sender_close(s);
    mock_kafka_stop(&m);
}

Test(kafka, what_a_topic_must_be) {
    const pm_kafka_options options = {.retention_hours = 48};
    pm_topic_rule rules[PM_TOPIC_RULES];
    size_t n = pmi_topic_rules(&options, PM_TOPIC_UNITS, rules);
    bool has_retention = false;
    for (size_t i = 0; i < n; i++) {
        has_retention = has_retention || (strcmp(rules[i].name, "retention.ms") == 0 &&
                                          strcmp(rules[i].value, "172800000") == 0 && rules[i].kind == PM_TOPIC_EXACT);
    }
    cr_assert(has_retention);
    n = pmi_topic_rules(&options, PM_TOPIC_DEAD, rules);
    cr_assert_str_eq(rules[0].value, "compact");
    for (size_t i = 0; i < n; i++) {
        cr_assert_str_neq(rules[i].name, "retention.ms");
    }
}
