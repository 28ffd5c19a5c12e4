#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/settings.h"

static pm_settings s;
static pm_error err;

static void init(void) {
    cr_assert_eq(pmi_settings_init(&s, &err), PM_OK, "%s", err.text);
}

static void fini(void) {
    pmi_settings_free(&s);
}

TestSuite(settings, .init = init, .fini = fini);

static pm_status read_file(const char *text) {
    return pmi_settings_read_bytes(&s, (const uint8_t *)text, strlen(text), "test.conf", &err);
}

static pm_status read_variable(char *entry) {
    char *environment[] = {"PATH=/bin", entry, NULL};
    return pmi_settings_read_environment(&s, environment, &err);
}

static void refused(pm_status st, pm_status code, const char *part) {
    cr_assert_eq(st, code, "status %d: %s", (int)st, err.text);
    cr_assert_not_null(strstr(err.text, part), "\"%s\" is not in: %s", part, err.text);
}

/* What pmi_settings_each shows of one name, as "value origin". */
typedef struct shown {
    const char *name;
    char text[256];
} shown;

static pm_status see(void *ctx, const char *name, const char *value, const char *origin, pm_error *e) {
    (void)e;
    shown *x = ctx;
    if (strcmp(name, x->name) == 0) {
        snprintf(x->text, sizeof x->text, "%s %s", value == NULL ? "NULL" : value, origin);
    }
    return PM_OK;
}

static void shows(const char *name, const char *expected) {
    shown x = {.name = name, .text = "(none)"};
    cr_assert_eq(pmi_settings_each(&s, see, &x, &err), PM_OK);
    cr_assert_str_eq(x.text, expected);
}

static char *temp_file(const char *content) {
    static char path[] = "/tmp/pm-settings-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    close(fd);
    return path;
}

Test(settings, defaults) {
    cr_assert_null(s.values.kafka.brokers);
    cr_assert_str_eq(s.values.redis.prefix, "phasemill");
    cr_assert_gt(s.values.redis_ttl_hours, s.values.kafka.retention_hours);
    cr_assert_eq(pmi_settings_check(&s, &err), PM_OK);
    shows("kafka.brokers", "NULL default");
    shows("worker.attempts", "3 default");
}

Test(settings, every_entry_of_the_table_is_whole) {
    for (const pm_setting *p = pmi_settings_table; p->name != NULL; p++) {
        cr_assert_not_null(strchr(p->name, '.'), "%s", p->name);
        cr_assert_lt(strlen(p->name) + 5, PM_SETTING_NAME_TEXT);
        cr_assert_not_null(p->help);
        cr_assert_leq(p->min, p->max, "%s", p->name);
        cr_assert_lt(p->offset, sizeof(pm_setting_values));
    }
}

Test(settings, flags_win_over_environment_over_file) {
    cr_assert_eq(read_file("# a comment\n[redis]\n  address = f:1 \ndatabase=3\nprefix: app\n"), PM_OK, "%s", err.text);
    shows("redis.address", "f:1 test.conf line 3");
    shows("redis.prefix", "app test.conf line 5");
    cr_assert_eq(read_variable("PHASEMILL_REDIS_ADDRESS=e:2"), PM_OK, "%s", err.text);
    shows("redis.address", "e:2 PHASEMILL_REDIS_ADDRESS");
    cr_assert_eq(pmi_settings_set(&s, "redis.address", "g:3", "--redis-address", &err), PM_OK);
    shows("redis.address", "g:3 --redis-address");
    cr_assert_str_eq(s.values.redis.address, "g:3");
    cr_assert_eq(s.values.redis.database, 3);
}

Test(settings, kinds) {
    const char *text = "[kafka]\nbrokers = a:1,b:2\nretention-hours=2\n[redis]\ntls = true\nttl-hours=3\n"
                       "[worker]\nunit-memory = 2G\ndrain-timeout=0\n[log]\nformat=json";
    cr_assert_eq(read_file(text), PM_OK, "%s", err.text);
    cr_assert(s.values.redis.tls);
    cr_assert_eq(s.values.worker_unit_memory, (size_t)2 << 30);
    cr_assert_eq(s.values.worker_drain_timeout, 0);
    cr_assert_eq(s.values.log_format, PM_LOG_FORMAT_JSON);
}

