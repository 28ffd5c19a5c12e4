/* Values in between may leave the range of doubles, in either direction: what fits in the end is right, the rest is
 * refused, and neither depends on the rows beside it. Values expected were computed with mpmath in 60 digits. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/float_env.h"
#include "base/mem.h"
#include "digraphs.h"
#include "model_fixture.h"

static pm_status evaluate(const model_fixture *r, const pm_request *request, double *moments, double *covariance,
                          pm_error *err) {
    return pm_evaluate(&r->model, request, &(pm_result){.moments = moments, .covariance = covariance}, err);
}

static void check_close(double found, double expected, double tolerance) {
    cr_assert(fabs(found - expected) <= tolerance * fabs(expected), "found %.17g, expected %.17g", found, expected);
}

/* A queue of one server from empty until it first holds k: arrivals at theta 0, services at theta 1. */
static model_fixture queue(uint32_t k) {
    static const double arrival[] = {1, 0}, service[] = {0, 1};
    sketch s = sketch_of(k + 2, 2, false);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= k; v++) {
        sketch_param(&s, v, v + 1, arrival);
        if (v > 1) {
            sketch_param(&s, v, v - 1, service);
        }
    }
    return model_fixture_of(sketch_finish(&s), model_fixture_isa());
}

static void check_queue(uint32_t k, double arrival, double service, double expected) {
    model_fixture r = queue(k);
    const double theta[] = {arrival, service};
    double mean = -1;
    pm_error err = {0};
    pm_status st = evaluate(&r, &(pm_request){.n_theta = 1, .theta = theta, .n_moments = 1}, &mean, NULL, &err);
    if (isfinite(expected)) {
        cr_assert_eq(st, PM_OK, "%s", err.text);
        check_close(mean, expected, 1e-13);
    } else {
        cr_assert_eq(st, PM_EDATA);
        cr_assert(strstr(err.text, "theta row 0: moment 1 of reward vector 0 overflows") != NULL, "%s", err.text);
    }
    model_fixture_free(&r);
}

Test(moments_range, pivots_that_a_double_loses) {
    check_queue(1100, 1, 2, HUGE_VAL);
    check_queue(1070, 1, 2, HUGE_VAL);
    check_queue(1000, 1, 2, 2.1430172143725346419e+301);
    check_queue(680, 1e20, 3e20, 2.077372952387433413e+304);
    check_queue(665, 1e9, 3e9, 1.4477569283761009901e+308);
}

/* The time in the state before absorption is 1 / arrival for every k. */
Test(moments_range, queues_whose_rewards_lie_at_the_top) {
    for (uint32_t k = 1000; k <= 1100; k += 10) {
        model_fixture r = queue(k);
        static const double theta[] = {1, 2};
        double mean, *reward = pmi_calloc(k + 2, sizeof *reward);
        pm_error err = {0};
        reward[k] = 1;
        pm_request request = {.n_theta = 1, .theta = theta, .n_moments = 1, .n_rewards = 1, .rewards = reward};
        cr_assert_eq(evaluate(&r, &request, &mean, NULL, &err), PM_OK, "%u: %s", k, err.text);
        check_close(mean, 1, 1e-13);
        free(reward);
        model_fixture_free(&r);
    }
}

/* 1 -> 2 at 1, back and out at 1e-170 each: 1e170 visits, so that the mean time in 1 is 1e170 and in 2 1e340. */
Test(moments_range, a_pivot_that_is_a_product_of_small_rates) {
    static const double rewards[] = {0, 1, 0, 0};
    sketch s = sketch_of(4, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 2, 1, 1e-170);
    sketch_edge(&s, 1, 3, 1e-170);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double mean;
    pm_error err = {0};
    pm_request request = {.n_theta = 1, .n_moments = 1, .n_rewards = 1, .rewards = rewards};
    cr_assert_eq(evaluate(&r, &request, &mean, NULL, &err), PM_OK, "%s", err.text);
    check_close(mean, 1e170, 1e-13);
    cr_assert_eq(evaluate(&r, &(pm_request){.n_theta = 1, .n_moments = 1}, &mean, NULL, &err), PM_EDATA);
    model_fixture_free(&r);
}

/* One state that leaves at theta: m_k of the reward r is k! (r / theta)^k. */
static model_fixture exponential(void) {
    static const double one = 1;
    sketch s = sketch_of(3, 1, false);
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 2, &one);
    return model_fixture_of(sketch_finish(&s), model_fixture_isa());
}

