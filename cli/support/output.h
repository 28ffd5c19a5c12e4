/* Where results go: standard output, or a file that is written beside its place and then renamed. */
#ifndef PM_CLI_OUTPUT_H
#define PM_CLI_OUTPUT_H

#include "base/error.h"

typedef struct cli_out cli_out;

/* Sees now, before the work, whether `path` can be made. Errors: PM_ECANTCREAT. NULL is standard output: fine. */
pm_status cli_out_check(const char *path, pm_error *err);

/* `path` NULL is standard output. Something that is there and is not a regular file is written in place. */
pm_status cli_out_open(const char *path, cli_out **out, pm_error *err);

/* Bytes go through a buffer; the first failure is kept for cli_out_close. */
void cli_out_bytes(cli_out *out, const void *bytes, size_t n);
void cli_out_text(cli_out *out, const char *text);
/* A text from elsewhere, in which what could steer a terminal is escaped (pmi_utf8_show). */
void cli_out_shown(cli_out *out, const char *text);
void cli_out_format(cli_out *out, const char *format, ...) PM_PRINTF(2, 3);

/* PM_EIO once a write has failed: long writers may stop. */
pm_status cli_out_status(const cli_out *out, pm_error *err);

/* With st PM_OK writes what is left and puts the file in its place; else drops it, and the old file is as it was.
 * Frees `out` (NULL is allowed). Returns st, or PM_EIO when any write failed. */
pm_status cli_out_close(cli_out *out, pm_status st, pm_error *err);

/* Writes a text to standard output. */
pm_status cli_show(const char *text, pm_error *err);
/* The same of "12 traces removed". */
pm_status cli_show_count(size_t count, const char *what, pm_error *err);

/* A path's ending (".json"), or "" when it has none. */
const char *cli_path_ending(const char *path);

#endif
