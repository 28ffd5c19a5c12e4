#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "graph/build.h"
#include "phasemill.h"

/* 0: start; 1 leads to 4 (absorbing) at theta_0, to 2 at theta_1; 2 and 3 lead to each other for ever. */
static pm_graph *trapped(void) {
    const int32_t states[] = {0, 1, 2, 3, 4};
    const uint32_t from[] = {2, 3}, to[] = {3, 2}, param_from[] = {1, 1}, param_to[] = {4, 2}, start = 1;
    const double weight[] = {5, 7}, coef[] = {1, 0, 0, 1}, one = 1;
    const pm_graph_arrays arrays = {.n_vertices = 5,
                                    .state_length = 1,
                                    .n_params = 2,
                                    .states = states,
                                    .n_edges = 2,
                                    .edge_from = from,
                                    .edge_to = to,
                                    .edge_weight = weight,
                                    .n_param_edges = 2,
                                    .param_from = param_from,
                                    .param_to = param_to,
                                    .param_coef = coef,
                                    .n_starts = 1,
                                    .start_to = &start,
                                    .start_weight = &one};
    pm_graph *g;
    pm_error err;
    cr_assert_eq(pm_graph_from_arrays(&arrays, &g, &err), PM_OK, "%s", err.text);
    return g;
}

static pm_status model_of(const pm_graph *g, bool defective, pm_model **model, pm_model_report *report, pm_error *err) {
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    options.defective = defective;
    return pm_model_new(g, &options, model, report, err);
}

Test(defective, moments_are_given_absorption) {
    pm_graph *g = trapped();
    pm_model *model;
    pm_error err;
    pm_model_report report;
    cr_assert_eq(model_of(g, false, &model, NULL, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "--defective"), "%s", err.text);
    cr_assert_eq(model_of(g, true, &model, &report, &err), PM_OK, "%s", err.text);
    cr_assert_eq(report.sccs_total, 4u);
    cr_assert_eq(report.sccs_nontrivial, 1u);
    pm_graph_free(g);
    const double theta[] = {1, 3, 2, 2, 4, 0, 1, 3}, times[] = {0, 1e3};
    double moments[4 * 2], atom[4], absorption[4], cdf[4 * 2], covariance[4];
    pm_request request = {.n_theta = 4,
                          .theta = theta,
                          .n_moments = 2,
                          .covariance = true,
                          .n_times = 2,
                          .times = times,
                          .cdf = true,
                          .threads = 1};
    pm_result result = {
        .moments = moments, .covariance = covariance, .atom = atom, .absorption = absorption, .cdf = cdf};
    cr_assert_eq(pm_evaluate(model, &request, &result, &err), PM_OK, "%s", err.text);
    for (size_t b = 0; b < 4; b++) {
        double rate = theta[2 * b] + theta[2 * b + 1], share = theta[2 * b] / rate;
        cr_assert_float_eq(absorption[b], share, 1e-16);
        cr_assert_float_eq(moments[2 * b], 1 / rate, 1e-15);
        cr_assert_float_eq(moments[2 * b + 1], 2 / (rate * rate), 1e-15);
        cr_assert_float_eq(covariance[b], 1 / (rate * rate), 1e-15);
        cr_assert_float_eq(cdf[2 * b + 1], share, 1e-12);
        cr_assert_eq(cdf[2 * b], 0);
        cr_assert_eq(atom[b], 0);
    }
    cr_assert_eq(moments[0], moments[6]);
    pm_model_free(model);
}

Test(defective, no_absorption_has_no_moments) {
    pm_graph *g = trapped();
    pm_model *model;
    pm_error err;
    cr_assert_eq(model_of(g, true, &model, NULL, &err), PM_OK, "%s", err.text);
    const double theta[] = {1, 1, 0, 1}, time = 2;
    double moments[2], absorption[2], pdf[2];
    pm_request request = {.n_theta = 2, .theta = theta, .n_moments = 1, .threads = 1};
    pm_result result = {.moments = moments, .absorption = absorption};
    cr_assert_eq(pm_evaluate(model, &request, &result, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 1: absorption has probability 0"), "%s", err.text);
    request = (pm_request){.n_theta = 2, .theta = theta, .n_times = 1, .times = &time, .pdf = true, .threads = 1};
    result = (pm_result){.pdf = pdf, .absorption = absorption};
    cr_assert_eq(pm_evaluate(model, &request, &result, &err), PM_OK, "%s", err.text);
    cr_assert_eq(absorption[0], 0.5);
    cr_assert_eq(absorption[1], 0);
    cr_assert_eq(pdf[1], 0);
    cr_assert_float_eq(pdf[0], exp(-4), 1e-10);
    pm_model_free(model);
    pm_graph_free(g);
}
