#include <complex.h>
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "dense.h"
#include "eval/contour_nodes.h"
#include "examples/models.h"
#include "graph/weights.h"
#include "model_fixture.h"
#include "trace/complex.h"

static pm_graph *made(const char *model, int64_t a, int64_t b, int64_t c) {
    const int64_t args[PM_MODEL_MAX_ARGS] = {a, b, c, 7};
    pm_graph *graph = NULL;
    pm_error err;
    cr_assert_eq(pmi_model_make(pmi_model_find(model), args, &graph, &err), PM_OK, "%s", err.text);
    return graph;
}

/* ---- the kernel ---- */

typedef long double complex number;

/* (s - Q) x = exits, by Gaussian elimination with row exchanges. */
static number *solve_densely(const dense_chain *chain, number s) {
    size_t n = chain->n;
    number *a = calloc(n * n, sizeof *a), *x = calloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        a[i * n + i] = s + (long double)chain->exit[i];
        x[i] = (long double)chain->exit[i];
        for (size_t j = 0; j < n; j++) {
            long double w = j == i ? 0 : (long double)chain->weight[i * n + j];
            a[i * n + i] += w;
            a[i * n + j] -= w;
        }
    }
    for (size_t k = 0; k < n; k++) {
        size_t p = k;
        for (size_t i = k; i < n; i++) {
            p = cabsl(a[i * n + k]) > cabsl(a[p * n + k]) ? i : p;
        }
        for (size_t j = 0; j < n; j++) {
            number t = a[k * n + j];
            a[k * n + j] = a[p * n + j];
            a[p * n + j] = t;
        }
        number t = x[k];
        x[k] = x[p];
        x[p] = t;
        for (size_t i = k + 1; i < n; i++) {
            number f = a[i * n + k] / a[k * n + k];
            for (size_t j = k; j < n; j++) {
                a[i * n + j] -= f * a[k * n + j];
            }
            x[i] -= f * x[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t j = k + 1; j < n; j++) {
            x[k] -= a[k * n + j] * x[j];
        }
        x[k] /= a[k * n + k];
    }
    free(a);
    return x;
}

typedef struct solver {
    model_fixture model;
    const pm_complex_kernels *kernels;
    double *values, *x;
    pm_complex_factors factors;
} solver;

static double *slots(size_t n) {
    return pmi_malloc_aligned(n * PM_COMPLEX_SLOT, sizeof(double));
}

static solver solver_of(pm_graph *graph, const double *theta, pm_isa isa) {
    solver v = {.model = model_fixture_of(graph, isa), .kernels = pmi_complex_kernels_get(isa)};
    const pm_program *p = &v.model.model.program;
    pm_error err;
    v.values = calloc(graph->n_weights, sizeof *v.values);
    cr_assert_eq(pmi_weights_fill(v.model.model.analysis.graph, theta, 0, 1, 1, v.values, &err), PM_OK, "%s", err.text);
    v.x = slots(p->n);
    v.factors =
        (pm_complex_factors){.u = slots(p->largest_u + 1), .leave = slots(p->largest), .work = slots(p->largest)};
    return v;
}

static void solver_free(solver *v) {
    model_fixture_free(&v->model);
    free(v->values);
    free(v->x);
    free(v->factors.u);
    free(v->factors.leave);
    free(v->factors.work);
}

static void solve_all(solver *v, const double *s) {
    for (uint32_t c = 0; c < v->model.model.program.n_components; c++) {
        const pm_scc_view view = pmi_program_view(&v->model.model.program, c);
        v->kernels->solve(&view, v->values, s, &v->factors, v->x);
    }
}

/* Nodes around and to the left of zero, as contours have them. */
static void fill_nodes(double *s) {
    for (size_t l = 0; l < PM_NODES; l++) {
        s[l] = 2.0 - 0.75 * (double)l;
        s[PM_NODES + l] = 0.5 + 1.5 * (double)l;
    }
}

