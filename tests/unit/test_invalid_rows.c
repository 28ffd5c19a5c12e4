/* Rows of theta that cannot be evaluated fail alone: the others have the bits that they have without them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model_fixture.h"

/* 0 leads to 1 and back, 1 to absorption; rates theta_0, 1, theta_1. */
static const char loop[] =
    "{\"states\": [[0], [1], [2], [3]], \"edges\": [[2, 1, 1.0]], \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, "
    "2, "
    "1, 0], [2, 3, 0, 1]], \"start_param_edges\": [], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 4}";

enum { B = 37, K = 2, T = 3, P = 2 };

typedef struct outcome {
    double moments[B * K], atom[B], pdf[B * T], cdf[B * T];
    pm_status status[B];
    size_t n_invalid, rows[B];
    char texts[B][200];
} outcome;

static void note(void *ctx, size_t row, const pm_error *error) {
    outcome *o = ctx;
    o->rows[o->n_invalid] = row;
    snprintf(o->texts[o->n_invalid++], sizeof o->texts[0], "%.199s", error->text);
}

static pm_status evaluate(const model_fixture *f, const double *theta, size_t n, bool alone, outcome *o,
                          pm_error *err) {
    static const double times[T] = {0.5, 1, 4};
    pm_request request = {.n_theta = n,
                          .theta = theta,
                          .n_moments = K,
                          .n_times = T,
                          .times = times,
                          .pdf = true,
                          .cdf = true,
                          .threads = 2};
    pm_result result = {.moments = o->moments, .atom = o->atom, .pdf = o->pdf, .cdf = o->cdf};
    if (alone) {
        result.status = o->status;
        result.invalid = note;
        result.invalid_ctx = o;
    }
    o->n_invalid = 0;
    return pm_evaluate(&f->model, &request, &result, err);
}

static bool is_bad(size_t row) {
    return row == 0 || row == 5 || row == 6 || row == B - 1;
}

static void fill_theta(double *theta) {
    for (size_t b = 0; b < B; b++) {
        theta[2 * b] = 1 + 0.1 * (double)b;
        theta[2 * b + 1] = 0.5 + 0.05 * (double)b;
    }
    theta[0] = -1;                   /* a negative rate */
    theta[2 * 5 + 1] = 0;            /* no way to absorption */
    theta[2 * 6] = NAN;              /* no number */
    theta[2 * (B - 1)] = 1e300;      /* the second moment of 1e-300 and 1e-300 */
    theta[2 * (B - 1) + 1] = 1e-300; /* overflows */
}

static pm_graph *graph(void) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(loop, strlen(loop), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_OK);
    return g;
}

Test(invalid_rows, fail_alone) {
    static outcome all, one;
    double theta[B * P];
    pm_error err;
    model_fixture f = model_fixture_of(graph(), model_fixture_isa());
    fill_theta(theta);
    cr_assert_eq(evaluate(&f, theta, B, true, &all, &err), PM_OK, "%s", err.text);
    cr_assert_eq(all.n_invalid, 4);
    for (size_t b = 0, bad = 0; b < B; b++) {
        cr_assert_eq(all.status[b], is_bad(b) ? PM_EDATA : PM_OK, "row %zu", b);
        if (is_bad(b)) {
            char name[40];
            snprintf(name, sizeof name, "theta row %zu", b);
            cr_assert_eq(all.rows[bad], b);
            cr_assert_eq(strncmp(all.texts[bad], name, strlen(name)), 0, "%s", all.texts[bad]);
            bad++;
            cr_assert(isnan(all.moments[b * K]) && isnan(all.atom[b]) && isnan(all.pdf[b * T + 2]) &&
                      isnan(all.cdf[b * T]));
            continue;
        }
        cr_assert_eq(evaluate(&f, theta + b * P, 1, false, &one, &err), PM_OK, "%s", err.text);
        cr_assert_arr_eq(one.moments, all.moments + b * K, K * sizeof(double));
        cr_assert_arr_eq(one.pdf, all.pdf + b * T, T * sizeof(double));
        cr_assert_arr_eq(one.cdf, all.cdf + b * T, T * sizeof(double));
    }
    cr_assert_eq(evaluate(&f, theta, B, false, &all, &err), PM_EDATA);
    model_fixture_free(&f);
}

Test(invalid_rows, all_of_them_and_none) {
    static outcome o;
    double theta[B * P];
    pm_error err;
    model_fixture f = model_fixture_of(graph(), model_fixture_isa());
    for (size_t i = 0; i < B * P; i++) {
        theta[i] = -1.0;
    }
    cr_assert_eq(evaluate(&f, theta, B, true, &o, &err), PM_OK);
    cr_assert_eq(o.n_invalid, B);
    cr_assert_eq(evaluate(&f, theta, 0, true, &o, &err), PM_OK);
    cr_assert_eq(o.n_invalid, 0);
    model_fixture_free(&f);
}

Test(invalid_rows, what_is_no_fault_of_a_row_fails_the_call) {
    static outcome o;
    const double theta[] = {1, 1}, bad_time = -1;
    double pdf;
    pm_error err;
    model_fixture f = model_fixture_of(graph(), model_fixture_isa());
    pm_request request = {.n_theta = 1, .theta = theta, .n_times = 1, .times = &bad_time, .pdf = true, .threads = 1};
    pm_result result = {.pdf = &pdf, .status = o.status};
    cr_assert_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EDATA);
    cr_assert(strstr(err.text, "times: number 0 is -1") != NULL, "%s", err.text);
    f.model.memory = 10;
    request.pdf = false;
    request.n_moments = 1;
    result.moments = &pdf;
    cr_assert_eq(pm_evaluate(&f.model, &request, &result, &err), PM_EOSERR);
    model_fixture_free(&f);
}
