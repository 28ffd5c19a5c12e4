#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "dense.h"
#include "digraphs.h"
#include "graph/weights.h"
#include "model_fixture.h"

static const unsigned all_lanes[] = {1, 4, 8, 16};
enum { N_LANES = 4, ROWS = 16 };

/* Everything a replay by hand needs: the model, 16 rows of theta, values, factors and solutions of 16 lanes. */
typedef struct bench {
    model_fixture r;
    const pm_kernels *kernels;
    double *values, *x;
    pm_factors factors;
} bench;

static double *slots(size_t n) {
    double *array = pmi_malloc_aligned(n * ROWS, sizeof *array);
    memset(array, 0, n * ROWS * sizeof *array);
    return array;
}

static bench bench_of(pm_graph *graph, pm_isa isa) {
    bench b = {.r = model_fixture_of(graph, isa)};
    const pm_program *p = &b.r.model.program;
    b.values = slots(graph->n_weights);
    b.x = slots(p->n);
    b.factors = (pm_factors){.u = slots(p->largest_u),
                             .l = slots(p->largest_l),
                             .leave = slots(p->largest),
                             .inverse = slots(p->largest),
                             .work = slots(2 * (size_t)p->largest)};
    return b;
}

static void bench_free(bench *b) {
    model_fixture_free(&b->r);
    free(b->values);
    free(b->x);
    free(b->factors.u);
    free(b->factors.l);
    free(b->factors.leave);
    free(b->factors.inverse);
    free(b->factors.work);
}

/* Rows first..first+lanes-1 of theta into the weights. */
static void load(bench *b, unsigned lanes, const double *theta, size_t first) {
    pm_error err;
    b->kernels = pmi_kernels_get(b->r.model.isa, lanes, PM_NUMBER_DOUBLE);
    cr_assert_eq(b->kernels->lanes, lanes);
    cr_assert_eq(pmi_weights_fill(b->r.model.analysis.graph, theta, first, lanes, lanes, b->values, &err), PM_OK, "%s",
                 err.text);
    memset(b->factors.lost_pivot, 0, sizeof b->factors.lost_pivot);
}

/* rhs (n, by position, the same for all lanes) into x. */
static void set_rhs(bench *b, const double *rhs) {
    for (size_t i = 0; i < b->r.model.program.n; i++) {
        for (unsigned lane = 0; lane < b->kernels->lanes; lane++) {
            b->x[i * b->kernels->lanes + lane] = rhs[i];
        }
    }
}

typedef enum way { BY_FACTOR_SOLVE, BY_FACTOR_SOLVE_WITHOUT_L, BY_SOLVE, N_WAYS } way;

static void solve_all(bench *b, const double *rhs, way w) {
    const pm_program *p = &b->r.model.program;
    pm_factors factors = b->factors;
    factors.l = w == BY_FACTOR_SOLVE_WITHOUT_L ? NULL : factors.l;
    set_rhs(b, rhs);
    for (uint32_t c = 0; c < p->n_components; c++) {
        pm_scc_view view = pmi_program_view(p, c);
        if (w == BY_SOLVE) {
            b->kernels->factor(&view, b->values, &factors);
            b->kernels->solve(&view, b->values, &factors, b->x);
        } else {
            b->kernels->factor_solve(&view, b->values, &factors, b->x);
        }
    }
    memcpy(b->factors.lost_pivot, factors.lost_pivot, sizeof factors.lost_pivot);
}

/* rhs is a start distribution: x becomes the expected times, from the largest SCC number to the smallest. */
static void solve_transposed(bench *b, const double *rhs) {
    const pm_program *p = &b->r.model.program;
    set_rhs(b, rhs);
    for (uint32_t c = p->n_components; c-- > 0;) {
        pm_scc_view view = pmi_program_view(p, c);
        b->kernels->factor(&view, b->values, &b->factors);
        b->kernels->solve_transposed(&view, &b->factors, b->x);
        b->kernels->push_flows(view.n, view.exit_row, view.exit_to, view.exit_weight, b->values,
                               b->x + (size_t)view.first * b->kernels->lanes, b->x);
    }
}

/* All lanes of 16 rows of theta, by position and row. */
static void gather(bench *b, unsigned lanes, const double *theta, const double *rhs, int w, double *out) {
    for (size_t first = 0; first < ROWS; first += lanes) {
        load(b, lanes, theta, first);
        if (w == N_WAYS) {
            solve_transposed(b, rhs);
        } else {
            solve_all(b, rhs, (way)w);
        }
        for (size_t i = 0; i < b->r.model.program.n; i++) {
            memcpy(out + i * ROWS + first, b->x + i * lanes, lanes * sizeof *out);
        }
    }
}

