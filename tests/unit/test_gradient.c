/* Derivatives against closed forms, and Euler's relation: with rates a multiple of theta, theta . d m_k = -k m_k. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "examples/models.h"
#include "model_fixture.h"

static pm_graph *parse(const char *json) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(json, strlen(json), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s",
                 err.text);
    return g;
}

static pm_graph *example(const char *name, const int64_t *args) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pmi_model_find(name)->make(args, &g, &err), PM_OK, "%s", err.text);
    return g;
}

static void evaluate(const model_fixture *f, const pm_request *request, pm_result *result) {
    pm_error err;
    cr_assert_eq(pm_evaluate(&f->model, request, result, &err), PM_OK, "%s", err.text);
}

static void close_to(double got, double want, double tolerance) {
    cr_assert(fabs(got - want) <= tolerance * fabs(want), "found %.17g, expected %.17g", got, want);
}

/* Two states in a row: mean 1/a + 1/b; pdf a b (exp(-a t) - exp(-b t)) / (b - a). */
static const char two_steps[] =
    "{\"states\": [[0], [1], [2], [3]], \"edges\": [], \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, 2, 1, 0], "
    "[2, 3, 0, 1]], \"start_param_edges\": [], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 4}";

Test(gradient, two_steps_in_a_row) {
    model_fixture f = model_fixture_of(parse(two_steps), model_fixture_isa());
    const double a = 2, b = 3, theta[] = {a, b}, t = 0.7, ea = exp(-a * t), eb = exp(-b * t), d = b - a;
    double moments[2], by_moments[4], pdf, cdf, survival, by_pdf[2], by_cdf[2], by_survival[2];
    pm_request request = {.n_theta = 1,
                          .theta = theta,
                          .n_moments = 2,
                          .n_times = 1,
                          .times = &t,
                          .pdf = true,
                          .cdf = true,
                          .tail_accuracy = true,
                          .gradient = true,
                          .threads = 1};
    pm_result result = {.moments = moments,
                        .moments_gradient = by_moments,
                        .pdf = &pdf,
                        .cdf = &cdf,
                        .survival = &survival,
                        .pdf_gradient = by_pdf,
                        .cdf_gradient = by_cdf,
                        .survival_gradient = by_survival};
    evaluate(&f, &request, &result);
    close_to(by_moments[0], -1 / (a * a), 1e-14);
    close_to(by_moments[1], -1 / (b * b), 1e-14);
    /* E[Y^2] = 2 (1/a^2 + 1/(a b) + 1/b^2) */
    close_to(by_moments[2], -2 * (2 / (a * a * a) + 1 / (a * a * b)), 1e-14);
    close_to(by_moments[3], -2 * (2 / (b * b * b) + 1 / (a * b * b)), 1e-14);
    close_to(by_pdf[0], b * (ea - eb) / d + a * b * (-t * ea * d + (ea - eb)) / (d * d), 1e-12);
    close_to(by_pdf[1], a * (ea - eb) / d + a * b * (t * eb * d - (ea - eb)) / (d * d), 1e-12);
    /* survival (b exp(-a t) - a exp(-b t)) / (b - a) */
    double want = (-b * t * ea - eb) / d + (b * ea - a * eb) / (d * d);
    close_to(by_survival[0], want, 1e-12);
    close_to(by_cdf[0], -want, 1e-12);
    model_fixture_free(&f);
}

static void check_euler(const char *name, const int64_t *args, const double *theta, size_t n_theta, double tolerance) {
    enum { K = 3, MOST_THETA = 40 };
    pm_graph *g = example(name, args);
    size_t n_params = pm_graph_n_params(g);
    model_fixture f = model_fixture_of(g, model_fixture_isa());
    double moments[MOST_THETA * K], gradient[MOST_THETA * K * 4];
    pm_request request = {.n_theta = n_theta, .theta = theta, .n_moments = K, .gradient = true, .threads = 2};
    pm_result result = {.moments = moments, .moments_gradient = gradient};
    cr_assert(n_params <= 4 && n_theta <= MOST_THETA);
    evaluate(&f, &request, &result);
    for (size_t b = 0; b < n_theta; b++) {
        for (size_t k = 0; k < K; k++) {
            double sum = 0;
            for (size_t p = 0; p < n_params; p++) {
                sum += theta[b * n_params + p] * gradient[(b * K + k) * n_params + p];
            }
            close_to(sum, -(double)(k + 1) * moments[b * K + k], tolerance);
        }
    }
    model_fixture_free(&f);
}

Test(gradient, eulers_relation_holds) {
    double theta[40 * 4];
    for (size_t i = 0; i < sizeof theta / sizeof *theta; i++) {
        theta[i] = pow(10, (double)(i * 7919 % 13) / 4 - 1.5);
    }
    check_euler("islands", (int64_t[]){6, 0}, theta, 37, 1e-11);
    check_euler("tandem", (int64_t[]){5, 4, 0}, theta, 3, 1e-11);
    check_euler("rabbits", (int64_t[]){6, 0}, theta, 20, 1e-11);
}

/* The derivatives need more digits than the multipliers have: a queue whose mean is its load to the 25th power. */
Test(gradient, a_stiff_queue_is_differentiated_in_dual_numbers) {
    const double theta[] = {0.02, 20.0, 0.5, 50.0, 1.0, 2.0};
    check_euler("mm1k", (int64_t[]){25, 0}, theta, 3, 1e-13);
}

/* Geometric with success p = theta_0: E[N] = 1/p, E[N (N-1)] = 2 (1-p) / p^2; pmf p (1-p)^(n-1). */
static const char geometric[] =
    "{\"states\": [[0], [1], [2]], \"edges\": [], \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, 2, 1]], "
    "\"start_param_edges\": [], \"param_length\": 1, \"state_length\": 1, \"n_vertices\": 3, \"is_discrete\": true}";

