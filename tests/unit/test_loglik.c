/* Log-likelihoods: rows that fail alone, passes over many rows, and what observations may be. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/models.h"
#include "model/data.h"
#include "model_fixture.h"

/* exp(-theta t) theta */
static const char exponential[] =
    "{\"states\": [[0], [1], [2]], \"edges\": [], \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, 2, 1]], "
    "\"start_param_edges\": [], \"param_length\": 1, \"state_length\": 1, \"n_vertices\": 3}";

static model_fixture model_of(const char *json) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(json, strlen(json), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s",
                 err.text);
    return model_fixture_of(g, model_fixture_isa());
}

static pm_data *data_of(size_t n, const double *time, const double *upper, const double *count) {
    pm_data *data;
    pm_error err;
    const pm_observations observations = {.n = n, .time = time, .upper = upper, .count = count};
    cr_assert_eq(pm_data_new(&observations, &data, &err), PM_OK, "%s", err.text);
    return data;
}

static pm_data *parsed(const char *text, pm_error *err) {
    pm_data *data;
    pmi_data_parse((const uint8_t *)text, strlen(text), &data, err);
    return data;
}

typedef struct seen {
    size_t n, row[8];
} seen;

static void note(void *ctx, size_t row, const pm_error *error) {
    seen *s = ctx;
    char words[40];
    snprintf(words, sizeof words, "theta row %zu", row);
    cr_assert_not_null(strstr(error->text, words), "%s", error->text);
    s->row[s->n++] = row;
}

