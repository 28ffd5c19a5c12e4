#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "collector/slices.h"
#include "examples/models.h"
#include "wire/messages.h"

enum { ROWS = 75, TIMES = 6, MOMENTS = 3, REWARDS = 2 };

/* A batch with everything that can be asked for, and its result as a whole. */
typedef struct fixture {
    pm_graph *graph;
    pm_model *model;
    double theta[ROWS * 2], times[ROWS * TIMES], *rewards, seconds[ROWS];
    pm_request request;
} fixture;

typedef struct arrays {
    double moments[ROWS * REWARDS * MOMENTS], covariance[ROWS * REWARDS * REWARDS], atom[ROWS];
    double pdf[ROWS * TIMES], cdf[ROWS * TIMES], survival[ROWS * TIMES];
    pm_result result;
} arrays;

static void point(arrays *a) {
    memset(a, 0, sizeof *a);
    a->result = (pm_result){.moments = a->moments,
                            .covariance = a->covariance,
                            .atom = a->atom,
                            .pdf = a->pdf,
                            .cdf = a->cdf,
                            .survival = a->survival};
}

static void set_up(fixture *f) {
    const pm_model_info *info = pmi_model_find("two-locus-arg");
    int64_t args[PM_MODEL_MAX_ARGS] = {0};
    pm_error err = {0};
    cr_assert_not_null(info);
    for (size_t i = 0; i < PM_MODEL_MAX_ARGS && info->args[i].name != NULL; i++) {
        args[i] = strcmp(info->args[i].name, "n") == 0 ? 3 : info->args[i].default_value;
    }
    cr_assert_eq(pmi_model_make(info, args, &f->graph, &err), PM_OK, "%s", err.text);
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    cr_assert_eq(pm_model_new(f->graph, &options, &f->model, NULL, &err), PM_OK, "%s", err.text);
    cr_assert_eq(f->graph->n_params, 2);
    for (size_t b = 0; b < ROWS; b++) {
        f->theta[2 * b] = 0.5 + 0.125 * (double)b;
        f->theta[2 * b + 1] = 4.0 / (double)(b + 1);
        f->seconds[b] = 0.004;
        for (size_t j = 0; j < TIMES; j++) {
            f->times[b * TIMES + j] = 0.1 * (double)((j * 5 + b) % 7);
        }
    }
    f->rewards = pmi_malloc(REWARDS * f->graph->n_vertices, sizeof *f->rewards);
    for (size_t i = 0; i < REWARDS * f->graph->n_vertices; i++) {
        f->rewards[i] = (double)(i % 3);
    }
    f->request = (pm_request){.n_theta = ROWS,
                              .theta = f->theta,
                              .n_moments = MOMENTS,
                              .n_rewards = REWARDS,
                              .rewards = f->rewards,
                              .covariance = true,
                              .n_times = TIMES,
                              .times = f->times,
                              .times_per_theta = true,
                              .pdf = true,
                              .cdf = true,
                              .threads = 2};
}

static void tear_down(fixture *f) {
    pm_model_free(f->model);
    pm_graph_free(f->graph);
    free(f->rewards);
}

static pm_slices cut(const fixture *f) {
    pm_slices s;
    pm_error err;
    cr_assert_eq(pmi_slices_cut(f->model, &f->request, f->seconds, &s, &err), PM_OK);
    for (size_t i = 0; i < s.n; i++) {
        pm_buffer body = {0};
        cr_assert_eq(pmi_slice_body(f->model, &f->request, &s.slices[i], &body, &err), PM_OK, "%s", err.text);
        pmi_buffer_free(&body);
    }
    return s;
}

/* The result of a slice as a worker would send it. */
static pm_result_message answer(const fixture *f, const pm_slice *slice, arrays *a) {
    pm_error err = {0};
    pm_request part = pmi_slice_request(&f->request, 2, slice);
    part.threads = 1;
    point(a);
    cr_assert_eq(pm_evaluate(f->model, &part, &a->result, &err), PM_OK, "%s", err.text);
    pm_result_message m = {.n_theta = slice->n,
                           .moments = pmi_f64s(a->moments, slice->n * REWARDS * MOMENTS),
                           .covariance = pmi_f64s(a->covariance, slice->n * REWARDS * REWARDS),
                           .atom = pmi_f64s(a->atom, slice->n),
                           .pdf = pmi_f64s(a->pdf, slice->n * TIMES),
                           .cdf = pmi_f64s(a->cdf, slice->n * TIMES),
                           .survival = pmi_f64s(a->survival, slice->n * TIMES),
                           .steps = a->result.steps,
                           .error_bound = a->result.error_bound};
    memcpy(m.result, slice->key, PM_DIGEST_BYTES);
    return m;
}

