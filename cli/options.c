#include "options.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

int cli_next_option(cli_args *args, pm_error *err) {
    if (!args->is_started) {
        optind = 0;
        opterr = 0;
        args->is_started = true;
    }
    int at = optind == 0 ? 1 : optind;
    int found = getopt_long(args->argc, args->argv, ":h", args->options, NULL);
    const char *word = at < args->argc ? args->argv[optind > at ? optind - 1 : at] : "";
    if (found == ':') {
        pm_fail(err, PM_EUSAGE, "option %s needs a value; see `phasemill %s --help`", word, args->argv[0]);
        return CLI_BAD;
    }
    if (found == '?') {
        const char *why = optopt == 0 || strncmp(word, "--", 2) != 0 ? "unknown option" : "no value is allowed for";
        pm_fail(err, PM_EUSAGE, "%s %s; see `phasemill %s --help`", why, word, args->argv[0]);
        return CLI_BAD;
    }
    return found;
}

pm_status cli_operands(const cli_args *args, int least, int most, const char *what, char ***out, pm_error *err) {
    int n = args->argc - optind;
    if (n < least) {
        return pm_fail(err, PM_EUSAGE, "%s: %s is missing; see `phasemill %s --help`", args->argv[0], what,
                       args->argv[0]);
    }
    if (n > most) {
        return pm_fail(err, PM_EUSAGE, "%s: \"%s\" is one operand too many, expected %s; see `phasemill %s --help`",
                       args->argv[0], args->argv[optind + most], most == 0 ? "none" : what, args->argv[0]);
    }
    *out = args->argv + optind;
    return PM_OK;
}

/* Reads digits; returns what follows them, NULL when there are none or they overflow. */
static const char *read_digits(const char *text, size_t *out) {
    const char *at = text;
    size_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (!pm_mul(value, 10, &value) || !pm_add(value, (size_t)(*at - '0'), &value)) {
            return NULL;
        }
    }
    *out = value;
    return at == text ? NULL : at;
}

pm_status cli_read_count(const char *option, const char *text, size_t least, size_t most, size_t *out, pm_error *err) {
    size_t value = 0;
    const char *rest = read_digits(text, &value);
    if (rest == NULL || *rest != '\0' || value < least || value > most) {
        return pm_fail(err, PM_EUSAGE, "%s: found \"%s\", expected a whole number from %zu to %zu", option, text, least,
                       most);
    }
    *out = value;
    return PM_OK;
}

pm_status cli_read_bytes(const char *option, const char *text, size_t *out, pm_error *err) {
    static const char suffixes[] = "KMGT";
    size_t value = 0;
    const char *rest = read_digits(text, &value);
    unsigned shift = 0;
    if (rest != NULL && *rest != '\0') {
        const char *suffix = strchr(suffixes, *rest);
        shift = suffix == NULL ? 0 : 10 * (unsigned)(suffix - suffixes + 1);
        rest = suffix == NULL ? NULL : rest + 1;
    }
    if (rest == NULL || *rest != '\0' || value == 0 || !pm_mul(value, (size_t)1 << shift, out)) {
        return pm_fail(err, PM_EUSAGE, "%s: found \"%s\", expected bytes such as 4096, 64K, 500M or 2G", option, text);
    }
    return PM_OK;
}

pm_status cli_read_fraction(const char *option, const char *text, double *out, pm_error *err) {
    double value;
    pm_number_fault fault = pm_number_parse(text, strlen(text), &value);
    if (fault != PM_NUMBER_OK || !(value > 0) || !(value < 1)) {
        return pm_fail(err, PM_EUSAGE, "%s: found \"%s\", expected a number above 0 and below 1", option, text);
    }
    *out = value;
    return PM_OK;
}

pm_status cli_read_choice(const char *option, const char *text, const cli_choice *choices, int *out, pm_error *err) {
    char names[256] = "";
    size_t used = 0;
    for (const cli_choice *c = choices; c->name != NULL; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            return PM_OK;
        }
        const char *joint = c == choices ? "" : c[1].name == NULL ? " or " : ", ";
        int n = snprintf(names + used, sizeof names - used, "%s%s", joint, c->name);
        if (n < 0 || (size_t)n >= sizeof names - used) {
            break;
        }
        used += (size_t)n;
    }
    return pm_fail(err, PM_EUSAGE, "%s: found \"%s\", expected %s", option, text, names);
}
