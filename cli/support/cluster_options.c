/* The command line of a command of the cluster, and its settings. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/machine.h"
#include "support/cluster.h"

#define MAX_SETTINGS 40
#define MAX_SECRETS 4
#define NAME_TEXT (PM_SETTING_NAME_TEXT + 8)

extern char **environ;

/* ---- the options that follow from the settings ------------------------------------------------------- */

typedef struct setting_options {
    cli_given given;
    cli_given secrets; /* given where no secret may be */
    char names[MAX_SETTINGS][NAME_TEXT], secret_names[MAX_SECRETS][NAME_TEXT];
    cli_option options[MAX_SETTINGS + MAX_SECRETS + 1];
    const pm_setting *settings[MAX_SETTINGS];
    size_t n_secrets;
} setting_options;

/* "redis-address" of "redis.address"; of a secret, only its file has a flag. */
static bool write_flag(const pm_setting *setting, char name[NAME_TEXT]) {
    int n = snprintf(name, NAME_TEXT, "%s%s", setting->name, pmi_setting_is_secret(setting) ? "-file" : "");
    char *dot = strchr(name, '.');
    if (n < 0 || n >= NAME_TEXT || dot == NULL) {
        return false;
    }
    *dot = '-';
    return true;
}

/* getopt_long would take --redis-password=SECRET as short for --redis-password-file=SECRET, and the error would show
 * it. */
static void catch_secret(setting_options *o, const char *file_flag, cli_option *option) {
    char *name = o->secret_names[o->n_secrets++];
    size_t n = strlen(file_flag) - strlen("-file");
    memcpy(name, file_flag, n);
    name[n] = '\0';
    *option = (cli_option){.name = name, .kind = CLI_GIVEN, .offset = offsetof(setting_options, secrets)};
}

static pm_status refuse_secrets(const setting_options *o, pm_error *err) {
    if (o->secrets.n == 0) {
        return PM_OK;
    }
    const char *name = o->secrets.items[0].name;
    memset(o->secrets.items[0].text, '*', strlen(o->secrets.items[0].text));
    return pmi_fail(err, PM_EUSAGE,
                    "--%s: a secret on the command line shows in the list of processes; give --%s-file FILE, or one of "
                    "the variables that `phasemill config --help` names",
                    name, name);
}

static pm_status make_options(setting_options *o, pm_error *err) {
    size_t n = 0;
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++, n++) {
        if (n == MAX_SETTINGS || !write_flag(setting, o->names[n])) {
            return pmi_fail(err, PM_ESOFTWARE, "setting %s cannot be made an option", setting->name);
        }
        o->settings[n] = setting;
        o->options[n] = (cli_option){.name = o->names[n],
                                     .kind = setting->kind == PM_SETTING_BOOL ? CLI_GIVEN_FLAG : CLI_GIVEN,
                                     .offset = offsetof(setting_options, given)};
    }
    for (size_t i = 0; i < n && o->n_secrets < MAX_SECRETS; i++) {
        if (pmi_setting_is_secret(o->settings[i])) {
            catch_secret(o, o->names[i], &o->options[n + o->n_secrets]);
        }
    }
    return PM_OK;
}

static pm_status apply_option(pm_settings *s, const setting_options *o, const cli_given_item *item, pm_error *err) {
    size_t i = 0;
    while (item->name != o->names[i]) {
        i++;
    }
    char name[NAME_TEXT], flag[NAME_TEXT + 2];
    bool is_secret = pmi_setting_is_secret(o->settings[i]);
    int n = snprintf(name, sizeof name, "%s%s", o->settings[i]->name, is_secret ? "-file" : "");
    int k = snprintf(flag, sizeof flag, "--%s", item->name);
    if (n < 0 || k < 0) {
        return pmi_fail(err, PM_ESOFTWARE, "--%s cannot be named", item->name);
    }
    return pmi_settings_set(s, name, item->text == NULL ? "true" : item->text, flag, err);
}

