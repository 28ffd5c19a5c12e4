/* Where settings come from: a file of sections, and the environment. */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/settings_impl.h"

#define KAFKA_X "kafka-x"

/* ---- file -------------------------------------------------------------------------------------------- */

/* inih asks for a line, then calls the handler with what it found in it. It cuts lines that are longer than its
 * buffer, takes an indented line as more of the value before, and cuts values at " ;": each of that is refused here, or
 * kept from it. */
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
    const pm_setting *setting = pmi_setting_find(name, &is_file);
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
        const pm_setting *setting = pmi_setting_find(text, &is_file);
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
    pm_status st = pmi_settings_check_private(file, "cluster.key", path, path, err);
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
    const char *rest = name + strlen(PM_VARIABLE);
    const pm_setting *near = pmi_setting_nearest(rest);
    if (is_of_a_service(name) || (near == NULL && !is_of_our_sections(rest))) {
        return PM_OK;
    }
    if (near == NULL) {
        return pmi_fail(err, PM_ECONFIG, "unknown variable %s; `phasemill config show` lists the settings there are",
                        name);
    }
    char variable[PM_SETTING_VARIABLE];
    pmi_setting_variable(near->name, false, variable);
    return pmi_fail(err, PM_ECONFIG, "unknown variable %s; did you mean %s?", name, variable);
}

/* The setting of a variable; both forms given at once contradict each other. */
static pm_status set_variable(pm_settings *s, const char *name, const char *value, pm_error *err) {
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        for (int is_file = 0; is_file <= (int)pmi_setting_has_file(setting); is_file++) {
            char variable[PM_SETTING_VARIABLE], full[PM_SETTING_VARIABLE];
            pmi_setting_variable(setting->name, is_file != 0, variable);
            if (strcmp(variable, name) != 0) {
                continue;
            }
            const char *origin = s->given[setting - pmi_settings_table].origin;
            if (origin != NULL && strcmp(origin, name) != 0 && strncmp(origin, PM_VARIABLE, strlen(PM_VARIABLE)) == 0) {
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
    const char *rest = name + strlen(PM_VARIABLE_KAFKA_X);
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
    if (equals == NULL || strncmp(entry, PM_VARIABLE, strlen(PM_VARIABLE)) != 0 || equals[1] == '\0') {
        return PM_OK;
    }
    size_t n = (size_t)(equals - entry);
    if (n >= sizeof name) {
        return pmi_fail(err, PM_ECONFIG, "unknown variable %.100s...", entry);
    }
    memcpy(name, entry, n);
    name[n] = '\0';
    return strncmp(name, PM_VARIABLE_KAFKA_X, strlen(PM_VARIABLE_KAFKA_X)) == 0
               ? set_property_variable(s, name, equals + 1, err)
               : set_variable(s, name, equals + 1, err);
}

pm_status pmi_settings_read_environment(pm_settings *s, char *const *environment, pm_error *err) {
    for (; *environment != NULL; environment++) {
        PM_TRY(read_variable(s, *environment, err));
    }
    return PM_OK;
}