static void compare_with_dense(pm_graph *graph, const double *theta) {
    _Alignas(64) double s[PM_COMPLEX_SLOT];
    fill_nodes(s);
    dense_chain dense = dense_chain_of(graph, theta);
    solver v = solver_of(graph, theta, model_fixture_isa());
    solve_all(&v, s);
    for (size_t l = 0; l < PM_NODES; l++) {
        number *expected = solve_densely(&dense, s[l] + s[PM_NODES + l] * (number)I);
        for (size_t i = 0; i < dense.n; i++) {
            const double *slot = v.x + v.model.model.program.position[dense.row_of[i]] * (size_t)PM_COMPLEX_SLOT;
            number found = slot[l] + slot[PM_NODES + l] * (number)I;
            cr_expect_lt((double)(cabsl(found - expected[i]) / cabsl(expected[i])), 1e-13, "state %zu, node %zu", i, l);
        }
        free(expected);
    }
    dense_chain_free(&dense);
    solver_free(&v);
}

Test(contour, transforms_are_those_of_dense_elimination) {
    const double theta[] = {1.5, 0.75, 0.5, 1.25};
    compare_with_dense(made("tandem", 6, 5, 0), theta);
    compare_with_dense(made("islands", 6, 0, 0), theta);
    compare_with_dense(made("jsfs", 2, 2, 0), theta);
    compare_with_dense(made("random", 3, 12, 2), theta);
}

Test(contour, sums_over_nodes_are_those_of_complex_numbers) {
    const pm_complex_kernels *kernels = pmi_complex_kernels_get(model_fixture_isa());
    enum { N = 3, COLUMNS = PM_NODE_SUMS - 1 };
    double *x = slots(N), *factor = slots(COLUMNS), *size = slots(1), sums[N * PM_NODE_SUMS] = {0};
    for (size_t i = 0; i < N * PM_COMPLEX_SLOT; i++) {
        x[i] = cos((double)i);
    }
    for (size_t i = 0; i < COLUMNS * PM_COMPLEX_SLOT; i++) {
        factor[i] = sin(1.0 + (double)i);
    }
    for (size_t l = 0; l < PM_NODES; l++) {
        size[l] = 1.0 + (double)l;
    }
    kernels->add_up(N, x, factor, size, sums);
    for (size_t i = 0; i < N; i++) {
        const double *own = x + i * PM_COMPLEX_SLOT;
        double total = 0.0;
        for (size_t k = 0; k < COLUMNS; k++) {
            const double *c = factor + k * PM_COMPLEX_SLOT;
            double sum = 0.0;
            for (size_t l = 0; l < PM_NODES; l++) {
                sum += c[l] * own[l] - c[PM_NODES + l] * own[PM_NODES + l];
            }
            cr_expect_float_eq(sums[i * PM_NODE_SUMS + k], sum, 1e-13);
        }
        for (size_t l = 0; l < PM_NODES; l++) {
            total += size[l] * (fabs(own[l]) + fabs(own[PM_NODES + l]));
        }
        cr_expect_float_eq(sums[i * PM_NODE_SUMS + COLUMNS], total, 1e-11);
    }
    free(x);
    free(factor);
    free(size);
}

Test(contour, wider_instruction_sets_give_the_same_bits) {
    if (!model_fixture_has_isa(PM_ISA_X86_64_V4)) {
        return;
    }
    const double theta[] = {1.5, 0.75, 0.5, 1.25};
    _Alignas(64) double s[PM_COMPLEX_SLOT];
    fill_nodes(s);
    solver a = solver_of(made("tandem", 9, 8, 0), theta, PM_ISA_X86_64_V3);
    solver b = solver_of(made("tandem", 9, 8, 0), theta, PM_ISA_X86_64_V4);
    solve_all(&a, s);
    solve_all(&b, s);
    cr_expect_eq(memcmp(a.x, b.x, (size_t)a.model.model.program.n * PM_COMPLEX_SLOT * sizeof *a.x), 0);
    solver_free(&a);
    solver_free(&b);
}

/* ---- contours ---- */

