#include "options.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

#define HELP 'h'
#define FIRST 256 /* `val` of the first option of a table: beyond any character */

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

static pm_status read_count(const cli_option *o, const char *text, size_t *out, pm_error *err) {
    size_t value = 0;
    const char *rest = read_digits(text, &value);
    if (rest == NULL || *rest != '\0' || value < o->least || value > o->most) {
        return pm_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected a whole number from %zu to %zu", o->name, text,
                       o->least, o->most);
    }
    *out = value;
    return PM_OK;
}

static pm_status read_bytes(const cli_option *o, const char *text, size_t *out, pm_error *err) {
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
        return pm_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected bytes such as 4096, 64K, 500M or 2G", o->name,
                       text);
    }
    return PM_OK;
}

static pm_status read_fraction(const cli_option *o, const char *text, double *out, pm_error *err) {
    double value;
    pm_number_fault fault = pm_number_parse(text, strlen(text), &value);
    if (fault != PM_NUMBER_OK || !(value > 0) || !(value < 1)) {
        return pm_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected a number above 0 and below 1", o->name, text);
    }
    *out = value;
    return PM_OK;
}

static pm_status read_choice(const cli_option *o, const char *text, int *out, pm_error *err) {
    char names[256] = "";
    size_t used = 0;
    for (const cli_choice *c = o->choices; c->name != NULL; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            return PM_OK;
        }
        const char *joint = c == o->choices ? "" : c[1].name == NULL ? " or " : ", ";
        int n = snprintf(names + used, sizeof names - used, "%s%s", joint, c->name);
        if (n < 0 || (size_t)n >= sizeof names - used) {
            break;
        }
        used += (size_t)n;
    }
    return pm_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected %s", o->name, text, names);
}

pm_status cli_read_value(const cli_option *o, const char *text, void *fields, pm_error *err) {
    void *field = (char *)fields + o->offset;
    int chosen = 0;
    pm_status st = PM_OK;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        break;
    case CLI_TEXT:
        *(const char **)field = text;
        break;
    case CLI_COUNT:
        st = read_count(o, text, field, err);
        break;
    case CLI_BYTES:
        st = read_bytes(o, text, field, err);
        break;
    case CLI_FRACTION:
        st = read_fraction(o, text, field, err);
        break;
    case CLI_CHOICE:
    case CLI_CHOICES:
        st = read_choice(o, text, &chosen, err);
        *(int *)field = o->kind == CLI_CHOICE ? chosen : *(int *)field | chosen;
        break;
    }
    return st;
}

/* getopt_long tells faults by one character; the word at fault is the last it looked at. */
static pm_status option_fault(int found, int at, int argc, char **argv, pm_error *err) {
    const char *word = at < argc ? argv[at] : "";
    const char *what = found == ':'                                            ? "a value is missing after"
                       : optopt >= FIRST || (optopt == HELP && word[1] == '-') ? "no value is allowed for"
                                                                               : "unknown option";
    return pm_fail(err, PM_EUSAGE, "%s: %s %s; see `phasemill %s --help`", argv[0], what, word, argv[0]);
}

static pm_status take_operands(int argc, char **argv, cli_operands *operands, pm_error *err) {
    int n = argc - optind;
    if (n < operands->least) {
        return pm_fail(err, PM_EUSAGE, "%s: %s is missing; see `phasemill %s --help`", argv[0], operands->what,
                       argv[0]);
    }
    if (n > operands->most) {
        return pm_fail(err, PM_EUSAGE, "%s: \"%s\" is one operand too many, expected %s; see `phasemill %s --help`",
                       argv[0], argv[optind + operands->most], operands->what, argv[0]);
    }
    operands->n = n;
    operands->values = argv + optind;
    return PM_OK;
}

pm_status cli_parse(int argc, char **argv, const cli_option *options, void *fields, cli_operands *operands, bool *help,
                    pm_error *err) {
    struct option table[CLI_MAX_OPTIONS + 2] = {{"help", no_argument, NULL, HELP}};
    for (int i = 0; i < CLI_MAX_OPTIONS && options[i].name != NULL; i++) {
        int needs = options[i].kind == CLI_FLAG ? no_argument : required_argument;
        table[i + 1] = (struct option){options[i].name, needs, NULL, FIRST + i};
    }
    optind = 0;
    opterr = 0;
    pm_status st = PM_OK;
    *help = false;
    while (st == PM_OK) {
        int found = getopt_long(argc, argv, ":h", table, NULL);
        if (found == -1) {
            return take_operands(argc, argv, operands, err);
        }
        if (found == HELP) {
            *help = true;
            return PM_OK;
        }
        st = found == ':' || found == '?' ? option_fault(found, optind - 1, argc, argv, err)
                                          : cli_read_value(&options[found - FIRST], optarg, fields, err);
    }
    return st;
}
