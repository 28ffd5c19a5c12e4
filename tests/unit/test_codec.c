#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "trace/codec.h"
#include "trace/trace.h"

/* The rows of a dense pattern, from..to exclusive, as CSR. */
static void pack_rows(const bool *dense, uint32_t n, bool lower, size_t **row, uint32_t **entry) {
    *row = pmi_calloc((size_t)n + 1, sizeof **row);
    *entry = pmi_calloc((size_t)n * n, sizeof **entry);
    size_t at = 0;
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t k = lower ? 0 : j + 1; k < (lower ? j : n); k++) {
            if (dense[(size_t)j * n + k]) {
                (*entry)[at++] = k;
            }
        }
        (*row)[j + 1] = at;
    }
}

/* A trace of a random strongly connected digraph (a ring and random chords), by dense boolean elimination in the order
 * 0..n-1; pivot is a random permutation, which nothing ties to the pattern. */
static pm_trace random_trace(uint32_t n, uint32_t chords, uint64_t seed) {
    pm_random random = {.state = seed};
    pm_trace t = {.n = n, .n_edges = 0};
    bool *dense = pmi_calloc((size_t)n * n, sizeof *dense);
    for (uint32_t i = 0; i < n; i++) {
        dense[(size_t)i * n + (i + 1) % n] = true;
    }
    for (uint32_t c = 0; c < chords; c++) {
        uint32_t i = (uint32_t)(pmi_random_next(&random) % n), j = (uint32_t)(pmi_random_next(&random) % n);
        dense[(size_t)i * n + j] |= i != j;
    }
    for (size_t e = 0; e < (size_t)n * n; e++) {
        t.n_edges += dense[e];
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = i + 1; j < n; j++) {
            for (uint32_t k = i + 1; dense[(size_t)j * n + i] && k < n; k++) {
                dense[(size_t)j * n + k] |= dense[(size_t)i * n + k] && k != j;
            }
        }
    }
    pack_rows(dense, n, true, &t.l_row, &t.l);
    pack_rows(dense, n, false, &t.u_row, &t.u);
    t.pivot = pmi_calloc(n, sizeof *t.pivot);
    for (uint32_t p = 0; p < n; p++) {
        uint32_t other = (uint32_t)(pmi_random_next(&random) % (p + 1));
        t.pivot[p] = t.pivot[other];
        t.pivot[other] = p;
    }
    t.flops = 2 * (t.l_row[n] + t.u_row[n]);
    memset(t.digest, 0xd1, sizeof t.digest);
    free(dense);
    return t;
}

static void assert_equal_traces(const pm_trace *a, const pm_trace *b) {
    cr_assert_eq(a->n, b->n);
    cr_assert_eq(a->n_edges, b->n_edges);
    cr_assert_eq(a->flops, b->flops);
    cr_assert_arr_eq(a->digest, b->digest, PM_DIGEST_BYTES);
    cr_assert_arr_eq(a->pivot, b->pivot, a->n * sizeof *a->pivot);
    cr_assert_arr_eq(a->l_row, b->l_row, (a->n + 1) * sizeof *a->l_row);
    cr_assert_arr_eq(a->u_row, b->u_row, (a->n + 1) * sizeof *a->u_row);
    cr_assert_arr_eq(a->l, b->l, a->l_row[a->n] * sizeof *a->l);
    cr_assert_arr_eq(a->u, b->u, a->u_row[a->n] * sizeof *a->u);
}

static pm_buffer encoded(const pm_trace *t) {
    static const uint8_t key[PM_DIGEST_BYTES] = "the key it was stored under....";
    pm_buffer out = {0};
    pm_error err;
    cr_assert_eq(pmi_trace_encode(t, key, &out, &err), PM_OK, "%s", err.text);
    return out;
}

