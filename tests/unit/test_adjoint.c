/* Vector-Jacobian products of densities against Jacobians, and their second derivatives against closed forms and
 * differences. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "examples/models.h"
#include "model_fixture.h"

enum { MOST_PARAMS = 4 };

typedef struct batch {
    model_fixture fixture;
    size_t n_params, n_theta, n_times;
    double *theta, *times;
    double *pdf, *cdf, *survival, *atom; /* cotangents */
} batch;

static double *numbers(size_t n) {
    double *made = calloc(n, sizeof *made);
    cr_assert_not_null(made);
    return made;
}

static double draw(pm_random *random) {
    return 2 * ((double)(pmi_random_next(random) >> 11) * 0x1p-53) - 1;
}

static batch batch_of(pm_graph *g, size_t n_theta, size_t n_times, double step) {
    batch b = {.n_params = pm_graph_n_params(g), .n_theta = n_theta, .n_times = n_times};
    pm_random random = {.state = 7};
    b.fixture = model_fixture_of(g, model_fixture_isa());
    b.theta = numbers(n_theta * b.n_params);
    b.times = numbers(n_times);
    double **cotangents[] = {&b.pdf, &b.cdf, &b.survival, &b.atom};
    for (size_t i = 0; i < n_theta * b.n_params; i++) {
        b.theta[i] = exp(draw(&random));
    }
    for (size_t t = 0; t < n_times; t++) {
        b.times[t] = step * (double)t;
    }
    for (size_t i = 0; i < 4; i++) {
        size_t n = i == 3 ? n_theta : n_theta * n_times;
        *cotangents[i] = numbers(n);
        for (size_t k = 0; k < n; k++) {
            (*cotangents[i])[k] = draw(&random);
        }
    }
    return b;
}

static void drop(batch *b) {
    free(b->theta);
    free(b->times);
    free(b->pdf);
    free(b->cdf);
    free(b->survival);
    free(b->atom);
    model_fixture_free(&b->fixture);
}

static pm_request request_of(const batch *b, const pm_cotangents *cotangents) {
    return (pm_request){.n_theta = b->n_theta,
                        .theta = b->theta,
                        .n_times = b->n_times,
                        .times = b->times,
                        .cotangents = cotangents,
                        .threads = 1};
}

static void run(const batch *b, const pm_request *request, pm_result *result) {
    pm_error err;
    cr_assert_eq(pm_evaluate(&b->fixture.model, request, result, &err), PM_OK, "%s", err.text);
}

static pm_cotangents cotangents_of(const batch *b) {
    return (pm_cotangents){.pdf = b->pdf, .cdf = b->cdf, .survival = b->survival};
}

/* What the Jacobians give, and the largest sum of absolute terms of a parameter, each times its theta. */
static void contract(const batch *b, double *sum, double *size) {
    size_t n = b->n_theta * b->n_times, np = n * b->n_params;
    double *values = numbers(3 * n), *slopes = numbers(3 * np);
    pm_request r = request_of(b, NULL);
    r.pdf = r.cdf = r.tail_accuracy = r.gradient = true;
    pm_result out = {.pdf = values,
                     .cdf = values + n,
                     .survival = values + 2 * n,
                     .pdf_gradient = slopes,
                     .cdf_gradient = slopes + np,
                     .survival_gradient = slopes + 2 * np};
    run(b, &r, &out);
    for (size_t i = 0; i < b->n_theta * b->n_params; i++) {
        size_t row = i / b->n_params, p = i % b->n_params;
        sum[i] = size[i] = 0;
        for (size_t t = 0; t < b->n_times; t++) {
            size_t at = row * b->n_times + t;
            const double terms[] = {b->pdf[at] * out.pdf_gradient[at * b->n_params + p],
                                    b->cdf[at] * out.cdf_gradient[at * b->n_params + p],
                                    b->survival[at] * out.survival_gradient[at * b->n_params + p]};
            for (size_t k = 0; k < 3; k++) {
                sum[i] += terms[k];
                size[i] += fabs(terms[k]);
            }
        }
    }
    for (size_t i = 0; i < b->n_theta * b->n_params; i += b->n_params) {
        double most = 0;
        for (size_t p = 0; p < b->n_params; p++) {
            most = fmax(most, size[i + p] * b->theta[i + p]);
        }
        for (size_t p = 0; p < b->n_params; p++) {
            size[i + p] = most / b->theta[i + p];
        }
    }
    free(values);
    free(slopes);
}

static pm_graph *example(const char *name, const int64_t *args) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pmi_model_find(name)->make(args, &g, &err), PM_OK, "%s", err.text);
    return g;
}

