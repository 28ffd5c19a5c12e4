#include "config/settings.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/number.h"

#define VARIABLE "PHASEMILL_"
#define VARIABLE_KAFKA_X "PHASEMILL_KAFKA_X_"

#define VARIABLE_TEXT (PM_SETTING_NAME_TEXT + 16)

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

/* A setting as it was given: NULLs when it is not set. */
typedef struct pm_setting_given {
    const char *text, *origin;
} pm_setting_given;

/* Every text that was ever given: values of later sources replace pointers, not memory. */
typedef struct pm_settings_memory {
    char **texts;
    size_t n_texts, text_capacity;
    const char **property_origins; /* for each property */
    size_t property_capacity, origin_capacity;
    bool has_inline_key; /* a key stands in the file of settings itself */
} pm_settings_memory;

/* ---- names --------------------------------------------------------------------------------------------- */

#define FILE_ENDING "-file"
#define LONGEST 63
#define NEAR 3 /* edits */

/* The setting of that name, or of NAME-file (*is_file); NULL when there is none. */
static const pm_setting *find_setting(const char *name, bool *is_file) {
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        size_t n = strlen(setting->name);
        if (strncmp(name, setting->name, n) != 0) {
            continue;
        }
        *is_file = strcmp(name + n, FILE_ENDING) == 0;
        if (name[n] == '\0' || (*is_file && pmi_setting_has_file(setting))) {
            return setting;
        }
    }
    return NULL;
}

static char folded(char c) {
    return c == '.' || c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein's distance of two short texts. */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) {
        return SIZE_MAX;
    }
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = diagonal + (folded(a[i - 1]) != folded(b[j - 1]));
            diagonal = row[j];
            row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

/* The setting whose name is nearest to `name`, however its words are joined; NULL when none is near. */
static const pm_setting *nearest_setting(const char *name) {
    const pm_setting *nearest = NULL;
    size_t smallest = NEAR + 1;
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        size_t d = distance(name, setting->name);
        if (d < smallest) {
            smallest = d;
            nearest = setting;
        }
    }
    return nearest;
}

/* PHASEMILL_REDIS_ADDRESS of "redis.address". */
static void variable_of(const char *name, bool is_file, char variable[VARIABLE_TEXT]) {
    int n = snprintf(variable, VARIABLE_TEXT, VARIABLE "%s%s", name, is_file ? "_FILE" : "");
    if (n < 0) {
        variable[0] = '\0';
    }
    for (char *at = variable; *at != '\0'; at++) {
        *at = (char)toupper((unsigned char)folded(*at));
    }
}

#define LARGEST_FILE 65536 /* bytes of a value in a file of its own */
#define TOO_OPEN (S_IWGRP | S_IRWXO)