/* exp(-x t) for x on a ray `angle` off the negative axis, or on a circle that touches zero. */
static double worst_error(const pm_contour *c, double angle, double radius) {
    double worst = 0.0;
    for (int k = 0; k <= 200; k++) {
        double complex pole =
            radius > 0.0 ? radius * (cexp(I * M_PI * k / 200.0) - 1.0) : -pow(10.0, -3.0 + 0.035 * k) * cexp(I * angle);
        for (int i = 0; i <= 16; i++) {
            double r = pow(c->ratio, i / 16.0);
            double complex sum = 0.0;
            for (size_t j = 0; j < c->n; j++) {
                double re, im;
                pmi_contour_weight(c, j, r, &re, &im);
                double complex w = re + im * I, s = c->s_re[j] + c->s_im[j] * I;
                sum += 0.5 * (w / (s - pole) + conj(w) / (conj(s) - pole));
            }
            worst = fmax(worst, cabs(sum - cexp(pole * r)));
        }
    }
    return worst;
}

Test(contour, hyperbolas_hold_what_lies_in_their_sector) {
    const double sectors[] = {0.0, 0.1, 0.8, 1.2, 1.4};
    for (size_t i = 0; i < 5; i++) {
        pm_contour c;
        cr_assert_eq(pmi_contour_hyperbola(sectors[i], 30.0, 33.0, &c, NULL), PM_OK);
        cr_expect_lt(worst_error(&c, sectors[i], 0.0), 2e-13, "sector %g", sectors[i]);
        cr_expect_lt(c.step_error, 1e-12);
        pmi_pool_free(&c.pool);
    }
}

Test(contour, parabolas_hold_the_disc) {
    const double rates[] = {10.0, 100.0, 1000.0};
    for (size_t i = 0; i < 3; i++) {
        pm_contour c;
        cr_assert_eq(pmi_contour_parabola(rates[i], 3.2, 33.0, &c, NULL), PM_OK);
        cr_expect_lt(worst_error(&c, 0.0, rates[i]), 1e-12, "rate %g", rates[i]);
        cr_expect_leq((double)c.n, pmi_contour_parabola_nodes(rates[i], 3.2, 33.0) + PM_NODES);
        pmi_pool_free(&c.pool);
    }
}

/* ---- densities ---- */

enum { ROWS = 9, TIMES = 5 };

typedef struct results {
    double pdf[ROWS * TIMES], cdf[ROWS * TIMES];
} results;

static pm_result evaluate(const pm_model *model, pm_request request, results *r) {
    pm_result result = {.pdf = r->pdf, .cdf = r->cdf};
    pm_error err;
    request.pdf = request.cdf = true;
    cr_assert_eq(pm_evaluate(model, &request, &result, &err), PM_OK, "%s", err.text);
    return result;
}

/* Rows of few steps, of many, and of some that oscillations keep from a first contour. */
static void fill_theta(double *theta) {
    for (size_t i = 0; i < ROWS; i++) {
        const double row[] = {1.0 + (double)i / 4.0, 0.75, 0.7, i % 3 == 0 ? 1.0 : i % 3 == 1 ? 1e-3 : 1e-5};
        memcpy(theta + i * 4, row, sizeof row);
    }
}

Test(contour, a_row_is_the_same_bits_in_every_batch) {
    double theta[ROWS * 4];
    fill_theta(theta);
    const double times[TIMES] = {0.0, 3000.0, 15.0, 400.0, 30000.0};
    model_fixture f = model_fixture_of(made("tandem", 14, 13, 0), model_fixture_isa());
    const pm_density_method methods[] = {PM_DENSITY_AUTO, PM_DENSITY_CONTOUR, PM_DENSITY_PARABOLA};
    for (size_t m = 0; m < 3; m++) {
        pm_request request = {.n_theta = ROWS, .theta = theta, .n_times = TIMES, .times = times, .method = methods[m]};
        results all, other, one;
        pm_result result = evaluate(&f.model, request, &all);
        cr_expect_gt(result.n_contour, 0);
        request.threads = 3;
        request.lanes = 4;
        evaluate(&f.model, request, &other);
        cr_expect_eq(memcmp(&all, &other, sizeof all), 0);
        for (size_t i = 0; i < ROWS; i++) {
            request.theta = theta + i * 4;
            request.n_theta = 1;
            evaluate(&f.model, request, &one);
            cr_expect_eq(memcmp(all.pdf + i * TIMES, one.pdf, TIMES * sizeof(double)), 0, "row %zu", i);
            cr_expect_eq(memcmp(all.cdf + i * TIMES, one.cdf, TIMES * sizeof(double)), 0, "row %zu", i);
        }
    }
    model_fixture_free(&f);
}