Test(codec, round_trip_keeps_every_field) {
    /* on both sides of every width of an index */
    static const uint32_t sizes[] = {2, 3, 17, 255, 256, 257, 600};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        pm_trace t = random_trace(sizes[s], sizes[s], s);
        pm_buffer bytes = encoded(&t);
        pm_trace back;
        uint8_t key[PM_DIGEST_BYTES];
        pm_error err;
        cr_assert_eq(pmi_trace_decode(bytes.bytes, bytes.size, false, &back, key, &err), PM_OK, "%s", err.text);
        cr_assert_str_eq((char *)key, "the key it was stored under....");
        assert_equal_traces(&t, &back);
        pm_buffer again = encoded(&back);
        cr_assert_eq(again.size, bytes.size);
        cr_assert_arr_eq(again.bytes, bytes.bytes, bytes.size);
        pmi_buffer_free(&again);
        pmi_buffer_free(&bytes);
        pmi_trace_free(&back);
        pmi_trace_free(&t);
    }
}

/* A path to and fro has rows of one entry each, so that 70,000 states stay small. */
Test(codec, four_byte_indices) {
    uint32_t n = 70000;
    pm_trace t = {.n = n, .n_edges = 2 * (n - 1), .flops = 8 * n};
    t.pivot = pmi_calloc(n, sizeof *t.pivot);
    t.l_row = pmi_calloc((size_t)n + 1, sizeof *t.l_row);
    t.u_row = pmi_calloc((size_t)n + 1, sizeof *t.u_row);
    t.l = pmi_calloc(n, sizeof *t.l);
    t.u = pmi_calloc(n, sizeof *t.u);
    for (uint32_t j = 0; j < n; j++) {
        t.pivot[j] = n - 1 - j;
        t.l_row[j + 1] = j;
        t.u_row[j + 1] = j + 1 < n ? j + 1 : j;
        t.l[j] = j;
        t.u[j] = j + 1;
    }
    pm_buffer bytes = encoded(&t);
    cr_assert_gt(bytes.size, (size_t)3 * 4 * (n - 1));
    pm_trace back;
    pm_error err;
    cr_assert_eq(pmi_trace_decode(bytes.bytes, bytes.size, false, &back, NULL, &err), PM_OK, "%s", err.text);
    assert_equal_traces(&t, &back);
    pmi_buffer_free(&bytes);
    pmi_trace_free(&back);
    pmi_trace_free(&t);
}

Test(codec, encoding_appends) {
    pm_trace t = random_trace(5, 5, 1);
    pm_buffer alone = encoded(&t);
    pm_buffer both = {0};
    cr_assert_eq(pmi_buffer_add(&both, "before", 6, NULL), PM_OK);
    static const uint8_t key[PM_DIGEST_BYTES] = "the key it was stored under....";
    cr_assert_eq(pmi_trace_encode(&t, key, &both, NULL), PM_OK);
    cr_assert_eq(both.size, 6 + alone.size);
    cr_assert_arr_eq(both.bytes + 6, alone.bytes, alone.size);
    pmi_buffer_free(&alone);
    pmi_buffer_free(&both);
    pmi_trace_free(&t);
}

Test(codec, every_truncation_is_refused) {
    pm_trace t = random_trace(20, 20, 2), back;
    pm_buffer bytes = encoded(&t);
    for (size_t n = 0; n < bytes.size; n++) {
        /* memory of its own, so that a sanitizer sees reads behind the end */
        uint8_t *cut = pmi_malloc(n, 1);
        memcpy(cut, bytes.bytes, n);
        pm_error err = {0};
        cr_assert_eq(pmi_trace_decode(cut, n, false, &back, NULL, &err), PM_EDATA, "cut at %zu", n);
        cr_assert_neq(err.text[0], '\0');
        free(cut);
    }
    pmi_buffer_free(&bytes);
    pmi_trace_free(&t);
}

Test(codec, trailing_bytes_are_refused) {
    pm_trace t = random_trace(4, 2, 3), back;
    pm_buffer bytes = encoded(&t);
    cr_assert_eq(pmi_buffer_add(&bytes, "", 1, NULL), PM_OK);
    pm_error err;
    cr_assert_eq(pmi_trace_decode(bytes.bytes, bytes.size, false, &back, NULL, &err), PM_EDATA);
    cr_assert(strstr(err.text, "expected the end, found 1 more") != NULL, "%s", err.text);
    pmi_buffer_free(&bytes);
    pmi_trace_free(&t);
}

