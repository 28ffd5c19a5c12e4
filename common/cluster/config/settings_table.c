#include "config/settings.h"

#define AT(name) offsetof(pm_setting_values, name)
#define DECADE ((size_t)24 * 3653) /* hours */

const pm_setting pmi_settings_table[] = {
    {"kafka.brokers", PM_SETTING_TEXT, AT(kafka.brokers), 1, 4096, NULL, "HOST:PORT,...", "where Kafka is", NULL},
    {"kafka.topic-prefix", PM_SETTING_NAME, AT(kafka.topic_prefix), 1, 200, "phasemill", "NAME",
     "topics are NAME.units, NAME.events, NAME.dead-letters", NULL},
    {"kafka.group", PM_SETTING_TEXT, AT(kafka.group), 1, 255, "phasemill-workers", "NAME", "the workers' group", NULL},
    {"kafka.partitions", PM_SETTING_COUNT, AT(kafka.partitions), 1, 10000, "24", "N",
     "partitions of the units topic: several for each slot", NULL},
    {"kafka.replication", PM_SETTING_COUNT, AT(kafka.replication), 0, 100, "0", "N",
     "replicas of topics; 0: the brokers' default", NULL},
    {"kafka.retention-hours", PM_SETTING_COUNT, AT(kafka.retention_hours), 1, DECADE, "168", "H",
     "how long Kafka keeps units", NULL},
    {"redis.address", PM_SETTING_TEXT, AT(redis.address), 1, 1024, NULL, "ADDRESS",
     "where Redis is: host:port, [v6]:port or unix:/path", NULL},
    {"redis.user", PM_SETTING_TEXT, AT(redis.user), 1, 1024, NULL, "NAME", "user of Redis's ACL", NULL},
    {"redis.password", PM_SETTING_SECRET, AT(redis.password), 1, 4096, NULL, "FILE", "password", NULL},
    {"redis.database", PM_SETTING_COUNT, AT(redis.database), 0, 1000000, "0", "N", "number of Redis's database", NULL},
    {"redis.tls", PM_SETTING_BOOL, AT(redis.tls), 0, 0, "false", NULL, "TLS to Redis (hiredis 1.0 or later)", NULL},
    {"redis.tls-ca", PM_SETTING_TEXT, AT(redis.tls_ca), 1, 4096, NULL, "FILE",
     "certificates to trust (those of the system)", NULL},
    {"redis.prefix", PM_SETTING_NAME, AT(redis.prefix), 1, 100, "phasemill", "NAME", "of all keys", NULL},
    {"redis.ttl-hours", PM_SETTING_COUNT, AT(redis_ttl_hours), 2, 2 * DECADE, "336", "H",
     "how long Redis keeps what nobody asks for; above kafka.retention-hours", NULL},
    {"worker.slots", PM_SETTING_COUNT, AT(worker_slots), 0, 1024, "0", "N", "units at once; 0: one for each processor",
     NULL},
    {"worker.attempts", PM_SETTING_COUNT, AT(worker_attempts), 1, 100, "3", "N",
     "crashes and overruns of a unit until it is a dead letter", NULL},
    {"worker.unit-memory", PM_SETTING_BYTES, AT(worker_unit_memory), 0, SIZE_MAX / 2, "0", "BYTES",
     "for one unit, such as 500M; 0: the machine's by the slots", NULL},
    {"worker.unit-seconds", PM_SETTING_COUNT, AT(worker_unit_seconds), 1, 3600 * DECADE, "3600", "S",
     "of compute for one unit", NULL},
    {"worker.drain-timeout", PM_SETTING_COUNT, AT(worker_drain_timeout), 0, 3600 * DECADE, "25", "S",
     "for units in hand after SIGTERM", NULL},
    {"cluster.key", PM_SETTING_KEY, AT(cluster_key), PM_MIN_SEAL_KEY, 4096, NULL, "FILE",
     "key of the seals on what is stored and sent: the same for all", NULL},
    {"log.format", PM_SETTING_CHOICE, AT(log_format), 0, 0, "text", "text|json", "log lines on standard error",
     "text|json"},
    {0},
};

bool pmi_setting_has_file(const pm_setting *setting) {
    return setting->kind == PM_SETTING_TEXT || pmi_setting_is_secret(setting);
}

bool pmi_setting_is_secret(const pm_setting *setting) {
    return setting->kind == PM_SETTING_SECRET || setting->kind == PM_SETTING_KEY;
}
