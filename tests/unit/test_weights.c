#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "graph/build.h"
#include "graph/exact.h"
#include "graph/weights.h"

/* One state with `n` edges to an absorbing one; P = 3. */
static pm_graph *edges_of(const double (*coef)[4], size_t n) {
    pm_builder *b;
    pm_graph *g;
    const int32_t states[] = {0, 7, 8};
    const double one = 1;
    cr_assert_eq(pmi_builder_new(1, 3, false, &b, NULL), PM_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pmi_builder_state(b, &states[i], NULL, NULL), PM_OK);
    }
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, 1, 2, coef[i], NULL), PM_OK);
    }
    cr_assert_eq(pmi_builder_start(b, false, 1, &one, NULL), PM_OK);
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    pmi_builder_free(b);
    return g;
}

Test(weights, the_dot_product_survives_cancellation) {
    /* exact: 1 + 1e16 * 1 - 1e16 * 1 + 3 * (1/3 rounded); a plain sum gives 0 or 2 before the last term */
    const double coef[1][4] = {{1, 1e16, -1e16, 3}};
    pm_graph *g = edges_of(coef, 1);
    const double theta[] = {1, 1, 1.0 / 3.0};
    cr_assert_eq(pmi_graph_weight(g, 0, theta), 2.0);
    const double small[] = {1, 1, 1e-17};
    cr_assert_eq(pmi_graph_weight(g, 0, small), 1.0);
    pm_graph_free(g);
}

Test(weights, a_difference_of_products_is_exact) {
    /* a*b - c*d with a*b = c*d but for the last bits: (1+e)(1-e) - 1 = -e^2 */
    const double e = ldexp(1.0, -30);
    const double coef[1][4] = {{0, -1 - e, 1, 0}};
    pm_graph *g = edges_of(coef, 1);
    const double theta[] = {1 - e, 1, 0};
    cr_assert_eq(pmi_graph_weight(g, 0, theta), e * e);
    pm_graph_free(g);
}

/* Exact rationals (Python's fractions): what is left is 2e-26 and 1e-41 of the terms. */
Test(weights, sums_that_cancel_almost_wholly_are_exact) {
    const double coef[1][4] = {{0, 1, -1, 1e-30}};
    pm_graph *g = edges_of(coef, 1);
    const double theta[] = {1e10, 1e10, 1.0};
    cr_assert_eq(pmi_graph_weight(g, 0, theta), 1e-30);
    pm_graph_free(g);
    const double found[] = {0.0, 78097.20305595295, -57366.55610275293, 3805.4843012661377, 1.737087233075696e-13};
    const double point[] = {1.011895750142515, 1.4846259057897564, 1.6138937805391058, 0.9939842122325212};
    double high, low;
    pmi_exact_dot(found, 4, point, &high, &low);
    cr_assert_eq(high, 6.379659366846665e-30);
    cr_assert(fabs(low) <= 0x1p-53 * high);
}

