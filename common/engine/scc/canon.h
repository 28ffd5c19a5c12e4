/* Canonical form and key of an SCC: isomorphic SCCs get the same numbers, whatever the order of their states. */
#ifndef PM_SCC_CANON_H
#define PM_SCC_CANON_H

#include "scc/topology.h"

/* The processor time in which one run looks for canonical orders, of all its threads; SCCs whose turn comes later keep
 * the order as given, unless refining their colours is all it takes. */
#define PM_CANON_SECONDS 5.0

/* Version of the encoding of traces, and part of their keys. */
#define PM_TRACE_VERSION 2

/* Version of the recorder: raise it when the same topology and effort would give another trace. */
#define PM_RECORDER_VERSION 2

typedef struct pm_canon {
    uint32_t *name;       /* n: canonical number of each vertex of the topology */
    pm_topology topology; /* the canonical digraph */
    bool as_given;        /* no canonical order was found in time, or it has 2^32 edges or more */
    uint8_t key[PM_DIGEST_BYTES];
    uint8_t digest[PM_DIGEST_BYTES]; /* BLAKE2s-256 of the canonical topology alone */
} pm_canon;

/* Finds the canonical form (scc/label.h) in *seconds of processor time, which falls by what was taken; NULL: no
 * limit. Free with pmi_canon_free, also after a failure. */
pm_status pmi_canon_find(const pm_topology *topology, pm_effort effort, double *seconds, pm_canon *out, pm_error *err);
void pmi_canon_free(pm_canon *canon);

/* The line that tells of an SCC in the order as given; none for others. */
void pmi_canon_log(const pm_canon *canon, const pm_log *log);

/* Fills key and digest of a form whose topology is canonical already (or as given, when `as_given` says so). */
pm_status pmi_canon_identify(pm_canon *canon, pm_effort effort, pm_error *err);

/* SHA-256 of a topology in the order as given: equal bytes mean the same digraph. */
pm_status pmi_topology_digest(const pm_topology *topology, pm_digest_kind kind, uint8_t digest[PM_DIGEST_BYTES],
                              pm_error *err);

#endif