static bool same_arrays(const arrays *a, const arrays *b) {
    return memcmp(a->moments, b->moments, sizeof a->moments) == 0 &&
           memcmp(a->covariance, b->covariance, sizeof a->covariance) == 0 &&
           memcmp(a->atom, b->atom, sizeof a->atom) == 0 && memcmp(a->pdf, b->pdf, sizeof a->pdf) == 0 &&
           memcmp(a->cdf, b->cdf, sizeof a->cdf) == 0 && memcmp(a->survival, b->survival, sizeof a->survival) == 0 &&
           a->result.steps == b->result.steps && a->result.error_bound == b->result.error_bound;
}

static void compare(fixture *f, size_t n_expected) {
    static arrays whole, together, part;
    pm_error err = {0};
    point(&whole);
    point(&together);
    cr_assert_eq(pm_evaluate(f->model, &f->request, &whole.result, &err), PM_OK, "%s", err.text);
    pm_slices s = cut(f);
    cr_assert_eq(s.n, n_expected, "%zu slices", s.n);
    for (size_t k = 0; k < s.n; k++) {
        const pm_slice *slice = &s.slices[(k * 7 + 3) % s.n]; /* 7 divides no number of slices here */
        pm_result_message m = answer(f, slice, &part);
        cr_assert_eq(pmi_slice_take(&f->request, slice, &m, &together.result, &err), PM_OK, "%s", err.text);
    }
    cr_expect(same_arrays(&whole, &together), "%zu slices", s.n);
    pmi_slices_free(&s);
}

Test(slices, put_together_in_any_order_they_are_the_whole) {
    fixture f;
    set_up(&f);
    compare(&f, 5); /* a block of 16 rows is above the least */
    for (size_t b = 0; b < ROWS; b++) {
        f.seconds[b] = 0.02; /* blocks of 4 */
    }
    compare(&f, 19);
    for (size_t b = 0; b < ROWS; b++) {
        f.seconds[b] = 0.05; /* rows by twos */
    }
    compare(&f, 38);
    for (size_t b = 0; b < ROWS; b++) {
        f.seconds[b] = 3; /* row by row */
    }
    compare(&f, 75);
    for (size_t b = 0; b < ROWS; b++) {
        f.seconds[b] = 1e-5;
    }
    compare(&f, 1);
    tear_down(&f);
}

Test(slices, keys_tell_content_apart) {
    fixture f;
    set_up(&f);
    pm_slices a = cut(&f), b = cut(&f);
    for (size_t i = 0; i < a.n; i++) {
        cr_assert_arr_eq(a.slices[i].key, b.slices[i].key, PM_DIGEST_BYTES);
        for (size_t j = 0; j < i; j++) {
            cr_assert(memcmp(a.slices[i].key, a.slices[j].key, PM_DIGEST_BYTES) != 0);
        }
    }
    pmi_slices_free(&b);
    const pm_request original = f.request;
    for (size_t change = 0; change < 8; change++) {
        double kept = f.theta[3];
        pm_request *r = &f.request;
        r->n_moments += change == 0;
        r->covariance = change != 1;
        r->pdf = change != 2;
        r->cdf = change != 3;
        r->tolerance = change == 4 ? 1e-8 : 0;
        r->tail_accuracy = change == 5;
        f.theta[3] = change == 6 ? kept * (1 + 1e-15) : kept;
        r->n_rewards -= change == 7;
        b = cut(&f);
        cr_expect(memcmp(a.slices[0].key, b.slices[0].key, PM_DIGEST_BYTES) != 0, "change %zu", change);
        pmi_slices_free(&b);
        f.theta[3] = kept;
        f.request = original;
    }
    f.request.threads = 7; /* threads change no bits */
    b = cut(&f);
    cr_expect_arr_eq(a.slices[0].key, b.slices[0].key, PM_DIGEST_BYTES);
    pmi_slices_free(&a);
    pmi_slices_free(&b);
    tear_down(&f);
}