Test(codec, every_damaged_byte_is_refused) {
    pm_trace t = random_trace(12, 12, 4), back;
    pm_buffer bytes = encoded(&t);
    for (size_t at = 0; at < bytes.size; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes.bytes[at] ^= (uint8_t)flip;
            cr_assert_eq(pmi_trace_decode(bytes.bytes, bytes.size, false, &back, NULL, NULL), PM_EDATA, "byte %zu ^ %u",
                         at, flip);
            bytes.bytes[at] ^= (uint8_t)flip;
        }
    }
    pmi_buffer_free(&bytes);
    pmi_trace_free(&t);
}

/* Behind the checksum: damage gives an error, or another trace that is as sound and has those very bytes. */
Test(codec, damaged_payload_is_refused_or_canonical) {
    static const uint8_t key[PM_DIGEST_BYTES] = {1};
    pm_trace t = random_trace(12, 12, 5), back;
    pm_buffer bytes = {0};
    cr_assert_eq(pmi_trace_encode_payload(&t, key, &bytes, NULL), PM_OK);
    size_t accepted = 0;
    for (size_t at = 0; at < bytes.size; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            uint8_t found[PM_DIGEST_BYTES];
            bytes.bytes[at] ^= (uint8_t)flip;
            if (pmi_trace_decode_payload(bytes.bytes, bytes.size, &back, found, NULL) == PM_OK) {
                pm_buffer again = {0};
                cr_assert_eq(pmi_trace_encode_payload(&back, found, &again, NULL), PM_OK);
                cr_assert_eq(again.size, bytes.size);
                cr_assert_arr_eq(again.bytes, bytes.bytes, bytes.size);
                pmi_buffer_free(&again);
                pmi_trace_free(&back);
                accepted++;
            }
            bytes.bytes[at] ^= (uint8_t)flip;
        }
    }
    /* the key's and digest's 64 bytes are free; of the rest little is */
    cr_assert_geq(accepted, 64u * 255u);
    cr_assert_lt(accepted, 64u * 255u + 3000u);
    pmi_buffer_free(&bytes);
    pmi_trace_free(&t);
}

Test(codec, another_version_is_named) {
    pm_trace t = random_trace(4, 2, 6), back;
    pm_buffer bytes = encoded(&t);
    cr_assert_eq(bytes.bytes[17], PM_TRACE_VERSION);
    bytes.bytes[17] = 3;
    pm_error err;
    cr_assert_eq(pmi_trace_decode(bytes.bytes, bytes.size, false, &back, NULL, &err), PM_EDATA);
    cr_assert(strstr(err.text, "expected version 2, found 3") != NULL, "%s", err.text);
    pmi_buffer_free(&bytes);
    pmi_trace_free(&t);
}

/* Written by Python's msgpack (tests/data/make_trace.py): it must decode for ever, and be written alike. */
Test(codec, golden_file_of_version_2) {
    FILE *f = fopen(PM_SOURCE_DIR "/tests/data/trace-v2.msgpack", "rb");
    cr_assert_not_null(f);
    static uint8_t bytes[1 << 16];
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    cr_assert(n > 0 && n < sizeof bytes);
    pm_trace t;
    uint8_t key[PM_DIGEST_BYTES];
    pm_error err;
    cr_assert_eq(pmi_trace_decode(bytes, n, false, &t, key, &err), PM_OK, "%s", err.text);
    cr_assert_eq(t.n, 300);
    cr_assert_eq(t.n_edges, 600);
    for (size_t i = 0; i < PM_DIGEST_BYTES; i++) {
        cr_assert_eq(key[i], i);
        cr_assert_eq(t.digest[i], 100 + i);
    }
    pm_buffer again = {0};
    cr_assert_eq(pmi_trace_encode(&t, key, &again, &err), PM_OK);
    cr_assert_eq(again.size, n);
    cr_assert_arr_eq(again.bytes, bytes, n);
    pmi_buffer_free(&again);
    pmi_trace_free(&t);
}

