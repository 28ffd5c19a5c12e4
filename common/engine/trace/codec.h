/* The one encoding of a trace, on disk and on the wire: MessagePack, versioned (schemas/trace.schema.json,
 * docs/cache.md). Narrow little-endian integers, and the gaps of rows, travel as `bin`. */
#ifndef PM_TRACE_CODEC_H
#define PM_TRACE_CODEC_H

#include "base/buffer.h"
#include "scc/canon.h"
#include "trace/trace.h"

#define PM_TRACE_NAME "phasemill.trace"

/* Appends the encoded trace. */
pm_status pmi_trace_encode(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err);

/* Decodes untrusted bytes: every length, index and order is checked, and the checksum. *key (may be NULL) is the key
 * the trace was stored under. Errors: PM_EDATA. Free with pmi_trace_free. */
pm_status pmi_trace_decode(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES], pm_error *err);

/* The same of bytes whose store has a SHA-256 of its own that matched: the checksum is not computed again. */
pm_status pmi_trace_decode_checked(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                                   pm_error *err);

#endif
