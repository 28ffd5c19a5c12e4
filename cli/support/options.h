/* Options of a command, from a table of what they are to the fields of a struct, through getopt_long. */
#ifndef PM_CLI_OPTIONS_H
#define PM_CLI_OPTIONS_H

#include "base/error.h"

typedef struct cli_choice {
    const char *name; /* NULL ends the list */
    int value;
} cli_choice;

typedef enum cli_kind {
    CLI_FLAG,      /* bool: no value, becomes true */
    CLI_TEXT,      /* const char *: the argument itself */
    CLI_COUNT,     /* size_t: a whole number from `min` to `max` */
    CLI_BYTES,     /* size_t: above 0, with an optional suffix K, M, G or T (powers of 1024) */
    CLI_FRACTION,  /* double: above 0 and below 1 */
    CLI_CHOICE,    /* int: the value of one of `choices` */
    CLI_CHOICES,   /* int: may be given several times; the values are or-ed */
    CLI_GIVEN,     /* cli_given: may be given several times; each is kept, in their order */
    CLI_GIVEN_FLAG /* the same; the value may be left out (--name, --name=value) */
} cli_kind;

typedef struct cli_option {
    const char *name; /* without "--"; "-L" is one letter, with a value; NULL ends the table */
    cli_kind kind;
    size_t offset; /* of the field in the struct that cli_parse fills */
    size_t min, max;
    const cli_choice *choices;
} cli_option;

#define CLI_MAX_OPTIONS 96

/* What was given for options of kind CLI_GIVEN. */
typedef struct cli_given_item {
    const char *name; /* the option's */
    char *text;       /* in argv; NULL: no value */
} cli_given_item;

typedef struct cli_given {
    cli_given_item *items;
    size_t n, capacity;
} cli_given;
void cli_given_free(cli_given *given);

typedef struct cli_operands {
    int min, max;
    const char *what; /* "GRAPH", for messages */
    /* filled by cli_parse: */
    int n;
    char **values;
} cli_operands;

/* Reads argv (argv[0] is the command's name). *help is set when --help was found, which ends the reading.
 * `fields` keeps its values where an option is not given. Errors: PM_EUSAGE naming the option. */
pm_status cli_parse(int argc, char **argv, const cli_option *options, void *fields, cli_operands *operands, bool *help,
                    pm_error *err);

/* The same with several tables, each for a struct of its own. */
typedef struct cli_option_set {
    const cli_option *options;
    void *fields;
} cli_option_set;
pm_status cli_parse_sets(int argc, char **argv, const cli_option_set *sets, size_t n_sets, cli_operands *operands,
                         bool *help, pm_error *err);

/* Reads one value (NULL for a flag) into its field. Errors: PM_EUSAGE naming the option. */
pm_status cli_read_value(const cli_option *option, char *text, void *fields, pm_error *err);

/* A word after a command's name, and how many operands follow it. */
typedef struct cli_subcommand {
    const char *name;
    int min, max;
    const char *what; /* the operands, for messages */
} cli_subcommand;

/* Finds a name in a table of `n` structs of `size` bytes that begin with a cli_subcommand. Errors: PM_EUSAGE naming all
 * that there are. */
pm_status cli_subcommand_find(const char *command, const void *table, size_t n, size_t size, const char *name,
                              const void **out, pm_error *err);

#endif