static void check_within(size_t memory, pm_graph *g, size_t n_theta, size_t n_times, double step) {
    batch b = batch_of(g, n_theta, n_times, step);
    size_t n = n_theta * b.n_params;
    double *vjp = numbers(n), *again = numbers(n), *want = numbers(n), *size = numbers(n);
    pm_cotangents cotangents = cotangents_of(&b);
    pm_request r = request_of(&b, &cotangents);
    pm_result out = {.vjp = vjp};
    b.fixture.model.memory = memory;
    run(&b, &r, &out);
    contract(&b, want, size);
    for (size_t i = 0; i < n; i++) {
        cr_assert(fabs(vjp[i] - want[i]) <= 1e-12 * size[i] + 1e-24,
                  "row %zu, parameter %zu: %.17g, expected %.17g (of %g)", i / b.n_params, i % b.n_params, vjp[i],
                  want[i], size[i]);
    }
    const unsigned lanes[] = {1, 4, 8, 16};
    for (size_t i = 0; i < 4; i++) {
        r.lanes = lanes[i];
        r.threads = 2;
        out.vjp = again;
        run(&b, &r, &out);
        cr_assert_eq(memcmp(vjp, again, n * sizeof *vjp), 0, "%u lanes", lanes[i]);
    }
    free(vjp);
    free(again);
    free(want);
    free(size);
    drop(&b);
}

static void check_against_jacobian(pm_graph *g, size_t n_theta, size_t n_times, double step) {
    check_within((size_t)1 << 30, g, n_theta, n_times, step);
}

Test(adjoint, is_the_jacobian_contracted) {
    check_against_jacobian(example("kingman", (int64_t[PM_MODEL_MAX_ARGS]){10}), 21, 30, 0.1);
    check_against_jacobian(example("islands", (int64_t[PM_MODEL_MAX_ARGS]){8, 4}), 21, 30, 0.1);
    check_against_jacobian(example("rabbits", (int64_t[PM_MODEL_MAX_ARGS]){12}), 21, 30, 0.1);
    check_against_jacobian(example("tandem", (int64_t[PM_MODEL_MAX_ARGS]){6, 6}), 21, 30, 0.2);
    check_against_jacobian(example("two-locus-arg", (int64_t[PM_MODEL_MAX_ARGS]){4}), 21, 30, 0.2);
}

/* exp(-theta t) theta: L = pdf' pdf + survival' survival. */
static const char one_step[] =
    "{\"states\": [[0], [1], [2]], \"edges\": [], \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, 2, 1]], "
    "\"start_param_edges\": [], \"param_length\": 1, \"state_length\": 1, \"n_vertices\": 3}";

static pm_graph *parse(const char *json) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(json, strlen(json), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s",
                 err.text);
    return g;
}

Test(adjoint, second_derivatives_of_an_exponential) {
    batch b = batch_of(parse(one_step), 9, 5, 0.6);
    double vjp[9], hessian[9];
    pm_cotangents cotangents = cotangents_of(&b);
    pm_request r = request_of(&b, &cotangents);
    pm_result out = {.vjp = vjp, .vjp_hessian = hessian};
    run(&b, &r, &out);
    for (size_t row = 0; row < b.n_theta; row++) {
        double first = 0, second = 0, size = 0;
        for (size_t t = 0; t < b.n_times; t++) {
            double x = b.times[t], e = exp(-b.theta[row] * x), of_pdf = b.pdf[row * b.n_times + t];
            double of_survival = b.survival[row * b.n_times + t] - b.cdf[row * b.n_times + t];
            first += of_pdf * (1 - b.theta[row] * x) * e - of_survival * x * e;
            second += of_pdf * x * (b.theta[row] * x - 2) * e + of_survival * x * x * e;
            size += (1 + 2 * x + (1 + b.theta[row]) * x * x) * e;
        }
        cr_assert(fabs(vjp[row] - first) <= 1e-13 * size, "%.17g, expected %.17g", vjp[row], first);
        cr_assert(fabs(hessian[row] - second) <= 1e-13 * size, "%.17g, expected %.17g", hessian[row], second);
    }
    drop(&b);
}