/* A cycle of k stages in which one leads out: its oscillations lie outside of the first hyperbola, which passes by them
 * without a sign. */
static pm_graph *cycle(uint32_t k) {
    uint32_t from[64], to[64];
    double weight[64], one = 1.0;
    int32_t states[64];
    uint32_t first = 1;
    for (uint32_t i = 0; i < k; i++) {
        from[i] = i + 1;
        to[i] = (i + 1) % k + 1;
        weight[i] = 1.0;
    }
    from[k] = k;
    to[k] = k + 1;
    weight[k] = 0.05;
    for (uint32_t i = 0; i < k + 2; i++) {
        states[i] = (int32_t)i;
    }
    const pm_graph_arrays arrays = {.n_vertices = k + 2,
                                    .state_length = 1,
                                    .states = states,
                                    .n_edges = k + 1,
                                    .edge_from = from,
                                    .edge_to = to,
                                    .edge_weight = weight,
                                    .n_starts = 1,
                                    .start_to = &first,
                                    .start_weight = &one};
    pm_graph *graph = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_from_arrays(&arrays, &graph, &err), PM_OK, "%s", err.text);
    return graph;
}

Test(contour, oscillations_that_a_contour_misses_are_noticed) {
    const double times[TIMES] = {5.0, 20.0, 50.0, 120.0, 300.0};
    const uint32_t lengths[] = {3, 10, 20, 50};
    for (size_t i = 0; i < 4; i++) {
        model_fixture f = model_fixture_of(cycle(lengths[i]), model_fixture_isa());
        results exact, found;
        pm_request request = {.n_theta = 1, .n_times = TIMES, .times = times, .method = PM_DENSITY_UNIFORMIZATION};
        evaluate(&f.model, request, &exact);
        request.method = PM_DENSITY_CONTOUR;
        pm_result result = evaluate(&f.model, request, &found);
        double peak = 0.0;
        for (size_t j = 0; j < TIMES; j++) {
            peak = fmax(peak, exact.pdf[j]);
        }
        for (size_t j = 0; j < TIMES; j++) {
            cr_expect_leq(fabs(found.pdf[j] - exact.pdf[j]), (result.error_bound + 1e-12) * peak);
            cr_expect_leq(fabs(found.cdf[j] - exact.cdf[j]), result.error_bound + 1e-12);
        }
        cr_expect_gt(result.nodes, 2 * 48, "%u stages", lengths[i]);
        cr_expect_eq(result.n_contour, 1);
        model_fixture_free(&f);
    }
}

Test(contour, what_cannot_be_had_is_an_error_that_says_why) {
    const double theta[] = {1.0, 0.75, 0.7, 1.0}, times[] = {1e5};
    double pdf[1];
    model_fixture f = model_fixture_of(made("tandem", 8, 7, 0), model_fixture_isa());
    pm_request request = {.n_theta = 1, .theta = theta, .n_times = 1, .times = times, .pdf = true};
    pm_result result = {.pdf = pdf};
    pm_error err;
    request.method = PM_DENSITY_CONTOUR;
    request.tolerance = 1e-14;
    cr_expect_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EDATA);
    cr_expect_not_null(strstr(err.text, "error bound of contours"), "%s", err.text);
    request.tolerance = 0;
    request.tail_accuracy = true;
    cr_expect_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EUSAGE);
    cr_expect_not_null(strstr(err.text, "tails"), "%s", err.text);
    model_fixture_free(&f);
}