Test(settings, wrong_values_are_named) {
    refused(read_file("[worker]\n\nslots = many\n"), PM_ECONFIG, "worker.slots (test.conf line 3): found \"many\"");
    refused(read_file("[worker]\nslots = 1025"), PM_ECONFIG, "from 0 to 1024");
    refused(read_file("[worker]\nunit-memory = 5X"), PM_ECONFIG, "500M");
    refused(read_file("[redis]\ntls = yes"), PM_ECONFIG, "expected false|true");
    refused(read_file("[redis]\nprefix = a{b}"), PM_ECONFIG, "letters, digits");
    refused(read_file("[kafka]\ntopic-prefix ="), PM_ECONFIG, "found \"\"");
    refused(read_variable("PHASEMILL_LOG_FORMAT=xml"), PM_ECONFIG, "log.format (PHASEMILL_LOG_FORMAT): found \"xml\"");
    refused(pmi_settings_set(&s, "kafka.partitions", "0", "--kafka-partitions", &err), PM_EUSAGE, "--kafka-partitions");
    cr_assert_eq(s.values.kafka.partitions, 24, "a refused value was kept");
}

Test(settings, a_url_is_refused_without_showing_it) {
    refused(read_variable("PHASEMILL_REDIS_ADDRESS=redis://:hush@h:1"), PM_ECONFIG, "found a URL");
    cr_assert_null(strstr(err.text, "hush"));
}

Test(settings, unknown_names_and_the_nearest) {
    refused(read_file("[redis]\nadress = a:1"), PM_ECONFIG, "did you mean redis.address");
    refused(read_file("[reddis]\naddress = a:1"), PM_ECONFIG, "did you mean redis.address");
    refused(read_file("[redis]\nfrobnicate = 1"), PM_ECONFIG,
            "unknown setting \"redis.frobnicate\" (test.conf line 2)");
    refused(read_file("brokers = a:1"), PM_ECONFIG, "unknown setting \".brokers\"");
    refused(read_variable("PHASEMILL_REDIS_ADRESS=a"), PM_ECONFIG, "did you mean PHASEMILL_REDIS_ADDRESS");
    refused(read_variable("PHASEMILL_KAKFA_BROKERS=a"), PM_ECONFIG, "did you mean PHASEMILL_KAFKA_BROKERS");
    refused(read_variable("PHASEMILL_WORKER_COLOUR=a"), PM_ECONFIG, "unknown variable PHASEMILL_WORKER_COLOUR");
    refused(read_variable("PHASEMILL_REDIS_DATABASE_FILE=a"), PM_ECONFIG, "unknown variable");
}

Test(settings, variables_of_others_are_left_alone) {
    char *environment[] = {"PHASEMILL_ISA=x",
                           "PHASEMILL_CONFIG=x",
                           "PHASEMILL=x",
                           "PHASEMILL_REDIS_SERVICE_HOST=10.0.0.1",
                           "PHASEMILL_REDIS_PORT=tcp://10.0.0.1:6379",
                           "PHASEMILL_REDIS_PORT_6379_TCP_ADDR=10.0.0.1",
                           "PHASEMILL_REDIS_USER=",
                           "NOEQUALS",
                           NULL};
    cr_assert_eq(pmi_settings_read_environment(&s, environment, &err), PM_OK, "%s", err.text);
    shows("redis.user", "NULL default");
}

Test(settings, malformed_files) {
    refused(read_file("[redis]\nadd"), PM_ECONFIG, "test.conf line 2: expected [section]");
    refused(read_file("[redis\naddress = a:1\n"), PM_ECONFIG, "test.conf line 1: expected [section]");
    refused(read_file("[redis]\naddress = a:1 ; here\n"), PM_ECONFIG, "line 2: found \" ;\"");
    refused(read_file("[redis]\naddress = a:1\nprefix=a\naddress = b:1\n"), PM_ECONFIG,
            "redis.address (test.conf line 4): given twice, first at test.conf line 2");
    refused(pmi_settings_read_bytes(&s, (const uint8_t *)"[redis]\na\0b", 11, "z", &err), PM_ECONFIG, "zero byte");
    refused(pmi_settings_read_file(&s, "/nonexistent/x.conf", &err), PM_ENOINPUT, "/nonexistent/x.conf");
}

