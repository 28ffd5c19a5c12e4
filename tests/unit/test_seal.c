#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "wire/seal.h"

#define KEY "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static pm_error err;

static pm_seal *seal_of(const char *key) {
    pm_seal *seal = NULL;
    cr_assert_eq(pmi_seal_new(key, strlen(key), &seal, &err), PM_OK, "%s", err.text);
    return seal;
}

static pm_buffer value_of(size_t size) {
    pm_buffer b = {0};
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(7 * i + 3);
        cr_assert_eq(pmi_buffer_add(&b, &byte, 1, &err), PM_OK);
    }
    return b;
}

/* A value of `size` bytes, sealed. */
static pm_buffer sealed(const pm_seal *seal, const pm_message_type *type, const char *name, size_t size) {
    pm_buffer b = value_of(size);
    cr_assert_eq(pmi_seal_put(seal, type, pmi_span_of(name), 0, &b, &err), PM_OK, "%s", err.text);
    return b;
}

/* Opens a copy that lies at the end of its memory, so that a sanitizer sees what is read behind it. */
static pm_status open_copy(const pm_seal *seal, const pm_message_type *type, const char *name, const uint8_t *bytes,
                           size_t n, pm_buffer *inside) {
    uint8_t *copy = malloc(n > 0 ? n : 1);
    cr_assert_not_null(copy);
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    pm_span found;
    pm_status st = pmi_seal_open(seal, type, pmi_span_of(name), copy, n, &found, &err);
    if (st == PM_OK && inside != NULL) {
        inside->size = 0;
        cr_assert_eq(pmi_buffer_add(inside, found.bytes, found.size, &err), PM_OK);
    }
    cr_assert(st == PM_OK || found.bytes == NULL);
    free(copy);
    return st;
}

static void refused(const pm_seal *seal, const pm_message_type *type, const char *name, const uint8_t *bytes, size_t n,
                    const char *words) {
    cr_assert_eq(open_copy(seal, type, name, bytes, n, NULL), PM_EDATA);
    cr_assert_not_null(strstr(err.text, words), "\"%s\" is not in: %s", words, err.text);
}

/* ---- the format ---- */

typedef struct vector {
    const char *key;
    const pm_message_type *type;
    const char *name;
    size_t size;
    const char *digest, *seal;
} vector;

static const vector vectors[] = {
#include "seal_vectors.inc"
};
#define SEAL_BYTES 40

Test(seal, as_python_makes_them) {
    cr_assert_eq(sizeof vectors / sizeof *vectors, 7);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const vector *v = &vectors[i];
        pm_seal *seal = seal_of(v->key);
        pm_buffer b = sealed(seal, v->type, v->name, v->size), plain = value_of(v->size), inside = {0};
        uint8_t digest[PM_DIGEST_BYTES];
        char id[PM_SEAL_ID_TEXT];
        pm_span value;
        cr_assert_gt(b.size, SEAL_BYTES);
        cr_assert_arr_eq(b.bytes + b.size - SEAL_BYTES, v->seal, SEAL_BYTES, "vector %zu", i);
        cr_assert_eq(pmi_digest(PM_SHA256, b.bytes, b.size, digest, &err), PM_OK);
        cr_assert_arr_eq(digest, v->digest, PM_DIGEST_BYTES, "vector %zu", i);
        cr_assert_eq(open_copy(seal, v->type, v->name, b.bytes, b.size, &inside), PM_OK, "%s", err.text);
        cr_assert(inside.size == plain.size && (plain.size == 0 || memcmp(inside.bytes, plain.bytes, plain.size) == 0));
        cr_assert_eq(pmi_seal_peel(b.bytes, b.size, &value, id, &err), PM_OK);
        cr_assert_eq(value.size, v->size);
        cr_assert_str_eq(id, pmi_seal_id(seal));
        pmi_buffer_free(&b);
        pmi_buffer_free(&plain);
        pmi_buffer_free(&inside);
        pmi_seal_free(seal);
    }
}

