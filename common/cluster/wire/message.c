#include "wire/message.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/utf8.h"
#include "codec/cursor.h"
#include "codec/writer.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays travel as they lie in memory, which must be little-endian"
#endif

const char *pmi_digest_text(const pm_digest digest, char text[PM_DIGEST_HEX]) {
    pmi_hex(digest, text);
    return text;
}

pm_span pmi_span_of(const char *text) {
    return (pm_span){(const uint8_t *)text, strlen(text)};
}

bool pmi_span_is(pm_span span, const char *text) {
    return span.size == strlen(text) && (span.size == 0 || memcmp(span.bytes, text, span.size) == 0);
}

void pmi_span_text(pm_span span, char *text, size_t n) {
    static const char dots[] = "...";
    if (n == 0) {
        return;
    }
    size_t kept = span.size, n_dots = 0;
    if (span.size >= n) {
        n_dots = n - 1 < 3 ? n - 1 : 3;
        kept = n - 1 - n_dots;
        while (kept > 0 && (span.bytes[kept] & 0xc0) == 0x80) { /* not inside a character */
            kept--;
        }
    }
    if (kept > 0) {
        memcpy(text, span.bytes, kept);
    }
    memcpy(text + kept, dots, n_dots);
    text[kept + n_dots] = '\0';
}

pm_span pmi_span_clean(const char *text, char *room, size_t n) {
    pmi_span_text(pmi_span_of(text), room, n);
    pmi_utf8_mend(room);
    return (pm_span){(const uint8_t *)room, strlen(room)};
}

size_t pmi_message_fields(const pm_message_type *type) {
    size_t n = 0;
    while (type->fields[n].name != NULL) {
        n++;
    }
    return n;
}

void pmi_message_memory_free(pm_message_memory *memory) {
    pmi_buffer_free(&memory->unpacked);
    for (size_t i = 0; i < memory->n_lists; i++) {
        free(memory->lists[i].items);
    }
    *memory = (pm_message_memory){.n_lists = 0};
}

pm_span pmi_u32s(const uint32_t *values, size_t count) {
    return (pm_span){(const uint8_t *)values, count * sizeof *values};
}

pm_span pmi_f64s(const double *values, size_t count) {
    return (pm_span){(const uint8_t *)values, count * sizeof *values};
}

/* A copy, because a span lies where it was read and may not be aligned. */
static pm_status copy_array(pm_span span, size_t width, void **values, size_t *count, pm_error *err) {
    *values = NULL;
    *count = 0;
    if (span.size % width != 0) {
        return pmi_fail(err, PM_EDATA, "expected an array of %zu-byte numbers, found %zu bytes", width, span.size);
    }
    void *copy = pmi_malloc(span.size, 1);
    PM_TRY(copy != NULL ? PM_OK : pmi_fail_memory(err, "an array of numbers", span.size));
    if (span.size > 0) {
        memcpy(copy, span.bytes, span.size);
    }
    *values = copy;
    *count = span.size / width;
    return PM_OK;
}

pm_status pmi_u32s_read(pm_span span, uint32_t **values, size_t *count, pm_error *err) {
    void *copy;
    pm_status st = copy_array(span, sizeof **values, &copy, count, err);
    *values = copy;
    return st;
}

pm_status pmi_f64s_read(pm_span span, double **values, size_t *count, pm_error *err) {
    void *copy;
    pm_status st = copy_array(span, sizeof **values, &copy, count, err);
    *values = copy;
    return st;
}

/* ---- packed payloads ----------------------------------------------------------------------------------- */

/* Columns of small numbers shrink to a fifth at the fastest level, and little more at the next ones. */
#define FRAME_LEVEL 1

/* A block gives at most so many bytes, and takes at least four (its head, and the byte it repeats). */
#define MAX_BLOCK ((unsigned long long)128 << 10)
#define MIN_BLOCK 4

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