Test(gradient, geometric_steps) {
    model_fixture f = model_fixture_of(parse(geometric), model_fixture_isa());
    const double p = 0.3, times[] = {5, 0, 1};
    double moments[2], by_moments[2], pdf[3], by_pdf[3], cdf[3], by_cdf[3];
    pm_request request = {.n_theta = 1,
                          .theta = &p,
                          .n_moments = 2,
                          .factorial = true,
                          .n_times = 3,
                          .times = times,
                          .pdf = true,
                          .cdf = true,
                          .gradient = true,
                          .threads = 1};
    pm_result result = {.moments = moments,
                        .moments_gradient = by_moments,
                        .pdf = pdf,
                        .cdf = cdf,
                        .pdf_gradient = by_pdf,
                        .cdf_gradient = by_cdf};
    evaluate(&f, &request, &result);
    close_to(by_moments[0], -1 / (p * p), 1e-14);
    close_to(by_moments[1], 2 * (p - 2) / (p * p * p), 1e-13);
    close_to(by_pdf[0], pow(1 - p, 4) - 4 * p * pow(1 - p, 3), 1e-14);
    cr_assert_eq(by_pdf[1], 0);
    close_to(by_pdf[2], 1, 1e-15);
    close_to(by_cdf[0], 5 * pow(1 - p, 4), 1e-14);
    model_fixture_free(&f);
}

/* Rows that are normalized: success theta_0 / (theta_0 + theta_1 + 1). */
static const char normalized[] =
    "{\"states\": [[0], [1], [2]], \"edges\": [[1, 1, 1.0]], \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, 2, 1, "
    "0], [1, 1, 0, 1]], \"start_param_edges\": [], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 3, "
    "\"is_discrete\": true, \"was_dph\": true}";

Test(gradient, normalized_rows) {
    model_fixture f = model_fixture_of(parse(normalized), model_fixture_isa());
    const double theta[] = {2, 3}, time = 1;
    double mean, by_mean[2], pdf, by_pdf[2];
    pm_request request = {.n_theta = 1,
                          .theta = theta,
                          .n_moments = 1,
                          .n_times = 1,
                          .times = &time,
                          .pdf = true,
                          .gradient = true,
                          .threads = 1};
    pm_result result = {.moments = &mean, .moments_gradient = by_mean, .pdf = &pdf, .pdf_gradient = by_pdf};
    evaluate(&f, &request, &result);
    close_to(by_mean[0], -1.0, 1e-14); /* (theta_1 + 1 + theta_0) / theta_0 */
    close_to(by_mean[1], 0.5, 1e-14);
    close_to(by_pdf[0], 4.0 / 36, 1e-14);
    close_to(by_pdf[1], -2.0 / 36, 1e-14);
    model_fixture_free(&f);
}

/* Starts in state 0 with probability a / (a + b), else in state 1 (rates 1 and 2): mean (a + b / 2) / (a + b). */
static const char moving_start[] =
    "{\"states\": [[0], [1], [2], [3]], \"edges\": [[1, 3, 1.0], [2, 3, 2.0]], \"start_edges\": [], \"param_edges\": "
    "[], \"start_param_edges\": [[1, 1, 0], [2, 0, 1]], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 4}";

Test(gradient, of_the_start_distribution) {
    model_fixture f = model_fixture_of(parse(moving_start), model_fixture_isa());
    const double theta[] = {1, 3}, t = 0.5, e = exp(-0.5), e2 = exp(-1.0);
    double mean, by_mean[2], cdf, by_cdf[2];
    f.model.normalize_start = true;
    pm_request request = {.n_theta = 1,
                          .theta = theta,
                          .n_moments = 1,
                          .n_times = 1,
                          .times = &t,
                          .cdf = true,
                          .gradient = true,
                          .threads = 1};
    pm_result result = {.moments = &mean, .moments_gradient = by_mean, .cdf = &cdf, .cdf_gradient = by_cdf};
    evaluate(&f, &request, &result);
    close_to(by_mean[0], 0.5 * 3 / 16, 1e-14);
    close_to(by_mean[1], -0.5 * 1 / 16, 1e-14);
    close_to(by_cdf[0], (e2 - e) * 3 / 16, 1e-13);
    close_to(by_cdf[1], (e - e2) * 1 / 16, 1e-13);
    model_fixture_free(&f);
}

Test(gradient, what_is_refused) {
    model_fixture f = model_fixture_of(parse(two_steps), model_fixture_isa());
    const double theta[] = {2, 3}, far = 1e15;
    double mean, pdf, by_pdf[2], by_mean[2];
    pm_error err;
    pm_request request = {.n_theta = 1, .theta = theta, .n_moments = 1, .gradient = true, .threads = 1};
    cr_assert_eq(pm_evaluate(&f.model, &request, &(pm_result){.moments = &mean}, &err), PM_EUSAGE);
    request.n_moments = 0;
    request.pdf = true;
    request.n_times = 1;
    request.times = &far;
    pm_result result = {.pdf = &pdf, .pdf_gradient = by_pdf};
    cr_assert_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EDATA);
    cr_assert(strstr(err.text, "theta row 0: the derivatives of its densities take") != NULL, "%s", err.text);
    f.model.memory = 1000;
    request.times = theta;
    cr_assert_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EOSERR, "%s", err.text);
    f.model.memory = (size_t)1 << 30;
    f.model.defective = true;
    request.n_moments = 1;
    result.moments = &mean;
    result.moments_gradient = by_mean;
    cr_assert_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EUSAGE);
    model_fixture_free(&f);
}