/* SCCs of `size` states each, the first exiting into the second and so on, some edges doubled; rates are theta0 times a
 * draw, exits theta1 times a draw. */
static pm_graph *draw_components(pm_random *random, uint32_t size, uint32_t count, uint32_t chords) {
    uint32_t n = size * count;
    sketch s = sketch_of((size_t)n + 2, 2, false);
    for (uint32_t c = 0; c < count; c++) {
        bool *edge = size == 1 ? ring_digraph(1) : draw_strong(random, size, chords);
        for (uint32_t v = 0; v < size; v++) {
            uint32_t row = 1 + c * size + v;
            sketch_start(&s, row, 1.0 / n);
            for (uint32_t w = 0; w < size; w++) {
                double coef[] = {draw_rate(random, 1), 0};
                if (v != w && edge[v * size + w]) {
                    sketch_param(&s, row, 1 + c * size + w, coef);
                    for (uint32_t again = draw_below(random, 8); again > 5; again--) {
                        sketch_param(&s, row, 1 + c * size + w, coef);
                    }
                }
            }
            double exit[] = {0, draw_rate(random, 1)};
            if (v == 0 || draw_below(random, 3) == 0) {
                bool last = c + 1 == count || draw_below(random, 4) == 0;
                sketch_param(&s, row, last ? n + 1 : 1 + (c + 1) * size + draw_below(random, size), exit);
            }
        }
        free(edge);
    }
    return sketch_finish(&s);
}

static double *draw_theta(pm_random *random) {
    double *theta = pmi_malloc(2 * ROWS, sizeof *theta);
    for (size_t i = 0; i < 2 * ROWS; i++) {
        theta[i] = draw_rate(random, 1);
    }
    return theta;
}

static double *draw_rhs(pm_random *random, uint32_t n) {
    double *rhs = pmi_malloc(n, sizeof *rhs);
    for (uint32_t i = 0; i < n; i++) {
        rhs[i] = draw_below(random, 4) == 0 ? 0 : draw_rate(random, 1);
    }
    return rhs;
}

/* The transposed chain: who went from i to j goes from j to i; outflows are those of the original. */
static quad *reference(const pm_graph *g, const pm_program *p, const double *theta, const double *rhs,
                       bool transposed) {
    dense_chain c = dense_chain_of(g, theta);
    quad *x = pmi_calloc(p->n, sizeof *x), *out = pmi_calloc(p->n, sizeof *out);
    cr_assert_eq(c.n, p->n);
    if (!transposed) {
        for (uint32_t i = 0; i < c.n; i++) {
            x[i] = rhs[p->position[c.row_of[i]]];
        }
        dense_solve_stiff(&c, x);
        for (uint32_t i = 0; i < c.n; i++) {
            out[p->position[c.row_of[i]]] = x[i];
        }
    } else {
        dense_solve_transposed(&c, rhs, p->position, out);
    }
    free(x);
    dense_chain_free(&c);
    return out;
}

static void check_against_reference(const bench *b, const double *theta, const double *rhs, bool transposed,
                                    const double *found) {
    const pm_program *p = &b->r.model.program;
    for (size_t row = 0; row < ROWS; row += 5) {
        quad *expected = reference(b->r.model.analysis.graph, p, theta + 2 * row, rhs, transposed);
        for (uint32_t i = 0; i < p->n; i++) {
            double value = found[i * ROWS + row];
            cr_assert(dense_near(value, expected[i], expected[i], 1e-13), "row %zu, position %u: %.17g, expected %.17g",
                      row, i, value, (double)expected[i]);
        }
        free(expected);
    }
}

/* Every way of solving, all lanes, one instruction set. `bits` holds the results of the first that ran (16 lanes of
 * each way), NULL before. */
