#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "codec/writer.h"
#include "wire/messages.h"

/* A type of one field of each kind, with small limits. */
typedef struct inner {
    uint64_t number;
    pm_span text;
} inner;

typedef struct sample {
    uint64_t number;
    int64_t signed_number;
    double real;
    bool flag;
    pm_span text;
    uint8_t digest[PM_DIGEST_BYTES];
    pm_span digests, bin, u32s, f64s;
    pm_list list;
} sample;

static const pm_field inner_fields[] = {
    {"number", PM_FIELD_UINT, offsetof(inner, number), UINT64_MAX, NULL},
    {"text", PM_FIELD_TEXT, offsetof(inner, text), 8, NULL},
    {0},
};
static const pm_message_type inner_type = {"test.inner", 1, false, sizeof(inner), 0, inner_fields};
static const pm_field sample_fields[] = {
    {"number", PM_FIELD_UINT, offsetof(sample, number), UINT64_MAX, NULL},
    {"signed_number", PM_FIELD_INT, offsetof(sample, signed_number), 0, NULL},
    {"real", PM_FIELD_REAL, offsetof(sample, real), 0, NULL},
    {"flag", PM_FIELD_BOOL, offsetof(sample, flag), 0, NULL},
    {"text", PM_FIELD_TEXT, offsetof(sample, text), 70000, NULL},
    {"digest", PM_FIELD_DIGEST, offsetof(sample, digest), 0, NULL},
    {"digests", PM_FIELD_DIGESTS, offsetof(sample, digests), 64, NULL},
    {"bin", PM_FIELD_BIN, offsetof(sample, bin), 70000, NULL},
    {"u32s", PM_FIELD_U32S, offsetof(sample, u32s), 16, NULL},
    {"f64s", PM_FIELD_F64S, offsetof(sample, f64s), 16, NULL},
    {"list", PM_FIELD_LIST, offsetof(sample, list), 20, &inner_type},
    {0},
};
static const pm_message_type plain_type = {"test.sample", 3, false, sizeof(sample), 0, sample_fields};
static const pm_message_type packed_type = {"test.packed", 3, true, sizeof(sample), 200000, sample_fields};