static pm_status check_frame(const uint8_t *bytes, size_t n, size_t max, unsigned long long *content, pm_error *err) {
    static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd}; /* neither an old format nor a frame to be skipped */
    *content = ZSTD_getFrameContentSize(bytes, n);
    if (*content == ZSTD_CONTENTSIZE_ERROR || memcmp(bytes, magic, sizeof magic) != 0) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected a zstd frame, found other bytes");
    }
    if (*content == ZSTD_CONTENTSIZE_UNKNOWN) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected a zstd frame that says how long its content is, found none");
    }
    if (*content > max) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected a zstd frame of at most %zu bytes of content, found %llu", max,
                        *content);
    }
    if (*content / MAX_BLOCK > n / MIN_BLOCK) {
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

pm_status pmi_frame_unpack(const uint8_t *bytes, size_t n, size_t max, pm_buffer *out, pm_error *err) {
    unsigned long long content = 0;
    PM_TRY(check_frame(bytes, n, max, &content, err));
    uint8_t *memory = pmi_malloc((size_t)content, 1);
    PM_TRY(memory != NULL ? PM_OK : pmi_fail_memory(err, "an unpacked payload", (size_t)content));
    size_t got = ZSTD_decompress(memory, (size_t)content, bytes, n);
    if (ZSTD_isError(got) || got != content) {
        free(memory);
        return pmi_fail(err, PM_EDATA, "a damaged zstd frame of %llu bytes: %s", content,
                        ZSTD_isError(got) ? ZSTD_getErrorName(got) : "its content is shorter");
    }
    *out = (pm_buffer){.bytes = memory, .size = got, .capacity = got};
    return PM_OK;
}

/* ---- encoding ------------------------------------------------------------------------------------------ */

static const void *place(const void *message, const pm_field *field) {
    return (const uint8_t *)message + field->offset;
}

static pm_status refuse(const pm_field *field, const char *why, pm_error *err) {
    return pmi_fail(err, PM_ESOFTWARE, "%s: %s", field->name, why);
}

/* What arrays are made of. */
static const struct {
    size_t bytes;
    const char *name;
} elements[] = {[PM_FIELD_DIGESTS] = {PM_DIGEST_BYTES, "digests"},
                [PM_FIELD_U32S] = {sizeof(uint32_t), "uint32"},
                [PM_FIELD_F64S] = {sizeof(double), "doubles"},
                [PM_FIELD_LIST] = {0}};

static pm_status check_span(const pm_field *field, const pm_span *span, pm_error *err) {
    size_t width = elements[field->kind].bytes;
    if (span->size > field->max) {
        return pmi_fail(err, PM_ESOFTWARE, "%s: at most %" PRIu64 " bytes can be sent, found %zu", field->name,
                        field->max, span->size);
    }
    if (width > 0 && span->size % width != 0) {
        return pmi_fail(err, PM_ESOFTWARE, "%s: the bytes are no array of %s", field->name, elements[field->kind].name);
    }
    return field->kind != PM_FIELD_TEXT || pmi_utf8_valid(span->bytes, span->size, NULL)
               ? PM_OK
               : refuse(field, "it is not UTF-8 without U+0000", err);
}

static pm_status write_span(pm_writer *w, const pm_field *field, const pm_span *span, pm_error *err) {
    PM_TRY(check_span(field, span, err));
    if (field->kind == PM_FIELD_TEXT) {
        pmi_writer_text_of(w, span->bytes, span->size);
    } else {
        pmi_writer_bin(w, span->bytes, span->size);
    }
    return w->status;
}

static pm_status write_items(pm_writer *w, const pm_field *list, const pm_list *items, pm_error *err);

static pm_status write_value(pm_writer *w, const pm_field *field, const void *message, pm_error *err) {
    const void *at = place(message, field);
    switch (field->kind) {
    case PM_FIELD_UINT:
        if (*(const uint64_t *)at > field->max) {
            return pmi_fail(err, PM_ESOFTWARE, "%s: at most %" PRIu64 " can be sent, found %" PRIu64, field->name,
                            field->max, *(const uint64_t *)at);
        }
        pmi_writer_uint(w, *(const uint64_t *)at);
        return w->status;
    case PM_FIELD_INT:
        pmi_writer_int(w, *(const int64_t *)at);
        return w->status;
    case PM_FIELD_REAL:
        if (!isfinite(*(const double *)at)) {
            return refuse(field, "it is not finite", err);
        }
        pmi_writer_real(w, *(const double *)at);
        return w->status;
    case PM_FIELD_BOOL:
        pmi_writer_bool(w, *(const bool *)at);
        return w->status;
    case PM_FIELD_DIGEST:
        pmi_writer_bin(w, at, PM_DIGEST_BYTES);
        return w->status;
    case PM_FIELD_LIST:
        return write_items(w, field, at, err);
    default:
        return write_span(w, field, at, err);
    }
}

static pm_status write_map(pm_writer *w, const pm_message_type *type, const void *message, pm_error *err) {
    msgpack_pack_map(&w->packer, pmi_message_fields(type));
    PM_TRY(w->status);
    for (const pm_field *f = type->fields; f->name != NULL; f++) {
        pmi_writer_text(w, f->name);
        PM_TRY(w->status != PM_OK ? w->status : write_value(w, f, message, err));
    }
    return PM_OK;
}

static pm_status write_items(pm_writer *w, const pm_field *list, const pm_list *items, pm_error *err) {
    if (items->count > list->max) {
        return pmi_fail(err, PM_ESOFTWARE, "%s: at most %" PRIu64 " items can be sent, found %zu", list->name,
                        list->max, items->count);
    }
    msgpack_pack_array(&w->packer, items->count);
    for (size_t i = 0; w->status == PM_OK && i < items->count; i++) {
        PM_TRY(write_map(w, list->item, (const uint8_t *)items->items + i * list->item->size, err));
    }
    return w->status;
}

/* The map of `size` bytes goes where it stays. */
static pm_status encode_plain(const pm_message_type *type, const void *message, size_t size, pm_buffer *out,
                              pm_error *err) {
    PM_TRY(pmi_envelope_begin(type->name, type->version, size, out, err));
    pm_writer w;
    pmi_writer_init(&w, out, err);
    PM_TRY(write_map(&w, type, message, err));
    return pmi_envelope_end(size, out, err);
}

static pm_status encode_packed(const pm_message_type *type, const void *message, size_t size, pm_buffer *out,
                               pm_error *err) {
    pm_buffer map = {0}, packed = {0};
    if (size > type->unpacked) {
        return pmi_fail(err, PM_ESOFTWARE, "at most %zu bytes before packing can be sent, found %zu", type->unpacked,
                        size);
    }
    if (!pmi_reserve((void **)&map.bytes, &map.capacity, size, 1)) {
        return pmi_fail_memory(err, "a message", size);
    }
    pm_writer w;
    pmi_writer_init(&w, &map, err);
    pm_status st = write_map(&w, type, message, err);
    PM_THEN(st, pmi_frame_pack(map.bytes, map.size, &packed, err));
    pmi_buffer_free(&map);
    PM_THEN(st, pmi_envelope_write(type->name, type->version, packed.bytes, packed.size, out, err));
    pmi_buffer_free(&packed);
    return st;
}

pm_status pmi_message_encode(const pm_message_type *type, const void *message, pm_buffer *out, pm_error *err) {
    size_t before = out->size;
    pm_writer counter;
    pmi_writer_init_count(&counter, err);
    pm_status st = write_map(&counter, type, message, err);
    PM_THEN(st, (type->is_packed ? encode_packed : encode_plain)(type, message, counter.counted, out, err));
    if (st != PM_OK) {
        out->size = before;
        pmi_fail_prefix(err, "encoding %s", type->name);
    }
    return st;
}

/* ---- decoding ------------------------------------------------------------------------------------------ */

/* The fewest bytes that a map of this type takes: its head, and for each field a key and one byte. */
static size_t least_bytes(const pm_message_type *type) {
    size_t n = 1;
    for (const pm_field *f = type->fields; f->name != NULL; f++) {
        n += 1 + strlen(f->name) + 1;
    }
    return n;
}

/* Keys come in the order of the table: a message is canonical or refused. */
static pm_status expect_key(pm_cursor *c, const char *name, pm_error *err) {
    const uint8_t *text = NULL;
    size_t n = 0, at = c->at;
    char what[64];
    snprintf(what, sizeof what, "key \"%.40s\"", name);
    pm_status st = pmi_cursor_text(c, &text, &n, what, err);
    if (st == PM_OK && (n != strlen(name) || memcmp(text, name, n) != 0)) {
        st = pmi_fail(err, PM_EDATA, "byte %zu: expected %s, found \"%.*s\"", at, what, (int)(n < 40 ? n : 40),
                      (const char *)text);
    }
    return st;
}

static pm_status too_much(const pm_field *f, size_t at, const char *unit, uint64_t found, pm_error *err) {
    return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected at most %" PRIu64 "%s, found %" PRIu64, at, f->name, f->max,
                    unit, found);
}

