/* Settings of the cluster: one table of names, read from flags over environment over file over defaults.
 *
 * Setting "redis.address" is --redis-address, PHASEMILL_REDIS_ADDRESS, and `address` in section [redis] of the file. A
 * text may stand in a file of its own (one final newline is no part of it): "redis.password-file",
 * PHASEMILL_REDIS_PASSWORD_FILE; of a secret, only that has a flag. Properties of librdkafka: -X name=value,
 * PHASEMILL_KAFKA_X_NAME_WITH_UNDERSCORES (also with _FILE), section [kafka-x] (also `name-file`). */
#ifndef PM_CONFIG_SETTINGS_H
#define PM_CONFIG_SETTINGS_H

#include "kafka/kafka.h"
#include "redis/redis.h"

typedef enum pm_log_format { PM_LOG_FORMAT_TEXT, PM_LOG_FORMAT_JSON } pm_log_format;

typedef struct pm_setting_values {
    pm_kafka_options kafka; /* brokers NULL: not configured */
    pm_redis_options redis; /* address NULL: not configured */
    size_t redis_ttl_hours;
    size_t worker_slots, worker_attempts; /* slots 0: one for each processor */
    size_t worker_unit_memory;            /* bytes; 0: the machine's memory by the slots */
    size_t worker_unit_seconds, worker_drain_timeout;
    const char *cluster_key; /* NULL: nothing is sealed */
    int log_format;
} pm_setting_values;

typedef enum pm_setting_kind {
    PM_SETTING_TEXT,   /* of min..max bytes */
    PM_SETTING_NAME,   /* the same, of letters, digits, '.', '_' and '-' */
    PM_SETTING_SECRET, /* the same as a text, never shown */
    PM_SETTING_KEY,    /* a secret whose file nobody else may read or write */
    PM_SETTING_COUNT,  /* min..max */
    PM_SETTING_BYTES,  /* min..max: 500M, 2G */
    PM_SETTING_BOOL,   /* true, false */
    PM_SETTING_CHOICE  /* one of `choices` */
} pm_setting_kind;

typedef struct pm_setting {
    const char *name; /* "redis.address"; NULL ends the table */
    pm_setting_kind kind;
    size_t offset; /* in pm_setting_values */
    size_t min, max;
    const char *default_value; /* as text; NULL: not set */
    const char *value;         /* "HOST:PORT,...", for the help */
    const char *help;
    const char *choices; /* "text|json": values 0, 1 */
} pm_setting;
extern const pm_setting pmi_settings_table[];

/* The longest "section.key", and with "-file". */
#define PM_SETTING_NAME_TEXT 40
/* True for kinds whose value may stand in a file of its own. */
bool pmi_setting_has_file(const pm_setting *setting);
/* True for kinds that are never shown. */
bool pmi_setting_is_secret(const pm_setting *setting);

/* The values in force, with where each came from. */
typedef struct pm_settings {
    pm_setting_values values;
    struct pm_setting_given *given; /* for each of the table */
    pm_property *properties;        /* of librdkafka */
    size_t n_properties;
    struct pm_settings_memory *memory; /* texts live here */
} pm_settings;

/* Presets. Free with pmi_settings_free, also after a failure of any of the readers. */
pm_status pmi_settings_init(pm_settings *s, pm_error *err);
void pmi_settings_free(pm_settings *s);

/* Later calls win over earlier ones: file, then environment, then flags. Errors: PM_ECONFIG (file, environment) or
 * PM_EUSAGE (flags) naming the setting, its origin (file and line), found and expected; unknown keys and unknown
 * PHASEMILL_* names of our sections are refused, with the nearest known one. `environment` is environ's form. */
pm_status pmi_settings_read_file(pm_settings *s, const char *path, pm_error *err);
/* The same of the bytes of a file called `path`. */
pm_status pmi_settings_read_bytes(pm_settings *s, const uint8_t *bytes, size_t n, const char *path, pm_error *err);
pm_status pmi_settings_read_environment(pm_settings *s, char *const *environment, pm_error *err);
pm_status pmi_settings_set(pm_settings *s, const char *name, const char *value, const char *origin, pm_error *err);
/* "prop=value"; bootstrap.servers is kafka.brokers. */
pm_status pmi_settings_set_property(pm_settings *s, const char *assignment, const char *origin, pm_error *err);

/* What must hold between settings: redis.ttl-hours above kafka.retention-hours. PM_ECONFIG. */
pm_status pmi_settings_check(const pm_settings *s, pm_error *err);

/* Whether a secret is set, of phasemill's or of librdkafka's. */
bool pmi_settings_hold_secret(const pm_settings *s);

/* Each setting in the order of the table, then each property: value ("(hidden)" for a secret that is set, NULL when it
 * is not set) and origin ("default", "--redis-address", "PHASEMILL_REDIS_ADDRESS", "phasemill.conf line 3"). */
typedef pm_status (*pm_setting_visit)(void *ctx, const char *name, const char *value, const char *origin,
                                      pm_error *err);
pm_status pmi_settings_each(const pm_settings *s, pm_setting_visit visit, void *ctx, pm_error *err);

/* Options of the parts. `client` must outlive the result. Errors: PM_EUNAVAILABLE when brokers or Redis are not
 * configured, naming the flag and the variable. */
pm_status pmi_settings_kafka(const pm_settings *s, const char *client, pm_kafka_options *out, pm_error *err);
/* Without `seal`: see pmi_settings_seal. */
pm_status pmi_settings_redis(const pm_settings *s, pm_redis_options *out, pm_error *err);
/* The seals of cluster.key, NULL when it is not set. Free with pmi_seal_free. */
pm_status pmi_settings_seal(const pm_settings *s, pm_seal **out, pm_error *err);

#endif
