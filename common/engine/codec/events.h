/* A document as a stream of events: JSON and MessagePack are read through the same sink, in one pass, in
 * memory that does not grow with the document. */
#ifndef PM_CODEC_EVENTS_H
#define PM_CODEC_EVENTS_H

#include "base/error.h"

/* The receiver. Each function returns PM_OK to go on; anything else stops the reader, which puts the byte
 * position before the error's text. */
typedef struct pm_event_sink {
    void *ctx;
    pm_status (*open)(void *ctx, bool is_map, pm_error *err); /* an array, or a map: for each value first its key */
    pm_status (*close)(void *ctx, bool is_map, pm_error *err);
    pm_status (*key)(void *ctx, const char *text, size_t n, pm_error *err); /* not zero-terminated */
    pm_status (*null)(void *ctx, pm_error *err);
    pm_status (*boolean)(void *ctx, bool value, pm_error *err);
    pm_status (*integer)(void *ctx, int64_t value, pm_error *err);
    pm_status (*real)(void *ctx, double value, pm_error *err); /* also integers beyond int64; may be infinite or NaN */
    pm_status (*string)(void *ctx, const char *text, size_t n, pm_error *err);
    pm_status (*bytes)(void *ctx, const uint8_t *bytes, size_t n, pm_error *err); /* MessagePack `bin` only */
} pm_event_sink;

/* Where the bytes come from: fills at most `capacity` bytes and sets *got; *got == 0 is the end. */
typedef struct pm_source {
    void *ctx;
    pm_status (*read)(void *ctx, uint8_t *bytes, size_t capacity, size_t *got, pm_error *err);
} pm_source;

/* The deepest nesting of arrays and maps that is read. */
#define PM_EVENT_DEPTH 16

/* Reads exactly one document and refuses anything but white space (JSON) or nothing (MessagePack) after it.
 * Errors: PM_EDATA with "byte N: ..." (from 0) for malformed or truncated input, a key that is no string, nesting
 * deeper than PM_EVENT_DEPTH, MessagePack's ext types, JSON numbers that are no doubles (not zero, but nearer to it
 * than any; more than 1,100 characters); the source's and the sink's own. JSON strings are checked to be UTF-8, those
 * of MessagePack are handed on as they are. */
pm_status pmi_json_read(const pm_source *source, const pm_event_sink *sink, pm_error *err);
pm_status pmi_msgpack_read(const pm_source *source, const pm_event_sink *sink, pm_error *err);

/* A source over memory; `state` must outlive the source. */
typedef struct pm_memory_source {
    const uint8_t *bytes;
    size_t size;
    size_t at;
} pm_memory_source;
pm_source pmi_source_memory(pm_memory_source *state);

/* A source over an open file, pipe or socket, read to its end; `fd` stays the caller's and must outlive the source.
 * Errors: PM_EIO. */
pm_source pmi_source_fd(int *fd);

#endif
