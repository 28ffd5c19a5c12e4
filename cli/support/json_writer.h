/* One JSON document on one line, written as it comes. */
#ifndef PM_CLI_JSON_WRITER_H
#define PM_CLI_JSON_WRITER_H

#include "support/output.h"

typedef struct cli_json {
    cli_out *out;
    bool needs_comma;
} cli_json;

void cli_json_open(cli_json *j, char bracket);        /* '{' or '[' */
void cli_json_close(cli_json *j, char bracket);       /* '}' or ']' */
cli_json *cli_json_key(cli_json *j, const char *key); /* returns j, for the value to follow */
void cli_json_number(cli_json *j, double value);      /* 17 significant digits; null when not finite */
void cli_json_count(cli_json *j, uint64_t value);
void cli_json_string(cli_json *j, const char *text);
void cli_json_text(cli_json *j, const char *text);           /* NULL is null */
void cli_json_span(cli_json *j, const char *text, size_t n); /* n bytes of UTF-8 */
void cli_json_hex(cli_json *j, const void *bytes, size_t n); /* "00ff", lower case */
void cli_json_integer(cli_json *j, int64_t value);
void cli_json_bool(cli_json *j, bool value);

/* Nested arrays of n_dims dimensions, row-major. */
void cli_json_array(cli_json *j, const double *values, size_t n_dims, const size_t *dims);

#endif
