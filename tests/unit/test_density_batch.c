#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "density_chains.h"
#include "eval/density_block.h"

static const double one = 1.0;

/* ---- lanes, threads, instruction sets ---- */

enum { ROWS = 21, TIMES = 40 }; /* some are mixed in groups */

static pm_request batch_request(const double *theta, const double *times) {
    return (pm_request){.n_theta = ROWS, .theta = theta, .n_times = TIMES, .times = times, .times_per_theta = true};
}

static void fill_batch(double *theta, double *times, double unit) {
    for (size_t i = 0; i < ROWS; i++) {
        theta[i] = 0.25 * (double)(i + 1) + (i == 9 ? 4.0 : 0.0);
        for (size_t j = 0; j < TIMES; j++) {
            times[i * TIMES + j] = (double)((j * 5 + i) % 37) * unit * 0.3;
        }
    }
}

static bool same_values(const values *a, const values *b) {
    size_t bytes = ROWS * TIMES * sizeof(double);
    return memcmp(a->pdf, b->pdf, bytes) == 0 && memcmp(a->cdf, b->cdf, bytes) == 0 &&
           memcmp(a->survival, b->survival, bytes) == 0 && a->result.steps == b->result.steps &&
           a->result.error_bound == b->result.error_bound;
}

static void compare_lanes(const chain *c, double unit, bool tails) {
    double theta[ROWS], times[ROWS * TIMES];
    fill_batch(theta, times, unit);
    pm_request r = batch_request(theta, times);
    r.tail_accuracy = tails;
    values first;
    r.lanes = 1;
    r.threads = 1;
    evaluate(c, r, &first);
    const unsigned lanes[] = {0, 4, 8, 16};
    for (size_t i = 0; i < 4; i++) {
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            values v;
            r.lanes = lanes[i];
            r.threads = threads;
            evaluate(c, r, &v);
            cr_expect(same_values(&first, &v), "%u lanes, %u threads", lanes[i], threads);
            free_values(&v);
        }
    }
    free_values(&first);
}

Test(density, results_do_not_depend_on_lanes_or_threads) {
    for (size_t i = 0; i < N_CHAINS; i++) {
        /* some 1e4 steps at most */
        bool stiff = strcmp(chains[i].name, "switch") == 0 || strcmp(chains[i].name, "hyperexponential") == 0;
        double unit = stiff ? 0.02 : 12.5;
        chain c = chains[i].make(ROWS);
        compare_lanes(&c, unit, false);
        compare_lanes(&c, unit, true);
        drop(&c);
    }
}

/* Pairs of states, each as fast as the square of what is left of them; from the middle on with a way to the end. */
static chain falling(uint32_t n, size_t n_theta) {
    pm_builder *b = new_chain(n, false);
    for (uint32_t i = 1; i <= n; i++) {
        double rate = (double)(n + 1 - i) * (double)(n + 1 - i);
        edge(b, i, i + 1, rate);
        if (i % 2 == 0) {
            edge(b, i, i - 1, 0.25 * rate);
        }
        if (i > n / 2) {
            edge(b, i, n + 1, 1e-3);
        }
    }
    start_at(b, 1, 0.75);
    start_at(b, n / 3, 0.25);
    return finish(b, n_theta);
}

Test(density, steps_that_begin_anew_do_not_depend_on_lanes_or_threads) {
    chain c = falling(200, ROWS);
    compare_lanes(&c, 0.3, false);
    const double theta = 1.0, times[] = {0.01, 0.5, 3.0};
    values v;
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &theta, .n_times = 3, .times = times}, &v);
    cr_expect_lt(v.result.steps, 20000); /* lambda t is 120,000 */
    cr_expect_eq(v.result.n_squared, 0);
    free_values(&v);
    drop(&c);
}

/* So many states that one step is shared among threads. */
static chain big_grid(size_t n_theta) {
    enum { SIDE = 70 };
    pm_builder *b = new_chain(SIDE * SIDE, false);
    for (uint32_t i = 0; i < SIDE; i++) {
        for (uint32_t j = 0; j < SIDE; j++) {
            uint32_t at = 1 + i * SIDE + j;
            edge(b, at, i + 1 < SIDE ? at + SIDE : SIDE * SIDE + 1, 1.0 + 0.125 * (double)(j % 3));
            edge(b, at, j + 1 < SIDE ? at + 1 : SIDE * SIDE + 1, 0.5);
            if (j > 0) {
                edge(b, at, at - 1, 0.75);
            }
        }
    }
    start_at(b, 1, 0.5);
    start_at(b, 700, 0.5);
    return finish(b, n_theta);
}

