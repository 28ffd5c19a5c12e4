/* The spawner: a process without threads that forks the compute children: the worker has librdkafka's. It dies with the
 * worker, and its children with it; both leave SIGTERM, SIGINT and SIGHUP to the worker. */
#ifndef PM_WORKER_SPAWNER_H
#define PM_WORKER_SPAWNER_H

#include <sys/types.h>

#include "base/error.h"

typedef struct pm_spawner pm_spawner;

/* What a child runs: it serves units from `fd` until end of file, and returns its exit status. */
typedef int (*pm_child_main)(void *ctx, size_t slot, int fd);

/* Forks the spawner. Call before any thread exists. */
pm_status pmi_spawner_start(size_t slots, pm_child_main child, void *ctx, pm_spawner **out, pm_error *err);

/* Asks for a child for the slot, which must have none. */
pm_status pmi_spawner_spawn(pm_spawner *s, size_t slot, pm_error *err);
/* Asks that the slot's child be killed; its death is reported as any other. */
pm_status pmi_spawner_kill(pm_spawner *s, size_t slot, pm_error *err);

typedef struct pm_spawner_news {
    size_t slot;
    bool is_born; /* else it died, or could not be forked: then pid is 0 and status is the errno of it */
    pid_t pid;
    int fd;     /* born: the socket, the caller's to close; else -1 */
    int status; /* died: as of waitpid */
} pm_spawner_news;
int pmi_spawner_fd(const pm_spawner *s);
pid_t pmi_spawner_pid(const pm_spawner *s);
/* *got is false when there is no news. Errors: PM_ESOFTWARE when the spawner is gone. */
pm_status pmi_spawner_read(pm_spawner *s, pm_spawner_news *news, bool *got, pm_error *err);

/* Kills the children, ends the spawner, waits for it. NULL is allowed. */
void pmi_spawner_stop(pm_spawner *s);

#endif
