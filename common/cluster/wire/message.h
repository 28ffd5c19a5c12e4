/* Messages: what travels and what is stored in Redis, each a C struct described by a table of its fields
 * (wire/messages.h), which one encoder, one decoder and one JSON view walk. Encoded: an envelope (codec/envelope.h)
 * around a MessagePack map with all keys in the order of the table, in one zstd frame where the type is packed. Any
 * change of a table is a new version (schemas/README.md). */
#ifndef PM_WIRE_MESSAGE_H
#define PM_WIRE_MESSAGE_H

#include "base/hash.h"
#include "codec/envelope.h"

typedef uint8_t pm_digest[PM_DIGEST_BYTES];

/* The digest's hexadecimal digits, which live to the end of the block that asks for them. */
#define PM_HEX(digest) pmi_digest_text(digest, (char[PM_DIGEST_HEX]){0})
const char *pmi_digest_text(const pm_digest digest, char text[PM_DIGEST_HEX]);

/* Borrowed bytes. A text is UTF-8 without a final zero. */
typedef struct pm_span {
    const uint8_t *bytes;
    size_t size;
} pm_span;

pm_span pmi_span_of(const char *text);
bool pmi_span_is(pm_span span, const char *text); /* byte for byte */

/* Decoded elements of a PM_FIELD_LIST: `count` structs of the list's type, one after the other. */
typedef struct pm_list {
    void *items;
    size_t count;
} pm_list;

typedef enum pm_field_kind {
    PM_FIELD_UINT,    /* uint64_t */
    PM_FIELD_INT,     /* int64_t */
    PM_FIELD_REAL,    /* double, finite */
    PM_FIELD_BOOL,    /* bool */
    PM_FIELD_TEXT,    /* pm_span, UTF-8 without U+0000 */
    PM_FIELD_DIGEST,  /* pm_digest as a bin */
    PM_FIELD_DIGESTS, /* pm_span of digests as one bin: a multiple of PM_DIGEST_BYTES */
    PM_FIELD_BIN,     /* pm_span */
    PM_FIELD_U32S,    /* pm_span of little-endian uint32 as one bin: a multiple of 4 bytes */
    PM_FIELD_F64S,    /* pm_span of little-endian binary64 as one bin: a multiple of 8 bytes */
    PM_FIELD_LIST     /* pm_list of messages of `item`, written as maps without envelopes */
} pm_field_kind;

typedef struct pm_message_type pm_message_type;

typedef struct pm_field {
    const char *name; /* NULL ends the table */
    pm_field_kind kind;
    size_t offset;               /* in the struct */
    uint64_t max;                /* UINT: the largest value; LIST: items; all spans: bytes */
    const pm_message_type *item; /* LIST: its fields hold no list */
} pm_field;

struct pm_message_type {
    const char *name; /* "phasemill.unit" */
    unsigned version;
    bool is_packed;  /* the payload is a zstd frame */
    size_t size;     /* of the struct */
    size_t unpacked; /* the most bytes that a packed payload may unfold to */
    const pm_field *fields;
};

/* Fields of the table. */
size_t pmi_message_fields(const pm_message_type *type);

/* Appends the encoded message; `out` is as it was after a failure. PM_ESOFTWARE: a value that its own table refuses. */
pm_status pmi_message_encode(const pm_message_type *type, const void *message, pm_buffer *out, pm_error *err);

/* What a decoded message borrows from: keep it as long as the message. All-zero is empty. */
typedef struct pm_message_memory {
    pm_buffer unpacked; /* of a packed payload */
    pm_list lists[4];
    size_t n_lists;
} pm_message_memory;
void pmi_message_memory_free(pm_message_memory *memory);

/* Decodes untrusted bytes into the struct `message` (of type->size bytes). Spans point into `bytes` or `memory`.
 * Errors: PM_EDATA naming type, key and byte position: another type, an unknown version (by number), damage, a value
 * out of its range, anything missing or too much. `memory` is freed after a failure. */
pm_status pmi_message_decode(const pm_message_type *type, const uint8_t *bytes, size_t n, void *message,
                             pm_message_memory *memory, pm_error *err);

/* The payload behind the checksum and the unpacking, for fuzzing. */
pm_status pmi_message_decode_payload(const pm_message_type *type, const uint8_t *bytes, size_t n, void *message,
                                     pm_message_memory *memory, pm_error *err);

/* Arrays as spans (little-endian, as all machines here) and back, as copies to free(). */
pm_span pmi_u32s(const uint32_t *values, size_t count);
pm_span pmi_f64s(const double *values, size_t count);
pm_status pmi_u32s_read(pm_span span, uint32_t **values, size_t *count, pm_error *err);
pm_status pmi_f64s_read(pm_span span, double **values, size_t *count, pm_error *err);

/* `text` mended (pmi_utf8_mend) and cut with "..." after n - 1 bytes: paths and errors may be any bytes. */
pm_span pmi_span_clean(const char *text, char *room, size_t n);

/* A span as a zero-terminated string of at most n - 1 bytes into `text`, cut with "..." when longer. */
void pmi_span_text(pm_span span, char *text, size_t n);

/* ---- packed payloads: one zstd frame that says how long its content is ---- */

/* Appends the frame of `bytes`. Errors: PM_EOSERR. */
pm_status pmi_frame_pack(const uint8_t *bytes, size_t n, pm_buffer *out, pm_error *err);

/* Unfolds untrusted bytes, exactly one frame, into the empty buffer `out`. Memory is taken for what the frame says only
 * where that is at most `max` and such a frame can hold it. Errors: PM_EDATA; PM_EOSERR. */
pm_status pmi_frame_unpack(const uint8_t *bytes, size_t n, size_t max, pm_buffer *out, pm_error *err);

#endif
