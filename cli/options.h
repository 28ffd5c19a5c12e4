/* Options of a command, from a table of what they are to the fields of a struct, through getopt_long. */
#ifndef PM_CLI_OPTIONS_H
#define PM_CLI_OPTIONS_H

#include "base/error.h"

typedef struct cli_choice {
    const char *name; /* NULL ends the list */
    int value;
} cli_choice;

typedef enum cli_kind {
    CLI_FLAG,     /* bool: no value, becomes true */
    CLI_TEXT,     /* const char *: the argument itself */
    CLI_COUNT,    /* size_t: a whole number from `least` to `most` */
    CLI_BYTES,    /* size_t: above 0, with an optional suffix K, M, G or T (powers of 1024) */
    CLI_FRACTION, /* double: above 0 and below 1 */
    CLI_CHOICE,   /* int: the value of one of `choices` */
    CLI_CHOICES   /* int: may be given several times; the values are or-ed */
} cli_kind;

typedef struct cli_option {
    const char *name; /* without "--"; NULL ends the table */
    cli_kind kind;
    size_t offset; /* of the field in the struct that cli_parse fills */
    size_t least, most;
    const cli_choice *choices;
} cli_option;

#define CLI_MAX_OPTIONS 40

typedef struct cli_operands {
    int least, most;
    const char *what; /* "GRAPH", for messages */
    /* filled by cli_parse: */
    int n;
    char **values;
} cli_operands;

/* Reads argv (argv[0] is the command's name). *help is set when --help was found, which ends the reading.
 * `fields` keeps its values where an option is not given. Errors: PM_EUSAGE naming the option. */
pm_status cli_parse(int argc, char **argv, const cli_option *options, void *fields, cli_operands *operands, bool *help,
                    pm_error *err);

/* Reads one value (NULL for a flag) into its field. Errors: PM_EUSAGE naming the option. */
pm_status cli_read_value(const cli_option *option, const char *text, void *fields, pm_error *err);

#endif
