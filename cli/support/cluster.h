/* What the commands of the cluster share: settings, console, and the handles that are opened from them. */
#ifndef PM_CLI_CLUSTER_H
#define PM_CLI_CLUSTER_H

#include "config/settings.h"
#include "kafka/reader.h"
#include "support/command.h"
#include "support/options.h"
#include "support/output.h"
#include "support/watchdog.h"
#include "units/producer.h"

#define CLI_CLIENT_TEXT 128
#define CLI_TIMEOUT 30 /* seconds: default of commands that wait for nothing but servers */

/* All-zero before cli_cluster_parse; cli_cluster_close at the end, whatever happened. Must not move. */
typedef struct cli_cluster {
    const cli_command *command;
    bool quiet, verbose;
    const char *config; /* --config */
    pm_settings settings;
    cli_console console;          /* its log is console.log */
    char client[CLI_CLIENT_TEXT]; /* "HOST-PID-XXXX": client.id, id of a worker, ce_source */
    int signal_fd;                /* 0: none */
    bool is_stopped;
    pm_deadline deadline; /* of whatever waits; set by cli_cluster_limit */
    char waits_for[CLI_CLIENT_TEXT];
    cli_watchdog watchdog;
    /* opened on request: */
    pm_kafka_options kafka;
    pm_redis_options redis_options;
    pm_seal *seal; /* of cluster.key; NULL: none is set */
    pm_redis *redis;
    pm_disk *disk; /* NULL: none */
    pm_traces traces;
    pm_producer producer;
    bool has_producer;
} cli_cluster;

/* Reads the command line: the command's own options into `fields`, those that all commands of the cluster have, then
 * file, environment and flags into the settings, checked; and makes the console. *is_done: --help or -X list was
 * answered. Ignores SIGPIPE: hiredis writes to sockets that may have been closed. */
pm_status cli_cluster_parse(cli_cluster *c, const cli_command *command, int argc, char **argv,
                            const cli_option *options, void *fields, cli_operands *operands, bool *is_done,
                            pm_error *err);

/* Overrides a setting by an option of the command, such as --slots for worker.slots; nothing for text NULL. */
pm_status cli_cluster_set(cli_cluster *c, const char *setting, const char *text, const char *flag, pm_error *err);

/* Whether brokers and Redis are both configured, for `auto`. */
bool cli_cluster_is_configured(const cli_cluster *c);

/* Fills `kafka` (or `redis_options`) from the settings. PM_EUNAVAILABLE when it is not configured. */
pm_status cli_cluster_kafka_options(cli_cluster *c, pm_error *err);
pm_status cli_cluster_redis_options(cli_cluster *c, pm_error *err);

/* From here all waiting ends within `seconds` (0: no limit): what is waited for by then is PM_ETEMPORARY, and what does
 * not come back at all ends the program a second later. Computing goes on; the limit is to be taken away before results
 * are written, for whoever reads them may take their time. */
pm_status cli_cluster_limit(cli_cluster *c, double seconds, pm_error *err);
/* Before handles on Kafka are closed: that ends within a second and a half, as `st` and `err` have it. */
void cli_cluster_limit_closing(cli_cluster *c, pm_status st, const pm_error *err);
/* pmi_reader_open within the limit. */
pm_status cli_cluster_open_reader(cli_cluster *c, pm_topic topic, bool from_beginning, pm_reader **out, pm_error *err);
/* "Kafka": for the last words of a program that is ended. */
void cli_cluster_waits_for(cli_cluster *c, const char *what);

/* Connects to Redis and checks it; sets traces (without disk). Waits for one that is away (10 s), or that refuses or
 * loads (120 s), within the limit. */
pm_status cli_cluster_open_redis(cli_cluster *c, pm_error *err);

/* What Redis and Kafka hold goes through these: cli_cluster_open_redis and the disk cache, then the producer. */
pm_status cli_cluster_open_store(cli_cluster *c, bool no_cache, const char *cache_dir, size_t cache_limit,
                                 pm_error *err);
pm_status cli_cluster_open_sending(cli_cluster *c, pm_error *err);

/* Both: Redis, the disk cache (unless no_cache; dir NULL and limit 0: the default ones), and the producer, whose
 * is_stopped is cli_cluster_is_stopped. TRACEPARENT of the environment goes with what is sent. */
pm_status cli_cluster_open_producer(cli_cluster *c, bool no_cache, const char *cache_dir, size_t cache_limit,
                                    pm_error *err);

/* From here SIGINT and SIGTERM do not end the program but are seen by cli_cluster_is_stopped (ctx: the cli_cluster);
 * a second one ends it. Released again for work that does not look. */
pm_status cli_cluster_hold_signals(cli_cluster *c, pm_error *err);
void cli_cluster_release_signals(cli_cluster *c);
bool cli_cluster_is_stopped(void *ctx);

/* Closes what is open, in two seconds at most. An error is written as log lines are when those are JSON, and its text
 * taken away; returns st. */
pm_status cli_cluster_close(cli_cluster *c, pm_status st, pm_error *err);

/* The part of the help that tells the options that all these commands have. */
void cli_cluster_help(cli_out *out);

#endif