typedef void (*spoil)(pm_trace *t);

static void pivot_twice(pm_trace *t) {
    t->pivot[0] = t->pivot[1];
}
static void pivot_outside(pm_trace *t) {
    t->pivot[3] = t->n;
}
static void l_on_diagonal(pm_trace *t) {
    t->l[t->l_row[t->n] - 1] = t->n - 1;
}
static void u_outside(pm_trace *t) {
    t->u[0] = t->n;
}
static void u_below(pm_trace *t) {
    t->u[t->u_row[5]] = 5;
}
static void u_twice(pm_trace *t) {
    t->u[t->u_row[6] + 1] = t->u[t->u_row[6]];
}
static void too_few_edges(pm_trace *t) {
    t->n_edges = t->n - 1;
}
static void too_many_edges(pm_trace *t) {
    t->n_edges = t->l_row[t->n] + t->u_row[t->n] + 1;
}
static void no_flops(pm_trace *t) {
    t->flops = 0;
}
static void absurd_flops(pm_trace *t) {
    t->flops = UINT64_MAX;
}

/* Takes away the last entry of the last row of L: some pivot that leads there by substitution is then missing. */
static void not_closed(pm_trace *t) {
    t->l_row[t->n]--;
}

Test(codec, each_broken_invariant_is_named) {
    static const struct {
        spoil spoil;
        const char *text;
    } cases[] = {
        {pivot_twice, "eliminated twice"}, {pivot_outside, "expected a state below 40, found 40"},
        {l_on_diagonal, "row 39 of L"},    {u_outside, "row 0 of U, entry 0: expected a pivot from 1 to below 40"},
        {u_below, "row 5 of U"},           {u_twice, "row 6 of U, entry 1"},
        {not_closed, "not closed"},        {too_few_edges, "edges: expected from 40"},
        {too_many_edges, "edges: "},       {no_flops, "flops: "},
        {absurd_flops, "flops: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_trace t = random_trace(40, 80, 7);
        pm_error err;
        cr_assert_eq(pmi_trace_check_structure(&t, &err), PM_OK, "%s", err.text);
        cases[i].spoil(&t);
        cr_assert_eq(pmi_trace_check_structure(&t, &err), PM_EDATA, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
        pmi_trace_free(&t);
    }
}

/* Heads that claim more than is there, longer encodings than needed, and wrong kinds. */
Test(codec, hostile_heads) {
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x8b\xa3key\xc6\xff\xff\xff\xff", 10},
        {"\x8b\xa3key\xc5\x00\x20", 8},
        {"\xdf\xff\xff\xff\xff", 5},
        {"\x8b\xa3key\xdd\xff\xff\xff\xff", 10},
        {"\x8c\xa3key", 5},
        {"\x8b\xa3kex", 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_trace t;
        pm_error err = {0};
        pm_status st = pmi_trace_decode_payload((const uint8_t *)cases[i].bytes, cases[i].n, &t, NULL, &err);
        cr_assert_eq(st, PM_EDATA, "case %zu", i);
        cr_assert(strstr(err.text, "byte ") != NULL, "case %zu: %s", i, err.text);
    }
}

Test(codec, memory_of_a_trace_is_bounded) {
    pm_trace t = random_trace(100, 300, 8);
    size_t n = t.n, fill = t.l_row[n] + t.u_row[n];
    size_t held = sizeof t + 2 * (n + 1) * sizeof(size_t) + (n + fill) * sizeof(uint32_t);
    cr_assert_geq(pmi_trace_bytes(t.n, fill), held);
    cr_assert_eq(pmi_trace_bytes(t.n, SIZE_MAX), SIZE_MAX);
    pmi_trace_free(&t);
    pmi_trace_free(&t);
    pmi_trace_free(NULL);
}