static pm_status read_uint(pm_cursor *c, const pm_field *f, uint64_t *value, pm_error *err) {
    size_t at = c->at;
    pm_status st = pmi_cursor_uint(c, value, f->name, err);
    return st == PM_OK && *value > f->max ? too_much(f, at, "", *value, err) : st;
}

static pm_status read_digest(pm_cursor *c, const pm_field *f, uint8_t *digest, pm_error *err) {
    const uint8_t *bytes = NULL;
    size_t n = 0, at = c->at;
    PM_TRY(pmi_cursor_bin(c, &bytes, &n, f->name, err));
    if (n != PM_DIGEST_BYTES) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected %d bytes, found %zu", at, f->name, PM_DIGEST_BYTES, n);
    }
    memcpy(digest, bytes, PM_DIGEST_BYTES);
    return PM_OK;
}

static pm_status read_span(pm_cursor *c, const pm_field *f, pm_span *span, pm_error *err) {
    size_t at = c->at;
    size_t width = elements[f->kind].bytes;
    pm_status st = f->kind == PM_FIELD_TEXT ? pmi_cursor_text(c, &span->bytes, &span->size, f->name, err)
                                            : pmi_cursor_bin(c, &span->bytes, &span->size, f->name, err);
    if (st == PM_OK && span->size > f->max) {
        return too_much(f, at, " bytes", span->size, err);
    }
    if (st == PM_OK && width > 0 && span->size % width != 0) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected values of %zu bytes each, found %zu bytes", at, f->name,
                        width, span->size);
    }
    return st;
}

