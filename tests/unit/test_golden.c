/* Files of version 1, written by Python (tests/data/make_messages.py): they must decode for ever, and what is not
 * compressed must be written alike. That every field has its value is seen through `phasemill inspect`
 * (tests/cli/test_messages.py). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/message.h"
#include "wire/units.h"

static pm_buffer golden(const char *name) {
    char path[512];
    pm_buffer bytes = {0};
    pm_error err = {0};
    snprintf(path, sizeof path, PM_SOURCE_DIR "/tests/data/%s.msgpack", name);
    cr_assert_eq(pmi_file_read(path, &bytes, &err), PM_OK, "%s", err.text);
    return bytes;
}

static pm_buffer golden_of(const pm_message_type *type) {
    char name[64];
    snprintf(name, sizeof name, "%s-v%u", type->name + strlen("phasemill."), type->version);
    return golden(name);
}

/* The map of a message: its payload, unpacked. */
static pm_buffer map_of(const pm_message_type *type, const pm_buffer *bytes) {
    pm_envelope e;
    pm_buffer map = {0};
    cr_assert_eq(pmi_envelope_open(bytes->bytes, bytes->size, false, &e, NULL), PM_OK);
    cr_assert_eq(type->is_packed ? pmi_frame_unpack(e.payload, e.size, type->unpacked, &map, NULL)
                                 : pmi_buffer_add(&map, e.payload, e.size, NULL),
                 PM_OK);
    return map;
}

Test(golden, every_type_decodes_and_is_written_alike) {
    for (const pm_message_type *const *each = pmi_message_types; *each != NULL; each++) {
        const pm_message_type *type = *each;
        pm_buffer bytes = golden_of(type), again = {0};
        void *message = pmi_calloc(1, type->size);
        pm_message_memory memory;
        pm_error err = {0};
        cr_assert_eq(pmi_message_decode(type, bytes.bytes, bytes.size, message, &memory, &err), PM_OK, "%s", err.text);
        cr_assert_eq(pmi_message_encode(type, message, &again, &err), PM_OK, "%s", err.text);
        pm_buffer map = map_of(type, &bytes), map_again = map_of(type, &again);
        cr_assert(map.size == map_again.size && memcmp(map.bytes, map_again.bytes, map.size) == 0, "%s", type->name);
        if (!type->is_packed) {
            cr_assert(again.size == bytes.size && memcmp(again.bytes, bytes.bytes, bytes.size) == 0, "%s", type->name);
        }
        pmi_message_memory_free(&memory);
        free(message);
        pmi_buffer_free(&map);
        pmi_buffer_free(&map_again);
        pmi_buffer_free(&bytes);
        pmi_buffer_free(&again);
    }
}

static void check_unit(const char *name) {
    pm_buffer bytes = golden(name);
    pm_unit_message unit;
    pm_message_memory memory;
    pm_record_reader reader;
    pm_canon scc;
    uint8_t id[PM_DIGEST_BYTES];
    pm_error err = {0};
    cr_assert_eq(pmi_message_decode(&pmi_unit_type, bytes.bytes, bytes.size, &unit, &memory, &err), PM_OK, "%s",
                 err.text);
    cr_assert_eq(unit.cost, 300);
    cr_assert_eq(pmi_record_reader_open(unit.body, &reader, &err), PM_OK, "%s", err.text);
    cr_assert_eq(reader.n, 2);
    /* keys and id were computed by Python */
    cr_assert_eq(
        pmi_unit_id("record", unit.job, (const uint8_t(*)[PM_DIGEST_BYTES])reader.body.keys.bytes, 2, id, NULL), PM_OK);
    cr_assert_arr_eq(id, unit.unit, PM_DIGEST_BYTES);
    cr_assert_eq(pmi_record_reader_next(&reader, &scc, &err), PM_OK, "%s", err.text);
    cr_assert(scc.as_given && scc.topology.n == 2 && scc.topology.col[0] == 1 && scc.topology.col[1] == 0);
    pmi_canon_free(&scc);
    cr_assert_eq(pmi_record_reader_next(&reader, &scc, &err), PM_OK, "%s", err.text);
    static const uint32_t col[] = {1, 0, 2, 0};
    cr_assert(scc.topology.n == 3 && scc.topology.row[3] == 4 && memcmp(scc.topology.col, col, sizeof col) == 0);
    pmi_canon_free(&scc);
    pmi_record_reader_close(&reader);
    pmi_message_memory_free(&memory);
    pmi_buffer_free(&bytes);
}

Test(golden, keys_and_ids_are_those_of_python) {
    check_unit("unit-v1");
    check_unit("unit-v1-compressed");
}

static void refuse(const pm_message_type *type, const uint8_t *bytes, size_t n, size_t at) {
    void *message = pmi_calloc(1, type->size);
    pm_message_memory memory;
    pm_error err = {0};
    /* memory of its own, so that a sanitizer sees reads behind the end */
    uint8_t *copy = pmi_malloc(n, 1);
    memcpy(copy, bytes, n);
    cr_assert_eq(pmi_message_decode(type, copy, n, message, &memory, &err), PM_EDATA, "%s at %zu", type->name, at);
    cr_assert(strncmp(err.text, type->name, strlen(type->name)) == 0, "%s", err.text);
    free(copy);
    free(message);
}

