#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "recorder.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static pm_status read_bytes(const uint8_t *bytes, size_t n, size_t piece, recorder *r, pm_error *err) {
    pm_memory_source memory = {.bytes = bytes, .size = n};
    piecewise pieces = {.inner = pmi_source_memory(&memory), .piece = piece};
    pm_source source = piecewise_source(&pieces);
    pm_event_sink sink = recorder_sink(r);
    return pmi_msgpack_read(&source, &sink, err);
}

static void expect_events(const char *events, const uint8_t *bytes, size_t n) {
    for (size_t piece = 1; piece <= n; piece++) {
        recorder r = {0};
        pm_error err;
        cr_assert_eq(read_bytes(bytes, n, piece, &r, &err), PM_OK, "%s: %s", events, err.text);
        cr_assert_str_eq(r.text, events, "pieces of %zu: %s", piece, r.text);
    }
    /* no prefix is a document */
    for (size_t cut = 0; cut < n; cut++) {
        recorder r = {0};
        pm_error err;
        cr_assert_eq(read_bytes(bytes, cut, 64, &r, &err), PM_EDATA);
        cr_assert_not_null(strstr(err.text, "unexpected end"), "%s", err.text);
    }
}

static void expect_refused(const char *part, const uint8_t *bytes, size_t n) {
    recorder r = {0};
    pm_error err;
    cr_assert_eq(read_bytes(bytes, n, 4096, &r, &err), PM_EDATA, "%s", part);
    cr_assert_not_null(strstr(err.text, part), "\"%s\" is not in \"%s\"", part, err.text);
    recorder again = {0};
    cr_assert_eq(read_bytes(bytes, n, 1, &again, NULL), PM_EDATA, "%s, byte by byte", part);
}

/* The examples of the format's specification, https://github.com/msgpack/msgpack/blob/master/spec.md */
Test(msgpack, numbers_of_every_width) {
    expect_events("0 ", BYTES(0x00));
    expect_events("127 ", BYTES(0x7f));
    expect_events("-32 ", BYTES(0xe0));
    expect_events("255 ", BYTES(0xcc, 0xff));
    expect_events("65535 ", BYTES(0xcd, 0xff, 0xff));
    expect_events("4294967295 ", BYTES(0xce, 0xff, 0xff, 0xff, 0xff));
    expect_events("9223372036854775807 ", BYTES(0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    expect_events("1.8446744073709552e+19r ", BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    expect_events("-128 ", BYTES(0xd0, 0x80));
    expect_events("-32768 ", BYTES(0xd1, 0x80, 0x00));
    expect_events("-2147483648 ", BYTES(0xd2, 0x80, 0x00, 0x00, 0x00));
    expect_events("-9223372036854775808 ", BYTES(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0));
    expect_events("1.5r ", BYTES(0xca, 0x3f, 0xc0, 0x00, 0x00));
    expect_events("0.10000000000000001r ", BYTES(0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a));
    expect_events("infr ", BYTES(0xca, 0x7f, 0x80, 0x00, 0x00));
}

Test(msgpack, containers_and_strings) {
    expect_events("{ a: [ 1 N T F ] b: { } } ", BYTES(0x82, 0xa1, 'a', 0x94, 1, 0xc0, 0xc3, 0xc2, 0xa1, 'b', 0x80));
    expect_events("{ : [ ] } ", BYTES(0x81, 0xa0, 0x90));
    expect_events("{ : '' } ", BYTES(0xde, 0, 1, 0xd9, 0, 0xda, 0, 0));
    expect_events("{ k: [ 'ab' #2 #0 ] } ", BYTES(0xdf, 0, 0, 0, 1, 0xdb, 0, 0, 0, 1, 'k', 0xdc, 0, 3, 0xa2, 'a', 'b',
                                                  0xc4, 2, 9, 9, 0xc5, 0, 0));
    expect_events("[ [ [ ] 7 ] [ ] ] ", BYTES(0xdd, 0, 0, 0, 2, 0x92, 0x90, 7, 0x90));
}

Test(msgpack, malformed_bytes_are_refused_with_their_place) {
    expect_refused("byte 1: malformed MessagePack: 0xc1 begins no value", BYTES(0x91, 0xc1));
    expect_refused("byte 2: found more after the end", BYTES(0x91, 0x00, 0x00));
    expect_refused("byte 1: found a number; expected a string as the key", BYTES(0x81, 0x01, 0x02));
    expect_refused("found an array; expected a string as the key", BYTES(0x81, 0x90, 0x02));
    expect_refused("found a map; expected a string as the key", BYTES(0x81, 0x80, 0x02));
    expect_refused("found nil; expected a string as the key", BYTES(0x81, 0xc0, 0x02));
    expect_refused("found true; expected a string as the key", BYTES(0x81, 0xc3, 0x02));
    expect_refused("found false; expected a string as the key", BYTES(0x81, 0xc2, 0x02));
    expect_refused("found a byte string; expected a string as the key", BYTES(0x81, 0xc4, 1, 'a', 0x02));
    expect_refused("found a value of an ext type", BYTES(0x91, 0xd4, 1, 0));
    expect_refused("found a value of an ext type", BYTES(0x91, 0xc7, 0, 5));
    expect_refused("byte 16: arrays and maps are nested deeper than 16",
                   BYTES(0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91,
                         0x91, 0x91));
    expect_refused("unexpected end", BYTES(0xdb, 0xff, 0xff, 0xff, 0xff, 'a'));
    expect_refused("unexpected end", BYTES(0xdd, 0xff, 0xff, 0xff, 0xff, 1));
}

Test(msgpack, a_string_larger_than_the_window_is_read) {
    const size_t n = 300000;
    uint8_t *bytes = malloc(n + 6);
    memcpy(bytes, (const uint8_t[]){0x91, 0xc6, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8 & 255), (uint8_t)(n & 255)}, 6);
    memset(bytes + 6, 7, n);
    recorder r = {0};
    pm_error err;
    cr_assert_eq(read_bytes(bytes, n + 6, 1000, &r, &err), PM_OK, "%s", err.text);
    cr_assert_str_eq(r.text, "[ #300000 ] ");
    free(bytes);
}

Test(msgpack, what_the_sink_says_is_returned_with_the_place_of_the_value) {
    recorder r = {.refuse_at = 3};
    pm_error err;
    cr_assert_eq(read_bytes(BYTES(0x93, 0xcd, 1, 1, 0xcb, 0x3f, 0xb9, 0, 0, 0, 0, 0, 0, 7), 4096, &r, &err), PM_EUSAGE);
    cr_assert_str_eq(err.text, "byte 4: refused");
}