Test(slices, results_of_wrong_lengths_are_refused) {
    fixture f;
    static arrays part, together;
    pm_error err = {0};
    set_up(&f);
    pm_slices s = cut(&f);
    pm_result_message good = answer(&f, &s.slices[1], &part);
    pm_span *spans[] = {&good.moments, &good.covariance, &good.atom, &good.pdf, &good.cdf, &good.survival};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        point(&together);
        size_t size = spans[i]->size;
        spans[i]->size = size - sizeof(double);
        cr_expect_eq(pmi_slice_take(&f.request, &s.slices[1], &good, &together.result, &err), PM_EDATA);
        spans[i]->size = size + sizeof(double);
        cr_expect_eq(pmi_slice_take(&f.request, &s.slices[1], &good, &together.result, &err), PM_EDATA);
        spans[i]->size = 0;
        cr_expect_eq(pmi_slice_take(&f.request, &s.slices[1], &good, &together.result, &err), PM_EDATA);
        spans[i]->size = size;
    }
    cr_expect_eq(pmi_slice_take(&f.request, &s.slices[1], &good, &together.result, &err), PM_OK);
    cr_expect_eq(pmi_slice_take(&f.request, &s.slices[0], &good, &together.result, &err), PM_EDATA, "another slice");
    good.n_theta++;
    cr_expect_eq(pmi_slice_take(&f.request, &s.slices[1], &good, &together.result, &err), PM_EDATA);
    pmi_slices_free(&s);
    tear_down(&f);
}

Test(slices, every_row_is_checked_before_anything_is_sent) {
    fixture f;
    static arrays a;
    pm_error err = {0};
    set_up(&f);
    point(&a);
    cr_assert_eq(pmi_slice_costs(f.model, &f.request, &a.result, f.seconds, &err), PM_OK, "%s", err.text);
    for (size_t b = 0; b < ROWS; b++) {
        cr_assert(f.seconds[b] > 0 && f.seconds[b] < 1);
    }
    f.theta[2 * 40] = -3;
    cr_assert_eq(pmi_slice_costs(f.model, &f.request, &a.result, f.seconds, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 40"), "%s", err.text);
    f.theta[2 * 40] = 1;
    f.times[33 * TIMES] = -1;
    cr_assert_eq(pmi_slice_costs(f.model, &f.request, &a.result, f.seconds, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "row 33"), "%s", err.text);
    tear_down(&f);
}

/* As on one machine: the moments of such a graph fit a double, its densities have no largest rate that does. */
Test(slices, weights_beyond_a_double_are_refused_for_densities_alone) {
    fixture f;
    static arrays a;
    pm_error err = {0};
    set_up(&f);
    point(&a);
    f.theta[2 * 20] = 1e308; /* times up to 9 */
    f.request.n_moments = 1;
    f.request.covariance = false;
    for (size_t i = 0; i < REWARDS * f.graph->n_vertices; i++) {
        f.rewards[i] = 1e10;
    }
    for (int densities = 0; densities < 2; densities++) {
        f.request.pdf = f.request.cdf = densities == 1;
        f.request.n_times = densities == 1 ? TIMES : 0;
        pm_status alone = pm_evaluate(f.model, &f.request, &a.result, &err);
        pm_status sliced = pmi_slice_costs(f.model, &f.request, &a.result, f.seconds, &err);
        cr_expect_eq(alone, densities == 1 ? PM_EDATA : PM_OK, "%s", err.text);
        cr_expect_eq(sliced, alone, "%s", err.text);
    }
    f.request.pdf = f.request.cdf = false;
    f.request.n_times = 0;
    f.theta[2 * 25] = -1;
    cr_assert_eq(pmi_slice_costs(f.model, &f.request, &a.result, f.seconds, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "theta row 25"), "%s", err.text);
    tear_down(&f);
}

Test(slices, rows_in_errors_are_those_of_the_batch) {
    pm_error err;
    pmi_fail(&err, PM_EDATA, "theta row 7: moment 2 is too large (unit abc)");
    pmi_error_shift_row(&err, 1000);
    cr_assert_str_eq(err.text, "theta row 1007: moment 2 is too large (unit abc)");
    pmi_fail(&err, PM_EDATA, "times: row 0, column 3 is -1");
    pmi_error_shift_row(&err, 1000);
    cr_assert_str_eq(err.text, "times: row 1000, column 3 is -1");
    pmi_fail(&err, PM_EDATA, "no row at all, theta row");
    pmi_error_shift_row(&err, 1000);
    cr_assert_str_eq(err.text, "no row at all, theta row");
    char long_text[PM_ERROR_TEXT];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    memcpy(long_text, "theta row 7:", 12);
    pmi_fail(&err, PM_EDATA, "%s", long_text);
    pmi_error_shift_row(&err, 1000);
    cr_assert_eq(strncmp(err.text, "theta row 1007:x", 16), 0);
    cr_assert_eq(strlen(err.text), PM_ERROR_TEXT - 1);
}
