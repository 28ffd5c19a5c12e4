/* The inner part of an encoded trace, behind the checksum: apart so that fuzzing reaches it without having to guess
 * a SHA-256. */
#ifndef PM_TRACE_PAYLOAD_H
#define PM_TRACE_PAYLOAD_H

#include "codec/cursor.h"
#include "trace/trace.h"

/* Appends the payload (schemas/trace.schema.json). */
pm_status pmi_trace_encode_payload(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out,
                                   pm_error *err);

/* Decodes and checks a whole payload; nothing it allocates is larger than eight bytes for each byte of it. `key` may be
 * NULL. Errors: PM_EDATA. Free with pmi_trace_free. */
pm_status pmi_trace_decode_payload(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                                   pm_error *err);

#endif
