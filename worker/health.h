/* Health files: a worker touches one each second, so that `phasemill worker check` tells a loop that turns from one
 * that hangs, also in a container. FOLDER/phasemill-UID/worker-PID.alive is locked by its owner; one without a lock is
 * that of a dead worker, whoever has its process id by now. */
#ifndef PM_WORKER_HEALTH_H
#define PM_WORKER_HEALTH_H

#include <sys/types.h>

#include "base/error.h"

#define PM_HEALTH_SECONDS 30.0 /* a file that is older is one of a worker that hangs */
#define PM_HEALTH_PATH 4096

typedef struct pm_health {
    int fd; /* -1: closed */
    char folder[PM_HEALTH_PATH], path[PM_HEALTH_PATH];
} pm_health;

/* `folder` NULL: $TMPDIR or /tmp. Call after the forks: the lock is this process's alone. Errors: PM_ECANTCREAT. */
pm_status pmi_health_open(const char *folder, pm_health *out, pm_error *err);
void pmi_health_beat(pm_health *h);
/* Removes the file, and the folder when it is empty. */
void pmi_health_close(pm_health *h);

/* The workers of this user on this host whose files are in `folder`. Removes files of dead workers. */
typedef struct pm_health_report {
    size_t alive;   /* workers that live */
    size_t hanging; /* those of them whose file is older than PM_HEALTH_SECONDS */
    pid_t oldest;   /* whose file is the oldest */
    double age;     /* of that file, seconds */
} pm_health_report;
/* `now` is seconds since 1970. No folder is no worker. Errors: PM_EIO. */
pm_status pmi_health_check(const char *folder, double now, pm_health_report *report, pm_error *err);

#endif