static pm_status read_list(pm_cursor *c, const pm_field *f, pm_list *list, pm_message_memory *memory, pm_error *err);

static pm_status read_value(pm_cursor *c, const pm_field *f, void *message, pm_message_memory *memory, pm_error *err) {
    void *at = (uint8_t *)message + f->offset;
    switch (f->kind) {
    case PM_FIELD_UINT:
        return read_uint(c, f, at, err);
    case PM_FIELD_INT:
        return pmi_cursor_int(c, at, f->name, err);
    case PM_FIELD_REAL:
        return pmi_cursor_real(c, at, f->name, err);
    case PM_FIELD_BOOL:
        return pmi_cursor_bool(c, at, f->name, err);
    case PM_FIELD_DIGEST:
        return read_digest(c, f, at, err);
    case PM_FIELD_LIST:
        return read_list(c, f, at, memory, err);
    default:
        return read_span(c, f, at, err);
    }
}

static pm_status read_map(pm_cursor *c, const pm_message_type *type, void *message, pm_message_memory *memory,
                          pm_error *err) {
    uint64_t count = 0;
    size_t at = c->at, expected = pmi_message_fields(type);
    PM_TRY(pmi_cursor_map(c, &count, "a map", err));
    if (count != expected) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected a map of %zu keys, found %" PRIu64, at, expected, count);
    }
    for (const pm_field *f = type->fields; f->name != NULL; f++) {
        PM_TRY(expect_key(c, f->name, err));
        PM_TRY(read_value(c, f, message, memory, err));
    }
    return PM_OK;
}