Test(seal, lies_behind_what_is_there) {
    pm_seal *seal = seal_of(KEY);
    pm_buffer alone = sealed(seal, &pmi_job_type, "n", 10), b = {0}, value = value_of(10);
    cr_assert_eq(pmi_buffer_add(&b, "before", 6, &err), PM_OK);
    cr_assert_eq(pmi_buffer_add(&b, value.bytes, value.size, &err), PM_OK);
    cr_assert_eq(pmi_seal_put(seal, &pmi_job_type, pmi_span_of("n"), 6, &b, &err), PM_OK);
    cr_assert_eq(b.size, 6 + alone.size);
    cr_assert_arr_eq(b.bytes, "before", 6);
    cr_assert_arr_eq(b.bytes + 6, alone.bytes, alone.size);
    pmi_buffer_free(&alone);
    pmi_buffer_free(&b);
    pmi_buffer_free(&value);
    pmi_seal_free(seal);
}

/* ---- what is refused ---- */

Test(seal, any_byte_altered) {
    pm_seal *seal = seal_of(KEY);
    pm_buffer b = sealed(seal, &pmi_blob_type, "p:trace:{1}", 300);
    for (size_t at = 0; at < b.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            b.bytes[at] ^= (uint8_t)(1 << bit);
            cr_assert_eq(open_copy(seal, &pmi_blob_type, "p:trace:{1}", b.bytes, b.size, NULL), PM_EDATA, "byte %zu",
                         at);
            b.bytes[at] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t n = 0; n < b.size; n++) {
        cr_assert_eq(open_copy(seal, &pmi_blob_type, "p:trace:{1}", b.bytes, n, NULL), PM_EDATA, "%zu bytes", n);
    }
    cr_assert_eq(pmi_buffer_add(&b, "", 1, &err), PM_OK);
    refused(seal, &pmi_blob_type, "p:trace:{1}", b.bytes, b.size, "end");
    pmi_buffer_free(&b);
    pmi_seal_free(seal);
}

Test(seal, another_place) {
    pm_seal *seal = seal_of(KEY), *other = seal_of(OTHER);
    pm_buffer b = sealed(seal, &pmi_outcome_type, "p:outcome:{1}", 50), plain = value_of(50);
    refused(seal, &pmi_outcome_type, "p:failed:{1}", b.bytes, b.size, "does not fit");
    refused(seal, &pmi_outcome_type, "p:outcome:{2}", b.bytes, b.size, "does not fit");
    refused(seal, &pmi_outcome_type, "q:outcome:{1}", b.bytes, b.size, "does not fit");
    refused(seal, &pmi_outcome_type, "p:outcome:{1", b.bytes, b.size, "does not fit");
    refused(seal, &pmi_job_type, "p:outcome:{1}", b.bytes, b.size, "does not fit");
    refused(other, &pmi_outcome_type, "p:outcome:{1}", b.bytes, b.size, pmi_seal_id(other));
    refused(NULL, &pmi_outcome_type, "p:outcome:{1}", b.bytes, b.size, "no cluster.key is set here");
    refused(seal, &pmi_outcome_type, "p:outcome:{1}", plain.bytes, plain.size, "no seal");
    refused(seal, &pmi_outcome_type, "p:outcome:{1}", NULL, 0, "no seal");
    cr_assert_eq(open_copy(seal, &pmi_outcome_type, "p:outcome:{1}", b.bytes, b.size, NULL), PM_OK);
    pmi_buffer_free(&b);
    pmi_buffer_free(&plain);
    pmi_seal_free(seal);
    pmi_seal_free(other);
}

/* The end of a name is no beginning of a value. */
Test(seal, name_and_value_do_not_run_together) {
    pm_seal *seal = seal_of(KEY);
    pm_buffer a = {0}, b = {0};
    cr_assert_eq(pmi_buffer_add(&a, "yz", 2, &err), PM_OK);
    cr_assert_eq(pmi_buffer_add(&b, "z", 1, &err), PM_OK);
    cr_assert_eq(pmi_seal_put(seal, &pmi_unit_type, pmi_span_of("x"), 0, &a, &err), PM_OK);
    cr_assert_eq(pmi_seal_put(seal, &pmi_unit_type, pmi_span_of("xy"), 0, &b, &err), PM_OK);
    cr_assert_neq(memcmp(a.bytes + a.size - SEAL_BYTES, b.bytes + b.size - SEAL_BYTES, SEAL_BYTES), 0);
    pmi_buffer_free(&a);
    pmi_buffer_free(&b);
    pmi_seal_free(seal);
}

