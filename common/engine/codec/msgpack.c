/* MessagePack by msgpack-c's own parser: its template (msgpack/unpack_template.h) calls one function for each value,
 * and what it builds of them is ours to say: here nothing but the count of what is left in each container, since the
 * template has no call for the end of one. */
#include <string.h>

#include "base/mem.h"
#include "codec/events.h"

#define MSGPACK_EMBED_STACK_SIZE 16
_Static_assert(MSGPACK_EMBED_STACK_SIZE == PM_EVENT_DEPTH, "the parser's stack is the limit of nesting");
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

/* What the sink receives and what it said; `expects_key` before each key of a map. */
typedef struct unpack_user {
    const pm_event_sink *sink;
    pm_error *err;
    pm_status st;
    bool expects_key;
} unpack_user;

/* A container that is being read: its items to come. Nothing for other values. */
typedef struct unpack_object {
    uint32_t left;
} unpack_object;

#define msgpack_unpack_struct(name) struct unpack##name
#define msgpack_unpack_func(ret, name) static inline ret unpack##name
#define msgpack_unpack_callback(name) on##name
#define msgpack_unpack_object unpack_object
#define msgpack_unpack_user unpack_user

/* Any negative number stops the parser; the status is kept beside it. */
static inline int keep(unpack_user *u, pm_status st) {
    u->st = st;
    return st == PM_OK ? 0 : MSGPACK_UNPACK_PARSE_ERROR;
}

static inline int refuse(unpack_user *u, const char *what) {
    return keep(u, pmi_fail(u->err, PM_EDATA, "found %s; expected a string as the key of a map", what));
}

static inline unpack_object on_root(unpack_user *u) {
    (void)u;
    return (unpack_object){0};
}

static inline int integer(unpack_user *u, int64_t value, unpack_object *o) {
    *o = (unpack_object){0};
    return u->expects_key ? refuse(u, "a number") : keep(u, u->sink->integer(u->sink->ctx, value, u->err));
}

static inline int real(unpack_user *u, double value, unpack_object *o) {
    *o = (unpack_object){0};
    return u->expects_key ? refuse(u, "a number") : keep(u, u->sink->real(u->sink->ctx, value, u->err));
}

#define on_uint8 integer
#define on_uint16 integer
#define on_uint32 integer
#define on_int8 integer
#define on_int16 integer
#define on_int32 integer
#define on_int64 integer
#define on_float real
#define on_double real

static inline int on_uint64(unpack_user *u, uint64_t d, unpack_object *o) {
    return d <= INT64_MAX ? integer(u, (int64_t)d, o) : real(u, (double)d, o);
}

static inline int on_nil(unpack_user *u, unpack_object *o) {
    *o = (unpack_object){0};
    return u->expects_key ? refuse(u, "nil") : keep(u, u->sink->null(u->sink->ctx, u->err));
}

static inline int on_true(unpack_user *u, unpack_object *o) {
    *o = (unpack_object){0};
    return u->expects_key ? refuse(u, "true") : keep(u, u->sink->boolean(u->sink->ctx, true, u->err));
}

static inline int on_false(unpack_user *u, unpack_object *o) {
    *o = (unpack_object){0};
    return u->expects_key ? refuse(u, "false") : keep(u, u->sink->boolean(u->sink->ctx, false, u->err));
}

static inline int on_str(unpack_user *u, const char *b, const char *p, unsigned int l, unpack_object *o) {
    (void)b;
    *o = (unpack_object){0};
    const char *text = l == 0 ? "" : p; /* the parser has no pointer for an empty string */
    if (u->expects_key) {
        u->expects_key = false;
        return keep(u, u->sink->key(u->sink->ctx, text, l, u->err));
    }
    return keep(u, u->sink->string(u->sink->ctx, text, l, u->err));
}

static inline int on_bin(unpack_user *u, const char *b, const char *p, unsigned int l, unpack_object *o) {
    (void)b;
    *o = (unpack_object){0};
    const uint8_t *bytes = (const uint8_t *)(l == 0 ? "" : p);
    return u->expects_key ? refuse(u, "a byte string") : keep(u, u->sink->bytes(u->sink->ctx, bytes, l, u->err));
}

static inline int on_ext(unpack_user *u, const char *b, const char *p, unsigned int l, unpack_object *o) {
    (void)b;
    (void)p;
    (void)l;
    *o = (unpack_object){0};
    return keep(u, pmi_fail(u->err, PM_EDATA, "found a value of an ext type where none is expected"));
}

static inline int close(unpack_user *u, bool is_map) {
    return keep(u, u->sink->close(u->sink->ctx, is_map, u->err));
}