/* PM_EUSAGE for a flag, PM_ECONFIG for file and environment. */
static pm_status origin_code(const char *origin) {
    return origin[0] == '-' ? PM_EUSAGE : PM_ECONFIG;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

/* A copy that lives as long as `s`. */
static pm_status keep(pm_settings *s, const char *text, size_t n, const char **out, pm_error *err) {
    pm_settings_memory *m = s->memory;
    char *copy = pmi_reserve((void **)&m->texts, &m->text_capacity, m->n_texts + 1, sizeof *m->texts)
                     ? pmi_malloc(n + 1, 1)
                     : NULL;
    PM_TRY(copy != NULL ? PM_OK : pmi_fail_memory(err, "settings", n + 1));
    memcpy(copy, text, n);
    copy[n] = '\0';
    m->texts[m->n_texts++] = copy;
    *out = copy;
    return PM_OK;
}

void pmi_settings_free(pm_settings *s) {
    if (s->memory != NULL) {
        for (size_t i = 0; i < s->memory->n_texts; i++) {
            explicit_bzero(s->memory->texts[i], strlen(s->memory->texts[i]));
            free(s->memory->texts[i]);
        }
        free(s->memory->texts);
        free(s->memory->property_origins);
    }
    free(s->memory);
    free(s->given);
    free(s->properties);
    *s = (pm_settings){0};
}

pm_status pmi_settings_init(pm_settings *s, pm_error *err) {
    size_t n = 0;
    while (pmi_settings_table[n].name != NULL) {
        n++;
    }
    *s = (pm_settings){.given = pmi_calloc(n, sizeof *s->given), .memory = pmi_calloc(1, sizeof *s->memory)};
    PM_TRY(s->given != NULL && s->memory != NULL ? PM_OK : pmi_fail_memory(err, "settings", n * sizeof *s->given));
    pm_status st = PM_OK;
    for (const pm_setting *setting = pmi_settings_table; st == PM_OK && setting->name != NULL; setting++) {
        if (setting->default_value != NULL) {
            st = pmi_settings_set(s, setting->name, setting->default_value, "default", err);
        }
    }
    return st;
}

/* ---- a value in a file of its own -------------------------------------------------------------------- */

static pm_status fail_file(const char *name, const char *origin, const char *path, const char *what, pm_error *err) {
    return pmi_fail(err, origin_code(origin), "%s (%s): file \"%s\" cannot be %s: %s", name, origin, path, what,
                    strerror(errno));
}

static pm_status read_value(FILE *file, char *bytes, size_t *n, const char *name, const char *path, const char *origin,
                            pm_error *err) {
    *n = fread(bytes, 1, LARGEST_FILE + 1, file);
    if (ferror(file)) {
        return fail_file(name, origin, path, "read", err);
    }
    if (*n > LARGEST_FILE || memchr(bytes, '\0', *n) != NULL) {
        return pmi_fail(err, origin_code(origin),
                        "%s (%s): file \"%s\" is longer than %d bytes or holds a zero byte; expected a text", name,
                        origin, path, LARGEST_FILE);
    }
    *n -= *n > 0 && bytes[*n - 1] == '\n';
    *n -= *n > 0 && bytes[*n - 1] == '\r';
    return PM_OK;
}

/* A file that holds a key is private: no rights of others, no writing by its group. */
static pm_status check_private(FILE *file, const char *name, const char *path, const char *origin, pm_error *err) {
    struct stat about;
    if (fstat(fileno(file), &about) != 0) {
        return fail_file(name, origin, path, "looked at", err);
    }
    return !S_ISREG(about.st_mode) || (about.st_mode & TOO_OPEN) == 0
               ? PM_OK
               : pmi_fail(err, origin_code(origin),
                          "%s (%s): file \"%s\" has mode %04o, expected at most 0640: a key that others may read or "
                          "write is none; run `chmod 600` on it",
                          name, origin, path, (unsigned)(about.st_mode & 07777));
}

/* The value that stands in the file `path`, kept. `setting` NULL: of a property called `name`. */
static pm_status keep_file(pm_settings *s, const pm_setting *setting, const char *name, const char *path,
                           const char *origin, const char **out, pm_error *err) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return fail_file(name, origin, path, "opened", err);
    }
    size_t n = 0;
    char *bytes = pmi_malloc(LARGEST_FILE + 1, 1);
    pm_status st = bytes == NULL ? pmi_fail_memory(err, "a value", LARGEST_FILE + 1) : PM_OK;
    if (st == PM_OK && setting != NULL && setting->kind == PM_SETTING_KEY) {
        st = check_private(file, name, path, origin, err);
    }
    PM_THEN(st, read_value(file, bytes, &n, name, path, origin, err));
    PM_THEN(st, keep(s, bytes, n, out, err));
    if (bytes != NULL) {
        explicit_bzero(bytes, LARGEST_FILE + 1);
    }
    free(bytes);
    fclose(file);
    return st;
}

/* ---- one value --------------------------------------------------------------------------------------- */

static pm_status refuse(const pm_setting *setting, const char *text, const char *origin, const char *expected,
                        pm_error *err) {
    bool is_hidden = pmi_setting_is_secret(setting);
    const char *quote = is_hidden ? "" : "\"";
    return pmi_fail(err, origin_code(origin), "%s (%s): found %s%s%s, expected %s", setting->name, origin, quote,
                    is_hidden ? "another value" : text, quote, expected);
}