/* What -X gave shows in the list of processes until it is overwritten there. */
static void hide_secret(char *assignment) {
    char *equals = strchr(assignment, '=');
    if (equals == NULL) {
        return;
    }
    *equals = '\0';
    bool is_secret = pmi_property_is_secret(assignment);
    *equals = '=';
    if (is_secret) {
        memset(equals + 1, '*', strlen(equals + 1));
    }
}

/* ---- parsing ----------------------------------------------------------------------------------------- */

typedef struct common_options {
    bool quiet, verbose;
    const char *config;
    cli_given properties;
} common_options;

#define FIELD(name) offsetof(common_options, name)

static const cli_option common[] = {
    {"config", CLI_TEXT, FIELD(config), 0, 0, NULL},
    {"-X", CLI_GIVEN, FIELD(properties), 0, 0, NULL},
    {"quiet", CLI_FLAG, FIELD(quiet), 0, 0, NULL},
    {"verbose", CLI_FLAG, FIELD(verbose), 0, 0, NULL},
    {0},
};

static pm_status read_sources(cli_cluster *c, pm_error *err) {
    const char *path = c->config != NULL ? c->config : getenv("PHASEMILL_CONFIG");
    PM_TRY(pmi_settings_init(&c->settings, err));
    if (path != NULL && path[0] != '\0') {
        PM_TRY(pmi_settings_read_file(&c->settings, path, err));
    }
    return pmi_settings_read_environment(&c->settings, environ, err);
}

static pm_status apply_flags(cli_cluster *c, const setting_options *o, const cli_given *properties, pm_error *err) {
    for (size_t i = 0; i < o->given.n; i++) {
        PM_TRY(apply_option(&c->settings, o, &o->given.items[i], err));
    }
    for (size_t i = 0; i < properties->n; i++) {
        pm_status st = pmi_settings_set_property(&c->settings, properties->items[i].text, "-X", err);
        hide_secret(properties->items[i].text);
        PM_TRY(st);
    }
    return PM_OK;
}

static bool asks_for_list(const cli_given *properties) {
    for (size_t i = 0; i < properties->n; i++) {
        if (strcmp(properties->items[i].text, "list") == 0) {
            return true;
        }
    }
    return false;
}

static void write_properties(void *ctx, const char *text) {
    cli_out_text(ctx, text);
}

static pm_status list_properties(pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    pmi_properties_list(write_properties, out);
    return cli_out_close(out, PM_OK, err);
}

static pm_status name_client(cli_cluster *c, pm_error *err) {
    char host[65] = "";
    uint32_t drawn;
    if (gethostname(host, sizeof host - 1) != 0 || getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn) {
        return pmi_fail(err, PM_EOSERR, "a name of this process cannot be made: %s", strerror(errno));
    }
    int n = snprintf(c->client, sizeof c->client, "%s-%ld-%04x", host, (long)getpid(), (unsigned)(drawn & 0xffff));
    return n > 0 && n < (int)sizeof c->client ? PM_OK : pmi_fail(err, PM_ESOFTWARE, "the host's name is too long");
}

static void make_console(cli_cluster *c) {
    cli_console_init(&c->console, c->quiet, c->verbose);
    if (c->settings.values.log_format == PM_LOG_FORMAT_JSON) {
        cli_console_as_json(&c->console, c->command->name);
    }
    if (c->command->runs_for_long) {
        cli_console_with_times(&c->console);
    }
}

/* Those that are no defaults, gathered for a log line. */
typedef struct settings_line {
    pm_log_field fields[MAX_SETTINGS];
    size_t n;
} settings_line;

static pm_status gather(void *ctx, const char *name, const char *value, const char *origin, pm_error *err) {
    (void)err;
    settings_line *line = ctx;
    if (value != NULL && strcmp(origin, "default") != 0 && line->n < MAX_SETTINGS) {
        line->fields[line->n++] = (pm_log_field){.name = name, .text = value};
    }
    return PM_OK;
}

/* What a program that runs for long was started with should be in its log. */
static pm_status log_settings(cli_cluster *c, pm_error *err) {
    settings_line line = {.n = 0};
    PM_TRY(pmi_settings_each(&c->settings, gather, &line, err));
    pmi_log_event(&c->console.log, c->command->runs_for_long ? PM_LOG_INFO : PM_LOG_DEBUG, line.fields, line.n,
                  "settings other than the defaults:");
    return PM_OK;
}

