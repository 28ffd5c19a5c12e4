/* Parallel work in forked children. OpenMP's runtime may keep the threads of a team with the thread that led it; a
 * child that is forked from there has the leader without its team, and would wait for it for ever. */
#ifndef PM_BASE_TEAM_H
#define PM_BASE_TEAM_H

#include "base/error.h"

/* Work with parallel regions inside. */
typedef pm_status (*pm_team_work)(void *ctx, pm_error *err);

/* Does the work in this thread, or, where it has led a team in the process that this one was forked from, in a new
 * thread that it waits for. Errors: those of the work; PM_EOSERR when there is no new thread to be had. */
pm_status pmi_team_lead(pm_team_work work, void *ctx, pm_error *err);

#endif
