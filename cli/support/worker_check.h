/* `phasemill worker check`: for health checks of containers. */
#ifndef PM_CLI_WORKER_CHECK_H
#define PM_CLI_WORKER_CHECK_H

#include "base/error.h"

/* argv[0] is "check" and the last: it has no options. Writes how many workers of this user live on this host. Errors:
 * PM_EUNAVAILABLE when there is none, or one hangs. */
pm_status cli_worker_check(int argc, char **argv, pm_error *err);

#endif