Test(weights, sums_may_be_of_any_size) {
    const struct {
        double coef[4], x[3], high, low;
    } cases[] = {
        {{0, 1, -1, 1e-20}, {1e300, 1e300, 1}, 1e-20, 0},
        {{0, 1, -1, 5e-324}, {1.7e308, 1.7e308, 1}, 5e-324, 0},
        {{-1, 1.5, 1, 0}, {1, 0x1p-1000, 1}, 0.5, 0x1p-1000},
        {{0, 5e-324, -1, 1}, {5e-324, 3, 3}, 0, 0}, /* 2^-2148 */
        {{1, 0x1p-53, 0x1p-106, 0}, {1, 1, 1}, 1 + 0x1p-52, -0x1p-53 + 0x1p-106},
        {{1, 0x1p-53, 0, 0}, {1, 1, 1}, 1, 0x1p-53},
        {{1 + 0x1p-52, 0x1p-53, 0, 0}, {1, 1, 1}, 1 + 0x1p-51, -0x1p-53},
        {{-1, -0x1p-53, -0x1p-1074, 0}, {1, 1, 1}, -1 - 0x1p-52, 0x1p-53},
        {{0x1p1023, 0x1p1023, 0, 0}, {1, 1, 1}, HUGE_VAL, 0},
        {{0x1p1023, -0x1p1023, 0, 0}, {1, 1, 1}, 0, 0},
        {{0, 0x1p1023, -0x1p1023, 3}, {0x1p1023, 0x1p1023, 1}, 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double high, low;
        pmi_exact_dot(cases[i].coef, 3, cases[i].x, &high, &low);
        cr_expect_eq(high, cases[i].high, "case %zu: %.17g", i, high);
        cr_expect_eq(low, cases[i].low, "case %zu: %.17g", i, low);
    }
    const double smallest[] = {0, 5e-324, 1, -1}, x[] = {5e-324, 3, 3};
    pm_wide w = pmi_exact_dot_wide(smallest, 3, x);
    cr_expect(w.lo == 0 && log2(w.hi) + 512 * w.limb == -2148);
    cr_expect_eq(pmi_exact_dot_wide((const double[]){1, -1}, 1, (const double[]){1}).hi, 0);
}

static uint64_t draw(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + 1;
    return *state >> 33;
}

/* Terms of all sizes, and their negatives in another order: what is left is the constant, whatever was put together on
 * the way. */
Test(weights, sums_of_more_parts_than_are_kept_are_exact) {
    enum { TERMS = 500 };
    static double coef[1 + 2 * TERMS], x[2 * TERMS];
    uint64_t state = 1;
    for (int trial = 0; trial < 200; trial++) {
        double want = ldexp(1.0 + (double)(draw(&state) % 1000) / 1024.0, -(int)(draw(&state) % 880));
        coef[0] = trial % 2 == 0 ? want : -want;
        for (size_t k = 0; k < TERMS; k++) {
            double mantissa = 1.0 + ldexp((double)draw(&state), -31) + 0x1p-52;
            int size = (int)(draw(&state) % 780); /* the last bits of the product are 104 below it */
            coef[1 + k] = ldexp(draw(&state) % 2 == 0 ? mantissa : -mantissa, -size);
            x[k] = trial % 2 == 0 ? 1.0 + ldexp((double)draw(&state), -31) + 0x1p-52 : 1.0;
            coef[1 + TERMS + k] = -coef[1 + k];
            x[TERMS + k] = x[k];
        }
        for (size_t k = TERMS; k > 1; k--) {
            size_t a = TERMS + draw(&state) % k, b = TERMS + k - 1;
            double c = coef[1 + a], y = x[a];
            coef[1 + a] = coef[1 + b];
            x[a] = x[b];
            coef[1 + b] = c;
            x[b] = y;
        }
        double high, low;
        pmi_exact_dot(coef, 2 * TERMS, x, &high, &low);
        cr_assert_eq(high, coef[0], "trial %d: %.17g, expected %.17g", trial, high, coef[0]);
        cr_assert_eq(low, 0.0);
    }
}

Test(weights, lanes_beyond_the_batch_repeat_the_last_row) {
    const double coef[2][4] = {{0.5, 1, 0, 0}, {0, 0, 2, 1}};
    pm_graph *g = edges_of(coef, 2);
    const double theta[] = {9, 9, 9, 1, 2, 3, 4, 5, 6};
    double values[3 * 4];
    cr_assert_eq(g->n_weights, 3);
    cr_assert_eq(pmi_weights_fill(g, theta, 1, 2, 4, values, NULL), PM_OK);
    const double expected[] = {1.5, 4.5, 4.5, 4.5, 7, 16, 16, 16, 1, 1, 1, 1};
    cr_assert_arr_eq(values, expected, sizeof expected);
    pm_graph_free(g);
}

Test(weights, the_first_bad_row_of_theta_is_named_with_its_edge) {
    const double coef[2][4] = {{0, 1, 0, 0}, {0, 1, -2, 0}};
    pm_graph *g = edges_of(coef, 2);
    /* row 2 breaks the first weight, row 1 the second: row 1 comes first */
    const double theta[] = {1, 0.25, 0, 1, 0.75, 0, -1, -1, 0};
    double values[3 * 4];
    pm_error err;
    cr_assert_eq(pmi_weights_fill(g, theta, 0, 3, 4, values, &err), PM_EDATA);
    cr_assert_str_eq(err.text,
                     "theta row 1: edge from row 1 (state [7]) to row 2: weight -0.5 is negative (constant 0, "
                     "coefficients [1, -2, 0], theta [1, 0.75, 0])");
    const double huge[] = {1e308, -1e308, 0};
    cr_assert_eq(pmi_weights_fill(g, huge, 0, 1, 4, values, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "weight inf is not finite"), "%s", err.text);
    pm_graph_free(g);
}

Test(weights, rows_of_zeros_are_known) {
    const double coef[2][4] = {{0, -0.0, 0, 0}, {0, 0, 1, 0}};
    pm_graph *g = edges_of(coef, 2);
    cr_assert(pmi_graph_weight_is_zero(g, 0));
    cr_assert_not(pmi_graph_weight_is_zero(g, 1));
    pm_graph_free(g);
}

/* 100 parameters, a start distribution and an edge that depend on them: what only starts use is judged elsewhere. */
Test(weights, long_rows_are_cut_and_starts_left_alone) {
    enum { P = 100 };
    double coef[1 + P] = {0}, start[1 + P] = {0}, theta[P], ones[P], values[8];
    pm_builder *b;
    pm_graph *g;
    pm_error err;
    for (int k = 0; k < P; k++) {
        coef[1 + k] = 0.125;
        start[1 + k] = -1.0;
        theta[k] = -1.0;
        ones[k] = 1.0;
    }
    const int32_t state = 4;
    cr_assert_eq(pmi_builder_new(1, P, false, &b, NULL), PM_OK);
    cr_assert_eq(pmi_builder_state(b, &state, NULL, NULL), PM_OK);
    cr_assert_eq(pmi_builder_state(b, &state, NULL, NULL), PM_OK);
    cr_assert_eq(pmi_builder_start(b, true, 0, start, NULL), PM_OK);
    cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, 0, 1, coef, NULL), PM_OK);
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    cr_assert_eq(pmi_weights_fill(g, theta, 0, 1, 4, values, &err), PM_EDATA);
    cr_assert_not_null(
        strstr(err.text, "theta row 0: edge from row 0 (state [4]) to row 1: weight -12.5 is negative (constant 0, "
                         "coefficients [0.125, 0.125, "),
        "%s", err.text);
    cr_assert_not_null(strstr(err.text, "0.125, ...], theta [-1, -1, "), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "-1, ...])"), "%s", err.text);
    cr_assert_eq(pmi_weights_fill(g, theta, 0, 5, 4, values, &err), PM_ESOFTWARE);
    cr_assert_eq(pmi_weights_fill(g, ones, 0, 1, 4, values, &err), PM_OK);
    pm_graph_free(g);
    pmi_builder_free(b);
}