/* Against central differences of first derivatives, which know it to some seven digits. */
static void check_second(pm_graph *g, double step) {
    enum { B = 6 };
    batch b = batch_of(g, B, 8, step);
    size_t n = b.n_params;
    double *hessian = numbers(B * n * n), *vjp = numbers(B * n), *above = numbers(B * n), *below = numbers(B * n);
    pm_cotangents cotangents = cotangents_of(&b);
    cotangents.atom = b.atom;
    pm_request r = request_of(&b, &cotangents);
    run(&b, &r, &(pm_result){.vjp = vjp, .vjp_hessian = hessian});
    for (size_t p = 0; p < n; p++) {
        const double h = 1e-5;
        double *theta = numbers(B * n);
        for (size_t side = 0; side < 2; side++) {
            memcpy(theta, b.theta, B * n * sizeof *theta);
            for (size_t row = 0; row < B; row++) {
                theta[row * n + p] *= side == 0 ? 1 + h : 1 - h;
            }
            r.theta = theta;
            run(&b, &r, &(pm_result){.vjp = side == 0 ? above : below});
        }
        for (size_t i = 0; i < B * n; i++) {
            double want = (above[i] - below[i]) / (2 * h * b.theta[i / n * n + p]), size = 0;
            double found = hessian[(i / n * n + p) * n + i % n];
            for (size_t k = 0; k < n * n; k++) {
                size = fmax(size, fabs(hessian[i / n * n * n + k]));
            }
            cr_assert(fabs(found - want) <= 2e-6 * size, "row %zu, parameters %zu, %zu: %.12g, expected %.12g", i / n,
                      p, i % n, found, want);
        }
        free(theta);
    }
    free(hessian);
    free(vjp);
    free(above);
    free(below);
    drop(&b);
}

Test(adjoint, second_derivatives) {
    check_second(example("islands", (int64_t[PM_MODEL_MAX_ARGS]){8, 4}), 0.2);
    check_second(example("rabbits", (int64_t[PM_MODEL_MAX_ARGS]){6}), 0.2);
    check_second(example("two-locus-arg", (int64_t[PM_MODEL_MAX_ARGS]){3}), 0.3);
}

/* States in turn, an atom, a start that depends on theta; rows of two states are normalized. */
static const char normalized[] =
    "{\"states\": [[0], [1], [2], [3]], \"edges\": [[1, 1, 0.5]], \"start_edges\": [[1, 0.3]], \"param_edges\": [[1, "
    "2, "
    "1, 0], [1, 3, 0.5, 2], [2, 1, 0, 1], [2, 3, 1, 1], [2, 2, 0.3, 0.7]], \"start_param_edges\": [[2, 0.5, 0], [3, 0, "
    "0.25]], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 4, \"is_discrete\": true, \"was_dph\": true}";

Test(adjoint, normalized_rows) {
    check_against_jacobian(parse(normalized), 9, 12, 1);
    check_second(parse(normalized), 1);
}

Test(adjoint, more_steps_than_doubles_are_taken_for) {
    check_against_jacobian(example("kingman", (int64_t[PM_MODEL_MAX_ARGS]){40}), 2, 3, 300);
}

Test(adjoint, fewer_vectors_than_steps) {
    check_within(5000000, example("erlang", (int64_t[PM_MODEL_MAX_ARGS]){1000}), 3, 5, 400);
    check_within(20000000, example("tandem", (int64_t[PM_MODEL_MAX_ARGS]){12, 12}), 9, 5, 30);
}

/* Whole times that no integer holds are refused. */
Test(adjoint, steps_without_end) {
    model_fixture f = model_fixture_of(parse(normalized), model_fixture_isa());
    const double theta[] = {1, 2}, times[] = {1e20, 1e308}, ones[] = {1, 1};
    double vjp[2], pdf[2];
    pm_error err;
    for (size_t i = 0; i < 2; i++) {
        pm_cotangents cotangents = {.pdf = ones};
        pm_request r = {
            .n_theta = 1, .theta = theta, .n_times = 1, .times = times + i, .cotangents = &cotangents, .threads = 1};
        cr_assert_eq(pm_evaluate(&f.model, &r, &(pm_result){.vjp = vjp}, &err), PM_EDATA);
        cr_assert_not_null(strstr(err.text, "theta row 0: the derivatives of its densities"), "%s", err.text);
        r.cotangents = NULL;
        r.pdf = true;
        cr_assert_eq(pm_evaluate(&f.model, &r, &(pm_result){.pdf = pdf}, &err), PM_OK, "%s", err.text);
        cr_assert_eq(pdf[0], 0);
    }
    model_fixture_free(&f);
}

/* Where no rate is above zero, the density still grows with one. */
Test(adjoint, no_rates) {
    pm_model_options options;
    pm_graph *g = parse(one_step);
    pm_model *model;
    pm_error err;
    const double theta = 0, time = 3, one = 1;
    double vjp;
    pm_model_options_default(&options);
    options.use_cache = false;
    options.defective = true;
    cr_assert_eq(pm_model_new(g, &options, &model, NULL, &err), PM_OK, "%s", err.text);
    pm_cotangents cotangents = {.pdf = &one};
    pm_request r = {
        .n_theta = 1, .theta = &theta, .n_times = 1, .times = &time, .cotangents = &cotangents, .threads = 1};
    cr_assert_eq(pm_evaluate(model, &r, &(pm_result){.vjp = &vjp}, &err), PM_OK, "%s", err.text);
    cr_assert(fabs(vjp - 1) < 1e-14, "%.17g", vjp);
    pm_model_free(model);
    pm_graph_free(g);
}
