#include "config/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/number.h"
#include "config/settings_impl.h"

#define LARGEST_FILE 65536 /* bytes of a value in a file of its own */
#define TOO_OPEN (S_IWGRP | S_IRWXO)

pm_status pmi_origin_code(const char *origin) {
    return origin[0] == '-' ? PM_EUSAGE : PM_ECONFIG;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

pm_status pmi_settings_keep(pm_settings *s, const char *text, size_t n, const char **out, pm_error *err) {
    pm_settings_memory *m = s->memory;
    char *copy = pmi_reserve((void **)&m->texts, &m->text_capacity, m->n_texts + 1, sizeof *m->texts)
                     ? pmi_malloc(n + 1, 1)
                     : NULL;
    if (copy == NULL) {
        return pmi_fail_memory(err, "settings", n + 1);
    }
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
    if (s->given == NULL || s->memory == NULL) {
        return pmi_fail_memory(err, "settings", n * sizeof *s->given);
    }
    pm_status st = PM_OK;
    for (const pm_setting *setting = pmi_settings_table; st == PM_OK && setting->name != NULL; setting++) {
        if (setting->default_value != NULL) {
            st = pmi_settings_set(s, setting->name, setting->default_value, "default", err);
        }
    }
    return st;
}

/* ---- a value in a file of its own -------------------------------------------------------------------- */

static pm_status read_value(FILE *file, char *bytes, size_t *n, const char *name, const char *path, const char *origin,
                            pm_error *err) {
    *n = fread(bytes, 1, LARGEST_FILE + 1, file);
    if (ferror(file)) {
        return pmi_fail(err, pmi_origin_code(origin), "%s (%s): file \"%s\" cannot be read: %s", name, origin, path,
                        strerror(errno));
    }
    if (*n > LARGEST_FILE || memchr(bytes, '\0', *n) != NULL) {
        return pmi_fail(err, pmi_origin_code(origin),
                        "%s (%s): file \"%s\" is longer than %d bytes or holds a zero byte; expected a text", name,
                        origin, path, LARGEST_FILE);
    }
    *n -= *n > 0 && bytes[*n - 1] == '\n';
    *n -= *n > 0 && bytes[*n - 1] == '\r';
    return PM_OK;
}

pm_status pmi_settings_check_private(FILE *file, const char *name, const char *path, const char *origin,
                                     pm_error *err) {
    struct stat about;
    if (fstat(fileno(file), &about) != 0) {
        return pmi_fail(err, pmi_origin_code(origin), "%s (%s): file \"%s\" cannot be looked at: %s", name, origin,
                        path, strerror(errno));
    }
    return !S_ISREG(about.st_mode) || (about.st_mode & TOO_OPEN) == 0
               ? PM_OK
               : pmi_fail(err, pmi_origin_code(origin),
                          "%s (%s): file \"%s\" has mode %04o, expected at most 0640: a key that others may read or "
                          "write is none; run `chmod 600` on it",
                          name, origin, path, (unsigned)(about.st_mode & 07777));
}

pm_status pmi_settings_keep_file(pm_settings *s, const pm_setting *setting, const char *name, const char *path,
                                 const char *origin, const char **out, pm_error *err) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return pmi_fail(err, pmi_origin_code(origin), "%s (%s): file \"%s\" cannot be opened: %s", name, origin, path,
                        strerror(errno));
    }
    size_t n = 0;
    char *bytes = pmi_malloc(LARGEST_FILE + 1, 1);
    pm_status st = bytes == NULL ? pmi_fail_memory(err, "a value", LARGEST_FILE + 1) : PM_OK;
    if (st == PM_OK && setting != NULL && setting->kind == PM_SETTING_KEY) {
        st = pmi_settings_check_private(file, name, path, origin, err);
    }
    PM_THEN(st, read_value(file, bytes, &n, name, path, origin, err));
    PM_THEN(st, pmi_settings_keep(s, bytes, n, out, err));
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
    return pmi_fail(err, pmi_origin_code(origin), "%s (%s): found %s%s%s, expected %s", setting->name, origin, quote,
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
    bool is_fit = n >= setting->least && n <= setting->most;
    snprintf(expected, sizeof expected, "%zu to %zu %s", setting->least, setting->most,
             setting->kind == PM_SETTING_NAME ? "letters, digits, '.', '_' and '-'"
                                              : "bytes without control characters");
    if (!is_fit || (setting->kind == PM_SETTING_NAME ? !is_name(text) : has_control(text))) {
        return refuse(setting, n > 100 ? "a longer text" : text, origin, expected, err);
    }
    /* a URL may hold a password, which an error must not show */
    bool is_place = strcmp(setting->name, "redis.address") == 0;
    if (is_place && (strstr(text, "://") != NULL || strchr(text, '@') != NULL)) {
        return pmi_fail(
            err, pmi_origin_code(origin),
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
    if (!is_number || value < setting->least || value > setting->most) {
        char expected[128];
        snprintf(expected, sizeof expected, "a whole number from %zu to %zu", setting->least, setting->most);
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
    pm_status st = PM_OK;
    switch (setting->kind) {
    case PM_SETTING_TEXT:
    case PM_SETTING_NAME:
    case PM_SETTING_SECRET:
    case PM_SETTING_KEY:
        st = read_text(setting, text, origin, field, err);
        break;
    case PM_SETTING_COUNT:
    case PM_SETTING_BYTES:
        st = read_number(setting, text, origin, field, err);
        break;
    case PM_SETTING_BOOL:
        st = read_choice(setting, text, origin, &chosen, err);
        *(bool *)field = st == PM_OK ? chosen == 1 : *(bool *)field;
        break;
    case PM_SETTING_CHOICE:
        st = read_choice(setting, text, origin, &chosen, err);
        *(int *)field = st == PM_OK ? chosen : *(int *)field;
        break;
    }
    return st;
}

static pm_status unknown_setting(const char *name, const char *origin, pm_error *err) {
    const pm_setting *near = pmi_setting_nearest(name);
    if (near != NULL) {
        return pmi_fail(err, pmi_origin_code(origin), "unknown setting \"%s\" (%s); did you mean %s?", name, origin,
                        near->name);
    }
    return pmi_fail(err, pmi_origin_code(origin),
                    "unknown setting \"%s\" (%s); `phasemill config show` lists those there "
                    "are",
                    name, origin);
}

pm_status pmi_settings_set(pm_settings *s, const char *name, const char *value, const char *origin, pm_error *err) {
    bool is_file = false;
    const pm_setting *setting = pmi_setting_find(name, &is_file);
    if (setting == NULL) {
        return unknown_setting(name, origin, err);
    }
    const char *text = NULL, *from = NULL;
    PM_TRY(is_file ? pmi_settings_keep_file(s, setting, setting->name, value, origin, &text, err)
                   : pmi_settings_keep(s, value, strlen(value), &text, err));
    PM_TRY(pmi_settings_keep(s, origin, strlen(origin), &from, err));
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
    if (v->redis_ttl_hours <= v->kafka_retention_hours) {
        return pmi_fail(
            err, PM_ECONFIG,
            "redis.ttl-hours is %zu, expected more than kafka.retention-hours, which is %zu: a unit must not "
            "outlive what it points to",
            v->redis_ttl_hours, v->kafka_retention_hours);
    }
    if (v->redis_user != NULL && v->redis_password == NULL) {
        return pmi_fail(err, PM_ECONFIG,
                        "redis.user is \"%s\" and redis.password is not set; give PHASEMILL_REDIS_PASSWORD_FILE",
                        v->redis_user);
    }
    if (v->redis_tls_ca != NULL && !v->redis_tls) {
        return pmi_fail(err, PM_ECONFIG, "redis.tls-ca is set and redis.tls is false; set redis.tls to true");
    }
    return PM_OK;
}