static bool is_name(const char *text) {
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static bool has_control(const char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

static pm_status read_text(const pm_setting *setting, const char *text, const char *origin, const char **field,
                           pm_error *err) {
    char expected[128];
    size_t n = strlen(text);
    bool is_fit = n >= setting->min && n <= setting->max;
    snprintf(expected, sizeof expected, "%zu to %zu %s", setting->min, setting->max,
             setting->kind == PM_SETTING_NAME ? "letters, digits, '.', '_' and '-'"
                                              : "bytes without control characters");
    if (!is_fit || (setting->kind == PM_SETTING_NAME ? !is_name(text) : has_control(text))) {
        return refuse(setting, n > 100 ? "a longer text" : text, origin, expected, err);
    }
    /* a URL may hold a password, which an error must not show */
    bool is_place = strcmp(setting->name, "redis.address") == 0;
    if (is_place && (strstr(text, "://") != NULL || strchr(text, '@') != NULL)) {
        return pmi_fail(
            err, origin_code(origin),
            "%s (%s): found a URL, expected host:port, [v6]:port or unix:/path; user, password and database "
            "are settings of their own",
            setting->name, origin);
    }
    *field = text;
    return PM_OK;
}

static pm_status read_number(const pm_setting *setting, const char *text, const char *origin, size_t *field,
                             pm_error *err) {
    bool is_bytes = setting->kind == PM_SETTING_BYTES;
    size_t value;
    bool is_number = is_bytes ? pmi_bytes_parse(text, &value) : pmi_count_parse(text, &value);
    if (!is_number || value < setting->min || value > setting->max) {
        char expected[128];
        snprintf(expected, sizeof expected, "a whole number from %zu to %zu", setting->min, setting->max);
        return refuse(setting, text, origin, is_bytes ? "bytes such as 4096, 64K, 500M or 2G" : expected, err);
    }
    *field = value;
    return PM_OK;
}

/* The place of `text` in "a|b|c"; -1 when it has none. */
static int find_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    int place = 0;
    for (const char *at = choices; *at != '\0'; place++) {
        size_t k = strcspn(at, "|");
        if (k == n && strncmp(at, text, n) == 0) {
            return place;
        }
        at += k + (at[k] == '|');
    }
    return -1;
}

static pm_status read_choice(const pm_setting *setting, const char *text, const char *origin, int *out, pm_error *err) {
    const char *choices = setting->kind == PM_SETTING_BOOL ? "false|true" : setting->choices;
    int found = find_choice(choices, text);
    if (found < 0) {
        return refuse(setting, text, origin, choices, err);
    }
    *out = found;
    return PM_OK;
}

static pm_status read_setting(pm_settings *s, const pm_setting *setting, const char *text, const char *origin,
                              pm_error *err) {
    void *field = (char *)&s->values + setting->offset;
    int chosen = 0;
    switch (setting->kind) {
    case PM_SETTING_COUNT:
    case PM_SETTING_BYTES:
        return read_number(setting, text, origin, field, err);
    case PM_SETTING_BOOL:
        PM_TRY(read_choice(setting, text, origin, &chosen, err));
        *(bool *)field = chosen == 1;
        return PM_OK;
    case PM_SETTING_CHOICE:
        return read_choice(setting, text, origin, field, err);
    default:
        return read_text(setting, text, origin, field, err);
    }
}

static pm_status unknown_setting(const char *name, const char *origin, pm_error *err) {
    const pm_setting *near = nearest_setting(name);
    if (near != NULL) {
        return pmi_fail(err, origin_code(origin), "unknown setting \"%s\" (%s); did you mean %s?", name, origin,
                        near->name);
    }
    return pmi_fail(err, origin_code(origin),
                    "unknown setting \"%s\" (%s); `phasemill config show` lists those there "
                    "are",
                    name, origin);
}

pm_status pmi_settings_set(pm_settings *s, const char *name, const char *value, const char *origin, pm_error *err) {
    bool is_file = false;
    const pm_setting *setting = find_setting(name, &is_file);
    if (setting == NULL) {
        return unknown_setting(name, origin, err);
    }
    const char *text = NULL, *from = NULL;
    PM_TRY(is_file ? keep_file(s, setting, setting->name, value, origin, &text, err)
                   : keep(s, value, strlen(value), &text, err));
    PM_TRY(keep(s, origin, strlen(origin), &from, err));
    PM_TRY(read_setting(s, setting, text, from, err));
    s->given[setting - pmi_settings_table] = (pm_setting_given){.text = text, .origin = from};
    return PM_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------- */

pm_status pmi_settings_each(const pm_settings *s, pm_setting_visit visit, void *ctx, pm_error *err) {
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        const pm_setting_given *given = &s->given[setting - pmi_settings_table];
        bool is_hidden = given->text != NULL && pmi_setting_is_secret(setting);
        PM_TRY(visit(ctx, setting->name, is_hidden ? "(hidden)" : given->text,
                     given->origin == NULL ? "default" : given->origin, err));
    }
    for (size_t i = 0; i < s->n_properties; i++) {
        const pm_property *property = &s->properties[i];
        PM_TRY(visit(ctx, property->name, pmi_property_is_secret(property->name) ? "(hidden)" : property->value,
                     s->memory->property_origins[i], err));
    }
    return PM_OK;
}

bool pmi_settings_hold_secret(const pm_settings *s) {
    bool holds = false;
    for (size_t i = 0; pmi_settings_table[i].name != NULL; i++) {
        holds = holds || (s->given[i].text != NULL && pmi_setting_is_secret(&pmi_settings_table[i]));
    }
    for (size_t i = 0; i < s->n_properties; i++) {
        holds = holds || pmi_property_is_secret(s->properties[i].name);
    }
    return holds;
}

pm_status pmi_settings_check(const pm_settings *s, pm_error *err) {
    const pm_setting_values *v = &s->values;
    if (v->redis_ttl_hours <= v->kafka.retention_hours) {
        return pmi_fail(
            err, PM_ECONFIG,
            "redis.ttl-hours is %zu, expected more than kafka.retention-hours, which is %zu: a unit must not "
            "outlive what it points to",
            v->redis_ttl_hours, v->kafka.retention_hours);
    }
    if (v->redis.user != NULL && v->redis.password == NULL) {
        return pmi_fail(err, PM_ECONFIG,
                        "redis.user is \"%s\" and redis.password is not set; give PHASEMILL_REDIS_PASSWORD_FILE",
                        v->redis.user);
    }
    if (v->redis.tls_ca != NULL && !v->redis.tls) {
        return pmi_fail(err, PM_ECONFIG, "redis.tls-ca is set and redis.tls is false; set redis.tls to true");
    }
    return PM_OK;
}

#define CONNECT_SECONDS 5.0
#define COMMAND_SECONDS 15.0

/* ---- properties -------------------------------------------------------------------------------------- */

/* Asks librdkafka, whose words for a wrong value may hold that value. */
static pm_status try_property(const char *name, const char *value, const char *origin, pm_error *err) {
    char words[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    PM_TRY(conf != NULL ? PM_OK : pmi_fail_memory(err, "a property", 0));
    rd_kafka_conf_res_t found = rd_kafka_conf_set(conf, name, value, words, sizeof words);
    rd_kafka_conf_destroy(conf);
    if (found == RD_KAFKA_CONF_OK) {
        return PM_OK;
    }
    if (found == RD_KAFKA_CONF_UNKNOWN) {
        return pmi_fail(err, origin_code(origin),
                        "property \"%s\" (%s) is unknown to librdkafka; `phasemill config show -X list` lists those "
                        "there are",
                        name, origin);
    }
    return pmi_fail(err, origin_code(origin), "property \"%s\" (%s) is refused by librdkafka: %s", name, origin,
                    pmi_property_is_secret(name) ? "invalid value" : words);
}

static pm_status put_property(pm_settings *s, const char *name, const char *value, const char *origin, pm_error *err) {
    pm_settings_memory *m = s->memory;
    size_t i = 0;
    while (i < s->n_properties && strcmp(s->properties[i].name, name) != 0) {
        i++;
    }
    PM_TRY(PM_GROW(&s->properties, &m->property_capacity, i + 1, "properties", err));
    PM_TRY(PM_GROW(&m->property_origins, &m->origin_capacity, i + 1, "properties", err));
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
    pm_status st = keep(s, name, n - (is_file ? strlen(FILE_ENDING) : 0), &own_name, err);
    PM_THEN(st, keep(s, origin, strlen(origin), &from, err));
    if (st == PM_OK && (strcmp(own_name, "bootstrap.servers") == 0 || strcmp(own_name, "metadata.broker.list") == 0)) {
        st = pmi_fail(err, origin_code(origin), "property \"%s\" (%s): brokers are the setting kafka.brokers", own_name,
                      origin);
    }
    PM_TRY(st);
    PM_TRY(is_file ? keep_file(s, NULL, own_name, value, origin, &own_value, err)
                   : keep(s, value, strlen(value), &own_value, err));
    PM_TRY(try_property(own_name, own_value, from, err));
    return put_property(s, own_name, own_value, from, err);
}

pm_status pmi_settings_set_property(pm_settings *s, const char *assignment, const char *origin, pm_error *err) {
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment) {
        return pmi_fail(err, origin_code(origin), "%s: found %s, expected property=value, such as -X linger.ms=5",
                        origin, equals == NULL ? "no =" : "no name");
    }
    return set_property(s, assignment, (size_t)(equals - assignment), equals + 1, origin, err);
}

/* ---- options of the parts ---------------------------------------------------------------------------- */

pm_status pmi_settings_kafka(const pm_settings *s, const char *client, pm_kafka_options *out, pm_error *err) {
    const pm_setting_values *v = &s->values;
    if (v->kafka.brokers == NULL) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "Kafka is not configured: give --kafka-brokers HOST:PORT,..., PHASEMILL_KAFKA_BROKERS, or "
                        "brokers in section [kafka] of a file named by --config");
    }
    *out = v->kafka;
    out->properties = s->properties;
    out->n_properties = s->n_properties;
    out->client = client;
    return PM_OK;
}

