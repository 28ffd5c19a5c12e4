#include <criterion/criterion.h>
#include <string.h>

#include "worker/unit_headers.h"

#define JOB "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define UNIT "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* Headers by name and value, ended by NULL. */
static rd_kafka_headers_t *headers_of(const char *const *pairs) {
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    for (; pairs[0] != NULL; pairs += 2) {
        rd_kafka_header_add(headers, pairs[0], -1, pairs[1], -1);
    }
    return headers;
}

static pm_status read_heading(const char *const *pairs, pm_unit_headers *out, pm_error *err) {
    rd_kafka_headers_t *headers = headers_of(pairs);
    *err = (pm_error){.code = PM_OK};
    pm_status st = pmi_unit_headers_parse(headers, "phasemill.units", 3, 17, out, err);
    rd_kafka_headers_destroy(headers);
    return st;
}

Test(unit_headers, says_what_a_unit_is) {
    static const char *const pairs[] = {
        "ce_id",  UNIT,          "phasemill-job", JOB, "phasemill-version", "1", "phasemill-kind",
        "record", "traceparent", PARENT,          NULL};
    pm_unit_headers h;
    pm_error err;
    char hex[PM_DIGEST_HEX];
    cr_assert_eq(read_heading(pairs, &h, &err), PM_OK, "%s", err.text);
    pmi_hex(h.job, hex);
    cr_assert_str_eq(hex, JOB);
    pmi_hex(h.unit, hex);
    cr_assert_str_eq(hex, UNIT);
    cr_assert_str_eq(h.kind, "record");
    cr_assert(h.has_job && h.has_unit);
    cr_assert_str_eq(h.traceparent, PARENT);
    cr_assert_str_eq(h.trace, "0af7651916cd43dd8448eb211c80319c");
}

/* The sound headers with one of them another, or (value NULL) left out. */
static pm_status with(const char *name, const char *value, pm_unit_headers *out, pm_error *err) {
    const char *sound[] = {"ce_id",  UNIT, "phasemill-job", JOB, "phasemill-version", "1", "phasemill-kind",
                           "record", NULL};
    const char *pairs[12];
    size_t n = 0;
    for (size_t i = 0; sound[i] != NULL; i += 2) {
        const char *given = strcmp(sound[i], name) == 0 ? value : sound[i + 1];
        if (given != NULL) {
            pairs[n++] = sound[i];
            pairs[n++] = given;
        }
    }
    pairs[n] = NULL;
    return read_heading(pairs, out, err);
}

Test(unit_headers, what_is_missing_or_wrong_is_named) {
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"ce_id", NULL},
        {"ce_id", ""},
        {"ce_id", "ffeeddccbbaa99887766554433221100ffeeddccbbaa9988776655443322110"},
        {"ce_id", "ffeeddccbbaa99887766554433221100ffeeddccbbaa9988776655443322110g"},
        {"phasemill-job", NULL},
        {"phasemill-job", "job"},
        {"phasemill-version", NULL},
        {"phasemill-version", "2"},
        {"phasemill-version", "11"},
        {"phasemill-kind", NULL},
        {"phasemill-kind", ""},
        {"phasemill-kind", "Record"},
        {"phasemill-kind", "a name that is far too long for a kind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_unit_headers h;
        pm_error err;
        cr_assert_eq(with(cases[i].name, cases[i].value, &h, &err), PM_EDATA, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].name) != NULL, "%s", err.text);
        if (cases[i].value != NULL && cases[i].value[0] != '\0') {
            cr_assert(strstr(err.text, "found \"") != NULL, "%s", err.text);
        }
    }
}

/* Garbage still has a name among the dead letters: that of its position. */
Test(unit_headers, a_message_without_an_id_is_named_by_its_position) {
    static const char *const none[] = {NULL};
    static const char *const some[] = {"other", "header", NULL};
    pm_unit_headers a, b, c;
    pm_error err = {0};
    static const uint8_t zero[PM_DIGEST_BYTES];
    uint8_t expected[PM_DIGEST_BYTES];
    cr_assert_eq(read_heading(none, &a, &err), PM_EDATA);
    cr_assert_eq(read_heading(some, &b, &err), PM_EDATA);
    cr_assert_eq(pmi_unit_headers_parse(NULL, "phasemill.units", 3, 18, &c, &err), PM_EDATA);
    cr_assert_eq(pmi_digest(PM_SHA256, "phasemill.units/3/17", 20, expected, &err), PM_OK);
    cr_assert_eq(memcmp(a.unit, expected, PM_DIGEST_BYTES), 0);
    cr_assert_eq(memcmp(b.unit, expected, PM_DIGEST_BYTES), 0);
    cr_assert_neq(memcmp(c.unit, zero, PM_DIGEST_BYTES), 0);
    cr_assert_neq(memcmp(c.unit, a.unit, PM_DIGEST_BYTES), 0);
    cr_assert_not(a.has_unit || a.has_job);
}

/* Who and what is still told where only something else is wrong. */
Test(unit_headers, what_can_be_told_is_told_after_a_failure) {
    pm_unit_headers h;
    pm_error err;
    cr_assert_eq(with("phasemill-version", "7", &h, &err), PM_EDATA);
    cr_assert(h.has_job && h.has_unit);
    cr_assert_str_eq(h.kind, "record");
}

Test(unit_headers, a_traceparent_that_is_none_is_left_out) {
    static const char *const bad[] = {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0Z",
                                      "00-00000000000000000000000000000000-b7ad6b7169203331-01"};
    for (size_t i = 0; i < 4; i++) {
        const char *pairs[] = {
            "ce_id",  UNIT,          "phasemill-job", JOB, "phasemill-version", "1", "phasemill-kind",
            "record", "traceparent", bad[i],          NULL};
        pm_unit_headers h;
        pm_error err;
        cr_assert_eq(read_heading(pairs, &h, &err), PM_OK, "%s", err.text);
        cr_assert_str_eq(h.trace, "");
        cr_assert_str_eq(h.traceparent, "");
    }
}

/* Values that are no text. */
Test(unit_headers, bytes_are_looked_at_as_such) {
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    pm_unit_headers h;
    pm_error err = {0};
    rd_kafka_header_add(headers, "ce_id", -1, NULL, 0);
    cr_assert_eq(pmi_unit_headers_parse(headers, "t", 0, 0, &h, &err), PM_EDATA);
    rd_kafka_header_add(headers, "ce_id", -1, UNIT, -1); /* the last one counts */
    rd_kafka_header_add(headers, "phasemill-job", -1, "\0\xff\xfe", 3);
    cr_assert_eq(pmi_unit_headers_parse(headers, "t", 0, 0, &h, &err), PM_EDATA);
    cr_assert(strstr(err.text, "phasemill-job") != NULL, "%s", err.text);
    cr_assert(h.has_unit);
    rd_kafka_headers_destroy(headers);
}
