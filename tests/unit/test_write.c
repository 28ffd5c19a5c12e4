#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/build.h"
#include "graph/write.h"
#include "graphs.h"

static pm_graph *parsed(const void *bytes, size_t n, pm_graph_format format) {
    pm_graph *g;
    pm_error err;
    cr_assert_eq(pm_graph_parse(bytes, n, format, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s", err.text);
    cr_assert_null(graph_flaw(g));
    return g;
}

static pm_buffer written(const pm_graph *g, pm_graph_encoding encoding) {
    pm_buffer out = {0};
    pm_byte_sink sink = buffer_sink(&out);
    pm_error err;
    cr_assert_eq(pmi_graph_write(g, encoding, &sink, &err), PM_OK, "%s", err.text);
    return out;
}

/* JSON to MessagePack to JSON: the graph is the same each time, and the second JSON is the first, byte for byte. */
static void expect_round_trip(const pm_graph *g) {
    pm_buffer json = written(g, PM_GRAPH_JSON);
    pm_graph *second = parsed(json.bytes, json.size, PM_FORMAT_PHASIC);
    pm_buffer packed = written(second, PM_GRAPH_MSGPACK);
    pm_graph *third = parsed(packed.bytes, packed.size, PM_FORMAT_PHASIC);
    pm_buffer again = written(third, PM_GRAPH_JSON);
    cr_assert_arr_eq(second->digest, g->digest, PM_DIGEST_BYTES);
    cr_assert_arr_eq(third->digest, g->digest, PM_DIGEST_BYTES);
    cr_assert_eq(json.size, again.size);
    cr_assert_arr_eq(json.bytes, again.bytes, json.size);
    pm_graph_free(second);
    pm_graph_free(third);
    pmi_buffer_free(&json);
    pmi_buffer_free(&packed);
    pmi_buffer_free(&again);
}

Test(write, json_is_what_phasic_writes) {
    pm_graph *g = parsed(small_graph_json, strlen(small_graph_json), PM_FORMAT_PHASIC);
    pm_buffer out = written(g, PM_GRAPH_JSON);
    static const char expected[] = "{\"states\": [[0, 0], [2, 0], [1, 1], [1, 0]],\n"
                                   " \"vertex_indices\": [0, 1, 2, 3],\n"
                                   " \"edges\": [[2, 3, 0.5]],\n"
                                   " \"constant_edges\": [[1, 3, 0.125]],\n"
                                   " \"start_edges\": [[1, 0.75], [2, 0.25]],\n"
                                   " \"param_edges\": [[1, 2, 3.0, 0.0], [2, 1, 0.0, 0.25]],\n"
                                   " \"start_param_edges\": [],\n"
                                   " \"param_length\": 2,\n"
                                   " \"state_length\": 2,\n"
                                   " \"n_vertices\": 4,\n"
                                   " \"weight_mode\": \"linear\",\n"
                                   " \"dyn_ordering\": false,\n"
                                   " \"is_discrete\": false,\n"
                                   " \"was_dph\": false}\n";
    cr_assert_eq(out.size, strlen(expected), "%.*s", (int)out.size, (const char *)out.bytes);
    cr_assert_arr_eq(out.bytes, expected, out.size);
    pmi_buffer_free(&out);
    expect_round_trip(g);
    pm_graph_free(g);
}

Test(write, files_of_phasic_come_back_as_they_were) {
    static const char *const names[] = {"phasic-0.32.1-arg3.json", "phasic-0.32.1-arg4.json"};
    for (size_t i = 0; i < 2; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/examples/%s", PM_SOURCE_DIR, names[i]);
        pm_graph *g;
        cr_assert_eq(pm_graph_load(path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, NULL), PM_OK);
        expect_round_trip(g);
        pm_graph_free(g);
    }
}

/* Doubles of random bits, subnormal and huge ones, whole ones around 2^53 and 1e15, both zeros. */
static double some_double(uint64_t *seed, size_t i) {
    static const double special[] = {0.0,
                                     -0.0,
                                     5e-324,
                                     2.2250738585072014e-308,
                                     1.7976931348623157e308,
                                     1e15,
                                     1e15 - 1,
                                     1e16,
                                     9007199254740993.0,
                                     0.1,
                                     1.0 / 3,
                                     4.35,
                                     1e22,
                                     1e23,
                                     -123456.0,
                                     1e21,
                                     -1234567.5,
                                     1e-7,
                                     123456789012345680.0,
                                     0.30000000000000004};
    if (i < sizeof special / sizeof special[0]) {
        return special[i];
    }
    double v;
    do {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = *seed ^ *seed >> 29;
        memcpy(&v, &bits, sizeof v);
    } while (!isfinite(v));
    return v;
}

Test(write, every_number_reads_back_bit_for_bit) {
    pm_builder *b;
    const int32_t states[][2] = {{0, 0}, {INT32_MIN, INT32_MAX}, {-1, 3}};
    uint64_t seed = 7;
    cr_assert_eq(pmi_builder_new(2, 2, true, &b, NULL), PM_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pmi_builder_state(b, states[i], NULL, NULL), PM_OK);
    }
    for (size_t i = 0; i < 20000; i++) {
        const double coef[] = {0, some_double(&seed, i), 1};
        const double constant = fabs(some_double(&seed, i));
        cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, 1, 2, coef, NULL), PM_OK);
        cr_assert_eq(pmi_builder_edge(b, i % 2 == 0 ? PM_EDGE_PLAIN : PM_EDGE_CONSTANT, 2, 2, &constant, NULL), PM_OK);
    }
    const double start[] = {0, 0.1, 0.2};
    cr_assert_eq(pmi_builder_start(b, true, 1, start, NULL), PM_OK);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    pmi_builder_free(b);
    expect_round_trip(g);
    pm_graph_free(g);
}

