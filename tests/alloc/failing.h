/* Allocations that fail on demand: the program is linked with --wrap, so that the library's calls come here first. */
#ifndef FAILING_H
#define FAILING_H

#include "base/error.h"

typedef enum failing_mode { FAILING_ONCE, FAILING_FROM_THEN_ON } failing_mode;

/* One piece of work from nothing to nothing: what it makes, it frees. *tolerated: an allocation failed and was
 * answered with a warning, which is allowed where the contract says so (a write to the cache). */
typedef pm_status (*failing_scenario)(void *ctx, bool *tolerated, pm_error *err);

/* Runs the scenario with its first allocation failing, then its second, and so on until none is left to fail, in both
 * modes. Prints "ok NAME: N allocations" or "not ok NAME: ..." on standard output. Returns the number of faults: runs
 * that ended well although an allocation had failed, or with another status than PM_EOSERR, or without a text. */
int failing_sweep(const char *name, failing_scenario scenario, void *ctx);

#endif
