#include <inttypes.h>
#include <math.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "codec/writer.h"
#include "wire/frame.h"
#include "wire/message.h"

static const void *place(const void *message, const pm_field *field) {
    return (const uint8_t *)message + field->offset;
}

static pm_status refuse(const pm_field *field, const char *why, pm_error *err) {
    return pmi_fail(err, PM_ESOFTWARE, "%s: %s", field->name, why);
}

static pm_status check_span(const pm_field *field, const pm_span *span, pm_error *err) {
    if (span->size > field->most) {
        return pmi_fail(err, PM_ESOFTWARE, "%s: at most %" PRIu64 " bytes can be sent, found %zu", field->name,
                        field->most, span->size);
    }
    switch (field->kind) {
    case PM_FIELD_DIGESTS:
        return span->size % PM_DIGEST_BYTES == 0 ? PM_OK : refuse(field, "the bytes are no array of digests", err);
    case PM_FIELD_U32S:
        return span->size % 4 == 0 ? PM_OK : refuse(field, "the bytes are no array of uint32", err);
    case PM_FIELD_F64S:
        return span->size % 8 == 0 ? PM_OK : refuse(field, "the bytes are no array of doubles", err);
    case PM_FIELD_TEXT:
        return pmi_utf8_valid(span->bytes, span->size, NULL) ? PM_OK
                                                             : refuse(field, "it is not UTF-8 without U+0000", err);
    default:
        return PM_OK;
    }
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

/* All kinds but lists. */
static pm_status write_value(pm_writer *w, const pm_field *field, const void *message, pm_error *err) {
    const void *at = place(message, field);
    switch (field->kind) {
    case PM_FIELD_UINT:
        if (*(const uint64_t *)at > field->most) {
            return pmi_fail(err, PM_ESOFTWARE, "%s: at most %" PRIu64 " can be sent, found %" PRIu64, field->name,
                            field->most, *(const uint64_t *)at);
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
        return refuse(field, "a list inside a list", err);
    default:
        return write_span(w, field, at, err);
    }
}

static pm_status write_items(pm_writer *w, const pm_field *list, const pm_list *items, pm_error *err) {
    if (items->count > list->most) {
        return pmi_fail(err, PM_ESOFTWARE, "%s: at most %" PRIu64 " items can be sent, found %zu", list->name,
                        list->most, items->count);
    }
    msgpack_pack_array(&w->packer, items->count);
    for (size_t i = 0; w->status == PM_OK && i < items->count; i++) {
        const uint8_t *item = (const uint8_t *)items->items + i * list->item->size;
        msgpack_pack_map(&w->packer, pmi_message_fields(list->item));
        for (const pm_field *f = list->item->fields; f->name != NULL; f++) {
            pmi_writer_text(w, f->name);
            PM_TRY(write_value(w, f, item, err));
        }
    }
    return w->status;
}

static pm_status write_map(pm_writer *w, const pm_message_type *type, const void *message, pm_error *err) {
    msgpack_pack_map(&w->packer, pmi_message_fields(type));
    PM_TRY(w->status);
    for (const pm_field *f = type->fields; f->name != NULL; f++) {
        pmi_writer_text(w, f->name);
        PM_TRY(w->status != PM_OK         ? w->status
               : f->kind == PM_FIELD_LIST ? write_items(w, f, place(message, f), err)
                                          : write_value(w, f, message, err));
    }
    return PM_OK;
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
