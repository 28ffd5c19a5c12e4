/* A document as a stream of events: JSON and MessagePack are read through the same sink, in one pass, in
 * memory that does not grow with the document. */
#ifndef PM_CODEC_EVENTS_H
#define PM_CODEC_EVENTS_H

#include "base/error.h"

/* The receiver. Each function returns PM_OK to go on; anything else stops the reader, which puts the byte
 * position before the error's text. A NULL function refuses that kind of value with an error of its own. */
typedef struct pm_event_sink {
    void *ctx;
    pm_status (*begin_map)(void *ctx, pm_error *err);
    pm_status (*key)(void *ctx, const char *text, size_t n, pm_error *err); /* not zero-terminated */
    pm_status (*end_map)(void *ctx, pm_error *err);
    pm_status (*begin_array)(void *ctx, pm_error *err);
    pm_status (*end_array)(void *ctx, pm_error *err);
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

/* ---- for the readers: handing a value to a sink that may not take its kind ---- */

/* The error of a sink without a function for this kind of value. */
static inline pm_status pmi_emit_refused(const char *what, pm_error *err) {
    return pmi_fail(err, PM_EDATA, "found %s where none is expected", what);
}

static inline pm_status pmi_emit_begin_map(const pm_event_sink *s, pm_error *err) {
    return s->begin_map == NULL ? pmi_emit_refused("a map", err) : s->begin_map(s->ctx, err);
}

static inline pm_status pmi_emit_key(const pm_event_sink *s, const char *text, size_t n, pm_error *err) {
    return s->key == NULL ? pmi_emit_refused("a key", err) : s->key(s->ctx, text, n, err);
}

static inline pm_status pmi_emit_end_map(const pm_event_sink *s, pm_error *err) {
    return s->end_map == NULL ? PM_OK : s->end_map(s->ctx, err);
}

static inline pm_status pmi_emit_begin_array(const pm_event_sink *s, pm_error *err) {
    return s->begin_array == NULL ? pmi_emit_refused("an array", err) : s->begin_array(s->ctx, err);
}

static inline pm_status pmi_emit_end_array(const pm_event_sink *s, pm_error *err) {
    return s->end_array == NULL ? PM_OK : s->end_array(s->ctx, err);
}

static inline pm_status pmi_emit_null(const pm_event_sink *s, pm_error *err) {
    return s->null == NULL ? pmi_emit_refused("null", err) : s->null(s->ctx, err);
}

static inline pm_status pmi_emit_boolean(const pm_event_sink *s, bool value, pm_error *err) {
    return s->boolean == NULL ? pmi_emit_refused(value ? "true" : "false", err) : s->boolean(s->ctx, value, err);
}

static inline pm_status pmi_emit_integer(const pm_event_sink *s, int64_t value, pm_error *err) {
    return s->integer == NULL ? pmi_emit_refused("a whole number", err) : s->integer(s->ctx, value, err);
}

static inline pm_status pmi_emit_real(const pm_event_sink *s, double value, pm_error *err) {
    return s->real == NULL ? pmi_emit_refused("a number", err) : s->real(s->ctx, value, err);
}

static inline pm_status pmi_emit_string(const pm_event_sink *s, const char *text, size_t n, pm_error *err) {
    return s->string == NULL ? pmi_emit_refused("a string", err) : s->string(s->ctx, text, n, err);
}

static inline pm_status pmi_emit_bytes(const pm_event_sink *s, const uint8_t *bytes, size_t n, pm_error *err) {
    return s->bytes == NULL ? pmi_emit_refused("a byte string", err) : s->bytes(s->ctx, bytes, n, err);
}

#endif