/* Memory is taken only for as many items as the bytes that are left can hold. */
static pm_status read_list(pm_cursor *c, const pm_field *f, pm_list *list, pm_message_memory *memory, pm_error *err) {
    uint64_t count = 0;
    size_t at = c->at;
    pm_status st = pmi_cursor_array(c, &count, f->name, err);
    if (st == PM_OK && count > f->max) {
        st = too_much(f, at, " items", count, err);
    }
    if (st == PM_OK && count > (c->size - c->at) / least_bytes(f->item)) {
        st = pmi_fail(err, PM_EDATA, "byte %zu: %s: expected %" PRIu64 " items, found the end after %zu bytes", at,
                      f->name, count, c->size - c->at);
    }
    if (st == PM_OK && memory->n_lists == sizeof memory->lists / sizeof memory->lists[0]) {
        st = pmi_fail(err, PM_ESOFTWARE, "%s: more lists than there is memory for", f->name);
    }
    PM_TRY(st);
    *list = (pm_list){pmi_calloc((size_t)count, f->item->size), (size_t)count};
    PM_TRY(list->items != NULL ? PM_OK : pmi_fail_memory(err, f->name, (size_t)count * f->item->size));
    memory->lists[memory->n_lists++] = *list;
    for (size_t i = 0; st == PM_OK && i < count; i++) {
        st = read_map(c, f->item, (uint8_t *)list->items + i * f->item->size, memory, err);
        if (st != PM_OK) {
            pmi_fail_prefix(err, "%s, item %zu", f->name, i);
        }
    }
    return st;
}

pm_status pmi_message_decode_payload(const pm_message_type *type, const uint8_t *bytes, size_t n, void *message,
                                     pm_message_memory *memory, pm_error *err) {
    *memory = (pm_message_memory){.n_lists = 0};
    memset(message, 0, type->size);
    pm_cursor c = {bytes, n, 0};
    pm_status st = PM_OK;
    if (type->is_packed) {
        st = pmi_frame_unpack(bytes, n, type->unpacked, &memory->unpacked, err);
        c = (pm_cursor){memory->unpacked.bytes, memory->unpacked.size, 0};
    }
    PM_THEN(st, read_map(&c, type, message, memory, err));
    PM_THEN(st, pmi_cursor_end(&c, err));
    if (st != PM_OK) {
        pmi_message_memory_free(memory);
        memset(message, 0, type->size);
        pmi_fail_prefix(err, type->is_packed ? "packed payload" : "payload");
    }
    return st;
}

pm_status pmi_message_decode(const pm_message_type *type, const uint8_t *bytes, size_t n, void *message,
                             pm_message_memory *memory, pm_error *err) {
    pm_envelope envelope;
    *memory = (pm_message_memory){.n_lists = 0};
    memset(message, 0, type->size);
    pm_status st = pmi_envelope_open(bytes, n, false, &envelope, err);
    PM_THEN(st, pmi_envelope_expect(&envelope, type->name, type->version,
                                    "it was written by another phasemill; run the same version everywhere", err));
    PM_THEN(st, pmi_message_decode_payload(type, envelope.payload, envelope.size, message, memory, err));
    if (st != PM_OK) {
        pmi_fail_prefix(err, "%s", type->name);
    }
    return st;
}
