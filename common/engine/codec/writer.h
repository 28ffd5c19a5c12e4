/* MessagePack written into a pm_buffer by msgpack-c; the first failure sticks and is returned at the end. */
#ifndef PM_CODEC_WRITER_H
#define PM_CODEC_WRITER_H

#include <msgpack/pack.h>

#include "base/mem.h"

typedef struct pm_writer {
    msgpack_packer packer;
    pm_buffer *out; /* NULL: count only */
    size_t counted;
    pm_error *err;
    pm_status status;
} pm_writer;

/* `out` and `err` must outlive the writer. */
void pmi_writer_init(pm_writer *w, pm_buffer *out, pm_error *err);
/* Writes nothing and adds up the bytes in w->counted. */
void pmi_writer_init_count(pm_writer *w, pm_error *err);

void pmi_writer_text(pm_writer *w, const char *text);
void pmi_writer_text_of(pm_writer *w, const void *bytes, size_t n); /* n bytes of UTF-8 */
void pmi_writer_uint(pm_writer *w, uint64_t value);
void pmi_writer_int(pm_writer *w, int64_t value);
void pmi_writer_real(pm_writer *w, double value);
void pmi_writer_bool(pm_writer *w, bool value);
void pmi_writer_bin(pm_writer *w, const void *bytes, size_t n);
bool pmi_writer_bin_head(pm_writer *w, size_t n); /* the n bytes are the caller's to append */

/* `count` numbers as one bin of `width` (1, 2 or 4) little-endian bytes each, which they must fit. Fails with PM_EUSAGE
 * where that is more than a bin holds (2^32 - 1 bytes), as all bins do. */
void pmi_writer_numbers(pm_writer *w, const uint32_t *numbers, size_t count, unsigned width);

#endif
