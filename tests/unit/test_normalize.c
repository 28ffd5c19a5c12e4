#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "graph/build.h"
#include "graph/weights.h"
#include "graphs.h"

typedef struct edge {
    uint32_t from, to;
    double coef[2]; /* constant, c1 */
} edge;

/* Rows 1 to n of one parameter; row 0 is the start vertex. */
static pm_graph *normalized(uint32_t n, const edge *edges, size_t n_edges, pm_status expected, pm_error *err) {
    pm_builder *b;
    pm_graph *g = NULL;
    const double one = 1, two = 2;
    cr_assert_eq(pmi_builder_new(1, 1, true, &b, NULL), PM_OK);
    pmi_builder_set_kind(b, true, true, true);
    for (int32_t i = 0; i <= (int32_t)n; i++) {
        cr_assert_eq(pmi_builder_state(b, &i, NULL, NULL), PM_OK);
    }
    for (size_t i = 0; i < n_edges; i++) {
        cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, edges[i].from, edges[i].to, edges[i].coef, NULL), PM_OK);
    }
    cr_assert_eq(pmi_builder_start(b, false, 1, &two, NULL), PM_OK);
    cr_assert_eq(pmi_builder_start(b, false, 2, &one, NULL), PM_OK);
    cr_assert_eq(pmi_builder_finish(b, &g, err), expected, "%s", err->text);
    pmi_builder_free(b);
    return g;
}

Test(normalize, weights_are_divided_by_the_sum_of_their_row) {
    /* rows 1 and 3 hold the same; row 2 has a parallel edge and a self-loop; coefficients as of the start stay apart */
    const edge edges[] = {{1, 2, {0, 3}}, {1, 4, {1, 0}}, {2, 3, {2, 0}}, {2, 3, {2, 0}},
                          {2, 2, {0, 4}}, {3, 4, {0, 3}}, {3, 1, {1, 0}}};
    pm_error err;
    pm_graph *g = normalized(4, edges, 7, PM_OK, &err);
    cr_assert_null(graph_flaw(g));
    cr_assert_eq(g->n_sums, 2u);
    cr_assert_eq(g->n_weights, 6u);
    cr_assert_eq(g->weight[0], g->weight[5]);
    cr_assert_eq(g->weight[1], g->weight[6]);
    cr_assert_eq(g->weight[2], g->weight[3]);
    const double theta[] = {1, 5};
    double values[6 * 4];
    cr_assert_eq(pmi_weights_fill(g, theta, 0, 2, 4, values, &err), PM_OK);
    const double expected[2][7] = {{0.75, 0.25, 0.25, 0.25, 0.5, 0.75, 0.25},
                                   {15.0 / 16, 1.0 / 16, 2.0 / 24, 2.0 / 24, 20.0 / 24, 15.0 / 16, 1.0 / 16}};
    for (unsigned lane = 0; lane < 4; lane++) {
        for (size_t e = 0; e < 7; e++) {
            cr_assert_eq(values[g->weight[e] * 4 + lane], expected[lane == 0 ? 0 : 1][e], "lane %u, edge %zu", lane, e);
        }
        cr_assert_eq(values[g->start_weight[0] * 4 + lane], 2);
        cr_assert_eq(values[g->start_weight[1] * 4 + lane], 1);
    }
    pm_graph_free(g);
}

Test(normalize, a_long_row_is_divided_by_its_exact_sum) {
    /* 3 and 2^20 - 1 times 2^-54, each of which a plain sum would lose: 3 + 2^-34 - 2^-54, rounded once */
    enum { MANY = (1 << 20) - 1 };
    edge *edges = malloc((MANY + 3) * sizeof *edges);
    cr_assert_not_null(edges);
    edges[0] = (edge){1, 2, {0, 3}};
    for (size_t i = 1; i <= MANY; i++) {
        edges[i] = (edge){1, 2, {ldexp(1, -54), 0}};
    }
    edges[MANY + 1] = (edge){2, 3, {1, 0}};
    edges[MANY + 2] = (edge){1, 3, {0, 0x1p-54}}; /* another weight of the same value */
    pm_error err;
    pm_graph *g = normalized(3, edges, MANY + 3, PM_OK, &err);
    double values[8], theta = 1;
    cr_assert_eq(g->n_weights, 6u);
    cr_assert_eq(pmi_weights_fill(g, &theta, 0, 1, 1, values, &err), PM_OK);
    double sum = 3 + ldexp(1, -34);
    cr_assert_eq(values[g->weight[0]], 3 / sum);
    cr_assert_eq(values[g->weight[1]], ldexp(1, -54) / sum);
    pm_graph_free(g);
    free(edges);
}

Test(normalize, zeros_stay_and_the_first_bad_row_of_theta_is_named) {
    const edge edges[] = {{1, 2, {0, 1}}, {1, 3, {0, 1}}, {2, 3, {0, 1}}};
    pm_error err;
    pm_graph *g = normalized(3, edges, 3, PM_OK, &err);
    double values[5 * 4];
    const double zero[] = {0}, bad[] = {1, 1e308, 1e-310, 1};
    cr_assert_eq(pmi_weights_fill(g, zero, 0, 1, 1, values, &err), PM_OK);
    cr_assert_eq(values[g->weight[0]], 0);
    cr_assert_eq(values[g->weight[2]], 0);
    cr_assert_eq(pmi_weights_fill(g, bad, 0, 4, 4, values, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 1: the weights out of row 1 (state [1]) add up to inf"), "%s",
                       err.text);
    cr_assert_eq(pmi_weights_fill(g, bad, 2, 1, 1, values, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 2: "), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "was_dph"), "%s", err.text);
    pm_graph_free(g);
}

Test(normalize, only_discrete_graphs) {
    pm_builder *b;
    pm_graph *g;
    pm_error err;
    const int32_t state = 1;
    const double one = 1;
    cr_assert_eq(pmi_builder_new(1, 0, false, &b, NULL), PM_OK);
    pmi_builder_set_kind(b, false, true, true);
    cr_assert_eq(pmi_builder_state(b, &state, NULL, NULL), PM_OK);
    cr_assert_eq(pmi_builder_start(b, false, 0, &one, NULL), PM_OK);
    cr_assert_eq(pmi_builder_finish(b, &g, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "was_dph is true and is_discrete false"), "%s", err.text);
    pmi_builder_free(b);
}

Test(normalize, arrays_say_it_too) {
    const int32_t states[] = {0, 1, 2};
    const uint32_t from[] = {1, 1}, to[] = {1, 2}, start = 1;
    const double weight[] = {3, 1}, one = 1;
    pm_graph_arrays arrays = {.n_vertices = 3,
                              .state_length = 1,
                              .is_discrete = true,
                              .normalize_rows = true,
                              .states = states,
                              .n_edges = 2,
                              .edge_from = from,
                              .edge_to = to,
                              .edge_weight = weight,
                              .n_starts = 1,
                              .start_to = &start,
                              .start_weight = &one};
    pm_graph *g;
    pm_error err;
    double values[4];
    cr_assert_eq(pm_graph_from_arrays(&arrays, &g, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_weights_fill(g, &one, 0, 1, 1, values, &err), PM_OK);
    cr_assert_eq(values[g->weight[0]], 0.75);
    cr_assert_eq(values[g->weight[1]], 0.25);
    pm_graph_free(g);
}