Test(golden, every_truncation_and_every_damaged_byte_is_refused) {
    for (const pm_message_type *const *type = pmi_message_types; *type != NULL; type++) {
        pm_buffer bytes = golden_of(*type);
        for (size_t n = 0; n < bytes.size; n++) {
            refuse(*type, bytes.bytes, n, n);
        }
        for (size_t at = 0; at < bytes.size; at++) {
            for (unsigned flip = 1; flip < 256; flip <<= 1) {
                bytes.bytes[at] ^= (uint8_t)flip;
                refuse(*type, bytes.bytes, bytes.size, at);
                bytes.bytes[at] ^= (uint8_t)flip;
            }
        }
        cr_assert_eq(pmi_buffer_add(&bytes, "", 1, NULL), PM_OK);
        refuse(*type, bytes.bytes, bytes.size, bytes.size);
        pmi_buffer_free(&bytes);
    }
}

/* Behind the checksum: damage is refused, or gives another message that has those very bytes. */
Test(golden, a_damaged_map_is_refused_or_canonical) {
    for (const pm_message_type *const *each = pmi_message_types; *each != NULL; each++) {
        pm_message_type type = **each;
        pm_buffer bytes = golden_of(&type);
        pm_buffer map = map_of(&type, &bytes);
        type.is_packed = false;
        void *message = pmi_calloc(1, type.size);
        for (size_t at = 0; at < map.size; at++) {
            for (unsigned flip = 1; flip < 256; flip++) {
                pm_message_memory memory;
                pm_error err = {0};
                map.bytes[at] ^= (uint8_t)flip;
                if (pmi_message_decode_payload(&type, map.bytes, map.size, message, &memory, &err) == PM_OK) {
                    pm_buffer again = {0};
                    cr_assert_eq(pmi_message_encode(&type, message, &again, &err), PM_OK, "%s", err.text);
                    pm_buffer map_again = map_of(&type, &again);
                    cr_assert(map.size == map_again.size && memcmp(map.bytes, map_again.bytes, map.size) == 0);
                    pmi_buffer_free(&again);
                    pmi_buffer_free(&map_again);
                } else {
                    cr_assert(strstr(err.text, "byte ") != NULL, "%s", err.text);
                }
                pmi_message_memory_free(&memory);
                map.bytes[at] ^= (uint8_t)flip;
            }
        }
        free(message);
        pmi_buffer_free(&map);
        pmi_buffer_free(&bytes);
    }
}

/* Frames that claim more than they hold, hold more than they say, do not say, or are none. */
Test(golden, hostile_frames_are_named) {
    static const struct {
        const char *bytes;
        size_t n;
        const char *text;
    } cases[] = {
        {"", 0, "expected a zstd frame, found other bytes"},
        {"\x28\xb5\x2f", 3, "expected a zstd frame, found other bytes"},
        {"\x81\xa1x\x01", 4, "expected a zstd frame, found other bytes"},
        {"\x50\x2a\x4d\x18\0\0\0\0", 8, "expected a zstd frame, found other bytes"},
        {"\x28\xb5\x2f\xfd\x00\x00\x01\x00\x00", 9, "says how long its content is"},
        {"\x28\xb5\x2f\xfd\xa0\x01\x04\x00\x00\x01\x00\x00", 12, "at most 1024 bytes of content, found 1025"},
        {"\x28\xb5\x2f\xfd\xa0\x02\x00\x00\x00\x01\x00\x00", 12, "damaged zstd frame"},
        {"\x28\xb5\x2f\xfd\xa0\x02\x00\x00\x00\x09\x00\x00x", 13, "damaged zstd frame of 2 bytes"},
        {"\x28\xb5\x2f\xfd\xa0\x01\x00\x00\x00\x11\x00\x00xx", 14, "damaged zstd frame of 1 bytes"},
        {"\x28\xb5\x2f\xfd\xa0\x01\x00\x00\x00\x09\x00\x00xy", 14, "byte 13: expected the end of the zstd frame"},
        {"\x28\xb5\x2f\xfd\xa0\x01\x00\x00\x00\x09\x00\x00", 12, "damaged zstd frame"},
        {"\x28\xb5\x2f\xfd\xa1\x07\x01\x00\x00\x00\x09\x00\x00x", 14, "damaged zstd frame"}, /* a dictionary */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_buffer out = {0};
        pm_error err = {0};
        pm_status st = pmi_frame_unpack((const uint8_t *)cases[i].bytes, cases[i].n, 1024, &out, &err);
        cr_assert_eq(st, PM_EDATA, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
    }
    pm_buffer out = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_frame_unpack((const uint8_t *)"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\x7f\x01\x00\x00", 12,
                                  PM_UNIT_UNPACKED, &out, &err),
                 PM_EDATA);
    cr_assert(strstr(err.text, "of 12 bytes cannot hold the 2147483647 bytes that it claims") != NULL, "%s", err.text);
}
