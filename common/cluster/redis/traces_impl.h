/* What the files of the tiered traces share. */
#ifndef PM_REDIS_TRACES_IMPL_H
#define PM_REDIS_TRACES_IMPL_H

#include "redis/traces.h"

/* The largest trace that is read from Redis. */
#define PM_TRACE_MOST ((size_t)4 << 30)

/* Traces in memory by key: open addressing, at most three quarters full. A key is uniform already, its first bytes are
 * the hash. */
typedef struct pm_held_trace {
    uint8_t key[PM_DIGEST_BYTES];
    uint8_t *bytes; /* NULL: taken, or never there */
    size_t size;
    bool is_used; /* a key is or was here */
    bool is_far;  /* it came from Redis */
} pm_held_trace;

typedef struct pm_traces_held {
    pm_held_trace *slots;
    size_t n_slots, used;
} pm_traces_held;

/* The trace of a key, NULL when it is not held. Valid until the next call that holds. */
pm_held_trace *pmi_held_find(const pm_traces_held *held, const uint8_t key[PM_DIGEST_BYTES]);
/* Holds a copy; a key that is held already keeps its trace. */
pm_status pmi_held_add(pm_traces_held *held, const uint8_t key[PM_DIGEST_BYTES], pm_span bytes, bool is_far,
                       pm_error *err);
void pmi_held_drop(pm_held_trace *trace); /* NULL is allowed */
void pmi_held_free(pm_traces_held *held); /* and `held` itself; NULL is allowed */

/* Traces from Redis that were handed out: all but the last have shown themselves to fit. */
#define PM_GIVEN_MOST 256
typedef struct pm_traces_given {
    pm_disk_entry entries[PM_GIVEN_MOST]; /* their bytes are ours */
    size_t n, bytes;
} pm_traces_given;

#endif
