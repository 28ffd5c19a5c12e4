#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "wire/units.h"

#define N_SCCS 12

/* SCCs of 2 to 60 states in canonical order, as a producer has them. */
static void draw_sccs(pm_canon sccs[N_SCCS], const pm_canon *pointers[N_SCCS], pm_effort effort) {
    static const uint8_t seed[PM_DIGEST_BYTES] = {7};
    pm_random random;
    pmi_random_seed(&random, seed);
    for (uint32_t i = 0; i < N_SCCS; i++) {
        uint32_t n = 2 + i * i / 2;
        bool *edge = draw_strong(&random, n, n);
        pm_topology t = topology_of(n, edge);
        cr_assert_eq(pmi_canon_find(&t, effort, NULL, &sccs[i], NULL), PM_OK);
        pointers[i] = &sccs[i];
        pmi_topology_free(&t);
        free(edge);
    }
}

static void free_sccs(pm_canon sccs[N_SCCS]) {
    for (uint32_t i = 0; i < N_SCCS; i++) {
        pmi_canon_free(&sccs[i]);
    }
}

static pm_buffer write_body(pm_effort effort) {
    pm_canon sccs[N_SCCS];
    const pm_canon *pointers[N_SCCS];
    pm_buffer body = {0};
    pm_error err = {0};
    draw_sccs(sccs, pointers, effort);
    cr_assert_eq(pmi_record_body_write(pointers, N_SCCS, effort, &body, &err), PM_OK, "%s", err.text);
    free_sccs(sccs);
    return body;
}

Test(units, a_record_body_comes_back) {
    pm_canon sccs[N_SCCS];
    const pm_canon *pointers[N_SCCS];
    pm_buffer body = {0};
    pm_record_reader reader;
    pm_error err = {0};
    draw_sccs(sccs, pointers, PM_EFFORT_BEST);
    cr_assert_eq(pmi_record_body_write(pointers, N_SCCS, PM_EFFORT_BEST, &body, &err), PM_OK, "%s", err.text);
    /* at every alignment */
    for (size_t shift = 0; shift < 8; shift++) {
        uint8_t *moved = pmi_malloc(body.size + shift, 1);
        memcpy(moved + shift, body.bytes, body.size);
        cr_assert_eq(pmi_record_reader_open((pm_span){moved + shift, body.size}, &reader, &err), PM_OK, "%s", err.text);
        cr_assert_eq(reader.n, N_SCCS);
        cr_assert_eq(reader.body.effort, PM_EFFORT_BEST);
        for (size_t i = 0; i < N_SCCS; i++) {
            pm_canon back;
            cr_assert_eq(pmi_record_reader_next(&reader, &back, &err), PM_OK, "%s", err.text);
            cr_assert(same_topology(&back.topology, &sccs[i].topology));
            cr_assert_arr_eq(back.key, sccs[i].key, PM_DIGEST_BYTES);
            cr_assert_arr_eq(back.digest, sccs[i].digest, PM_DIGEST_BYTES);
            cr_assert_null(back.name);
            pmi_canon_free(&back);
        }
        pm_canon none;
        cr_assert_eq(pmi_record_reader_next(&reader, &none, &err), PM_ESOFTWARE);
        pmi_record_reader_close(&reader);
        free(moved);
    }
    pmi_buffer_free(&body);
    free_sccs(sccs);
}

/* Reads all SCCs of a body; the first error ends it. */
static pm_status read_all(const pm_record_body *body, pm_error *err) {
    pm_buffer bytes = {0};
    pm_record_reader reader;
    cr_assert_eq(pmi_message_encode(&pmi_record_type, body, &bytes, err), PM_OK, "%s", err->text);
    pm_status st = pmi_record_reader_open((pm_span){bytes.bytes, bytes.size}, &reader, err);
    while (st == PM_OK && reader.at < reader.n) {
        pm_canon scc;
        st = pmi_record_reader_next(&reader, &scc, err);
        pmi_canon_free(&scc);
    }
    pmi_record_reader_close(&reader);
    pmi_buffer_free(&bytes);
    return st;
}