static bool same_span(pm_span a, pm_span b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

static void assert_same(const sample *a, const sample *b) {
    cr_assert_eq(a->number, b->number);
    cr_assert_eq(a->signed_number, b->signed_number);
    cr_assert_eq(memcmp(&a->real, &b->real, sizeof a->real), 0);
    cr_assert_eq(a->flag, b->flag);
    cr_assert_arr_eq(a->digest, b->digest, PM_DIGEST_BYTES);
    cr_assert(same_span(a->text, b->text) && same_span(a->bin, b->bin) && same_span(a->digests, b->digests));
    cr_assert(same_span(a->u32s, b->u32s) && same_span(a->f64s, b->f64s));
    cr_assert_eq(a->list.count, b->list.count);
    for (size_t i = 0; i < a->list.count; i++) {
        const inner *x = (const inner *)a->list.items + i, *y = (const inner *)b->list.items + i;
        cr_assert(x->number == y->number && same_span(x->text, y->text));
    }
}

static void goes_there_and_back(const pm_message_type *type, const sample *message) {
    pm_buffer bytes = {0}, again = {0};
    pm_error err = {0};
    sample back;
    pm_message_memory memory;
    cr_assert_eq(pmi_message_encode(type, message, &bytes, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_message_decode(type, bytes.bytes, bytes.size, &back, &memory, &err), PM_OK, "%s", err.text);
    assert_same(message, &back);
    cr_assert_eq(pmi_message_encode(type, &back, &again, &err), PM_OK);
    cr_assert_eq(again.size, bytes.size);
    cr_assert_arr_eq(again.bytes, bytes.bytes, bytes.size);
    pmi_message_memory_free(&memory);
    pmi_buffer_free(&bytes);
    pmi_buffer_free(&again);
}

static const uint32_t some_u32s[] = {0, 1, UINT32_MAX};
static const double some_f64s[] = {-0.0, 1e300};
static const uint8_t some_digests[2 * PM_DIGEST_BYTES] = {9};
static inner some_items[20];

static sample full(void) {
    for (size_t i = 0; i < 20; i++) {
        some_items[i] = (inner){i * i * i * i, pmi_span_of(i % 2 == 0 ? "" : "item")};
    }
    return (sample){.number = 7,
                    .signed_number = -7,
                    .real = 0.1,
                    .flag = true,
                    .text = pmi_span_of("caf\xc3\xa9"),
                    .digest = {1, 2, 3},
                    .bin = {(const uint8_t *)"\0\1\2", 3},
                    .digests = {some_digests, sizeof some_digests},
                    .u32s = pmi_u32s(some_u32s, 3),
                    .f64s = pmi_f64s(some_f64s, 2),
                    .list = {some_items, 20}};
}

/* At each width of each head, with its neighbours. */
Test(message, numbers_of_every_width) {
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (uint64_t near = 0; near < 3; near++) {
            uint64_t number = (bits == 64 ? 0 : (uint64_t)1 << bits) + near - 1;
            int64_t magnitude = (int64_t)(number & INT64_MAX);
            sample message = {.number = number, .signed_number = magnitude, .real = (double)number};
            goes_there_and_back(&plain_type, &message);
            message.signed_number = -magnitude - 1;
            message.real = -message.real / 3;
            goes_there_and_back(&plain_type, &message);
        }
    }
}

Test(message, spans_of_every_width) {
    static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 70000};
    uint8_t *letters = pmi_malloc(70000, 1);
    memset(letters, 'a', 70000);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const sample message = {.text = {letters, sizes[i]}, .bin = {letters, sizes[i]}};
        goes_there_and_back(&plain_type, &message);
        goes_there_and_back(&packed_type, &message);
    }
    free(letters);
}

Test(message, lists_and_everything_at_once) {
    sample message = full();
    for (size_t count = 0; count <= 20; count++) {
        message.list.count = count;
        goes_there_and_back(&plain_type, &message);
        goes_there_and_back(&packed_type, &message);
    }
}

