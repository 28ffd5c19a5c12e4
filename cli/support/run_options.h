/* What `run`, `submit` and `collect` are asked to do: their options, read and checked against each other. */
#ifndef PM_CLI_RUN_OPTIONS_H
#define PM_CLI_RUN_OPTIONS_H

#include "support/cluster.h"
#include "support/graph_files.h"
#include "support/result.h"

/* Which of the three commands: each has a part of the options. */
typedef enum cli_run_role { CLI_ROLE_RUN, CLI_ROLE_SUBMIT, CLI_ROLE_COLLECT } cli_run_role;

typedef struct cli_run_options {
    const char *graph;                   /* a path, or - */
    const char *job;                     /* collect: the job's id, instead of a graph */
    const char *theta, *times, *rewards; /* NULL: not given */
    size_t moments;                      /* 0: not asked for */
    bool pdf, cdf, covariance, factorial, gradient;
    int method;
    int invalid_rows; /* whether rows that cannot be evaluated fail the run (0) or alone (1) */
    double tolerance; /* 0: not given */
    size_t row_seconds;
    bool tail_accuracy;
    const char *strategy;
    size_t threads, memory, min_size; /* min_size SIZE_MAX: not given */
    int effort;
    const char *cache_dir;
    bool no_cache, strict_cache;
    size_t cache_limit;
    bool normalize_start, defective;
    bool discrete, continuous;
    int formats; /* bits */
    const char *output;
    bool wait;            /* submit */
    bool on_cluster;      /* --evaluate cluster */
    const char *evaluate; /* --evaluate as given */
    size_t timeout;       /* seconds; 0: none */
    /* derived: */
    bool evaluates; /* false: submit without anything to evaluate */
    pm_graph_kind kind;
    pm_graph_format read_format;
    cli_format write_format;
} cli_run_options;

/* Reads, checks and completes, and `cluster` with them (cli_cluster_parse). *is_done: nothing else is set. */
pm_status cli_run_options_read(cli_cluster *cluster, const cli_command *command, cli_run_role role, int argc,
                               char **argv, cli_run_options *out, bool *is_done, pm_error *err);

#endif
