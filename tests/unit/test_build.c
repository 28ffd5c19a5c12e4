#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "graph/build.h"

static void expect_text(const pm_error *err, const char *part) {
    cr_assert_not_null(strstr(err->text, part), "\"%s\" is not in \"%s\"", part, err->text);
}

/* Three states of length 2 behind a start vertex, P = 2. */
static pm_builder *chain(bool is_discrete) {
    static const int32_t states[4][2] = {{0, 0}, {3, 0}, {2, 1}, {1, 0}};
    static const double one = 1.0;
    pm_builder *b;
    cr_assert_eq(pmi_builder_new(2, 2, is_discrete, &b, NULL), PM_OK);
    for (int i = 0; i < 4; i++) {
        uint32_t row;
        cr_assert_eq(pmi_builder_state(b, states[i], &row, NULL), PM_OK);
        cr_assert_eq(row, (uint32_t)i);
    }
    cr_assert_eq(pmi_builder_start(b, false, 1, &one, NULL), PM_OK);
    return b;
}

static void add(pm_builder *b, pm_edge_kind kind, uint32_t from, uint32_t to, double c0, double c1, double c2) {
    const double coef[3] = {c0, c1, c2};
    pm_error err;
    cr_assert_eq(pmi_builder_edge(b, kind, from, to, coef, &err), PM_OK, "%s", err.text);
}

static void expect_refused(pm_builder *b, const char *part) {
    pm_graph *g;
    pm_error err;
    cr_assert_eq(pmi_builder_finish(b, &g, &err), PM_EDATA);
    cr_assert_null(g);
    expect_text(&err, part);
    pmi_builder_free(b);
}

Test(build, edges_are_kept_in_the_order_of_the_file_whatever_the_order_they_came_in) {
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PARAM, 1, 2, 0, 3, 0);
    add(b, PM_EDGE_CONSTANT, 2, 3, 0.25, 0, 0);
    add(b, PM_EDGE_PLAIN, 2, 1, 7, 0, 0);
    add(b, PM_EDGE_PARAM, 2, 3, 0, 3, 0);
    add(b, PM_EDGE_PARAM, 3, 2, 0, -1, 2);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert(g->has_start);
    cr_assert_eq(g->n_vertices, 4);
    cr_assert_eq(g->n_edges, 5);
    cr_assert_eq(g->n_plain, 1);
    cr_assert_eq(g->n_constant, 1);
    const uint32_t from[] = {2, 2, 1, 2, 3}, to[] = {1, 3, 2, 3, 2}, weight[] = {0, 1, 2, 2, 3};
    cr_assert_arr_eq(g->from, from, sizeof from);
    cr_assert_arr_eq(g->to, to, sizeof to);
    cr_assert_arr_eq(g->weight, weight, sizeof weight);
    cr_assert_eq(g->n_starts, 1);
    cr_assert_eq(g->start_weight[0], 4);
    const double weights[] = {7, 0, 0, 0.25, 0, 0, 0, 3, 0, 0, -1, 2, 1, 0, 0};
    cr_assert_eq(g->n_weights, 5);
    cr_assert_arr_eq(g->weights, weights, sizeof weights);
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, a_constant_and_a_param_row_of_the_same_bits_share_a_weight) {
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PLAIN, 1, 2, 0.5, 0, 0);
    add(b, PM_EDGE_PARAM, 2, 3, 0.5, 0, 0);
    add(b, PM_EDGE_PARAM, 2, 1, 0, 0.0, 1);
    add(b, PM_EDGE_PARAM, 2, 1, 0, -0.0, 1);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert_eq(g->weight[0], g->weight[1]);
    cr_assert_neq(g->weight[2], g->weight[3], "0.0 and -0.0 have different bits");
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, ten_thousand_distinct_weights_keep_their_values) {
    pm_builder *b = chain(false);
    for (int i = 0; i < 10000; i++) {
        add(b, PM_EDGE_PARAM, 1, 2, 0, i % 5000, i);
        add(b, PM_EDGE_PARAM, 1, 3, 0, i % 5000, i);
    }
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert_eq(g->n_weights, 10001);
    for (int i = 0; i < 20000; i++) {
        const double *row = g->weights + g->weight[i] * 3;
        cr_assert_eq(row[0], 0.0);
        cr_assert_eq(row[1], (i / 2) % 5000);
        cr_assert_eq(row[2], i / 2);
    }
    pm_graph_free(g);
    pmi_builder_free(b);
}