Test(density, threads_inside_a_step_change_nothing) {
    chain c = big_grid(5);
    const double theta[] = {1.0, 2.0, 3.0, 1.5, 0.5}, times[] = {1.0, 20.0, 60.0};
    pm_request r = {.n_theta = 5, .theta = theta, .n_times = 3, .times = times, .lanes = 8, .threads = 1};
    values a, b;
    evaluate(&c, r, &a);
    r.threads = 4;
    evaluate(&c, r, &b);
    cr_expect_arr_eq(a.pdf, b.pdf, 15 * sizeof(double));
    cr_expect_arr_eq(a.survival, b.survival, 15 * sizeof(double));
    cr_expect_gt(a.pdf[1], 0.0);
    free_values(&a);
    free_values(&b);
    drop(&c);
}

Test(density, threads_inside_steps_that_begin_anew_change_nothing) {
    chain c = falling(8000, 2);
    const double theta[] = {1.0, 3.0}, times[] = {1e-4, 3e-4};
    pm_request r = {.n_theta = 2, .theta = theta, .n_times = 2, .times = times, .lanes = 8, .threads = 1};
    values a, b;
    evaluate(&c, r, &a);
    r.threads = 4;
    evaluate(&c, r, &b);
    cr_expect_arr_eq(a.cdf, b.cdf, 4 * sizeof(double));
    cr_expect_lt(a.result.steps, 50000, "%llu", (unsigned long long)a.result.steps); /* lambda t is 72,000 */
    free_values(&a);
    free_values(&b);
    drop(&c);
}

#if defined(__x86_64__)
Test(density, instruction_sets_with_fused_multiply_add_agree_to_the_last_bit) {
    chain c = chain_named("ring", ROWS);
    double theta[ROWS], times[ROWS * TIMES];
    fill_batch(theta, times, 12.5);
    values v2, v3, v4;
    pm_error err;
    const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    values *const out[] = {&v2, &v3, &v4};
    bool have[3];
    for (size_t i = 0; i < 3; i++) {
        pm_isa isa;
        have[i] = pmi_isa_choose(names[i], &isa, NULL) == PM_OK;
        if (have[i]) {
            cr_assert_eq(evaluate_on(&c, isa, batch_request(theta, times), out[i], &err), PM_OK, "%s", err.text);
        }
    }
    for (size_t i = 0; have[0] && have[1] && i < ROWS * TIMES; i++) {
        cr_expect(fabs(v2.pdf[i] - v3.pdf[i]) <= 1e-12 * v3.pdf[i]);
        cr_expect(fabs(v2.cdf[i] - v3.cdf[i]) <= 1e-12 * v3.cdf[i]);
    }
    if (have[1] && have[2]) {
        cr_expect(same_values(&v3, &v4));
    }
    for (size_t i = 0; i < 3; i++) {
        if (have[i]) {
            free_values(out[i]);
        }
    }
    drop(&c);
}
#endif

/* ---- discrete chains ---- */

static double binomial(double n, double k) {
    double b = 1.0;
    for (double i = 1.0; i <= k; i += 1.0) {
        b = b * (n - k + i) / i;
    }
    return b;
}

/* Five stages, each left with probability 0.3; a self-loop spells out part of what stays. */
Test(density, negative_binomial) {
    pm_builder *b = new_chain(5, true);
    for (uint32_t i = 1; i <= 5; i++) {
        edge(b, i, i + 1, 0.3);
    }
    edge(b, 2, 2, 0.5);
    start_at(b, 1, 1.0);
    chain c = finish(b, 1);
    enum { N = 400 };
    double times[N];
    for (size_t k = 0; k < N; k++) {
        times[k] = (double)k;
    }
    for (int tails = 0; tails < 2; tails++) {
        values v;
        evaluate(&c,
                 (pm_request){.n_theta = 1, .theta = &one, .n_times = N, .times = times, .tail_accuracy = tails == 1},
                 &v);
        long double cdf = 0.0L;
        for (size_t k = 0; k < N; k++) {
            double n = (double)k;
            double pmf = k < 5 ? 0.0 : binomial(n - 1.0, 4.0) * pow(0.3, 5.0) * pow(0.7, n - 5.0);
            cdf += pmf;
            double slack = tails == 1 ? 1e-12 * pmf : 1e-9 * 0.08;
            cr_expect(fabs(v.pdf[k] - pmf) <= slack, "pmf(%zu) = %.17g, expected %.17g", k, v.pdf[k], pmf);
            cr_expect(fabs(v.cdf[k] - (double)cdf) <= 1e-9);
        }
        free_values(&v);
    }
    drop(&c);
}