static void check_isa(pm_random random, uint32_t size, uint32_t count, uint32_t chords, pm_isa isa, double **bits) {
    bench b = bench_of(draw_components(&random, size, count, chords), isa);
    uint32_t n = b.r.model.program.n;
    double *theta = draw_theta(&random), *rhs = draw_rhs(&random, n);
    size_t width = (size_t)n * ROWS;
    double *found = pmi_calloc((N_WAYS + 1) * width, sizeof *found), *other = pmi_calloc(width, sizeof *other);
    for (int w = 0; w <= N_WAYS; w++) {
        double *wide = found + (size_t)w * width;
        gather(&b, 16, theta, rhs, w, wide);
        check_against_reference(&b, theta, rhs, w == N_WAYS, wide);
        for (size_t l = 0; l < N_LANES; l++) {
            gather(&b, all_lanes[l], theta, rhs, w, other);
            cr_assert_arr_eq(other, wide, width * sizeof *wide, "%s, %u lanes, way %d, %u states", pmi_isa_name(isa),
                             all_lanes[l], w, size);
        }
    }
    for (unsigned lane = 0; lane < 16; lane++) {
        cr_assert_eq(b.factors.lost_pivot[lane], 0);
    }
    if (*bits != NULL) {
        cr_assert_arr_eq(found, *bits, (N_WAYS + 1) * width * sizeof *found, "%s differs", pmi_isa_name(isa));
        free(found);
    } else {
        *bits = found;
    }
    free(other);
    free(theta);
    free(rhs);
    bench_free(&b);
}

/* x86-64-v2 has no fused multiply-add; all others do, and agree bit for bit. */
static void check_all_isas(const pm_random *random, uint32_t size, uint32_t count, uint32_t chords) {
    double *fused = NULL, *plain = NULL;
    for (int isa = 0; isa < PM_ISA_COUNT; isa++) {
        if (model_fixture_has_isa((pm_isa)isa)) {
            check_isa(*random, size, count, chords, (pm_isa)isa, isa == PM_ISA_X86_64_V2 ? &plain : &fused);
        }
    }
    free(fused);
    free(plain);
}

Test(kernels, sparse_sccs) {
    for (uint64_t seed = 0; seed < 25; seed++) {
        pm_random random = {.state = 90 + seed};
        uint32_t size = 1 + draw_below(&random, 12), count = 1 + draw_below(&random, 4);
        check_all_isas(&random, size, count, draw_below(&random, 3 * size));
    }
}

/* Rows of 8 entries and more, chains of 4 and more: where kernels take several rows at once. */
Test(kernels, dense_sccs) {
    for (uint64_t seed = 0; seed < 12; seed++) {
        pm_random random = {.state = 190 + seed};
        uint32_t size = 20 + draw_below(&random, 40);
        check_all_isas(&random, size, 1 + (seed % 2 == 0), size * (1 + draw_below(&random, 6)));
    }
}

/* ---- pivots that are zero or not finite ---- */

/* SCC {1, 2} with an exit of 1 by theta0, of 2 by theta1. */
static pm_graph *two_states(void) {
    static const double first[] = {1, 0}, second[] = {0, 1};
    sketch s = sketch_of(4, 2, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 2, 1, 1);
    sketch_param(&s, 1, 3, first);
    sketch_param(&s, 2, 3, second);
    return sketch_finish(&s);
}

Test(kernels, lost_pivots_are_noted_by_lane) {
    double theta[2 * ROWS], rhs[] = {1, 1};
    for (int isa = 0; isa < PM_ISA_COUNT; isa++) {
        if (!model_fixture_has_isa((pm_isa)isa)) {
            continue;
        }
        bench b = bench_of(two_states(), (pm_isa)isa);
        for (size_t l = 0; l < N_LANES; l++) {
            unsigned lanes = all_lanes[l];
            for (unsigned bad = 0; bad < lanes; bad++) {
                for (size_t row = 0; row < lanes; row++) {
                    theta[2 * row] = row == bad ? 0 : 1;
                    theta[2 * row + 1] = row == bad ? 0 : 2;
                }
                load(&b, lanes, theta, 0);
                solve_all(&b, rhs, BY_FACTOR_SOLVE);
                for (unsigned lane = 0; lane < 16; lane++) {
                    cr_assert_eq(b.factors.lost_pivot[lane] != 0, lane == bad, "%u lanes, lane %u", lanes, lane);
                }
                for (unsigned lane = 0; lane < lanes; lane++) {
                    /* x1 = (1 + x2)/2, x2 = (1 + x1)/3: 4/5 and 3/5 */
                    double sum = b.x[lane] + b.x[lanes + lane];
                    cr_assert(lane == bad ? isfinite(sum) : fabs(sum - 1.4) < 1e-15, "lane %u: %g", lane, sum);
                }
            }
        }
        bench_free(&b);
    }
}