Test(message, the_encoder_refuses_what_the_decoder_would) {
    static uint8_t many[70001];
    static inner one_more[21];
    static inner long_text[1];
    long_text[0].text = (pm_span){(const uint8_t *)"123456789", 9};
    const struct {
        sample message;
        const char *text;
    } cases[] = {
        {{.real = NAN}, "real: it is not finite"},
        {{.real = -INFINITY}, "real: it is not finite"},
        {{.text = {(const uint8_t *)"\xff", 1}}, "text: it is not UTF-8"},
        {{.text = {(const uint8_t *)"a\0b", 3}}, "text: it is not UTF-8 without U+0000"},
        {{.bin = {many, 70001}}, "bin: at most 70000 bytes can be sent, found 70001"},
        {{.u32s = {many, 20}}, "u32s: at most 16 bytes can be sent, found 20"},
        {{.u32s = {many, 6}}, "u32s: the bytes are no array of uint32"},
        {{.digests = {many, 31}}, "digests: the bytes are no array of digests"},
        {{.f64s = {many, 12}}, "f64s: the bytes are no array of doubles"},
        {{.list = {one_more, 21}}, "list: at most 20 items can be sent, found 21"},
        {{.list = {long_text, 1}}, "text: at most 8 bytes can be sent, found 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_buffer out = {0};
        pm_error err = {0};
        cr_assert_eq(pmi_buffer_add(&out, "before", 6, NULL), PM_OK);
        cr_assert_eq(pmi_message_encode(&plain_type, &cases[i].message, &out, &err), PM_ESOFTWARE, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
        cr_assert(strstr(err.text, "encoding test.sample") != NULL, "case %zu: %s", i, err.text);
        cr_assert_eq(out.size, 6);
        pmi_buffer_free(&out);
    }
}

static pm_status decode(const pm_message_type *type, const uint8_t *bytes, size_t n, pm_error *err) {
    sample back;
    pm_message_memory memory;
    /* memory of its own, so that a sanitizer sees reads behind the end */
    uint8_t *copy = pmi_malloc(n, 1);
    memcpy(copy, bytes, n);
    pm_status st = pmi_message_decode(type, copy, n, &back, &memory, err);
    pmi_message_memory_free(&memory);
    free(copy);
    return st;
}

Test(message, every_truncation_and_every_damaged_byte_is_refused) {
    const pm_message_type *types[] = {&plain_type, &packed_type};
    sample message = full();
    for (size_t t = 0; t < 2; t++) {
        pm_buffer bytes = {0};
        cr_assert_eq(pmi_message_encode(types[t], &message, &bytes, NULL), PM_OK);
        for (size_t n = 0; n < bytes.size; n++) {
            pm_error err = {0};
            cr_assert_eq(decode(types[t], bytes.bytes, n, &err), PM_EDATA, "cut at %zu", n);
            cr_assert(strstr(err.text, types[t]->name) == err.text, "%s", err.text);
        }
        for (size_t at = 0; at < bytes.size; at++) {
            for (unsigned flip = 1; flip < 256; flip += 2 + flip / 8) {
                bytes.bytes[at] ^= (uint8_t)flip;
                cr_assert_eq(decode(types[t], bytes.bytes, bytes.size, NULL), PM_EDATA, "byte %zu ^ %u", at, flip);
                bytes.bytes[at] ^= (uint8_t)flip;
            }
        }
        pmi_buffer_free(&bytes);
    }
}

Test(message, another_type_or_version_is_named) {
    sample message = full();
    pm_buffer bytes = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_message_encode(&plain_type, &message, &bytes, NULL), PM_OK);
    cr_assert_eq(decode(&packed_type, bytes.bytes, bytes.size, &err), PM_EDATA);
    cr_assert(strstr(err.text, "expected \"test.packed\", found \"test.sample\"") != NULL, "%s", err.text);
    const pm_message_type newer = {"test.sample", 4, false, sizeof(sample), 0, sample_fields};
    cr_assert_eq(decode(&newer, bytes.bytes, bytes.size, &err), PM_EDATA);
    cr_assert(strstr(err.text, "expected version 4, found 3") != NULL, "%s", err.text);
    pmi_buffer_free(&bytes);
}

Test(message, types_are_sound) {
    for (const pm_message_type *const *type = pmi_message_types; *type != NULL; type++) {
        cr_assert_eq(pmi_message_type_find((*type)->name), *type);
        cr_assert_lt(strlen((*type)->name), PM_ENVELOPE_NAME);
        cr_assert_eq((*type)->is_packed, (*type)->unpacked > 0);
        for (const pm_field *f = (*type)->fields; f->name != NULL; f++) {
            cr_assert_lt(f->offset, (*type)->size, "%s.%s", (*type)->name, f->name);
            cr_assert_eq(f->kind == PM_FIELD_LIST, f->item != NULL);
            for (const pm_field *g = (*type)->fields; g < f; g++) { /* each has a place of its own */
                cr_assert_neq(f->offset, g->offset, "%s.%s and %s", (*type)->name, f->name, g->name);
            }
        }
    }
    cr_assert_null(pmi_message_type_find("phasemill.nothing"));
}

Test(message, spans_as_text) {
    char text[8];
    pmi_span_text(pmi_span_of("1234567"), text, sizeof text);
    cr_assert_str_eq(text, "1234567");
    pmi_span_text(pmi_span_of("12345678"), text, sizeof text);
    cr_assert_str_eq(text, "1234...");
    pmi_span_text((pm_span){NULL, 0}, text, sizeof text);
    cr_assert_str_eq(text, "");
    pmi_span_text(pmi_span_of("123\xc3\xa9"
                              "5678"),
                  text, sizeof text);
    cr_assert_str_eq(text, "123...");
    pmi_span_text(pmi_span_of("1234"), text, 3);
    cr_assert_str_eq(text, "..");
}

Test(message, foreign_text_is_made_clean) {
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"caf\xe9 au lait", "caf? ..."},
        {"\xff\xfe", "??"},
        {"a\xed\xa0\x80", "a???"},
        {"\xc3", "?"},
        {"a\n\x1b[m\x7f", "a  [m "},
        {"\xc2\x9b"
         "2J",
         "??2J"},
        {"\xe2\x80\xaegpj", "???gpj"},
        {"12345678\xff", "12345..."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[9];
        pm_span span = pmi_span_clean(cases[i].text, room, sizeof room);
        cr_assert_str_eq(room, cases[i].clean, "case %zu", i);
        cr_assert(span.size == strlen(cases[i].clean) && pmi_utf8_valid(span.bytes, span.size, NULL));
    }
}