Test(write, the_decimal_point_does_not_follow_the_locale) {
    setlocale(LC_ALL, "de_DE.UTF-8");
    char before[20], after[20];
    snprintf(before, sizeof before, "%.1f", 0.5);
    pm_graph *g = parsed(small_graph_json, strlen(small_graph_json), PM_FORMAT_PHASIC);
    expect_round_trip(g);
    snprintf(after, sizeof after, "%.1f", 0.5);
    cr_assert_str_eq(before, after, "the thread's locale is as it was");
    pm_graph_free(g);
    setlocale(LC_ALL, "C");
}

/* ---- base weights of the old layout -------------------------------------------------------------------- */

#define OLD_GRAPH(rows, starts)                                                                                        \
    "{\"states\": [[0], [2], [1]], \"edges\": [], \"start_edges\": [], \"param_edges\": [" rows                        \
    "], \"start_param_edges\": [" starts "], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 3}"

Test(write, a_base_weight_becomes_a_parallel_edge) {
    static const char text[] =
        OLD_GRAPH("[1, 2, 0.5, 3, 4], [2, 1, 0, 0, 1], [2, 1, 7, 0, 0]", "[1, 0.5, 0, 0], [2, 0, 1, 0]");
    pm_graph *g = parsed(text, strlen(text), PM_FORMAT_PHASIC_021);
    for (int encoding = PM_GRAPH_JSON; encoding <= PM_GRAPH_MSGPACK; encoding++) {
        pm_buffer out = written(g, (pm_graph_encoding)encoding);
        pm_graph *split = parsed(out.bytes, out.size, PM_FORMAT_PHASIC);
        const uint32_t from[] = {1, 2, 1, 2}, to[] = {2, 1, 2, 1}, start_to[] = {1, 2};
        cr_assert_eq(split->n_edges, 4);
        cr_assert_eq(split->n_plain, 0);
        cr_assert_eq(split->n_constant, 2);
        cr_assert_arr_eq(split->from, from, sizeof from);
        cr_assert_arr_eq(split->to, to, sizeof to);
        cr_assert_eq(split->n_starts, 2);
        cr_assert_eq(split->n_start_plain, 1);
        cr_assert_arr_eq(split->start_to, start_to, sizeof start_to);
        const double theta[] = {2, 10};
        const double expected[] = {0.5, 7, 46, 10};
        for (size_t e = 0; e < 4; e++) {
            cr_assert_eq(pmi_graph_weight(split, split->weight[e], theta), expected[e]);
        }
        cr_assert_eq(pmi_graph_weight(split, split->start_weight[0], theta), 0.5);
        cr_assert_eq(pmi_graph_weight(split, split->start_weight[1], theta), 2);
        pm_graph_free(split);
        pmi_buffer_free(&out);
    }
    pm_graph_free(g);
}

static void expect_no_place(const char *text, const char *part) {
    pm_graph *g = parsed(text, strlen(text), PM_FORMAT_PHASIC_021);
    pm_buffer out = {0};
    pm_byte_sink sink = buffer_sink(&out);
    pm_error err;
    cr_assert_eq(pmi_graph_write(g, PM_GRAPH_JSON, &sink, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
    cr_assert_eq(out.size, 0);
    pmi_buffer_free(&out);
    pm_graph_free(g);
}

Test(write, a_base_weight_that_cannot_stand_alone_is_refused) {
    expect_no_place(OLD_GRAPH("[1, 2, 0, 3, 4], [1, 2, -0.5, 3, 4]", "[1, 1, 0, 0]"),
                    "param_edges row 1: has the base weight -0.5");
    expect_no_place(OLD_GRAPH("[1, 2, 1, 3, -4]", "[1, 1, 0, 0]"), "param_edges row 0: has the base weight 1");
    expect_no_place(OLD_GRAPH("", "[1, 0.5, 0, 0], [2, 1, -1, 0]"), "start_param_edges row 1: has the base weight 1");
}

/* ---- sinks that fail ----------------------------------------------------------------------------------- */

typedef struct full_disk {
    size_t room, used;
    size_t calls_after;
} full_disk;

static pm_status write_full(void *ctx, const void *bytes, size_t n, pm_error *err) {
    (void)bytes;
    full_disk *d = ctx;
    d->calls_after += d->used > d->room;
    d->used += n;
    return d->used > d->room ? pmi_fail(err, PM_EIO, "no space left") : PM_OK;
}

Test(write, the_error_of_the_sink_ends_the_writing) {
    pm_builder *b;
    const int32_t state = 0;
    cr_assert_eq(pmi_builder_new(1, 0, false, &b, NULL), PM_OK);
    for (int i = 0; i < 100000; i++) {
        cr_assert_eq(pmi_builder_state(b, &state, NULL, NULL), PM_OK);
    }
    cr_assert_eq(pmi_builder_start(b, false, 1, (const double[]){1}, NULL), PM_OK);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    pmi_builder_free(b);
    for (int encoding = PM_GRAPH_JSON; encoding <= PM_GRAPH_MSGPACK; encoding++) {
        for (size_t room = 0; room < 300000; room += 66000) {
            full_disk disk = {.room = room};
            const pm_byte_sink sink = {.ctx = &disk, .write = write_full};
            pm_error err;
            cr_assert_eq(pmi_graph_write(g, (pm_graph_encoding)encoding, &sink, &err), PM_EIO);
            cr_assert_str_eq(err.text, "no space left");
            cr_assert_eq(disk.calls_after, 0);
        }
    }
    pm_graph_free(g);
}
