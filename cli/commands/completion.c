#include <string.h>

#include "support/command.h"
#include "support/options.h"
#include "support/output.h"

pm_status cli_main_completion(const cli_command *self, int argc, char **argv, pm_error *err) {
    static const cli_option options[] = {{0}};
    cli_operands shell = {.min = 0, .max = 1, .what = "bash"};
    bool help;
    PM_TRY(cli_parse(argc, argv, options, NULL, &shell, &help, err));
    if (shell.n == 1 && strcmp(shell.values[0], "bash") != 0) {
        return pmi_fail(err, PM_EUSAGE, "completion: found \"%s\", expected bash", shell.values[0]);
    }
    return cli_show(cli_text(help ? self->name : "phasemill.bash"), err);
}