static void show_all(const char *text, char *shown) {
    for (size_t left = strlen(text); left > 0;) {
        size_t taken = pmi_utf8_show(text, left, shown);
        cr_assert(taken > 0 && taken <= left && strlen(shown) < PM_UTF8_SHOWN);
        text += taken;
        left -= taken;
        shown += strlen(shown);
    }
}

Test(message, what_steers_a_terminal_is_escaped) {
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"caf\xc3\xa9 \xf0\x9f\x90\x87", "caf\xc3\xa9 \xf0\x9f\x90\x87"},
        {"\x1b[2J\r\n\t\x7f\x01", "\\x1b[2J\\r\\n\\t\\x7f\\x01"},
        {"\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u0080\\u009b\\u009f\xc2\xa0"},
        {"\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", "\\u061c\\u200e\\u200f"},
        {"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf",
         "\xe2\x80\xa7\\u2028\\u202a\\u202e\xe2\x80\xaf"},
        {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\xe2\x81\xa5\\u2066\\u2069\xe2\x81\xaa"},
        {"\x9b\xff\xe2\x80", "\\x9b\\xff\\xe2\\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char shown[128] = "";
        show_all(cases[i].text, shown);
        cr_assert_str_eq(shown, cases[i].shown, "case %zu: %s", i, shown);
    }
}

/* The bounds of RFC 3629: longer forms than needed, surrogates, above U+10FFFF. */
Test(message, utf8_at_its_bounds) {
    static const char *const good[] = {
        "\x01",         "\x7f",         "\xc2\x80",     "\xdf\xbf",         "\xe0\xa0\x80",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const wrong[] = {"\x80",
                                        "\xbf",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xc2\x7f",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xef\xbf",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "\xe2\x28\xa1",
                                        "\xf0\x90\x28\xbc"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(pmi_utf8_valid((const uint8_t *)good[i], strlen(good[i]), NULL), "%zu", i);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t bad = 9;
        cr_assert_not(pmi_utf8_valid((const uint8_t *)wrong[i], strlen(wrong[i]), &bad), "%zu", i);
        cr_assert_eq(bad, 0);
    }
    size_t bad = 0;
    cr_assert_not(pmi_utf8_valid((const uint8_t *)"ab\0c", 4, &bad));
    cr_assert_eq(bad, 2);
}

Test(message, arrays_are_copied_from_any_alignment) {
    uint8_t bytes[25] = {0};
    memcpy(bytes + 1, some_f64s, sizeof some_f64s);
    double *f64s;
    uint32_t *u32s;
    size_t count;
    pm_error err = {0};
    cr_assert_eq(pmi_f64s_read((pm_span){bytes + 1, 16}, &f64s, &count, NULL), PM_OK);
    cr_assert(count == 2 && memcmp(f64s, some_f64s, 16) == 0);
    free(f64s);
    cr_assert_eq(pmi_u32s_read((pm_span){NULL, 0}, &u32s, &count, NULL), PM_OK);
    cr_assert(count == 0 && u32s != NULL);
    free(u32s);
    cr_assert_eq(pmi_u32s_read((pm_span){bytes, 6}, &u32s, &count, &err), PM_EDATA);
    cr_assert_null(u32s);
}