Test(seal, a_type_without_seals) {
    pm_seal *seal = seal_of(KEY);
    pm_buffer b = value_of(4);
    cr_assert_eq(pmi_seal_put(seal, &pmi_result_type, pmi_span_of("n"), 0, &b, &err), PM_ESOFTWARE);
    cr_assert_eq(b.size, 4);
    pmi_buffer_free(&b);
    pmi_seal_free(seal);
}

/* ---- keys ---- */

Test(seal, keys) {
    pm_seal *seal = NULL;
    cr_assert_eq(pmi_seal_new(KEY, PM_MIN_SEAL_KEY - 1, &seal, &err), PM_ECONFIG);
    cr_assert_not_null(strstr(err.text, "31 bytes"), "%s", err.text);
    cr_assert_null(strstr(err.text, "0123456789"));
    cr_assert_null(seal);
    pmi_seal_free(NULL);
}

Test(seal, without_a_key_nothing_changes) {
    pm_buffer b = value_of(20), plain = value_of(20), inside = {0};
    cr_assert_eq(pmi_seal_put(NULL, &pmi_unit_type, pmi_span_of("n"), 0, &b, &err), PM_OK);
    cr_assert_eq(b.size, plain.size);
    cr_assert_arr_eq(b.bytes, plain.bytes, plain.size);
    cr_assert_eq(open_copy(NULL, &pmi_unit_type, "n", b.bytes, b.size, &inside), PM_OK);
    cr_assert_eq(inside.size, 20);
    pmi_buffer_free(&b);
    pmi_buffer_free(&plain);
    pmi_buffer_free(&inside);
}

/* ---- messages and names ---- */

Test(seal, messages) {
    pm_seal *seal = seal_of(KEY);
    pm_job_message job = {.kind = pmi_span_of("record"), .states = 7}, back;
    pm_message_memory memory;
    pm_buffer b = {0};
    pm_span name = pmi_span_of("p:job:{1}");
    cr_assert_eq(pmi_sealed_encode(seal, name, &pmi_job_type, &job, &b, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_sealed_decode(seal, name, &pmi_job_type, b.bytes, b.size, &back, &memory, &err), PM_OK);
    cr_assert_eq(back.states, 7);
    pmi_message_memory_free(&memory);
    cr_assert_eq(pmi_sealed_decode(NULL, name, &pmi_job_type, b.bytes, b.size, &back, &memory, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "phasemill.job: "), "%s", err.text);
    job.effort = UINT64_MAX; /* its table refuses that */
    size_t before = b.size;
    cr_assert_eq(pmi_sealed_encode(seal, name, &pmi_job_type, &job, &b, &err), PM_ESOFTWARE);
    cr_assert_eq(b.size, before);
    pmi_buffer_free(&b);
    pmi_seal_free(seal);
}

Test(seal, names) {
    uint8_t job[PM_DIGEST_BYTES] = {1}, unit[PM_DIGEST_BYTES] = {2};
    char name[PM_SEAL_NAME], prefix[65];
    cr_assert_str_eq((const char *)pmi_seal_unit_name("p", job, unit, "record", name).bytes,
                     "p:units:{0200000000000000000000000000000000000000000000000000000000000000}:"
                     "0100000000000000000000000000000000000000000000000000000000000000:record");
    cr_assert_str_eq((const char *)pmi_seal_event_name("p", name).bytes, "p:events");
    memset(prefix, 'x', 64);
    prefix[64] = '\0';
    cr_assert_eq(pmi_seal_unit_name(prefix, job, unit, "a kind of fifteen", name).size, 64 + 8 + 65 + 1 + 64 + 1 + 16);
}
