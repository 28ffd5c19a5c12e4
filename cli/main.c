#include <string.h>

#include "support/cluster.h"

static cli_main run_help, run_version;

/* In the order of the help: name, summary, what it does, has_settings, runs_for_long. */
static const cli_command commands[] = {
    {"run", "evaluate a graph: moments, covariance, density, distribution function", cli_main_run, true, false},
    {"loglik", "the log-likelihood of observed times, and its derivatives", cli_main_loglik, false, false},
    {"submit", "send a graph to the cluster as a job; prints the job's id", cli_main_submit, true, false},
    {"collect", "wait for a job's traces, and evaluate it as run does", cli_main_collect, true, false},
    {"inspect", "show the sizes of a graph and what a run will take, a trace, or a message", cli_main_inspect, false,
     false},
    {"generate", "write the graph of an example model", cli_main_generate, false, false},
    {"convert", "read a graph and write it as JSON or MessagePack", cli_main_convert, false, false},
    {"cache", "look after the traces kept on disk", cli_main_cache, false, false},
    {"worker", "take units from Kafka, compute them, store what comes of them in Redis", cli_main_worker, true, true},
    {"status", "jobs, workers, lag and dead letters of the cluster", cli_main_status, true, false},
    {"dead-letters", "units that were given up: list, show, replay, drop", cli_main_dead_letters, true, false},
    {"cancel", "cancel a job: its units are dropped, those being worked on are killed", cli_main_cancel, true, false},
    {"probe", "send no-op units: is the cluster alive, and how fast", cli_main_probe, true, false},
    {"topics", "make the cluster's topics on Kafka, or check those that are there", cli_main_topics, true, false},
    {"config", "show the settings of the cluster that are in force, and where each comes from", cli_main_config, true,
     false},
    {"completion", "print the completion script for bash", cli_main_completion, false, false},
    {"help", "show the help of phasemill or of a command", run_help, false, false},
    {"version", "show the versions of phasemill and of its libraries", run_version, false, false},
    {0},
};

static const cli_command *find_command(const char *name) {
    for (const cli_command *c = commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

const char *cli_text(const char *name) {
    const cli_embedded_text *t = cli_texts;
    while (t->name != NULL && strcmp(t->name, name) != 0) {
        t++;
    }
    return t->text;
}

pm_status cli_show_help(const cli_command *command, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_out_text(out, cli_text(command->name));
    if (command->has_settings) {
        cli_cluster_help(out);
    }
    return cli_out_close(out, PM_OK, err);
}

static pm_status unknown_command(const char *name, pm_error *err) {
    return pmi_fail(err, PM_EUSAGE, "unknown command \"%s\"; see `phasemill --help` for those there are", name);
}

static void write_overview(cli_out *out) {
    cli_out_text(out, "usage: phasemill COMMAND [OPTIONS]\n"
                      "\n"
                      "Moments and densities of phase-type distributions, from graphs written by phasic.\n"
                      "\n"
                      "commands:\n");
    for (const cli_command *c = commands; c->name != NULL; c++) {
        cli_out_format(out, "  %-14s%s\n", c->name, c->summary);
    }
    cli_out_text(out,
                 "\n"
                 "`phasemill COMMAND --help` shows the options of a command, with examples.\n"
                 "Results go to standard output, all else to standard error; exit codes are those of sysexits.h.\n");
}

static void write_names(cli_out *out) {
    for (const cli_command *c = commands; c->name != NULL; c++) {
        cli_out_format(out, "%s\n", c->name);
    }
}

static bool asks_for(const char *word, const char *option, const char *letter) {
    return word != NULL && (strcmp(word, option) == 0 || strcmp(word, letter) == 0);
}

static pm_status run_help(const cli_command *self, int argc, char **argv, pm_error *err) {
    const char *topic = argc > 1 ? argv[1] : NULL;
    if (argc > 2) {
        return pmi_fail(err, PM_EUSAGE, "help: \"%s\" is one operand too many, expected one command", argv[2]);
    }
    if (asks_for(topic, "--help", "-h")) {
        return cli_show_help(self, err);
    }
    bool is_list = topic != NULL && strcmp(topic, "--names") == 0;
    if (topic != NULL && !is_list) {
        const cli_command *command = find_command(topic);
        return command == NULL ? unknown_command(topic, err) : cli_show_help(command, err);
    }
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    (is_list ? write_names : write_overview)(out);
    return cli_out_close(out, PM_OK, err);
}

static pm_status run_version(const cli_command *self, int argc, char **argv, pm_error *err) {
    if (asks_for(argc > 1 ? argv[1] : NULL, "--help", "-h")) {
        return cli_show_help(self, err);
    }
    if (argc > 1) {
        return pmi_fail(err, PM_EUSAGE, "version: \"%s\" is one operand too many, expected none", argv[1]);
    }
    pm_isa isa;
    if (pmi_isa_choose(getenv("PHASEMILL_ISA"), &isa, err) != PM_OK) {
        return pmi_fail_prefix(err, "PHASEMILL_ISA");
    }
    char versions[2048];
    pm_versions(versions, sizeof versions);
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_out_text(out, versions);
    cli_out_format(out, "kernels %s\n", pmi_isa_name(isa));
    return cli_out_close(out, PM_OK, err);
}

static pm_status dispatch(int argc, char **argv, pm_error *err) {
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL) {
        return pmi_fail(err, PM_EUSAGE, "a command is missing; see `phasemill --help`");
    }
    if (asks_for(name, "--help", "-h")) {
        return run_help(NULL, 1, NULL, err);
    }
    if (asks_for(name, "--version", "-V")) {
        return run_version(NULL, 1, NULL, err);
    }
    const cli_command *command = find_command(name);
    return command == NULL ? unknown_command(name, err) : command->run(command, argc - 1, argv + 1, err);
}

int main(int argc, char **argv) {
    pm_error err = {.code = PM_OK, .text = ""};
    pm_status st = dispatch(argc, argv, &err);
    if (st != PM_OK && err.text[0] != '\0') {
        cli_log_last_words(err.text);
    }
    return (int)st;
}