/* The parser's buffer cuts lines: none may be cut in silence. */
Test(settings, long_lines_are_whole_or_refused) {
    for (size_t n = 100; n < 1000; n++) {
        char text[1100], value[1001];
        memset(value, 'b', n);
        value[n] = '\0';
        snprintf(text, sizeof text, "[kafka]\nbrokers=%s\n[redis]\nprefix=p%zu\n", value, n);
        pm_settings t;
        cr_assert_eq(pmi_settings_init(&t, &err), PM_OK);
        pm_status st = pmi_settings_read_bytes(&t, (const uint8_t *)text, strlen(text), "test.conf", &err);
        if (st == PM_OK) {
            cr_assert_str_eq(t.values.kafka.brokers, value);
        } else {
            refused(st, PM_ECONFIG, "test.conf line 2: found a longer line");
        }
        cr_assert(st == PM_OK || n > 180);
        pmi_settings_free(&t);
    }
}

Test(settings, secrets_come_from_files_and_are_hidden) {
    char *path = temp_file("hush hush\n");
    char variable[128], text[128];
    snprintf(variable, sizeof variable, "PHASEMILL_REDIS_PASSWORD_FILE=%s", path);
    cr_assert_eq(read_variable(variable), PM_OK, "%s", err.text);
    cr_assert_str_eq(s.values.redis.password, "hush hush");
    shows("redis.password", "(hidden) PHASEMILL_REDIS_PASSWORD_FILE");
    refused(read_variable("PHASEMILL_REDIS_PASSWORD=x"), PM_ECONFIG, "both set");
    snprintf(text, sizeof text, "[kafka-x]\nsasl.password-file = %s\n", path);
    cr_assert_eq(read_file(text), PM_OK, "%s", err.text);
    cr_assert_str_eq(s.properties[0].name, "sasl.password");
    cr_assert_str_eq(s.properties[0].value, "hush hush");
    shows("sasl.password", "(hidden) test.conf line 2");
    unlink(path);
    refused(read_variable(variable), PM_ECONFIG, "cannot be opened");
}

Test(settings, a_key_is_long_and_its_file_private) {
    static const char key[] = "0123456789abcdef0123456789abcdef";
    static const mode_t open_modes[] = {0644, 0640 | S_IWGRP, 0601, 0602, 0604};
    char variable[64], *path = temp_file(key);
    pm_seal *seal = NULL;
    cr_assert_eq(pmi_settings_seal(&s, &seal, &err), PM_OK);
    cr_assert_null(seal);
    cr_assert_not(pmi_settings_hold_secret(&s));
    snprintf(variable, sizeof variable, "PHASEMILL_CLUSTER_KEY_FILE=%s", path);
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
        cr_assert_eq(chmod(path, open_modes[i]), 0);
        refused(read_variable(variable), PM_ECONFIG, "expected at most 0640");
        refused(pmi_settings_set(&s, "cluster.key-file", path, "--cluster-key-file", &err), PM_EUSAGE, path);
    }
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(read_variable(variable), PM_OK, "%s", err.text);
    cr_assert_str_eq(s.values.cluster_key, key);
    shows("cluster.key", "(hidden) PHASEMILL_CLUSTER_KEY_FILE");
    cr_assert(pmi_settings_hold_secret(&s));
    cr_assert_eq(pmi_settings_seal(&s, &seal, &err), PM_OK, "%s", err.text);
    cr_assert_not_null(seal);
    pmi_seal_free(seal);
    unlink(path);
}

Test(settings, a_short_key_is_refused_unshown) {
    refused(read_variable("PHASEMILL_CLUSTER_KEY=0123456789abcdef0123456789abcde"), PM_ECONFIG, "32 to 4096");
    cr_assert_null(strstr(err.text, "0123456789"));
    cr_assert_eq(read_variable("PHASEMILL_CLUSTER_KEY=0123456789abcdef0123456789abcdef"), PM_OK, "%s", err.text);
}

