#include "wire/frame.h"

#include <string.h>
#include <zstd.h>

#include "base/mem.h"

/* Columns of small numbers shrink to a fifth at the fastest level, and little more at the next ones. */
#define FRAME_LEVEL 1

/* A block gives at most so many bytes, and takes at least four (its head, and the byte it repeats). */
#define BLOCK_MOST ((unsigned long long)128 << 10)
#define BLOCK_LEAST 4

pm_status pmi_frame_pack(const uint8_t *bytes, size_t n, pm_buffer *out, pm_error *err) {
    size_t bound = ZSTD_compressBound(n), need;
    if (ZSTD_isError(bound) || !pmi_add(out->size, bound, &need) ||
        !pmi_reserve((void **)&out->bytes, &out->capacity, need, 1)) {
        return pmi_fail_memory(err, "a compressed payload", n);
    }
    size_t packed = ZSTD_compress(out->bytes + out->size, bound, bytes, n, FRAME_LEVEL);
    if (ZSTD_isError(packed)) {
        return pmi_fail(err, PM_EOSERR, "zstd: %zu bytes could not be compressed: %s", n, ZSTD_getErrorName(packed));
    }
    out->size += packed;
    return PM_OK;
}

static pm_status check_frame(const uint8_t *bytes, size_t n, size_t most, unsigned long long *content, pm_error *err) {
    static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd}; /* neither an old format nor a frame to be skipped */
    *content = ZSTD_getFrameContentSize(bytes, n);
    if (*content == ZSTD_CONTENTSIZE_ERROR || memcmp(bytes, magic, sizeof magic) != 0) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected a zstd frame, found other bytes");
    }
    if (*content == ZSTD_CONTENTSIZE_UNKNOWN) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected a zstd frame that says how long its content is, found none");
    }
    if (*content > most) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected a zstd frame of at most %zu bytes of content, found %llu",
                        most, *content);
    }
    if (*content / BLOCK_MOST > n / BLOCK_LEAST) {
        return pmi_fail(err, PM_EDATA, "byte 0: a zstd frame of %zu bytes cannot hold the %llu bytes that it claims", n,
                        *content);
    }
    size_t length = ZSTD_findFrameCompressedSize(bytes, n);
    if (ZSTD_isError(length)) {
        return pmi_fail(err, PM_EDATA, "byte 0: a damaged zstd frame: %s", ZSTD_getErrorName(length));
    }
    if (length != n) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected the end of the zstd frame, found %zu more bytes", length,
                        n - length);
    }
    return PM_OK;
}

pm_status pmi_frame_unpack(const uint8_t *bytes, size_t n, size_t most, pm_buffer *out, pm_error *err) {
    unsigned long long content = 0;
    PM_TRY(check_frame(bytes, n, most, &content, err));
    uint8_t *memory = pmi_malloc((size_t)content, 1);
    if (memory == NULL) {
        return pmi_fail_memory(err, "an unpacked payload", (size_t)content);
    }
    size_t got = ZSTD_decompress(memory, (size_t)content, bytes, n);
    if (ZSTD_isError(got) || got != content) {
        free(memory);
        return pmi_fail(err, PM_EDATA, "a damaged zstd frame of %llu bytes: %s", content,
                        ZSTD_isError(got) ? ZSTD_getErrorName(got) : "its content is shorter");
    }
    *out = (pm_buffer){.bytes = memory, .size = got, .capacity = got};
    return PM_OK;
}