Test(density, geometric_far_out) {
    pm_builder *b = new_chain(1, true);
    edge(b, 1, 2, 1.0);
    start_at(b, 1, 0.875);
    start_at(b, 2, 0.125);
    chain c = finish(b, 3);
    const double theta[] = {0.1, 1.0 - 1e-8, 1.0}, times[] = {6000.0, 0.0, 1.0, 3.0, 1e15, 30.0};
    values v;
    evaluate(&c, (pm_request){.n_theta = 3, .theta = theta, .n_times = 6, .times = times, .tail_accuracy = true}, &v);
    for (size_t i = 0; i < 3; i++) {
        double stay = 1.0 - theta[i];
        for (size_t j = 0; j < 6; j++) {
            double survival = 0.875 * pow(stay, times[j]);
            double pmf = times[j] == 0.0 ? 0.125 : 0.875 * theta[i] * pow(stay, times[j] - 1.0);
            check_relative("survival", "geometric", times[j], v.survival[i * 6 + j], survival);
            check_relative("pmf", "geometric", times[j], v.pdf[i * 6 + j], pmf);
        }
        cr_expect_eq(v.cdf[i * 6 + 1], 0.125);
    }
    free_values(&v);
    drop(&c);
}

/* ---- refusals ---- */

static void expect_error(const chain *c, pm_request request, pm_status status, const char *text) {
    values v;
    pm_error err = {0};
    pm_status st = evaluate_on(c, best_isa(), request, &v, &err);
    cr_expect_eq(st, status, "status %d: %s", (int)st, err.text);
    cr_expect_not_null(strstr(err.text, text), "\"%s\" is not in \"%s\"", text, err.text);
    free_values(&v);
}

Test(density, bad_times_are_named) {
    chain c = exponential(2);
    const double negative[] = {1.0, -0.5}, nan[] = {NAN}, grid[] = {1.0, 2.0, 3.0, INFINITY}, two[] = {1.0, 1.0};
    pm_request r = {.n_theta = 1, .theta = two, .n_times = 2, .times = negative};
    expect_error(&c, r, PM_EDATA, "times: number 1 is -0.5");
    r.n_times = 1;
    r.times = nan;
    expect_error(&c, r, PM_EDATA, "times: number 0 is nan");
    r = (pm_request){.n_theta = 2, .theta = two, .n_times = 2, .times = grid, .times_per_theta = true};
    expect_error(&c, r, PM_EDATA, "times: row 1, column 1 is inf");
    drop(&c);

    pm_builder *b = new_chain(1, true);
    edge(b, 1, 2, 0.5);
    start_at(b, 1, 1.0);
    c = finish(b, 1);
    const double half = 1.5;
    expect_error(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 1, .times = &half}, PM_EDATA,
                 "times: number 0 is 1.5; expected a whole number");
    drop(&c);
}

Test(density, bad_options_are_usage_errors) {
    chain c = exponential(1);
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = 1, .times = &one, .lanes = 3};
    expect_error(&c, r, PM_EUSAGE, "3 lanes");
    r.lanes = 0;
    r.tolerance = -1.0;
    expect_error(&c, r, PM_EUSAGE, "tolerance -1");
    r.tolerance = NAN;
    expect_error(&c, r, PM_EUSAGE, "tolerance nan");
    drop(&c);
}

Test(density, probabilities_above_one_are_refused) {
    pm_builder *b = new_chain(2, true);
    edge(b, 1, 2, 0.5);
    edge(b, 2, 2, 0.25);
    edge(b, 2, 3, 0.5);
    start_at(b, 1, 1.0);
    chain c = finish(b, 3);
    const double theta[] = {1.0, 1.25, 1.5};
    pm_request r = {.n_theta = 3, .theta = theta, .n_times = 1, .times = &one};
    expect_error(&c, r, PM_EDATA, "theta row 2: the probabilities out of row 2");
    r.n_theta = 2;
    values v;
    evaluate(&c, r, &v);
    cr_expect(v.survival[0] == 1.0 && v.survival[1] == 1.0);
    free_values(&v);
    drop(&c);
}

Test(density, a_negative_rate_names_the_first_row_of_theta_whatever_the_threads_do) {
    chain c = exponential(40);
    double theta[40];
    for (size_t i = 0; i < 40; i++) {
        theta[i] = i == 23 || i == 38 ? -1.0 : 1.0;
    }
    pm_request r = {.n_theta = 40, .theta = theta, .n_times = 1, .times = &one, .lanes = 1, .threads = 4};
    expect_error(&c, r, PM_EDATA, "theta row 23");
    drop(&c);
}

