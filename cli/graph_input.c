#include "graph_input.h"

pm_status cli_read_format(int bits, pm_graph_format *out, pm_error *err) {
    int both = CLI_READ_PHASIC | CLI_READ_PHASIC_021;
    if ((bits & both) == both) {
        return pm_fail(err, PM_EUSAGE, "--format: found both phasic and phasic-0.21, expected one");
    }
    *out = (bits & CLI_READ_PHASIC_021) != 0 ? PM_FORMAT_PHASIC_021 : PM_FORMAT_PHASIC;
    return PM_OK;
}