/* Rates of 1e+-400 in all but name: the weight itself does not fit. */
Test(moments_range, weights_beyond_the_range) {
    static const double coef[] = {1e200, 1e-200, -1e-200}, theta[] = {1e200, 1e-200, 1e-200};
    static const double reward[] = {1e300, 1e-300, 1};
    for (size_t i = 0; i < 3; i++) {
        sketch s = sketch_of(3, 1, false);
        sketch_start(&s, 1, 1);
        sketch_param(&s, 1, 2, &coef[i]);
        model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
        const double rewards[] = {0, reward[i], 0};
        double mean;
        pm_error err = {0};
        pm_request request = {.n_theta = 1, .theta = &theta[i], .n_moments = 1, .n_rewards = 1, .rewards = rewards};
        pm_status st = evaluate(&r, &request, &mean, NULL, &err);
        if (coef[i] < 0) {
            cr_assert_eq(st, PM_EDATA);
            cr_assert(strstr(err.text, "is negative") != NULL, "%s", err.text);
        } else {
            cr_assert_eq(st, PM_OK, "%s", err.text);
            check_close(mean, i == 0 ? 1e-100 : 1e100, 1e-13);
        }
        model_fixture_free(&r);
    }
}

/* The second moment does not fit below 1.5e-154 and above 1e154; the first does. */
Test(moments_range, results_beyond_the_range_are_refused_by_name) {
    model_fixture r = exponential();
    static const double theta[] = {1, 1e-155, 1e155};
    static const char *const what[] = {NULL, "moment 2 of reward vector 0 overflows",
                                       "moment 2 of reward vector 0 underflows"};
    double moments[2];
    pm_error err = {0};
    for (size_t i = 0; i < 3; i++) {
        pm_request request = {.n_theta = 1, .theta = &theta[i], .n_moments = 2};
        pm_status st = evaluate(&r, &request, moments, NULL, &err);
        cr_assert_eq(st, i == 0 ? PM_OK : PM_EDATA);
        cr_assert(i == 0 || strstr(err.text, what[i]) != NULL, "%s", err.text);
        request.n_moments = 1;
        cr_assert_eq(evaluate(&r, &request, moments, NULL, &err), PM_OK);
        check_close(moments[0], 1 / theta[i], 1e-15);
    }
    model_fixture_free(&r);
}

/* ---- whatever the rows beside it, the threads, lanes and instruction set ---- */

enum { ROWS = 37, LEVELS = 560 };

static void check_batches(model_fixture *r, const double *theta, const double *expected) {
    double found[ROWS];
    pm_error err = {0};
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        for (unsigned lanes = 1; lanes <= 16; lanes = lanes == 1 ? 4 : 2 * lanes) {
            for (size_t batch = 1; batch <= ROWS; batch += 6) {
                for (size_t first = 0; first < ROWS; first += batch) {
                    size_t n = first + batch < ROWS ? batch : ROWS - first;
                    pm_request request = {
                        .n_theta = n, .theta = theta + 2 * first, .n_moments = 1, .threads = threads, .lanes = lanes};
                    cr_assert_eq(evaluate(r, &request, found + first, NULL, &err), PM_OK, "%s", err.text);
                }
                cr_assert_arr_eq(found, expected, sizeof found, "%u threads, %u lanes, %zu rows", threads, lanes,
                                 batch);
            }
        }
    }
}

Test(moments_range, the_same_bits_beside_rows_that_leave_the_range) {
    double theta[2 * ROWS], expected[ROWS];
    model_fixture r = queue(LEVELS);
    r.model.program.is_long = false; /* so that ordinary rows are evaluated in doubles */
    pm_error err = {0};
    for (size_t b = 0; b < ROWS; b++) {
        theta[2 * b] = b % 5 == 2 ? 1e-3 : 1 + 0.01 * (double)b;
        theta[2 * b + 1] = b % 5 == 2 ? 3.4e-3 : 1.1;
        pm_request request = {.n_theta = 1, .theta = theta + 2 * b, .n_moments = 1, .threads = 1, .lanes = 1};
        cr_assert_eq(evaluate(&r, &request, &expected[b], NULL, &err), PM_OK, "%s", err.text);
    }
    check_batches(&r, theta, expected);
    model_fixture_free(&r);
}

/* What is computed in wide numbers is the same on every processor, also where products and sums are not fused. */
Test(moments_range, the_same_bits_on_every_instruction_set) {
    static const double theta[] = {1e-3, 1.7e-3, 1, 1.1, 2, 1.7, 3, 2.9, 0.01, 0.013};
    double expected[10] = {0};
    for (int isa = 0, first = 1; isa < PM_ISA_COUNT; isa++) {
        for (unsigned lanes = 1; model_fixture_has_isa((pm_isa)isa) && lanes <= 16;
             lanes = lanes == 1 ? 4 : 2 * lanes) {
            model_fixture best = queue(LEVELS);
            model_fixture r = model_fixture_of(best.model.analysis.graph, (pm_isa)isa);
            pmi_graph_hold(r.model.analysis.graph);
            r.model.program.is_long = true;
            double found[10];
            pm_error err = {0};
            pm_request request = {
                .n_theta = 5, .theta = theta, .n_moments = 1, .covariance = true, .threads = 1, .lanes = lanes};
            cr_assert_eq(evaluate(&r, &request, found, found + 5, &err), PM_OK, "%s", err.text);
            if (first) {
                memcpy(expected, found, sizeof found);
                first = 0;
            }
            cr_assert_arr_eq(found, expected, sizeof found, "%s, %u lanes", pmi_isa_name((pm_isa)isa), lanes);
            model_fixture_free(&r);
            model_fixture_free(&best);
        }
    }
}

