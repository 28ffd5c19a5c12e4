/* Packed payloads: one zstd frame that says how long its content is. */
#ifndef PM_WIRE_FRAME_H
#define PM_WIRE_FRAME_H

#include "base/mem.h"

/* Appends the frame of `bytes`. Errors: PM_EOSERR. */
pm_status pmi_frame_pack(const uint8_t *bytes, size_t n, pm_buffer *out, pm_error *err);

/* Unfolds untrusted bytes, exactly one frame, into the empty buffer `out`. Memory is taken for what the frame says only
 * where that is at most `most` and such a frame can hold it. Errors: PM_EDATA; PM_EOSERR. */
pm_status pmi_frame_unpack(const uint8_t *bytes, size_t n, size_t most, pm_buffer *out, pm_error *err);

#endif