/* Every single change of a column is refused: by its own check, or because the key is another one. */
Test(units, every_altered_column_is_refused) {
    pm_buffer bytes = write_body(PM_EFFORT_FAST);
    pm_record_body body;
    pm_message_memory memory;
    pm_error err = {0};
    cr_assert_eq(pmi_message_decode(&pmi_record_type, bytes.bytes, bytes.size, &body, &memory, &err), PM_OK);
    cr_assert_eq(read_all(&body, &err), PM_OK, "%s", err.text);
    const pm_span columns[] = {body.keys, body.as_given, body.states, body.degrees, body.targets};
    for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
        for (size_t at = 0; at < columns[c].size; at += 1 + at / 40) {
            uint8_t *byte = bytes.bytes + (columns[c].bytes - bytes.bytes) + at;
            *byte ^= (uint8_t)(1u << at % 8);
            cr_assert_eq(read_all(&body, &err), PM_EDATA, "column %zu, byte %zu", c, at);
            *byte ^= (uint8_t)(1u << at % 8);
        }
    }
    body.effort = PM_EFFORT_BALANCED;
    cr_assert_eq(read_all(&body, &err), PM_EDATA);
    cr_assert(strstr(err.text, "SCC 0 of the unit: expected key") != NULL, "%s", err.text);
    pmi_message_memory_free(&memory);
    pmi_buffer_free(&bytes);
}

typedef struct hostile {
    uint32_t states, degrees[2], n_degrees, targets[2], n_targets;
    const char *text;
} hostile;

Test(units, hostile_columns_are_named) {
    static const hostile cases[] = {
        {1, {0}, 1, {0}, 0, "SCC 0: expected 2 states or more"},
        {UINT32_MAX, {0}, 1, {0}, 0, "found 4294967295"},
        {3, {1, 1}, 2, {1, 0}, 2, "degrees: expected 3 values, found 2"},
        {2, {1, UINT32_MAX}, 2, {1, 0}, 2, "targets: expected 4294967296 values, found 2"},
        {2, {1, 1}, 2, {2, 0}, 2, "state 0: expected targets below 2"},
        {2, {1, 1}, 2, {1, 1}, 2, "state 1: expected targets below 2, ascending and without itself, found 1"},
        {2, {2, 0}, 2, {1, 1}, 2, "state 0: expected targets below 2, ascending"},
        {2, {1, 0}, 2, {1}, 1, "expected a strongly connected component"},
        {2, {0, 1}, 2, {0}, 1, "expected a strongly connected component"},
        {2, {1, 1}, 2, {1, 0}, 2, "expected key 0000"},
    };
    static const uint8_t key[PM_DIGEST_BYTES], as_given[1];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const pm_record_body body = {.keys = {key, sizeof key},
                                     .as_given = {as_given, 1},
                                     .states = pmi_u32s(&cases[i].states, 1),
                                     .degrees = pmi_u32s(cases[i].degrees, cases[i].n_degrees),
                                     .targets = pmi_u32s(cases[i].targets, cases[i].n_targets)};
        pm_error err = {0};
        cr_assert_eq(read_all(&body, &err), PM_EDATA, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
    }
}

Test(units, an_id_tells_kind_job_items_and_order) {
    static const uint8_t items[2][PM_DIGEST_BYTES] = {{1}, {2}}, turned[2][PM_DIGEST_BYTES] = {{2}, {1}};
    static const uint8_t job[PM_DIGEST_BYTES] = {3}, other[PM_DIGEST_BYTES] = {4};
    uint8_t ids[6][PM_DIGEST_BYTES];
    cr_assert_eq(pmi_unit_id("record", job, items, 2, ids[0], NULL), PM_OK);
    cr_assert_eq(pmi_unit_id("probe", job, items, 2, ids[1], NULL), PM_OK);
    cr_assert_eq(pmi_unit_id("record", other, items, 2, ids[2], NULL), PM_OK);
    cr_assert_eq(pmi_unit_id("record", job, items, 1, ids[3], NULL), PM_OK);
    cr_assert_eq(pmi_unit_id("record", job, turned, 2, ids[4], NULL), PM_OK);
    cr_assert_eq(pmi_unit_id("record", job, NULL, 0, ids[5], NULL), PM_OK);
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(memcmp(ids[i], ids[j], PM_DIGEST_BYTES), 0, "%zu and %zu", i, j);
        }
    }
    /* what the definition says, from its bytes */
    uint8_t bytes[16 + 6 + 3 * PM_DIGEST_BYTES], expected[PM_DIGEST_BYTES];
    memcpy(bytes, "phasemill unit 1record", 22);
    memcpy(bytes + 22, job, PM_DIGEST_BYTES);
    memcpy(bytes + 22 + PM_DIGEST_BYTES, items, sizeof items);
    cr_assert_eq(pmi_digest(PM_SHA256, bytes, sizeof bytes, expected, NULL), PM_OK);
    cr_assert_arr_eq(ids[0], expected, PM_DIGEST_BYTES);
}

Test(units, cost_grows_with_states_and_edges) {
    cr_assert_gt(pmi_record_cost(2, 2), 0);
    cr_assert_lt(pmi_record_cost(10, 20), pmi_record_cost(100, 200));
    cr_assert_lt(pmi_record_cost(100, 200), pmi_record_cost(100, 2000));
}
