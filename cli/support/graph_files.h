/* What the commands that read or write a graph share. */
#ifndef PM_CLI_GRAPH_FILES_H
#define PM_CLI_GRAPH_FILES_H

#include "graph/write.h"
#include "support/options.h"

/* Bits of --format that say what is read. */
#define CLI_READ_PHASIC 1
#define CLI_READ_PHASIC_021 2

/* The format that the bits name; none is phasic's present one. Errors: PM_EUSAGE when both are there. */
pm_status cli_read_format(int bits, pm_graph_format *out, pm_error *err);

/* What --discrete and --continuous say. Errors: PM_EUSAGE when both are there. */
pm_status cli_read_kind(bool discrete, bool continuous, pm_graph_kind *out, pm_error *err);

/* Warns of a graph whose kind nobody said and that may be discrete at these theta (n_theta may be 0). `source` names
 * it: a path, or a job, which must be submitted again to be another. */
void cli_warn_kind(const pm_graph *graph, const char *source, bool is_job, const double *theta, size_t n_theta,
                   const pm_log *log);

/* Puts the graph's path before an error of the data that came after loading; returns st. */
pm_status cli_name_graph(pm_status st, const char *path, pm_error *err);

/* Bits of an option that says how a graph is written. */
#define CLI_WRITE_JSON 1
#define CLI_WRITE_MSGPACK 2
extern const cli_choice cli_encodings[];

/* The encoding that the option (0: not given) or the path's ending names; JSON when neither does and `path` is NULL.
 * Errors: PM_EUSAGE naming `option`, also where option and ending disagree. */
pm_status cli_choose_encoding(const char *option, int chosen, const char *path, pm_graph_encoding *out, pm_error *err);

/* Writes the graph to `path` (NULL: standard output), whole or not at all. */
pm_status cli_write_graph(const pm_graph *graph, pm_graph_encoding encoding, const char *path, pm_error *err);

#endif