Test(settings, a_key_in_the_file_of_settings) {
    char *path = temp_file("[cluster]\nkey = 0123456789abcdef0123456789abcdef\n");
    cr_assert_eq(chmod(path, 0644), 0);
    refused(pmi_settings_read_file(&s, path, &err), PM_ECONFIG, "0644");
    pmi_settings_free(&s);
    init();
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(pmi_settings_read_file(&s, path, &err), PM_OK, "%s", err.text);
    unlink(path);
}

Test(settings, a_secret_is_in_no_error) {
    refused(read_variable("PHASEMILL_REDIS_PASSWORD=hu\tsh"), PM_ECONFIG, "redis.password");
    cr_assert_null(strstr(err.text, "sh,"));
    cr_assert_null(strstr(err.text, "hu"));
}

Test(settings, properties) {
    cr_assert_eq(pmi_settings_set_property(&s, "linger.ms=5", "-X", &err), PM_OK, "%s", err.text);
    cr_assert_eq(read_variable("PHASEMILL_KAFKA_X_SESSION_TIMEOUT_MS=6000"), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_settings_set_property(&s, "linger.ms=7", "-X", &err), PM_OK);
    cr_assert_eq(s.n_properties, 2);
    cr_assert_str_eq(s.properties[0].value, "7");
    cr_assert_str_eq(s.properties[1].name, "session.timeout.ms");
    shows("session.timeout.ms", "6000 PHASEMILL_KAFKA_X_SESSION_TIMEOUT_MS");
    refused(pmi_settings_set_property(&s, "linger.ms", "-X", &err), PM_EUSAGE, "found no =");
    refused(pmi_settings_set_property(&s, "=5", "-X", &err), PM_EUSAGE, "found no name");
    refused(pmi_settings_set_property(&s, "frob=5", "-X", &err), PM_EUSAGE, "unknown to librdkafka");
    refused(pmi_settings_set_property(&s, "linger.ms=x", "-X", &err), PM_EUSAGE, "refused by librdkafka");
    refused(read_variable("PHASEMILL_KAFKA_X_FROB=1"), PM_ECONFIG, "\"frob\"");
    refused(pmi_settings_set_property(&s, "bootstrap.servers=a:1", "-X", &err), PM_EUSAGE, "kafka.brokers");
}

Test(settings, what_must_hold_between_them) {
    cr_assert_eq(read_file("[redis]\nttl-hours = 168\n"), PM_OK);
    refused(pmi_settings_check(&s, &err), PM_ECONFIG, "redis.ttl-hours is 168");
    cr_assert_eq(read_variable("PHASEMILL_REDIS_TTL_HOURS=169"), PM_OK);
    cr_assert_eq(read_variable("PHASEMILL_REDIS_USER=u"), PM_OK);
    refused(pmi_settings_check(&s, &err), PM_ECONFIG, "redis.password is not set");
    cr_assert_eq(read_variable("PHASEMILL_REDIS_PASSWORD=x"), PM_OK);
    cr_assert_eq(pmi_settings_check(&s, &err), PM_OK);
    cr_assert_eq(read_variable("PHASEMILL_REDIS_TLS_CA=/x"), PM_OK);
    refused(pmi_settings_check(&s, &err), PM_ECONFIG, "redis.tls");
}

Test(settings, options_of_the_parts) {
    pm_kafka_options kafka;
    pm_redis_options redis;
    refused(pmi_settings_kafka(&s, "me", &kafka, &err), PM_EUNAVAILABLE, "PHASEMILL_KAFKA_BROKERS");
    refused(pmi_settings_redis(&s, &redis, &err), PM_EUNAVAILABLE, "--redis-address");
    cr_assert_eq(read_file("[kafka]\nbrokers = a:1\n[kafka-x]\nlinger.ms = 5\n[redis]\naddress = b:2\n"), PM_OK);
    cr_assert_eq(pmi_settings_kafka(&s, "me", &kafka, &err), PM_OK);
    cr_assert_eq(pmi_settings_redis(&s, &redis, &err), PM_OK);
    cr_assert_str_eq(kafka.brokers, "a:1");
    cr_assert_str_eq(kafka.client, "me");
    cr_assert_eq(kafka.n_properties, 1);
    cr_assert_str_eq(redis.address, "b:2");
    cr_assert_eq(redis.ttl, 336 * 3600.0);
}
