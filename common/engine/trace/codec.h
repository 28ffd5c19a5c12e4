/* The one encoding of a trace, on disk and on the wire: MessagePack, versioned (schemas/trace.schema.json,
 * docs/cache.md). Narrow little-endian integers, and the gaps of rows, travel as `bin`. */
#ifndef PM_TRACE_CODEC_H
#define PM_TRACE_CODEC_H

#include "codec/cursor.h"
#include "trace/trace.h"

#define PM_TRACE_NAME "phasemill.trace"

/* Appends the encoded trace. */
pm_status pmi_trace_encode(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err);

/* Decodes untrusted bytes: every length, index and order is checked, and the checksum unless `is_checked` (as of
 * pmi_envelope_open). *key (may be NULL) is the key the trace was stored under. Errors: PM_EDATA. Free with
 * pmi_trace_free. */
pm_status pmi_trace_decode(const uint8_t *bytes, size_t n, bool is_checked, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                           pm_error *err);

/* ---- the payload behind the checksum, apart so that fuzzing reaches it without having to guess a SHA-256 ---- */

/* Appends the payload (schemas/trace.schema.json). */
pm_status pmi_trace_encode_payload(const pm_trace *trace, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *out,
                                   pm_error *err);

/* Decodes and checks a whole payload; nothing it allocates is larger than eight bytes for each byte of it. `key` may be
 * NULL. Errors: PM_EDATA. Free with pmi_trace_free. */
pm_status pmi_trace_decode_payload(const uint8_t *bytes, size_t n, pm_trace *out, uint8_t key[PM_DIGEST_BYTES],
                                   pm_error *err);

/* ---- rows of a pattern, encoded by the gaps between their entries: most are of one byte ---- */

/* The rows of L (entries of row j from 0 to below j) or of U (from j + 1 to below n), each ascending. */
typedef enum pm_gaps_side { PM_GAPS_L, PM_GAPS_U } pm_gaps_side;

/* One bin, row by row: for each entry, how many of those that may follow the one before it are left out, as LEB128
 * (seven bits a byte, low ones first, the eighth says that more follow). Fails as pmi_writer_numbers does. */
struct pm_writer;
void pmi_gaps_write(struct pm_writer *w, pm_gaps_side side, const size_t *row, const uint32_t *entry, uint32_t n);

/* Reads the bin behind the key `name` into row[n] entries; every entry is in its range, and rows ascend. Memory is made
 * only once there are as many bytes as entries. Errors: PM_EDATA. Free *entry with free(), also after a failure. */
pm_status pmi_gaps_read(pm_cursor *c, const char *name, pm_gaps_side side, const size_t *row, uint32_t n,
                        uint32_t **entry, pm_error *err);

#endif
