#include <string.h>

#include "completion_script.h"
#include "support/command.h"
#include "support/options.h"
#include "support/output.h"

static pm_status run(const cli_command *self, int argc, char **argv, pm_error *err) {
    static const cli_option options[] = {{0}};
    cli_operands shell = {.min = 0, .max = 1, .what = "bash"};
    bool help;
    PM_TRY(cli_parse(argc, argv, options, NULL, &shell, &help, err));
    if (shell.n == 1 && strcmp(shell.values[0], "bash") != 0) {
        return pmi_fail(err, PM_EUSAGE, "completion: found \"%s\", expected bash", shell.values[0]);
    }
    return cli_show(help ? self->help : (const char *)completion_script, err);
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
