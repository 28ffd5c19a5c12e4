/* Inside of the spawner: the messages between it and the worker, one packet each. */
#ifndef PM_WORKER_SPAWNER_PROCESS_H
#define PM_WORKER_SPAWNER_PROCESS_H

#include <stdint.h>

#include "worker/spawner.h"

typedef enum pm_spawner_verb { PM_SPAWNER_SPAWN, PM_SPAWNER_KILL } pm_spawner_verb;

typedef struct pm_spawner_order {
    uint32_t verb, slot;
} pm_spawner_order;

typedef struct pm_spawner_word {
    uint32_t slot, is_born;
    int32_t pid, status;
} pm_spawner_word;

typedef struct pm_spawner_job {
    size_t slots;
    pm_child_main child;
    void *ctx;
    int control;  /* the spawner's end */
    pid_t worker; /* who forked us */
} pm_spawner_job;

/* Runs until the worker closes its end or dies; returns the exit status. */
int pmi_spawner_process(const pm_spawner_job *job);

#endif
