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

/* The same from untrusted arrays (pm_classes of this graph and effort; `as_given` has n_classes flags): no canonical
 * form is searched; every SCC, renamed, must be the digraph of its class. Errors: PM_EDATA naming the SCC. */
pm_status pmi_classes_restore(const pm_graph *graph, const pm_split *split, pm_effort effort, const uint8_t *as_given,
                              uint32_t n_classes, const uint32_t *class_of, const uint32_t *names, pm_classes *out,
                              pm_error *err);
void pmi_classes_free(pm_classes *classes);

/* ---- as they are kept on disk: MessagePack, versioned (schemas/classes.schema.json) ---- */

#define PM_CLASSES_NAME "phasemill.classes"
#define PM_CLASSES_VERSION 1

/* Decoded classes: what pmi_classes_restore takes, of a graph with so many SCCs and transient states, and under which
 * keys their traces are. */
typedef struct pm_kept_classes {
    uint8_t key[PM_DIGEST_BYTES];
    uint32_t n_sccs, n_states, n_classes;
    uint8_t *as_given;                /* n_classes: 0 or 1 */
    uint8_t (*keys)[PM_DIGEST_BYTES]; /* n_classes */
    uint32_t *class_of;               /* n_sccs: below n_classes, or PM_NONE */
    uint32_t *names;                  /* n_states */
} pm_kept_classes;

/* What the classes of a graph are kept under: its digest, the effort and the versions of what finds them. */
pm_status pmi_classes_key(const uint8_t graph[PM_DIGEST_BYTES], pm_effort effort, uint8_t key[PM_DIGEST_BYTES],
                          pm_error *err);

/* Appends the encoded classes. */
pm_status pmi_kept_classes_encode(const pm_kept_classes *kept, pm_buffer *out, pm_error *err);

/* Decodes untrusted bytes: every length and index is checked, and the checksum; whether they are those of a graph is
 * pmi_classes_restore's to say. Errors: PM_EDATA. Free with pmi_kept_classes_free. */
pm_status pmi_kept_classes_decode(const uint8_t *bytes, size_t n, pm_kept_classes *out, pm_error *err);

/* The payload alone, without envelope and checksum. */
pm_status pmi_kept_classes_decode_payload(const uint8_t *bytes, size_t n, pm_kept_classes *out, pm_error *err);
pm_status pmi_kept_classes_encode_payload(const pm_kept_classes *kept, pm_buffer *out, pm_error *err);

void pmi_kept_classes_free(pm_kept_classes *kept); /* zeroes it */

#endif