pm_status pmi_settings_redis(const pm_settings *s, pm_redis_options *out, pm_error *err) {
    const pm_setting_values *v = &s->values;
    if (v->redis.address == NULL) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "Redis is not configured: give --redis-address HOST:PORT, PHASEMILL_REDIS_ADDRESS, or address "
                        "in section [redis] of a file named by --config");
    }
    *out = v->redis;
    out->connect_seconds = CONNECT_SECONDS;
    out->command_seconds = COMMAND_SECONDS;
    out->ttl = 3600.0 * (double)v->redis_ttl_hours;
    return PM_OK;
}

pm_status pmi_settings_seal(const pm_settings *s, pm_seal **out, pm_error *err) {
    const char *key = s->values.cluster_key;
    *out = NULL;
    return key == NULL ? PM_OK : pmi_seal_new(key, strlen(key), out, err);
}

#define KAFKA_X "kafka-x"

/* ---- file -------------------------------------------------------------------------------------------- */

/* inih cuts long lines and values at " ;", and takes an indented line as more of the value before: all refused here. */
typedef struct ini_reading {
    pm_settings *settings;
    const char *path;
    const uint8_t *bytes;
    size_t size, at, line;
    pm_status st;
    pm_error *err;
} ini_reading;

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* What is wrong with a line, or NULL. */
static const char *line_fault(const uint8_t *line, size_t n, size_t room) {
    if (memchr(line, '\0', n) != NULL) {
        return "a zero byte";
    }
    if (n > 0 && (line[0] == '#' || line[0] == ';')) {
        return NULL;
    }
    for (size_t i = 1; i < n; i++) {
        if (line[i] == ';' && is_blank(line[i - 1])) {
            return "\" ;\" in the middle of a line; put comments on lines of their own";
        }
    }
    return n < room ? NULL : "a longer line than is read; put the value into a file of its own (name-file = PATH)";
}