#if defined(__x86_64__)
/* Upward rounding, denormals flushed: the caller's business, and back in force afterwards. */
Test(moments_range, the_environment_of_the_caller_does_not_count) {
    model_fixture r = queue(700);
    static const double theta[] = {1, 1.1, 1e-3, 2.5e-3, 3, 0.7};
    for (unsigned threads = 1; threads <= 4; threads++) {
        for (int covariance = 0; covariance < 2; covariance++) {
            double expected[6] = {0}, found[6] = {0};
            pm_error err = {0};
            pm_request request = {.n_theta = covariance ? 1 : 3, /* variances of the others do not fit */
                                  .theta = theta,
                                  .n_moments = covariance ? 0 : 1,
                                  .covariance = covariance,
                                  .threads = threads};
            pm_result plain = {.moments = expected, .covariance = expected + 3};
            pm_result hostile = {.moments = found, .covariance = found + 3};
            pm_status st = pm_evaluate(&r.model, &request, &plain, &err);
            unsigned before = _mm_getcsr(), set = 0x1f80U | 0x8040U | 0x4000U;
            _mm_setcsr(set);
            pm_status again = pm_evaluate(&r.model, &request, &hostile, &err);
            unsigned after = _mm_getcsr();
            _mm_setcsr(before);
            cr_assert_eq(after, set);
            cr_assert(st == PM_OK && again == PM_OK, "%s", err.text);
            cr_assert_arr_eq(found, expected, sizeof found);
        }
    }
    model_fixture_free(&r);
}

Test(moments_range, the_environment_of_the_caller_does_not_count_for_densities) {
    model_fixture r = queue(700);
    static const double theta[] = {1, 1.1, 1e-3, 2.5e-3, 3, 0.7}, times[] = {1e-3, 1, 40, 3000};
    for (unsigned threads = 1; threads <= 4; threads++) {
        double expected[24] = {0}, found[24] = {0};
        pm_error err = {0};
        pm_request request = {.n_theta = 3,
                              .theta = theta,
                              .times = times,
                              .n_times = 4,
                              .pdf = true,
                              .cdf = true,
                              .lanes = 1,
                              .threads = threads};
        pm_result plain = {.pdf = expected, .cdf = expected + 12}, hostile = {.pdf = found, .cdf = found + 12};
        pm_status st = pm_evaluate(&r.model, &request, &plain, &err);
        unsigned before = _mm_getcsr(), set = 0x1f80U | 0x8040U | 0x4000U;
        _mm_setcsr(set);
        pm_status again = pm_evaluate(&r.model, &request, &hostile, &err);
        unsigned after = _mm_getcsr();
        _mm_setcsr(before);
        cr_assert_eq(after, set);
        cr_assert(st == PM_OK && again == PM_OK, "%s", err.text);
        cr_assert_arr_eq(found, expected, sizeof found);
        cr_assert_arr_eq(&plain.error_bound, &hostile.error_bound, sizeof plain.error_bound);
    }
    model_fixture_free(&r);
}

Test(moments_range, traps_of_the_caller_do_not_spring) {
    model_fixture r = queue(1100);
    static const double theta[] = {1, 2};
    double mean;
    pm_error err = {0};
    unsigned before = _mm_getcsr();
    _mm_setcsr(0x0000); /* all traps on */
    pm_status st =
        evaluate(&r, &(pm_request){.n_theta = 1, .theta = theta, .n_moments = 1, .threads = 2}, &mean, NULL, &err);
    _mm_setcsr(before);
    cr_assert_eq(st, PM_EDATA);
    model_fixture_free(&r);
}
#endif

Test(moments_range, flags_tell_of_the_range_and_not_of_rounding) {
    volatile double tiny = DBL_MIN, huge = DBL_MAX, third = 3, out;
    pm_float_env before = pmi_float_enter();
    out = 1 / third;
    cr_assert_not(pmi_float_raised());
    out = tiny / third;
    cr_assert(pmi_float_raised());
    pmi_float_clear();
    cr_assert_not(pmi_float_raised());
    out = huge * third;
    cr_assert(pmi_float_raised());
    pmi_float_leave(before);
    cr_assert(isinf(out));
}
