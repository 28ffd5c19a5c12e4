#include <string.h>

#include "support/cluster.h"
#include "support/json_writer.h"

typedef struct config_options {
    bool json;
} config_options;

static const cli_option options[] = {{"json", CLI_FLAG, offsetof(config_options, json), 0, 0, NULL}, {0}};

static pm_status write_row(void *ctx, const char *name, const char *value, const char *origin, pm_error *err) {
    cli_out *out = ctx;
    cli_out_format(out, "%-24s", name);
    cli_out_shown(out, value == NULL ? "-" : value);
    size_t width = value == NULL ? 1 : strlen(value);
    cli_out_format(out, "%*s ", width < 28 ? (int)(28 - width) : 0, "");
    cli_out_shown(out, origin);
    cli_out_text(out, "\n");
    return cli_out_status(out, err);
}

static pm_status write_object(void *ctx, const char *name, const char *value, const char *origin, pm_error *err) {
    cli_json *j = ctx;
    cli_json_open(j, '{');
    cli_json_string(cli_json_key(j, "name"), name);
    cli_json_text(cli_json_key(j, "value"), value);
    cli_json_string(cli_json_key(j, "origin"), origin);
    cli_json_close(j, '}');
    return cli_out_status(j->out, err);
}

static pm_status show(const cli_cluster *c, bool as_json, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    if (!as_json) {
        return cli_out_close(out, pmi_settings_each(&c->settings, write_row, out, err), err);
    }
    cli_json j = {.out = out};
    cli_json_open(&j, '{');
    cli_json_open(cli_json_key(&j, "settings"), '[');
    pm_status st = pmi_settings_each(&c->settings, write_object, &j, err);
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
    return cli_out_close(out, st, err);
}

pm_status cli_main_config(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_cluster c = {0};
    config_options o = {0};
    cli_operands operands = {.min = 0, .max = 1, .what = "show"};
    bool is_done;
    pm_status st = cli_cluster_parse(&c, self, argc, argv, options, &o, &operands, &is_done, err);
    if (st == PM_OK && !is_done) {
        st = operands.n == 1 && strcmp(operands.values[0], "show") == 0
                 ? show(&c, o.json, err)
                 : pmi_fail(err, PM_EUSAGE, "config: found \"%s\", expected show",
                            operands.n == 0 ? "nothing" : operands.values[0]);
    }
    return cli_cluster_close(&c, st, err);
}
