#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "recorder.h"

static pm_status read_text(const char *text, size_t n, size_t piece, recorder *r, pm_error *err) {
    pm_memory_source memory = {.bytes = (const uint8_t *)text, .size = n};
    piecewise pieces = {.inner = pmi_source_memory(&memory), .piece = piece};
    pm_source source = piecewise_source(&pieces);
    pm_event_sink sink = recorder_sink(r);
    return pmi_json_read(&source, &sink, err);
}

static void expect_events(const char *text, const char *events) {
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        recorder r = {0};
        pm_error err;
        cr_assert_eq(read_text(text, strlen(text), piece, &r, &err), PM_OK, "%s: %s", text, err.text);
        cr_assert_str_eq(r.text, events, "%s in pieces of %zu: %s", text, piece, r.text);
    }
}

static void expect_refused(const char *text, const char *part) {
    recorder r = {0};
    pm_error err;
    cr_assert_eq(read_text(text, strlen(text), 4096, &r, &err), PM_EDATA, "%s", text);
    cr_assert_not_null(strstr(err.text, part), "%s: \"%s\" is not in \"%s\"", text, part, err.text);
    recorder again = {0};
    cr_assert_eq(read_text(text, strlen(text), 1, &again, NULL), PM_EDATA, "%s, byte by byte", text);
}

Test(json, every_kind_of_value_is_an_event) {
    expect_events(" {\"a\": [1, -2.5, true, false, null, \"x\\ny\"], \"b\": {}}\n",
                  "{ a: [ 1 -2.5r T F N 'x\ny' ] b: { } } ");
    expect_events("[]", "[ ] ");
    expect_events("[[],[[0]]]", "[ [ ] [ [ 0 ] ] ] ");
}

Test(json, whole_numbers_and_reals_are_told_apart) {
    expect_events("[9223372036854775807, -9223372036854775808]", "[ 9223372036854775807 -9223372036854775808 ] ");
    expect_events("[9223372036854775808, 1.0, 1e2, -0, 1E+2]", "[ 9.2233720368547758e+18r 1r 100r -0r 100r ] ");
    expect_events("[1e999, -1e999]", "[ infr -infr ] ");
    expect_events("[0e-999, 0.0, 0.000000000000000000000]", "[ 0r 0r 0r ] ");
}

/* The quick way for short decimals must give what strtod gives, bit for bit. */
Test(json, decimals_round_as_strtod_does) {
    uint64_t seed = 12345;
    for (int i = 0; i < 100000; i++) {
        char text[64];
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t digits = seed >> (11 + (seed & 31));
        int exponent = (int)(seed >> 32 & 15);
        if (i % 2 == 0) {
            snprintf(text, sizeof text, "[%s%llu.%0*llu]", (seed & 64) != 0 ? "-" : "",
                     (unsigned long long)(digits >> 20), 1 + exponent, (unsigned long long)(digits & 0xfff));
        } else {
            snprintf(text, sizeof text, "[%.*g]", 1 + exponent, ldexp((double)digits, -(int)(seed >> 40 & 127)) + 0.5);
        }
        recorder r = {0};
        cr_assert_eq(read_text(text, strlen(text), 4096, &r, NULL), PM_OK);
        double expected = strtod(text + 1, NULL);
        cr_assert(memcmp(&r.last, &expected, sizeof expected) == 0, "%s: %.17g", text, r.last);
    }
}

Test(json, the_decimal_point_does_not_follow_the_locale) {
    /* where the system has no such locale this still checks the way of all numbers */
    setlocale(LC_ALL, "de_DE.UTF-8");
    expect_events("[0.1234567890123456789, 2.5]", "[ 0.12345678901234568r 2.5r ] ");
    setlocale(LC_ALL, "C");
}

Test(json, malformed_text_is_refused_with_its_place) {
    expect_refused("", "unexpected end");
    expect_refused("{\"a\": [1, 2", "byte 11: unexpected end");
    expect_refused("[1, 2] 3", "trailing garbage");
    expect_refused("[1, 2],", "malformed JSON");
    expect_refused("[01]", "malformed JSON");
    expect_refused("[1.]", "malformed JSON");
    expect_refused("[.5]", "malformed JSON");
    expect_refused("[+1]", "malformed JSON");
    expect_refused("[1,]", "malformed JSON");
    expect_refused("{\"a\": 1,}", "malformed JSON");
    expect_refused("{a: 1}", "malformed JSON");
    expect_refused("[1] /* comment */", "malformed JSON");
    expect_refused("[\"\xff\"]", "invalid bytes in UTF8");
    expect_refused("[1e-999]", "the number 1e-999 is nearer to zero");
}

Test(json, constants_of_javascript_are_explained) {
    expect_refused("[NaN]", "NaN and Infinity are no numbers in JSON");
    expect_refused("[1, Infinity]", "NaN and Infinity are no numbers in JSON");
    expect_refused("[-Infinity]", "NaN and Infinity are no numbers in JSON");
}

Test(json, very_long_numbers_are_read_up_to_a_limit) {
    char text[1300] = "[0.";
    memset(text + 3, '1', 1098);
    strcpy(text + 3 + 1098, "]");
    recorder r = {0};
    cr_assert_eq(read_text(text, strlen(text), 4096, &r, NULL), PM_OK);
    cr_assert_eq(r.last, 1.0 / 9.0);
    memset(text + 3, '1', 1200);
    strcpy(text + 3 + 1200, "]");
    expect_refused(text, "a number of 1202 characters");
}

Test(json, nesting_has_a_limit) {
    expect_events("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
                  "[ [ [ [ [ [ [ [ [ [ [ [ [ [ [ [ ] ] ] ] ] ] ] ] ] ] ] ] ] ] ] ] ");
    expect_refused("[[[[[[[[[[[[[[[[[", "byte 17: arrays and maps are nested deeper than 16");
}

Test(json, what_the_sink_says_is_returned_with_the_place) {
    recorder r = {.refuse_at = 3};
    pm_error err;
    cr_assert_eq(read_text("[1, 2, 3]", 9, 4096, &r, &err), PM_EUSAGE);
    cr_assert_str_eq(err.text, "byte 5: refused");
}

Test(json, an_error_of_the_source_is_passed_on) {
    int closed = -1;
    recorder r = {0};
    pm_error err;
    pm_source source = pmi_source_fd(&closed);
    pm_event_sink sink = recorder_sink(&r);
    cr_assert_eq(pmi_json_read(&source, &sink, &err), PM_EIO);
    cr_assert_not_null(strstr(err.text, "reading failed"));
}