static char *next_line(char *out, int room, void *stream) {
    ini_reading *r = stream;
    if (r->st != PM_OK || r->at >= r->size) {
        return NULL;
    }
    r->line++;
    const uint8_t *line = r->bytes + r->at;
    const uint8_t *end = memchr(line, '\n', r->size - r->at);
    size_t n = end == NULL ? r->size - r->at : (size_t)(end - line);
    r->at += n + 1;
    for (; n > 0 && is_blank(line[0]); n--) {
        line++;
    }
    for (; n > 0 && is_blank(line[n - 1]); n--) {
    }
    const char *fault = line_fault(line, n, (size_t)room - 2);
    if (fault != NULL) {
        r->st = pmi_fail(r->err, PM_ECONFIG, "%s line %zu: found %s", r->path, r->line, fault);
        return NULL;
    }
    n = n >= (size_t)room - 2 ? 0 : n; /* a comment */
    memcpy(out, line, n);
    memcpy(out + n, "\n", 2);
    return out;
}

/* A second value of one file would silently win over the first. */
static pm_status check_first(const ini_reading *r, const char *name, const char *origin) {
    bool is_file;
    const pm_setting *setting = find_setting(name, &is_file);
    const char *before = setting == NULL ? NULL : r->settings->given[setting - pmi_settings_table].origin;
    size_t n = strlen(r->path);
    if (before == NULL || strncmp(before, r->path, n) != 0 || strncmp(before + n, " line ", 6) != 0) {
        return PM_OK;
    }
    return pmi_fail(r->err, PM_ECONFIG, "%s (%s): given twice, first at %s", setting->name, origin, before);
}

