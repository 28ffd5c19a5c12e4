/* What the two readers of events share: handing a value to a sink that may not take its kind. */
#ifndef PM_CODEC_EMIT_H
#define PM_CODEC_EMIT_H

#include "codec/events.h"

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
