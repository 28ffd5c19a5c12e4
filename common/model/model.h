/* A model inside: what phasemill.h keeps opaque, for the command line's `inspect`, tests and benchmarks. */
#ifndef PM_MODEL_MODEL_H
#define PM_MODEL_MODEL_H

#include "base/isa.h"
#include "trace/library.h"

struct pm_model {
    pm_graph *graph; /* held, see pm_graph_hold */
    pm_split split;
    pm_library library;
    pm_program program; /* borrows the library's plans */
    pm_isa isa;
    size_t memory;
    bool normalize_start;
    const pm_log *log;
};

/* Most of the machine's memory: what --memory is when it is not given. */
size_t pm_default_memory(void);

#endif