static int take_value(void *ctx, const char *section, const char *name, const char *value) {
    ini_reading *r = ctx;
    if (r->st != PM_OK) {
        return 0;
    }
    char origin[512], text[512];
    int n = snprintf(origin, sizeof origin, "%.400s line %zu", r->path, r->line);
    bool is_property = strcmp(section, KAFKA_X) == 0;
    int k = is_property ? snprintf(text, sizeof text, "%s=%s", name, value)
                        : snprintf(text, sizeof text, "%s.%s", section, name);
    if (n < 0 || k < 0 || (size_t)k >= sizeof text) {
        r->st = pmi_fail(r->err, PM_ECONFIG, "%s: a longer line than is read", origin);
    } else if (is_property) {
        r->st = pmi_settings_set_property(r->settings, text, origin, r->err);
    } else {
        bool is_file = false;
        const pm_setting *setting = find_setting(text, &is_file);
        r->settings->memory->has_inline_key |= setting != NULL && setting->kind == PM_SETTING_KEY && !is_file;
        r->st = check_first(r, text, origin);
        r->st = r->st == PM_OK ? pmi_settings_set(r->settings, text, value, origin, r->err) : r->st;
    }
    return r->st == PM_OK;
}

pm_status pmi_settings_read_bytes(pm_settings *s, const uint8_t *bytes, size_t n, const char *path, pm_error *err) {
    ini_reading reading = {.settings = s, .path = path, .bytes = bytes, .size = n, .err = err};
    int line = ini_parse_stream(next_line, &reading, take_value, &reading);
    if (line > 0 && (reading.st == PM_OK || (size_t)line < reading.line)) {
        return pmi_fail(err, PM_ECONFIG, "%s line %d: expected [section], name = value, or a comment", path, line);
    }
    return reading.st;
}

/* What holds for a key's own file holds for the file of settings that has the key in it. */
static pm_status check_inline_key(const char *path, pm_error *err) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return pmi_fail(err, PM_ECONFIG, "file \"%s\" cannot be opened: %s", path, strerror(errno));
    }
    pm_status st = check_private(file, "cluster.key", path, path, err);
    fclose(file);
    return st;
}

pm_status pmi_settings_read_file(pm_settings *s, const char *path, pm_error *err) {
    pm_buffer bytes = {0};
    pm_status st = pmi_file_read(path, &bytes, err);
    st = st == PM_OK ? pmi_settings_read_bytes(s, bytes.bytes, bytes.size, path, err)
                     : pmi_fail_prefix(err, "configuration");
    if (st == PM_OK && s->memory->has_inline_key) {
        st = check_inline_key(path, err);
    }
    if (bytes.bytes != NULL) {
        explicit_bzero(bytes.bytes, bytes.size);
    }
    pmi_buffer_free(&bytes);
    return st;
}

/* ---- environment ------------------------------------------------------------------------------------- */

/* Variables that an orchestrator makes up for a service called "phasemill-redis" are nobody's settings. */
static bool is_of_a_service(const char *name) {
    const char *port = strstr(name, "_PORT");
    return strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL ||
           (port != NULL && (port[5] == '\0' || (port[5] == '_' && isdigit((unsigned char)port[6]))));
}

