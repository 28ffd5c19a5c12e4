#include "recorder.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static PM_PRINTF(3, 4) pm_status note(recorder *r, pm_error *err, const char *format, ...) {
    if (++r->n_events == r->refuse_at) {
        return pmi_fail(err, PM_EUSAGE, "refused");
    }
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->text + r->used, sizeof r->text - r->used, format, args);
    va_end(args);
    r->used += n < 0 || (size_t)n >= sizeof r->text - r->used ? 0 : (size_t)n;
    return PM_OK;
}

static pm_status begin(void *ctx, bool is_map, pm_error *err) {
    return note(ctx, err, is_map ? "{ " : "[ ");
}

static pm_status key(void *ctx, const char *text, size_t n, pm_error *err) {
    return note(ctx, err, "%.*s: ", (int)n, text);
}

static pm_status end(void *ctx, bool is_map, pm_error *err) {
    return note(ctx, err, is_map ? "} " : "] ");
}

static pm_status null(void *ctx, pm_error *err) {
    return note(ctx, err, "N ");
}

static pm_status boolean(void *ctx, bool value, pm_error *err) {
    return note(ctx, err, value ? "T " : "F ");
}

static pm_status integer(void *ctx, int64_t value, pm_error *err) {
    recorder *r = ctx;
    r->last = (double)value;
    return note(r, err, "%" PRId64 " ", value);
}

static pm_status real(void *ctx, double value, pm_error *err) {
    recorder *r = ctx;
    r->last = value;
    return note(r, err, "%.17gr ", value);
}

static pm_status string(void *ctx, const char *text, size_t n, pm_error *err) {
    return note(ctx, err, "'%.*s' ", (int)n, text);
}

static pm_status bytes(void *ctx, const uint8_t *data, size_t n, pm_error *err) {
    (void)data;
    return note(ctx, err, "#%zu ", n);
}

pm_event_sink recorder_sink(recorder *r) {
    return (pm_event_sink){.ctx = r,
                           .open = begin,
                           .close = end,
                           .key = key,
                           .null = null,
                           .boolean = boolean,
                           .integer = integer,
                           .real = real,
                           .string = string,
                           .bytes = bytes};
}

static pm_status read_piece(void *ctx, uint8_t *data, size_t capacity, size_t *got, pm_error *err) {
    piecewise *p = ctx;
    return p->inner.read(p->inner.ctx, data, capacity < p->piece ? capacity : p->piece, got, err);
}

pm_source piecewise_source(piecewise *p) {
    return (pm_source){.ctx = p, .read = read_piece};
}
