#include "support/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"

#define HELP 'h'
#define FIRST 256 /* `val` of the first option of a table: beyond any character */

static pm_status read_count(const cli_option *o, const char *text, size_t *out, pm_error *err) {
    size_t value;
    if (!pmi_count_parse(text, &value) || value < o->min || value > o->max) {
        return pmi_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected a whole number from %zu to %zu", o->name, text,
                        o->min, o->max);
    }
    *out = value;
    return PM_OK;
}

static pm_status read_bytes(const cli_option *o, const char *text, size_t *out, pm_error *err) {
    size_t value;
    if (!pmi_bytes_parse(text, &value) || value == 0) {
        return pmi_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected bytes such as 4096, 64K, 500M or 2G", o->name,
                        text);
    }
    *out = value;
    return PM_OK;
}

static pm_status read_fraction(const cli_option *o, const char *text, double *out, pm_error *err) {
    double value;
    pm_number_fault fault = pmi_number_parse(text, strlen(text), &value);
    if (fault != PM_NUMBER_OK || !(value > 0) || !(value < 1)) {
        return pmi_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected a number above 0 and below 1", o->name, text);
    }
    *out = value;
    return PM_OK;
}

/* Name i of "stat, list or show", behind those before it; the last one has none behind it. */
static void list_name(char names[256], size_t i, bool is_last, const char *name) {
    size_t used = strlen(names);
    (void)snprintf(names + used, 256 - used, "%s%s", i == 0 ? "" : is_last ? " or " : ", ", name);
}

static pm_status read_choice(const cli_option *o, const char *text, int *out, pm_error *err) {
    char names[256] = "";
    for (const cli_choice *c = o->choices; c->name != NULL; c++) {
        if (strcmp(c->name, text) == 0) {
            *out = c->value;
            return PM_OK;
        }
        list_name(names, (size_t)(c - o->choices), c[1].name == NULL, c->name);
    }
    return pmi_fail(err, PM_EUSAGE, "--%s: found \"%s\", expected %s", o->name, text, names);
}

static pm_status keep_given(const cli_option *o, char *text, cli_given *given, pm_error *err) {
    PM_TRY(PM_GROW(&given->items, &given->capacity, given->n + 1, "options", err));
    given->items[given->n++] = (cli_given_item){.name = o->name, .text = text};
    return PM_OK;
}

pm_status cli_read_value(const cli_option *o, char *text, void *fields, pm_error *err) {
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
    case CLI_GIVEN:
    case CLI_GIVEN_FLAG:
        st = keep_given(o, text, field, err);
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
    return pmi_fail(err, PM_EUSAGE, "%s: %s %s; see `phasemill %s --help`", argv[0], what, word, argv[0]);
}

static pm_status take_operands(int argc, char **argv, cli_operands *operands, pm_error *err) {
    int n = argc - optind;
    if (n < operands->min) {
        return pmi_fail(err, PM_EUSAGE, "%s: %s is missing; see `phasemill %s --help`", argv[0], operands->what,
                        argv[0]);
    }
    if (n > operands->max) {
        return pmi_fail(err, PM_EUSAGE, "%s: \"%s\" is one operand too many, expected %s; see `phasemill %s --help`",
                        argv[0], argv[optind + operands->max], operands->what, argv[0]);
    }
    operands->n = n;
    operands->values = argv + optind;
    return PM_OK;
}

/* The tables as getopt_long wants them: long options in `names`, those of one letter in `letters`. */
typedef struct option_index {
    const cli_option *options[CLI_MAX_OPTIONS];
    void *fields[CLI_MAX_OPTIONS];
    size_t n;
    struct option names[CLI_MAX_OPTIONS + 2];
    char letters[2 * CLI_MAX_OPTIONS + 3];
} option_index;

static void add_option(option_index *index, const cli_option *o, void *fields, size_t *n_names, size_t *n_letters) {
    int needs = o->kind == CLI_FLAG ? no_argument : o->kind == CLI_GIVEN_FLAG ? optional_argument : required_argument;
    if (o->name[0] == '-') {
        index->letters[(*n_letters)++] = o->name[1];
        index->letters[(*n_letters)++] = ':';
    } else {
        index->names[(*n_names)++] = (struct option){o->name, needs, NULL, FIRST + (int)index->n};
    }
    index->options[index->n] = o;
    index->fields[index->n++] = fields;
}

static pm_status make_index(option_index *index, const cli_option_set *sets, size_t n_sets, pm_error *err) {
    *index = (option_index){.names = {{"help", no_argument, NULL, HELP}}, .letters = ":h"};
    size_t n_names = 1, n_letters = 2;
    for (size_t s = 0; s < n_sets; s++) {
        for (const cli_option *o = sets[s].options; o->name != NULL; o++) {
            if (index->n == CLI_MAX_OPTIONS) {
                return pmi_fail(err, PM_ESOFTWARE, "a command has more than %d options", CLI_MAX_OPTIONS);
            }
            add_option(index, o, sets[s].fields, &n_names, &n_letters);
        }
    }
    return PM_OK;
}

static size_t find_letter(const option_index *index, int letter) {
    size_t i = 0;
    while (i < index->n && (index->options[i]->name[0] != '-' || index->options[i]->name[1] != letter)) {
        i++;
    }
    return i;
}

pm_status cli_parse_sets(int argc, char **argv, const cli_option_set *sets, size_t n_sets, cli_operands *operands,
                         bool *help, pm_error *err) {
    option_index index;
    pm_status st = make_index(&index, sets, n_sets, err);
    optind = 0;
    opterr = 0;
    *help = false;
    while (st == PM_OK) {
        int found = getopt_long(argc, argv, index.letters, index.names, NULL);
        if (found == -1) {
            return take_operands(argc, argv, operands, err);
        }
        if (found == HELP) {
            *help = true;
            return PM_OK;
        }
        if (found == ':' || found == '?') {
            return option_fault(found, optind - 1, argc, argv, err);
        }
        size_t i = found >= FIRST ? (size_t)(found - FIRST) : find_letter(&index, found);
        st = cli_read_value(index.options[i], optarg, index.fields[i], err);
    }
    return st;
}

pm_status cli_parse(int argc, char **argv, const cli_option *options, void *fields, cli_operands *operands, bool *help,
                    pm_error *err) {
    const cli_option_set set = {options, fields};
    return cli_parse_sets(argc, argv, &set, 1, operands, help, err);
}

void cli_given_free(cli_given *given) {
    free(given->items);
    *given = (cli_given){0};
}

/* ---- subcommands ---- */

static const cli_subcommand *entry(const void *table, size_t size, size_t i) {
    return (const cli_subcommand *)((const char *)table + i * size);
}

pm_status cli_subcommand_find(const char *command, const void *table, size_t n, size_t size, const char *name,
                              const void **out, pm_error *err) {
    for (size_t i = 0; name != NULL && i < n; i++) {
        if (strcmp(entry(table, size, i)->name, name) == 0) {
            *out = entry(table, size, i);
            return PM_OK;
        }
    }
    char names[256] = "";
    for (size_t i = 0; i < n; i++) {
        list_name(names, i, i + 1 == n, entry(table, size, i)->name);
    }
    return pmi_fail(err, PM_EUSAGE, "%s: found \"%s\", expected %s", command, name == NULL ? "nothing" : name, names);
}
