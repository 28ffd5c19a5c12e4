#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/isa.h"
#include "support/cluster.h"
#include "support/command.h"
#include "support/console.h"
#include "support/output.h"

static pm_status run_help(const cli_command *self, int argc, char **argv, pm_error *err);
static pm_status run_version(const cli_command *self, int argc, char **argv, pm_error *err);

static const cli_command help_command = {
    .name = "help",
    .summary = "show the help of phasemill or of a command",
    .help = "usage: phasemill help [COMMAND]\n"
            "       phasemill help --names\n"
            "\n"
            "Shows all commands, or the help of one. --names lists the commands' names, one a line.\n"
            "\n"
            "example:\n"
            "  phasemill help run\n",
    .run = run_help,
};

static const cli_command version_command = {
    .name = "version",
    .summary = "show the versions of phasemill and of its libraries",
    .help = "usage: phasemill version\n"
            "\n"
            "Shows the version of phasemill, those of the libraries it stands on, and the instruction set whose\n"
            "kernels this processor runs (PHASEMILL_ISA forces one).\n"
            "\n"
            "example:\n"
            "  phasemill --version\n",
    .run = run_version,
};

const cli_command *const cli_commands[] = {
    /* clang-format off */
    &cli_run,
    &cli_submit,
    &cli_collect,
    &cli_inspect,
    &cli_generate,
    &cli_convert,
    &cli_cache_command,
    &cli_worker,
    &cli_status_command,
    &cli_dead_letters,
    &cli_cancel,
    &cli_probe_command,
    &cli_topics,
    &cli_config,
    &cli_completion,
    &help_command,
    &version_command,
    NULL,
    /* clang-format on */
};

static const cli_command *find_command(const char *name) {
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0) {
            return *c;
        }
    }
    return NULL;
}

pm_status cli_show_help(const cli_command *command, pm_error *err) {
    cli_out *out;
    pm_status st = cli_out_open(NULL, &out, err);
    if (st == PM_OK) {
        cli_out_text(out, command->help);
    }
    if (st == PM_OK && command->has_settings) {
        cli_cluster_help(out);
    }
    return cli_out_close(out, st, err);
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
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
        cli_out_format(out, "  %-14s%s\n", (*c)->name, (*c)->summary);
    }
    cli_out_text(out,
                 "\n"
                 "`phasemill COMMAND --help` shows the options of a command, with examples.\n"
                 "Results go to standard output, all else to standard error; exit codes are those of sysexits.h.\n");
}

static void write_names(cli_out *out) {
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
        cli_out_format(out, "%s\n", (*c)->name);
    }
}

static pm_status run_help(const cli_command *self, int argc, char **argv, pm_error *err) {
    const char *topic = argc > 1 ? argv[1] : NULL;
    if (argc > 2) {
        return pmi_fail(err, PM_EUSAGE, "help: \"%s\" is one operand too many, expected one command", argv[2]);
    }
    if (topic != NULL && (strcmp(topic, "--help") == 0 || strcmp(topic, "-h") == 0)) {
        return cli_show(self->help, err);
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
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        return cli_show(self->help, err);
    }
    if (argc > 1) {
        return pmi_fail(err, PM_EUSAGE, "version: \"%s\" is one operand too many, expected none", argv[1]);
    }
    pm_isa isa;
    pm_status st = pmi_isa_choose(getenv("PHASEMILL_ISA"), &isa, err);
    if (st != PM_OK) {
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
    char *help_argv[] = {"help", NULL};
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return run_help(&help_command, 1, help_argv, err);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        return run_version(&version_command, 1, help_argv, err);
    }
    const cli_command *command = find_command(name);
    if (command == NULL) {
        return unknown_command(name, err);
    }
    return command->run(command, argc - 1, argv + 1, err);
}

int main(int argc, char **argv) {
    pm_error err = {.code = PM_OK, .text = ""};
    pm_status st = dispatch(argc, argv, &err);
    if (st != PM_OK && err.text[0] != '\0') {
        cli_log_last_words(err.text);
    }
    return (int)st;
}