Test(loglik, rows_fail_alone) {
    model_fixture f = model_of(exponential);
    pm_data *data = data_of(2, (double[]){1, 2}, NULL, NULL);
    double theta[] = {1, -1, 2, 1000, 3}, loglik[5], gradient[5], hessian[5], information[5];
    pm_status status[5];
    seen s = {0};
    pm_loglik_result result = {.loglik = loglik,
                               .gradient = gradient,
                               .hessian = hessian,
                               .information = information,
                               .status = status,
                               .invalid = note,
                               .invalid_ctx = &s};
    pm_error err;
    cr_assert_eq(pm_loglik(&f.model, data, &(pm_loglik_request){5, theta, 0, 1}, &result, &err), PM_OK, "%s", err.text);
    cr_assert_eq(s.n, 2);
    for (size_t b = 0; b < 5; b++) {
        bool fails = b == 1 || b == 3; /* a negative rate; exp(-2000) */
        cr_assert_eq(status[b] != PM_OK, fails);
        cr_assert_eq(isnan(loglik[b]) && isnan(gradient[b]) && isnan(hessian[b]) && isnan(information[b]), fails);
        cr_assert(fails || fabs(gradient[b] - (2 / theta[b] - 3)) < 1e-12);
    }
    result.status = NULL;
    cr_assert_eq(pm_loglik(&f.model, data, &(pm_loglik_request){5, theta, 0, 1}, &result, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 1"), "%s", err.text);
    cr_assert_eq(pm_loglik(&f.model, data, &(pm_loglik_request){2, theta + 2, 0, 1}, &result, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 1: observation 0 (time 1)"), "%s", err.text);
    pm_data_free(data);
    model_fixture_free(&f);
}

/* A count that leaves the doubles when it is divided by a small likelihood fails its row alone. */
Test(loglik, counts_beyond_the_doubles) {
    model_fixture f = model_of(exponential);
    pm_data *data = data_of(1, (double[]){1}, NULL, (double[]){1e200});
    double theta[] = {1, 600, 2}, loglik[3], gradient[3];
    pm_status status[3];
    pm_error err;
    pm_loglik_result result = {.loglik = loglik, .gradient = gradient, .status = status};
    pm_loglik_request request = {.n_theta = 3, .theta = theta, .threads = 1};
    cr_assert_eq(pm_loglik(&f.model, data, &request, &result, &err), PM_OK, "%s", err.text);
    cr_assert(status[0] == PM_OK && status[1] == PM_EDATA && status[2] == PM_OK);
    f.model.memory = 10;
    cr_assert_eq(pm_loglik(&f.model, data, &request, &result, &err), PM_EOSERR);
    pm_data_free(data);
    model_fixture_free(&f);
}

/* Many more numbers than one pass has room for. */
Test(loglik, passes) {
    enum { B = 500, N = 6000 };
    model_fixture f = model_of(exponential);
    double *time = calloc(N, sizeof *time), *theta = calloc(B, sizeof *theta), *loglik = calloc(B, sizeof *loglik);
    double total = 0;
    for (size_t i = 0; i < N; i++) {
        time[i] = (double)(i + 1) / N;
        total += time[i];
    }
    for (size_t b = 0; b < B; b++) {
        theta[b] = 1 + (double)b / B;
    }
    pm_data *data = data_of(N, time, NULL, NULL);
    pm_error err;
    cr_assert_eq(
        pm_loglik(&f.model, data, &(pm_loglik_request){B, theta, 0, 2}, &(pm_loglik_result){.loglik = loglik}, &err),
        PM_OK, "%s", err.text);
    for (size_t b = 0; b < B; b++) {
        double want = N * log(theta[b]) - theta[b] * total;
        cr_assert(fabs(loglik[b] - want) <= 1e-9 * total, "%.17g, expected %.17g", loglik[b], want);
    }
    pm_data_free(data);
    free(time);
    free(theta);
    free(loglik);
    model_fixture_free(&f);
}

static void note_budget(void *ctx, size_t row, const pm_error *error) {
    cr_assert_eq(row, 1);
    cr_assert_not_null(strstr(error->text, "more than the 0.01 s that a row may take"), "%s", error->text);
    (*(size_t *)ctx)++;
}

/* A million steps of 1,000 states. */
Test(loglik, a_budget_for_each_row) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pmi_model_find("kingman")->make((int64_t[PM_MODEL_MAX_ARGS]){1000}, &g, &err), PM_OK, "%s", err.text);
    model_fixture f = model_fixture_of(g, model_fixture_isa());
    pm_data *data = data_of(1, (double[]){2}, (double[]){INFINITY}, NULL);
    double theta[] = {1e-5, 1, 2e-5}, loglik[3];
    pm_status status[3];
    size_t n = 0;
    pm_loglik_result result = {.loglik = loglik, .status = status, .invalid = note_budget, .invalid_ctx = &n};
    pm_loglik_request request = {.n_theta = 3, .theta = theta, .row_seconds = 1e-2, .threads = 1};
    cr_assert_eq(pm_loglik(&f.model, data, &request, &result, &err), PM_OK, "%s", err.text);
    cr_assert(n == 1 && status[0] == PM_OK && status[1] == PM_EDATA && status[2] == PM_OK);
    request.row_seconds = -1;
    cr_assert_eq(pm_loglik(&f.model, data, &request, &result, &err), PM_EUSAGE);
    pm_data_free(data);
    model_fixture_free(&f);
}

Test(loglik, equal_observations_are_put_together) {
    pm_data *data = data_of(6, (double[]){2, 1, 2, 2, -0.0, 3}, (double[]){2, 1, 2, 5, 0, INFINITY},
                            (double[]){1, 1, 0.5, 1, 1, 0});
    cr_assert_eq(pm_data_n_observations(data), 6);
    cr_assert_eq(data->n, 4);
    cr_assert_eq(data->n_times, 4); /* 0, 1, 2, 5 */
    cr_assert_eq(data->observations[2].count, 1.5);
    pm_data_free(data);
}

Test(loglik, no_observations) {
    model_fixture f = model_of(exponential);
    pm_data *data = data_of(0, NULL, NULL, NULL);
    double theta[] = {1, 2}, loglik[2] = {1, 1}, gradient[2] = {1, 1}, hessian[2] = {1, 1};
    pm_error err;
    pm_loglik_result result = {.loglik = loglik, .gradient = gradient, .hessian = hessian};
    cr_assert_eq(pm_loglik(&f.model, data, &(pm_loglik_request){2, theta, 0, 1}, &result, &err), PM_OK);
    cr_assert(loglik[1] == 0 && gradient[1] == 0 && hessian[1] == 0);
    cr_assert_eq(pm_loglik(&f.model, data, &(pm_loglik_request){0, theta, 0, 1}, &result, &err), PM_OK);
    pm_data_free(data);
    model_fixture_free(&f);
}

Test(loglik, observations_are_checked) {
    static const struct {
        double time, upper, count;
        const char *words;
    } bad[] = {{-1, 2, 1, "time -1"},        {INFINITY, INFINITY, 1, "time inf"},
               {NAN, 1, 1, "time"},          {2, 1, 1, "upper 1"},
               {1, NAN, 1, "upper"},         {1, 2, -1, "count -1"},
               {1, 2, INFINITY, "count inf"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pm_data *data;
        pm_error err;
        const pm_observations o = {.n = 1, .time = &bad[i].time, .upper = &bad[i].upper, .count = &bad[i].count};
        cr_assert_eq(pm_data_new(&o, &data, &err), PM_EDATA);
        cr_assert_null(data);
        cr_assert_not_null(strstr(err.text, bad[i].words), "%s", err.text);
    }
}

Test(loglik, files) {
    pm_error err;
    pm_data *data = parsed("count, time ,upper\r\n2,0.5,0.5\r\n1,0.5,\r\n1,1,INF\r\n", &err);
    cr_assert_not_null(data, "%s", err.text);
    cr_assert_eq(data->n, 3);
    cr_assert_eq(data->observations[1].kind, PM_OBSERVED_LATER);
    pm_data_free(data);
    static const struct {
        const char *text, *words;
    } bad[] = {{"", "no column time"},
               {"\n", "line 1, column 1: expected a header"},
               {"count\n1\n", "no column time"},
               {"time,when\n", "line 1, column 2"},
               {"time,time\n", "line 1, column 2"},
               {"time,count\n1\n", "line 2: 1 columns"},
               {"time\n1,2\n", "line 2: more than the 1 columns"},
               {"time\n1\n\n2\n", "line 3, column 1 (time)"},
               {"time,count\n1,\n", "line 2, column 2 (count)"},
               {"time\ninf\n", "line 2, column 1 (time)"},
               {"time,count\n1,2\n1,-2\n", "line 3: observation 1: count -2"},
               {"time,count\n1,1e308\n1,1e308\n", "observation 0: the counts"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_null(parsed(bad[i].text, &err));
        cr_assert_not_null(strstr(err.text, bad[i].words), "%s", err.text);
    }
}