static void digest_of(double c, uint32_t to, bool is_discrete, uint8_t digest[PM_DIGEST_BYTES]) {
    pm_builder *b = chain(is_discrete);
    add(b, PM_EDGE_PARAM, 1, to, 0, c, 0);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    memcpy(digest, g->digest, PM_DIGEST_BYTES);
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, the_digest_tells_graphs_apart) {
    uint8_t a[PM_DIGEST_BYTES], same[PM_DIGEST_BYTES], others[3][PM_DIGEST_BYTES];
    digest_of(1.0, 2, false, a);
    digest_of(1.0, 2, false, same);
    digest_of(nextafter(1.0, 2.0), 2, false, others[0]);
    digest_of(1.0, 3, false, others[1]);
    digest_of(1.0, 2, true, others[2]);
    cr_assert_arr_eq(a, same, sizeof a);
    for (int i = 0; i < 3; i++) {
        cr_assert_arr_neq(a, others[i], sizeof a);
    }
}

Test(build, values_that_are_wrong_by_themselves_are_refused_at_once) {
    pm_builder *b = chain(false);
    pm_error err;
    const double negative[] = {-0.5, 0, 0}, infinite[] = {0, 1, INFINITY}, nan[] = {NAN, 0, 0};
    add(b, PM_EDGE_PARAM, 1, 2, 0, 1, 0);
    cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PLAIN, 1, 2, negative, &err), PM_EDATA);
    expect_text(&err, "edges row 0: the weight is -0.5");
    cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, 1, 2, negative, &err), PM_EDATA);
    expect_text(&err, "param_edges row 1: the weight is -0.5");
    cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, 1, 2, infinite, &err), PM_EDATA);
    expect_text(&err, "param_edges row 1: the coefficient 2 is inf");
    cr_assert_eq(pmi_builder_edge(b, PM_EDGE_CONSTANT, 1, 2, nan, &err), PM_EDATA);
    expect_text(&err, "constant_edges row 0: the weight is nan");
    cr_assert_eq(pmi_builder_start(b, false, 1, negative, &err), PM_EDATA);
    expect_text(&err, "start_edges row 1: the weight is -0.5");
    /* the refused rows are not there */
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert_eq(g->n_edges, 1);
    cr_assert_eq(g->n_starts, 1);
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, ranges_name_array_row_and_column) {
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PARAM, 1, 2, 0, 1, 0);
    add(b, PM_EDGE_PARAM, 4, 2, 0, 1, 0);
    expect_refused(b, "param_edges row 1: from is 4; expected a row of states, 0 to 3");
    b = chain(false);
    add(b, PM_EDGE_PLAIN, 1, 9, 1, 0, 0);
    expect_refused(b, "edges row 0: to is 9; expected a row of states, 0 to 3");
    b = chain(false);
    const double one = 1;
    cr_assert_eq(pmi_builder_start(b, false, 4, &one, NULL), PM_OK);
    expect_refused(b, "start_edges row 1: to is 4");
}

Test(build, an_edge_into_the_start_vertex_is_refused) {
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PLAIN, 1, 2, 1, 0, 0);
    add(b, PM_EDGE_CONSTANT, 2, 0, 1, 0, 0);
    expect_refused(b, "constant_edges row 0: leads from row 2 into row 0, which is the start vertex");
    b = chain(false);
    const double one = 1;
    cr_assert_eq(pmi_builder_start(b, false, 0, &one, NULL), PM_OK);
    expect_refused(b, "start_edges row 1: leads into row 0");
}

Test(build, a_first_row_with_edges_or_a_state_is_an_ordinary_state) {
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PLAIN, 0, 2, 1, 0, 0);
    add(b, PM_EDGE_PLAIN, 2, 0, 1, 0, 0);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert_not(g->has_start);
    pm_graph_free(g);
    pmi_builder_free(b);

    const int32_t state = 5;
    const double one = 1;
    cr_assert_eq(pmi_builder_new(1, 0, false, &b, NULL), PM_OK);
    cr_assert_eq(pmi_builder_state(b, &state, NULL, NULL), PM_OK);
    cr_assert_eq(pmi_builder_start(b, false, 0, &one, NULL), PM_OK);
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert_not(g->has_start);
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, self_loops_are_for_discrete_graphs) {
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PARAM, 1, 2, 0, 1, 0);
    add(b, PM_EDGE_PARAM, 2, 2, 0, 1, 0);
    expect_refused(b, "param_edges row 1: leads from row 2 to itself");
    b = chain(true);
    add(b, PM_EDGE_PARAM, 2, 2, 0, 1, 0);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert(g->is_discrete);
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, no_states_and_no_start_are_refused) {
    pm_builder *b;
    cr_assert_eq(pmi_builder_new(1, 0, false, &b, NULL), PM_OK);
    expect_refused(b, "states: no rows");
    const int32_t state = 5;
    cr_assert_eq(pmi_builder_new(1, 0, false, &b, NULL), PM_OK);
    cr_assert_eq(pmi_builder_state(b, &state, NULL, NULL), PM_OK);
    expect_refused(b, "start_edges: no rows");
}

