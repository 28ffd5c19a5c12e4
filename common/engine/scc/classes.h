/* Which SCCs share a key: canonical forms are searched once for each distinct order-as-given. */
#ifndef PM_SCC_CLASSES_H
#define PM_SCC_CLASSES_H

#include "scc/canon.h"

typedef struct pm_classes {
    uint32_t n_classes;
    pm_canon *canon;    /* n_classes; its names are those of the first SCC of the class */
    uint32_t *n_sccs;   /* n_classes: SCCs of this key */
    uint32_t *class_of; /* of each SCC; PM_NONE for a single state */
    uint32_t *names;    /* n_transient: canonical number of each member, SCC by SCC; 0 of a single state */
} pm_classes;

/* `threads`: 0 is one for each processor; the classes are the same for any. Free with pmi_classes_free, also after a
 * failure. */
pm_status pmi_classes_find(const pm_graph *graph, const pm_split *split, pm_effort effort, unsigned threads,
                           const pm_log *log, pm_classes *out, pm_error *err);

/* The same from untrusted arrays that a producer wrote (pm_classes of this graph and effort): `as_given` has n_classes
 * flags, `class_of` and `names` are as in pm_classes. No canonical form is searched; every SCC, renamed, must be the
 * digraph of its class. Errors: PM_EDATA naming the SCC. Free with pmi_classes_free, also after a failure. */
pm_status pmi_classes_restore(const pm_graph *graph, const pm_split *split, pm_effort effort, const uint8_t *as_given,
                              uint32_t n_classes, const uint32_t *class_of, const uint32_t *names, pm_classes *out,
                              pm_error *err);
void pmi_classes_free(pm_classes *classes);

#endif
