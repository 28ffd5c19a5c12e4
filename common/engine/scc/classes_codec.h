/* The classes of a graph as they are kept on disk: MessagePack, versioned (schemas/classes.schema.json). */
#ifndef PM_SCC_CLASSES_CODEC_H
#define PM_SCC_CLASSES_CODEC_H

#include "base/mem.h"
#include "scc/classes.h"

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