static pm_status read_settings(cli_cluster *c, const setting_options *o, const cli_given *properties, pm_error *err) {
    PM_TRY(refuse_secrets(o, err));
    PM_TRY(read_sources(c, err));
    PM_TRY(apply_flags(c, o, properties, err));
    PM_TRY(pmi_settings_check(&c->settings, err));
    if (pmi_settings_hold_secret(&c->settings)) {
        PM_TRY(pmi_forbid_dumps(err));
    }
    return name_client(c, err);
}

pm_status cli_cluster_parse(cli_cluster *c, const cli_command *command, int argc, char **argv,
                            const cli_option *options, void *fields, cli_operands *operands, bool *is_done,
                            pm_error *err) {
    common_options shared = {0};
    setting_options from_settings = {0};
    const cli_option_set sets[] = {{options, fields}, {common, &shared}, {from_settings.options, &from_settings}};
    c->command = command;
    signal(SIGPIPE, SIG_IGN);
    *is_done = false;
    pm_status st = make_options(&from_settings, err);
    PM_THEN(st, cli_parse_sets(argc, argv, sets, sizeof sets / sizeof *sets, operands, is_done, err));
    if (*is_done) {
        st = cli_show_help(command, err);
    } else if (asks_for_list(&shared.properties)) {
        *is_done = true;
        st = list_properties(err);
    } else if (st == PM_OK) {
        c->quiet = shared.quiet;
        c->verbose = shared.verbose;
        c->config = shared.config;
        st = read_settings(c, &from_settings, &shared.properties, err);
        make_console(c);
        PM_THEN(st, log_settings(c, err));
    }
    cli_given_free(&shared.properties);
    cli_given_free(&from_settings.given);
    cli_given_free(&from_settings.secrets);
    return st;
}

pm_status cli_cluster_set(cli_cluster *c, const char *setting, const char *text, const char *flag, pm_error *err) {
    return text == NULL ? PM_OK : pmi_settings_set(&c->settings, setting, text, flag, err);
}

bool cli_cluster_is_configured(const cli_cluster *c) {
    return c->settings.values.kafka.brokers != NULL && c->settings.values.redis.address != NULL;
}

pm_status cli_cluster_kafka_options(cli_cluster *c, pm_error *err) {
    return pmi_settings_kafka(&c->settings, c->client, &c->kafka, err);
}

pm_status cli_cluster_redis_options(cli_cluster *c, pm_error *err) {
    pm_status st = pmi_settings_redis(&c->settings, &c->redis_options, err);
    PM_THEN(st, c->seal == NULL ? pmi_settings_seal(&c->settings, &c->seal, err) : PM_OK);
    c->redis_options.seal = c->seal;
    return st;
}

/* ---- help -------------------------------------------------------------------------------------------- */

#define COLUMN 31

static void write_line(cli_out *out, const char *flag, const char *value, const char *help, const char *default_value) {
    char left[96];
    int n = snprintf(left, sizeof left, "  %s%s%s", flag, value == NULL ? "" : " ", value == NULL ? "" : value);
    if (n > 0) {
        bool has_default =
            default_value != NULL && strcmp(default_value, "0") != 0 && strcmp(default_value, "false") != 0;
        cli_out_format(out, "%-*s %s%s%s%s\n", COLUMN, left, help, has_default ? " (" : "",
                       has_default ? default_value : "", has_default ? ")" : "");
    }
}

void cli_cluster_help(cli_out *out) {
    cli_out_text(out, "\n"
                      "settings, each also as PHASEMILL_SECTION_NAME and in a file (`phasemill config show`):\n");
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        char name[NAME_TEXT], flag[NAME_TEXT + 2];
        if (write_flag(setting, name) && snprintf(flag, sizeof flag, "--%s", name) > 0) {
            write_line(out, flag, setting->value, setting->help, setting->default_value);
        }
    }
    write_line(out, "--config", "FILE", "the file of settings", "$PHASEMILL_CONFIG");
    write_line(out, "-X", "PROP=VALUE", "a property of librdkafka; -X list shows them", NULL);
}
