/* Properties of librdkafka, and settings as the options of the parts that use them. */
#include <string.h>

#include "base/mem.h"
#include "config/settings_impl.h"

#define FILE_ENDING "-file"
#define CONNECT_SECONDS 5.0
#define COMMAND_SECONDS 15.0

/* ---- properties -------------------------------------------------------------------------------------- */

/* Asks librdkafka, whose words for a wrong value may hold that value. */
static pm_status try_property(const char *name, const char *value, const char *origin, pm_error *err) {
    char words[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (conf == NULL) {
        return pmi_fail_memory(err, "a property", 0);
    }
    rd_kafka_conf_res_t found = rd_kafka_conf_set(conf, name, value, words, sizeof words);
    rd_kafka_conf_destroy(conf);
    if (found == RD_KAFKA_CONF_OK) {
        return PM_OK;
    }
    if (found == RD_KAFKA_CONF_UNKNOWN) {
        return pmi_fail(err, pmi_origin_code(origin),
                        "property \"%s\" (%s) is unknown to librdkafka; `phasemill config show -X list` lists those "
                        "there are",
                        name, origin);
    }
    return pmi_fail(err, pmi_origin_code(origin), "property \"%s\" (%s) is refused by librdkafka: %s", name, origin,
                    pmi_property_is_secret(name) ? "invalid value" : words);
}

static pm_status put_property(pm_settings *s, const char *name, const char *value, const char *origin, pm_error *err) {
    pm_settings_memory *m = s->memory;
    size_t i = 0;
    while (i < s->n_properties && strcmp(s->properties[i].name, name) != 0) {
        i++;
    }
    if (!pmi_reserve((void **)&s->properties, &m->property_capacity, i + 1, sizeof *s->properties) ||
        !pmi_reserve((void **)&m->property_origins, &m->origin_capacity, i + 1, sizeof *m->property_origins)) {
        return pmi_fail_memory(err, "properties", (i + 1) * sizeof *s->properties);
    }
    s->properties[i] = (pm_property){.name = name, .value = value};
    m->property_origins[i] = origin;
    s->n_properties += i == s->n_properties;
    return PM_OK;
}

static bool ends_in(const char *text, size_t n, const char *ending) {
    size_t k = strlen(ending);
    return n > k && memcmp(text + n - k, ending, k) == 0;
}

static pm_status set_property(pm_settings *s, const char *name, size_t n, const char *value, const char *origin,
                              pm_error *err) {
    bool is_file = ends_in(name, n, FILE_ENDING);
    const char *own_name = NULL, *own_value = NULL, *from = NULL;
    pm_status st = pmi_settings_keep(s, name, n - (is_file ? strlen(FILE_ENDING) : 0), &own_name, err);
    PM_THEN(st, pmi_settings_keep(s, origin, strlen(origin), &from, err));
    if (st == PM_OK && (strcmp(own_name, "bootstrap.servers") == 0 || strcmp(own_name, "metadata.broker.list") == 0)) {
        st = pmi_fail(err, pmi_origin_code(origin), "property \"%s\" (%s): brokers are the setting kafka.brokers",
                      own_name, origin);
    }
    PM_TRY(st);
    PM_TRY(is_file ? pmi_settings_keep_file(s, NULL, own_name, value, origin, &own_value, err)
                   : pmi_settings_keep(s, value, strlen(value), &own_value, err));
    PM_TRY(try_property(own_name, own_value, from, err));
    return put_property(s, own_name, own_value, from, err);
}

pm_status pmi_settings_set_property(pm_settings *s, const char *assignment, const char *origin, pm_error *err) {
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment) {
        return pmi_fail(err, pmi_origin_code(origin), "%s: found %s, expected property=value, such as -X linger.ms=5",
                        origin, equals == NULL ? "no =" : "no name");
    }
    return set_property(s, assignment, (size_t)(equals - assignment), equals + 1, origin, err);
}

/* ---- options of the parts ---------------------------------------------------------------------------- */

pm_status pmi_settings_kafka(const pm_settings *s, const char *client, pm_kafka_options *out, pm_error *err) {
    const pm_setting_values *v = &s->values;
    if (v->kafka_brokers == NULL) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "Kafka is not configured: give --kafka-brokers HOST:PORT,..., PHASEMILL_KAFKA_BROKERS, or "
                        "brokers in section [kafka] of a file named by --config");
    }
    *out = (pm_kafka_options){
        .brokers = v->kafka_brokers,
        .topic_prefix = v->kafka_topic_prefix,
        .group = v->kafka_group,
        .partitions = v->kafka_partitions,
        .replication = v->kafka_replication,
        .retention_hours = v->kafka_retention_hours,
        .properties = s->properties,
        .n_properties = s->n_properties,
        .client = client,
    };
    return PM_OK;
}

pm_status pmi_settings_redis(const pm_settings *s, pm_redis_options *out, pm_error *err) {
    const pm_setting_values *v = &s->values;
    if (v->redis_address == NULL) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "Redis is not configured: give --redis-address HOST:PORT, PHASEMILL_REDIS_ADDRESS, or address "
                        "in section [redis] of a file named by --config");
    }
    *out = (pm_redis_options){
        .address = v->redis_address,
        .user = v->redis_user,
        .password = v->redis_password,
        .database = v->redis_database,
        .tls = v->redis_tls,
        .tls_ca = v->redis_tls_ca,
        .prefix = v->redis_prefix,
        .connect_seconds = CONNECT_SECONDS,
        .command_seconds = COMMAND_SECONDS,
        .ttl = 3600.0 * (double)v->redis_ttl_hours,
    };
    return PM_OK;
}

pm_status pmi_settings_seal(const pm_settings *s, pm_seal **out, pm_error *err) {
    const char *key = s->values.cluster_key;
    *out = NULL;
    return key == NULL ? PM_OK : pmi_seal_new(key, strlen(key), out, err);
}
