/* What `run` is asked to do: its options, read and checked against each other. */
#ifndef PM_CLI_RUN_OPTIONS_H
#define PM_CLI_RUN_OPTIONS_H

#include "command.h"
#include "graph_files.h"
#include "result.h"

typedef struct cli_run_options {
    const char *graph;
    const char *theta, *times, *rewards; /* NULL: not given */
    size_t moments;                      /* 0: not asked for */
    bool pdf, cdf, covariance, factorial;
    int method;
    double tolerance; /* 0: not given */
    bool tail_accuracy;
    const char *strategy;
    size_t threads, memory, min_size; /* min_size SIZE_MAX: not given */
    int effort;
    const char *cache_dir;
    bool no_cache, strict_cache;
    size_t cache_limit;
    bool normalize_start;
    int formats; /* bits */
    const char *output;
    bool quiet, verbose;
    /* derived: */
    pm_graph_format read_format;
    cli_format write_format;
} cli_run_options;

/* Reads, checks and completes. *help: nothing else is set. */
pm_status cli_run_options_read(int argc, char **argv, cli_run_options *out, bool *help, pm_error *err);

/* The text of `run --help`. */
extern const char cli_run_help[];

#endif