Test(build, too_many_parameters_are_refused) {
    pm_builder *b;
    pm_error err;
    cr_assert_eq(pmi_builder_new(1, PM_MAX_PARAMS + 1, false, &b, &err), PM_EDATA);
    cr_assert_null(b);
    expect_text(&err, "4097 parameters");
}

Test(build, arrays_in_memory_make_the_same_graph) {
    const int32_t states[] = {0, 0, 3, 0, 2, 1, 1, 0};
    const uint32_t from[] = {1, 2}, to[] = {2, 3}, start_to[] = {1};
    const double plain[] = {0.5, 2}, coef[] = {1, 2, 3, 4}, start[] = {1};
    const pm_graph_arrays arrays = {.n_vertices = 4,
                                    .state_length = 2,
                                    .n_params = 2,
                                    .states = states,
                                    .n_edges = 2,
                                    .edge_from = from,
                                    .edge_to = to,
                                    .edge_weight = plain,
                                    .n_param_edges = 2,
                                    .param_from = from,
                                    .param_to = to,
                                    .param_coef = coef,
                                    .n_starts = 1,
                                    .start_to = start_to,
                                    .start_weight = start};
    pm_graph *g, *same;
    pm_error err;
    cr_assert_eq(pm_graph_from_arrays(&arrays, &g, &err), PM_OK, "%s", err.text);
    pm_builder *b = chain(false);
    add(b, PM_EDGE_PLAIN, 1, 2, 0.5, 0, 0);
    add(b, PM_EDGE_PLAIN, 2, 3, 2, 0, 0);
    add(b, PM_EDGE_PARAM, 1, 2, 0, 1, 2);
    add(b, PM_EDGE_PARAM, 2, 3, 0, 3, 4);
    cr_assert_eq(pmi_builder_finish(b, &same, NULL), PM_OK);
    cr_assert_arr_eq(g->digest, same->digest, PM_DIGEST_BYTES);
    cr_assert_eq(pm_graph_n_vertices(g), 4);
    cr_assert_eq(pm_graph_n_params(g), 2);
    cr_assert_not(pm_graph_is_discrete(g));
    pm_graph_arrays broken = arrays;
    broken.param_coef = NULL;
    pm_graph *none;
    cr_assert_eq(pm_graph_from_arrays(&broken, &none, &err), PM_EUSAGE);
    expect_text(&err, "param_edges: 2 rows are announced");
    pm_graph_free(g);
    pm_graph_free(same);
    pmi_builder_free(b);
}

Test(build, descriptions_are_cut_to_the_room_there_is) {
    pm_builder *b = chain(false);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    char text[64];
    pmi_graph_describe(g, 2, text, sizeof text);
    cr_assert_str_eq(text, "row 2 (state [2, 1])");
    pmi_graph_describe(g, 2, text, 20);
    cr_assert_str_eq(text, "row 2 (state [...])");
    for (size_t n = 1; n < 20; n++) {
        memset(text, 'x', sizeof text);
        pmi_graph_describe(g, 2, text, n);
        cr_assert_lt(strlen(text), n);
        cr_assert_eq(text[n], 'x');
    }
    pm_graph_free(g);
    pmi_builder_free(b);
}

Test(build, what_is_set_too_late_is_our_bug) {
    pm_builder *b = chain(false);
    pm_error err;
    cr_assert_eq(pmi_builder_set_params(b, 5, &err), PM_OK, "no row depends on it yet");
    cr_assert_eq(pmi_builder_set_params(b, 2, &err), PM_OK);
    add(b, PM_EDGE_PARAM, 1, 2, 0, 1, 0);
    cr_assert_eq(pmi_builder_set_params(b, 2, &err), PM_OK);
    cr_assert_eq(pmi_builder_set_params(b, 3, &err), PM_ESOFTWARE);
    cr_assert_eq(pmi_builder_set_state_length(b, 2, &err), PM_OK);
    cr_assert_eq(pmi_builder_set_state_length(b, 3, &err), PM_ESOFTWARE);
    pmi_builder_free(b);
}

Test(build, arrays_of_impossible_sizes_are_refused) {
    pm_graph *g;
    pm_error err;
    const pm_graph_arrays huge[] = {{.n_vertices = UINT32_MAX}, {.state_length = (size_t)1 << 33}, {.n_params = 5000}};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(pm_graph_from_arrays(&huge[i], &g, &err), PM_EDATA);
        expect_text(&err, "expected less than");
    }
    const pm_graph_arrays no_states = {.n_vertices = 2, .state_length = 3};
    cr_assert_eq(pm_graph_from_arrays(&no_states, &g, &err), PM_EUSAGE);
    expect_text(&err, "states: 6 rows are announced");
}