Test(kernels, an_infinite_pivot_is_lost) {
    static const double theta[] = {1, 2, 1.5e308, 1.5e308, 1, 2, 1, 2}, one = 1;
    sketch s = sketch_of(3, 2, false);
    sketch_start(&s, 1, 1);
    for (int i = 0; i < 2; i++) {
        sketch_param(&s, 1, 2, (const double[]){one, 0});
    }
    bench b = bench_of(sketch_finish(&s), model_fixture_isa());
    load(&b, 4, theta, 0);
    solve_all(&b, &one, BY_FACTOR_SOLVE);
    cr_assert_eq(b.x[0], 0.5);
    cr_assert_eq(b.x[1], 0);
    cr_assert_eq(b.x[2], 0.5);
    cr_assert(b.factors.lost_pivot[0] == 0 && b.factors.lost_pivot[1] != 0 && b.factors.lost_pivot[2] == 0);
    bench_free(&b);
}

/* ---- the small ones ---- */

Test(kernels, sums_and_scales) {
    static const size_t row[] = {0, 2, 2, 3};
    static const uint32_t weight[] = {1, 2, 0}, to[] = {2, 1, 0};
    static const double factor[] = {2, 3, 5};
    for (int isa = 0; isa < PM_ISA_COUNT; isa++) {
        for (size_t l = 0; model_fixture_has_isa((pm_isa)isa) && l < N_LANES; l++) {
            unsigned lanes = all_lanes[l];
            const pm_kernels *k = pmi_kernels_get((pm_isa)isa, lanes, PM_NUMBER_DOUBLE);
            double *values = slots(3), *x = slots(3), *y = slots(3);
            for (unsigned lane = 0; lane < lanes; lane++) {
                for (unsigned i = 0; i < 3; i++) {
                    values[i * lanes + lane] = 10.0 * i + lane + 1;
                    x[i * lanes + lane] = i + 1 + 2.0 * lane;
                    y[i * lanes + lane] = 100 * i;
                }
            }
            k->add_weights(3, row, weight, values, y);
            for (unsigned lane = 0; lane < lanes; lane++) {
                cr_assert_eq(y[lane], 32.0 + 2 * lane);
                cr_assert_eq(y[lanes + lane], 100);
                cr_assert_eq(y[2 * lanes + lane], 201.0 + lane);
            }
            k->set_scaled(3, factor, NULL, NULL, y);
            k->add_flows(3, row, to, weight, values, x, y);
            for (unsigned lane = 0; lane < lanes; lane++) {
                double d = lane;
                cr_assert_eq(y[lane], 2 + (11 + d) * (3 + 2 * d) + (21 + d) * (2 + 2 * d));
                cr_assert_eq(y[lanes + lane], 3);
                cr_assert_eq(y[2 * lanes + lane], 5 + (1 + d) * (1 + 2 * d));
            }
            k->set_scaled(3, factor, NULL, x, y);
            k->add_scaled(3, factor, NULL, NULL, y);
            k->add_scaled(3, factor, NULL, x, y);
            k->scale(3, x, y);
            for (unsigned lane = 0; lane < lanes; lane++) {
                for (unsigned i = 0; i < 3; i++) {
                    double value = i + 1 + 2.0 * lane;
                    cr_assert_eq(y[i * lanes + lane], factor[i] * (2 * value + 1) * value);
                }
            }
            memset(y, 0, 3 * lanes * sizeof *y);
            k->push_flows(3, row, to, weight, values, x, y);
            for (unsigned lane = 0; lane < lanes; lane++) {
                double d = lane;
                cr_assert_eq(y[2 * lanes + lane], (11 + d) * (1 + 2 * d));
                cr_assert_eq(y[lanes + lane], (21 + d) * (1 + 2 * d));
                cr_assert_eq(y[lane], (1 + d) * (3 + 2 * d));
            }
            free(values);
            free(x);
            free(y);
        }
    }
}

Test(kernels, there_are_none_for_other_lanes) {
    cr_assert_null(pmi_kernels_get(model_fixture_isa(), 2, PM_NUMBER_DOUBLE));
    cr_assert_null(pmi_kernels_get(model_fixture_isa(), 0, PM_NUMBER_DOUBLE));
    cr_assert_null(pmi_kernels_get(PM_ISA_COUNT, 4, PM_NUMBER_DOUBLE));
}
