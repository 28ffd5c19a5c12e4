#include <string.h>

#include "command.h"
#include "completion_script.h"
#include "options.h"
#include "output.h"

static pm_status run(const cli_command *self, int argc, char **argv, pm_error *err) {
    static const struct option options[] = {CLI_OPTION_HELP, {0}};
    cli_args args = {.argc = argc, .argv = argv, .options = options};
    int found = cli_next_option(&args, err);
    if (found == CLI_BAD) {
        return PM_EUSAGE;
    }
    char **operands = NULL;
    pm_status st = found == CLI_HELP ? PM_OK : cli_operands(&args, 0, 1, "SHELL", &operands, err);
    if (st == PM_OK && operands != NULL && operands[0] != NULL && strcmp(operands[0], "bash") != 0) {
        st = pm_fail(err, PM_EUSAGE, "completion: found \"%s\", expected bash", operands[0]);
    }
    if (st != PM_OK) {
        return st;
    }
    return cli_show(found == CLI_HELP ? self->help : (const char *)completion_script, err);
}

const cli_command cli_completion = {
    .name = "completion",
    .summary = "print the completion script for bash",
    .help = "usage: phasemill completion [bash]\n"
            "\n"
            "Prints the script that completes commands, options and files in bash. `cmake --install` puts it where\n"
            "bash-completion finds it.\n"
            "\n"
            "example:\n"
            "  source <(phasemill completion)\n",
    .run = run,
};
