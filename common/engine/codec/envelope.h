/* The envelope of everything that is stored or sent: MessagePack [name, version, payload, SHA-256 of the payload].
 * Name and version stand outside of what may change, so that a reader can refuse by number what it does not know. */
#ifndef PM_CODEC_ENVELOPE_H
#define PM_CODEC_ENVELOPE_H

#include "base/mem.h"

#define PM_ENVELOPE_NAME 40 /* bytes of a name with its final zero */

typedef struct pm_envelope {
    char name[PM_ENVELOPE_NAME];
    uint64_t version;
    const uint8_t *payload; /* into the bytes that were opened */
    size_t size;
} pm_envelope;

/* Appends the envelope; `out` is as it was after a failure. */
pm_status pmi_envelope_write(const char *name, unsigned version, const uint8_t *payload, size_t size, pm_buffer *out,
                             pm_error *err);

/* The same in two steps, for payloads that are written where they stay: the head for a payload of exactly `size` bytes,
 * which the caller then appends, and its checksum. After a failure the caller sets `out` back. */
pm_status pmi_envelope_begin(const char *name, unsigned version, size_t size, pm_buffer *out, pm_error *err);
pm_status pmi_envelope_end(size_t size, pm_buffer *out, pm_error *err);

/* Opens untrusted bytes: the head, the lengths, the checksum, and that nothing follows. `is_checked`: their store has a
 * SHA-256 of its own that matched, and the checksum is not computed again. Errors: PM_EDATA with the byte position. */
pm_status pmi_envelope_open(const uint8_t *bytes, size_t n, bool is_checked, pm_envelope *out, pm_error *err);

/* Refuses another name or version than expected; `remedy` ends the text of a wrong version. Errors: PM_EDATA with both.
 */
pm_status pmi_envelope_expect(const pm_envelope *e, const char *name, unsigned version, const char *remedy,
                              pm_error *err);

#endif
