#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "codec/cursor.h"
#include "wire/frame.h"
#include "wire/message.h"

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
    return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected at most %" PRIu64 "%s, found %" PRIu64, at, f->name, f->most,
                    unit, found);
}

static pm_status read_uint(pm_cursor *c, const pm_field *f, uint64_t *value, pm_error *err) {
    size_t at = c->at;
    pm_status st = pmi_cursor_uint(c, value, f->name, err);
    return st == PM_OK && *value > f->most ? too_much(f, at, "", *value, err) : st;
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

static size_t element_bytes(pm_field_kind kind) {
    switch (kind) {
    case PM_FIELD_DIGESTS:
        return PM_DIGEST_BYTES;
    case PM_FIELD_U32S:
        return sizeof(uint32_t);
    case PM_FIELD_F64S:
        return sizeof(double);
    default:
        return 1;
    }
}

static pm_status read_span(pm_cursor *c, const pm_field *f, pm_span *span, pm_error *err) {
    size_t at = c->at;
    size_t width = element_bytes(f->kind);
    pm_status st = f->kind == PM_FIELD_TEXT ? pmi_cursor_text(c, &span->bytes, &span->size, f->name, err)
                                            : pmi_cursor_bin(c, &span->bytes, &span->size, f->name, err);
    if (st == PM_OK && span->size > f->most) {
        return too_much(f, at, " bytes", span->size, err);
    }
    if (st == PM_OK && span->size % width != 0) {
        return pmi_fail(err, PM_EDATA, "byte %zu: %s: expected values of %zu bytes each, found %zu bytes", at, f->name,
                        width, span->size);
    }
    return st;
}

/* All kinds but lists. */
static pm_status read_value(pm_cursor *c, const pm_field *f, void *message, pm_error *err) {
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
        return pmi_fail(err, PM_ESOFTWARE, "%s: a list inside a list", f->name);
    default:
        return read_span(c, f, at, err);
    }
}

static pm_status read_map_head(pm_cursor *c, const pm_message_type *type, pm_error *err) {
    uint64_t count = 0;
    size_t at = c->at, expected = pmi_message_fields(type);
    PM_TRY(pmi_cursor_map(c, &count, "a map", err));
    if (count != expected) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected a map of %zu keys, found %" PRIu64, at, expected, count);
    }
    return PM_OK;
}

static pm_status read_item(pm_cursor *c, const pm_message_type *type, void *item, pm_error *err) {
    PM_TRY(read_map_head(c, type, err));
    for (const pm_field *f = type->fields; f->name != NULL; f++) {
        PM_TRY(expect_key(c, f->name, err));
        PM_TRY(read_value(c, f, item, err));
    }
    return PM_OK;
}

/* Memory is taken only for as many items as the bytes that are left can hold. */
static pm_status read_list(pm_cursor *c, const pm_field *f, pm_list *list, pm_message_memory *memory, pm_error *err) {
    uint64_t count = 0;
    size_t at = c->at;
    pm_status st = pmi_cursor_array(c, &count, f->name, err);
    if (st == PM_OK && count > f->most) {
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
    if (list->items == NULL) {
        return pmi_fail_memory(err, f->name, (size_t)count * f->item->size);
    }
    memory->lists[memory->n_lists++] = *list;
    for (size_t i = 0; st == PM_OK && i < count; i++) {
        st = read_item(c, f->item, (uint8_t *)list->items + i * f->item->size, err);
        if (st != PM_OK) {
            pmi_fail_prefix(err, "%s, item %zu", f->name, i);
        }
    }
    return st;
}

static pm_status read_map(pm_cursor *c, const pm_message_type *type, void *message, pm_message_memory *memory,
                          pm_error *err) {
    PM_TRY(read_map_head(c, type, err));
    for (const pm_field *f = type->fields; f->name != NULL; f++) {
        PM_TRY(expect_key(c, f->name, err));
        PM_TRY(f->kind == PM_FIELD_LIST ? read_list(c, f, (pm_list *)((uint8_t *)message + f->offset), memory, err)
                                        : read_value(c, f, message, err));
    }
    return pmi_cursor_end(c, err);
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
    pm_status st = pmi_envelope_open(bytes, n, &envelope, err);
    PM_THEN(st, pmi_envelope_expect(&envelope, type->name, type->version,
                                    "it was written by another phasemill; run the same version everywhere", err));
    PM_THEN(st, pmi_message_decode_payload(type, envelope.payload, envelope.size, message, memory, err));
    if (st != PM_OK) {
        pmi_fail_prefix(err, "%s", type->name);
    }
    return st;
}