Test(density, a_tolerance_out_of_reach_is_refused_with_the_steps) {
    chain c = chain_named("switch", 1);
    const double times[] = {1.0, 2e9};
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = 2, .times = times, .tolerance = 1e-14};
    values v;
    evaluate(&c, r, &v);
    cr_expect(v.result.error_bound <= 1e-14);
    free_values(&v);
    r.tolerance = 1e-16;
    expect_error(&c, r, PM_EDATA, "--tolerance");
    drop(&c);
}

/* From 1e-30 per unit of time against 1: what happens in 1e12 units takes no steps. The exit is left at half its rate.
 */
Test(density, a_trillion_steps_are_squared) {
    pm_builder *b = new_chain(2, false);
    edge(b, 1, 2, 1.0);
    edge(b, 2, 1, 1.0);
    edge(b, 2, 3, 1e-30);
    start_at(b, 1, 1.0);
    chain c = finish(b, 1);
    const double time = 1e12;
    values v;
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 1, .times = &time, .tail_accuracy = true}, &v);
    cr_expect(fabs(v.pdf[0] - 0.5e-30) < 1e-44);
    cr_expect(fabs(v.cdf[0] - 0.5e-18) < 1e-30, "%.17g", v.cdf[0]);
    cr_expect(v.result.steps < 200);
    free_values(&v);
    drop(&c);
}

/* A ring of 600 states, too many for a matrix, that hardly lets go. */
static chain slow_ring(void) {
    enum { N = 600 };
    pm_builder *b = new_chain(N, false);
    for (uint32_t i = 1; i <= N; i++) {
        edge(b, i, i < N ? i + 1 : 1, 1.0);
    }
    edge(b, N, N + 1, 1e-30);
    start_at(b, 1, 1.0);
    return finish(b, 1);
}

Test(density, steps_without_end_are_refused_before_they_are_taken) {
    chain c = slow_ring();
    const double time = 1e12;
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = 1, .times = &time, .tolerance = 1e-12};
    expect_error(&c, r, PM_EDATA, "1e+12 uniformization steps");
    r.tail_accuracy = true;
    expect_error(&c, r, PM_EDATA, "s of one processor");
    drop(&c);
}

Test(density, rates_too_large_for_a_double_name_the_state) {
    chain c = exponential(1);
    const double theta = 0.6e308;
    pm_request r = {.n_theta = 1, .theta = &theta, .n_times = 1, .times = &one};
    expect_error(&c, r, PM_EDATA, "the rates out of row 1 (state [1]) add up to 1.2e+308");
    drop(&c);
}

Test(density, probability_on_an_unreachable_row_is_an_internal_error) {
    pm_builder *b = new_chain(2, false);
    edge(b, 1, 3, 1.0);
    edge(b, 2, 3, 1.0);
    start_at(b, 1, 1.0);
    start_at(b, 2, 0.0);
    chain c = finish(b, 1);
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = 1, .times = &one};
    values v;
    evaluate(&c, r, &v);
    free_values(&v);
    c.start[1] = 0.5;
    expect_error(&c, r, PM_ESOFTWARE, "start edge 1 has probability 0.5");
    drop(&c);
}

/* ---- progress ---- */

typedef struct heard {
    size_t reports;
    uint64_t done, total;
    bool backwards;
} heard;

static void hear(void *ctx, const char *stage, uint64_t done, uint64_t total) {
    heard *h = ctx;
    cr_expect_str_eq(stage, "densities");
    cr_expect_leq(done, total);
    h->backwards = h->backwards || done < h->done;
    h->reports++;
    h->done = done;
    h->total = total;
}

Test(density, work_of_over_a_second_reports_progress) {
    heard h = {0};
    const pm_log log = {.ctx = &h, .progress = hear};
    pm_progress p;
    pmi_progress_start(&p, &log, 40);
    pmi_progress_tell(&p, 0.5, 8);
    cr_expect_eq(h.reports, 0, "a second has not passed");
    p.started -= 2.0;
    pmi_progress_tell(&p, 0.5, 8);
    cr_expect_eq(h.reports, 1);
    cr_expect_eq(h.done * 10, h.total);
    pmi_progress_add(&p, 8);
    pmi_progress_tell(&p, 0.25, 8);
    cr_expect_eq(h.reports, 1, "not five times a second");
    p.reported -= 1.0;
    pmi_progress_tell(&p, 0.25, 8);
    cr_expect_eq(h.reports, 2);
    cr_expect_eq(h.done * 4, h.total);
    cr_expect_not(h.backwards);
}