static bool is_of_our_sections(const char *rest) {
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        size_t n = strcspn(setting->name, ".");
        if (strncasecmp(rest, setting->name, n) == 0 && rest[n] == '_') {
            return true;
        }
    }
    return false;
}

static pm_status unknown_variable(const char *name, pm_error *err) {
    const char *rest = name + strlen(VARIABLE);
    const pm_setting *near = nearest_setting(rest);
    if (is_of_a_service(name) || (near == NULL && !is_of_our_sections(rest))) {
        return PM_OK;
    }
    if (near == NULL) {
        return pmi_fail(err, PM_ECONFIG, "unknown variable %s; `phasemill config show` lists the settings there are",
                        name);
    }
    char variable[VARIABLE_TEXT];
    variable_of(near->name, false, variable);
    return pmi_fail(err, PM_ECONFIG, "unknown variable %s; did you mean %s?", name, variable);
}

/* The setting of a variable; both forms given at once contradict each other. */
static pm_status set_variable(pm_settings *s, const char *name, const char *value, pm_error *err) {
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        for (int is_file = 0; is_file <= (int)pmi_setting_has_file(setting); is_file++) {
            char variable[VARIABLE_TEXT], full[VARIABLE_TEXT];
            variable_of(setting->name, is_file != 0, variable);
            if (strcmp(variable, name) != 0) {
                continue;
            }
            const char *origin = s->given[setting - pmi_settings_table].origin;
            if (origin != NULL && strcmp(origin, name) != 0 && strncmp(origin, VARIABLE, strlen(VARIABLE)) == 0) {
                return pmi_fail(err, PM_ECONFIG, "%s and %s are both set; keep one of them", origin, name);
            }
            int n = snprintf(full, sizeof full, "%s%s", setting->name, is_file != 0 ? "-file" : "");
            return n < 0 ? PM_ESOFTWARE : pmi_settings_set(s, full, value, name, err);
        }
    }
    return unknown_variable(name, err);
}

/* PHASEMILL_KAFKA_X_SASL_PASSWORD_FILE=path is sasl.password-file=path. */
static pm_status set_property_variable(pm_settings *s, const char *name, const char *value, pm_error *err) {
    static const char ending[] = "_FILE";
    char text[128];
    const char *rest = name + strlen(VARIABLE_KAFKA_X);
    size_t n = strlen(rest), k = sizeof ending - 1;
    bool is_file = n > k && strcmp(rest + n - k, ending) == 0;
    n -= is_file ? k : 0;
    if (n >= sizeof text - 8) {
        return pmi_fail(err, PM_ECONFIG, "unknown variable %s: no property of librdkafka has so long a name", name);
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = rest[i] == '_' ? '.' : (char)tolower((unsigned char)rest[i]);
    }
    memcpy(text + n, is_file ? "-file" : "", is_file ? 6 : 1);
    char *assignment = NULL;
    if (asprintf(&assignment, "%s=%s", text, value) < 0) {
        return pmi_fail_memory(err, "a property", strlen(value));
    }
    pm_status st = pmi_settings_set_property(s, assignment, name, err);
    explicit_bzero(assignment, strlen(assignment));
    free(assignment);
    return st;
}

static pm_status read_variable(pm_settings *s, const char *entry, pm_error *err) {
    const char *equals = strchr(entry, '=');
    char name[128];
    if (equals == NULL || strncmp(entry, VARIABLE, strlen(VARIABLE)) != 0 || equals[1] == '\0') {
        return PM_OK;
    }
    size_t n = (size_t)(equals - entry);
    if (n >= sizeof name) {
        return pmi_fail(err, PM_ECONFIG, "unknown variable %.100s...", entry);
    }
    memcpy(name, entry, n);
    name[n] = '\0';
    return strncmp(name, VARIABLE_KAFKA_X, strlen(VARIABLE_KAFKA_X)) == 0
               ? set_property_variable(s, name, equals + 1, err)
               : set_variable(s, name, equals + 1, err);
}

pm_status pmi_settings_read_environment(pm_settings *s, char *const *environment, pm_error *err) {
    for (; *environment != NULL; environment++) {
        PM_TRY(read_variable(s, *environment, err));
    }
    return PM_OK;
}