static inline int open(unpack_user *u, bool is_map, unsigned int n, unpack_object *o) {
    *o = (unpack_object){.left = n};
    if (u->expects_key) {
        return refuse(u, is_map ? "a map" : "an array");
    }
    int code = keep(u, u->sink->open(u->sink->ctx, is_map, u->err));
    u->expects_key = is_map && n > 0;
    return code == 0 && n == 0 ? close(u, is_map) : code;
}

static inline int on_array(unpack_user *u, unsigned int n, unpack_object *o) {
    return open(u, false, n, o);
}

static inline int on_array_item(unpack_user *u, unpack_object *c, unpack_object o) {
    (void)o;
    return --c->left == 0 ? close(u, false) : 0;
}

static inline int on_map(unpack_user *u, unsigned int n, unpack_object *o) {
    return open(u, true, n, o);
}

static inline int on_map_item(unpack_user *u, unpack_object *c, unpack_object k, unpack_object v) {
    (void)k, (void)v;
    u->expects_key = --c->left > 0;
    return u->expects_key ? 0 : close(u, true);
}

#include <msgpack/unpack_template.h>

#define FIRST_BUFFER ((size_t)65536)

/* Bytes read and not yet parsed. It grows only when a string does not fit, and then by what has really come. */
typedef struct window {
    uint8_t *bytes;
    size_t capacity, at, size;
    uint64_t before; /* bytes of the document before bytes[0] */
} window;

static pm_status refill(window *w, const pm_source *source, size_t *got, pm_error *err) {
    memmove(w->bytes, w->bytes + w->at, w->size - w->at);
    w->before += w->at;
    w->size -= w->at;
    w->at = 0;
    if (w->size == w->capacity) {
        PM_TRY(PM_GROW(&w->bytes, &w->capacity, w->capacity + 1, "a MessagePack string", err));
    }
    pm_status st = source->read(source->ctx, w->bytes + w->size, w->capacity - w->size, got, err);
    w->size += *got;
    return st;
}

static pm_status at_byte(uint64_t byte, pm_status st, pm_error *err) {
    if (err != NULL) {
        pmi_fail_prefix(err, "byte %llu", (unsigned long long)byte);
    }
    return st;
}

/* The parser stops on the last byte of a value: numbers, lengths and strings are told by where they begin. */
static pm_status parse_failed(const struct unpack_context *parser, const window *w, int code, pm_error *err) {
    size_t back = parser->cs == MSGPACK_CS_HEADER ? 0 : parser->trail;
    uint64_t byte = w->before + w->at - (back <= w->at ? back : 0);
    pm_status st = parser->user.st;
    if (code == MSGPACK_UNPACK_NOMEM_ERROR) {
        st = pmi_fail(err, PM_EDATA, "arrays and maps are nested deeper than %d", PM_EVENT_DEPTH);
    } else if (st == PM_OK) {
        st = pmi_fail(err, PM_EDATA, "malformed MessagePack: 0x%02x begins no value", w->bytes[w->at]);
    }
    return at_byte(byte, st, err);
}

static pm_status expect_end(window *w, const pm_source *source, pm_error *err) {
    size_t got = 0;
    PM_TRY(w->at == w->size ? refill(w, source, &got, err) : PM_OK);
    if (w->at < w->size) {
        PM_TRY(at_byte(w->before + w->at,
                       pmi_fail(err, PM_EDATA, "found more after the end of the MessagePack document"), err));
    }
    return PM_OK;
}

static pm_status parse(struct unpack_context *parser, window *w, const pm_source *source, pm_error *err) {
    for (;;) {
        size_t got = 0;
        PM_TRY(refill(w, source, &got, err));
        if (got == 0) {
            return at_byte(w->before + w->size, pmi_fail(err, PM_EDATA, "unexpected end of the MessagePack document"),
                           err);
        }
        int code = unpack_execute(parser, (const char *)w->bytes, w->size, &w->at);
        if (code < 0) {
            return parse_failed(parser, w, code, err);
        }
        if (code > 0) {
            return expect_end(w, source, err);
        }
    }
}

pm_status pmi_msgpack_read(const pm_source *source, const pm_event_sink *sink, pm_error *err) {
    struct unpack_context parser;
    window w = {.capacity = FIRST_BUFFER};
    PM_TRY(PM_NEW(&w.bytes, FIRST_BUFFER, "the MessagePack parser", err));
    memset(&parser, 0, sizeof parser);
    parser.user = (unpack_user){.sink = sink, .err = err};
    unpack_init(&parser);
    pm_status st = parse(&parser, &w, source, err);
    free(w.bytes);
    return st;
}
