/* Options of a command: a thin layer over getopt_long that turns every fault into an error, and the readers of
 * option values. */
#ifndef PM_CLI_OPTIONS_H
#define PM_CLI_OPTIONS_H

#include <getopt.h>

#include "base/error.h"

typedef struct cli_args {
    int argc;
    char **argv;
    const struct option *options; /* `val` above 0 and other than '?' */
    bool is_started;
} cli_args;

#define CLI_END (-1)
#define CLI_BAD '?'
#define CLI_HELP 'h'

/* The entry that every command's table of options begins with. */
#define CLI_OPTION_HELP                                                                                                \
    { "help", no_argument, NULL, CLI_HELP }

/* The `val` of the next option (its value in `optarg`), CLI_END when only operands are left, CLI_BAD with the error
 * written. */
int cli_next_option(cli_args *args, pm_error *err);

/* The operands, after CLI_END; refuses fewer than `least` or more than `most`, naming `what` ("GRAPH"). */
pm_status cli_operands(const cli_args *args, int least, int most, const char *what, char ***out, pm_error *err);

/* Values. Errors: PM_EUSAGE naming the option. */
pm_status cli_read_count(const char *option, const char *text, size_t least, size_t most, size_t *out, pm_error *err);
/* Bytes, with an optional suffix K, M, G or T (powers of 1024). */
pm_status cli_read_bytes(const char *option, const char *text, size_t *out, pm_error *err);
/* A number strictly between zero and one. */
pm_status cli_read_fraction(const char *option, const char *text, double *out, pm_error *err);

typedef struct cli_choice {
    const char *name; /* NULL ends the list */
    int value;
} cli_choice;
pm_status cli_read_choice(const char *option, const char *text, const cli_choice *choices, int *out, pm_error *err);

#endif
