/* Variances and covariances where the plain difference of moments would cancel, and long chains in 13 digits. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "model_fixture.h"

static void evaluate(const model_fixture *r, const pm_request *request, double *moments, double *covariance) {
    pm_error err = {0};
    pm_result result = {.moments = moments, .covariance = covariance};
    cr_assert_eq(pm_evaluate(&r->model, request, &result, &err), PM_OK, "%s", err.text);
}

static void check_close(double found, double expected, double tolerance) {
    cr_assert(fabs(found - expected) <= tolerance * fabs(expected), "found %.17g, expected %.17g", found, expected);
}

/* n states one behind the other; a step of probability or rate `weight`. */
static model_fixture chain(uint32_t n, double weight, bool is_discrete) {
    sketch s = sketch_of((size_t)n + 2, 0, is_discrete);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= n; v++) {
        sketch_edge(&s, v, v + 1, weight);
    }
    return model_fixture_of(sketch_finish(&s), model_fixture_isa());
}

Test(covariance, erlang_of_any_length) {
    static const uint32_t lengths[] = {1, 2, 100, 1000, 10000, 100000, 1000000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        double n = lengths[i], rate = 0.7, moments[2], variance;
        model_fixture r = chain(lengths[i], rate, false);
        evaluate(&r, &(pm_request){.n_theta = 1, .n_moments = 2, .covariance = true}, moments, &variance);
        check_close(variance, n / (rate * rate), 1e-13);
        check_close(moments[0], n / rate, 1e-13);
        check_close(moments[1], n * (n + 1) / (rate * rate), 1e-13);
        model_fixture_free(&r);
    }
}

Test(covariance, sure_chains_have_none) {
    for (uint32_t n = 1; n <= 4097; n = 4 * n + 1) {
        model_fixture r = chain(n, 1, true);
        double variance[4], *rewards = pmi_malloc(2 * ((size_t)n + 2), sizeof *rewards);
        evaluate(&r, &(pm_request){.n_theta = 1, .covariance = true}, NULL, variance);
        cr_assert_eq(variance[0], 0);
        for (size_t v = 0; v < 2 * ((size_t)n + 2); v++) {
            rewards[v] = v % 2 == 0 ? 0.1 : -3.7 * (double)v;
        }
        pm_request request = {.n_theta = 1, .n_rewards = 2, .rewards = rewards, .covariance = true};
        evaluate(&r, &request, NULL, variance);
        for (size_t i = 0; i < 4; i++) {
            cr_assert_eq(variance[i], 0, "%u states: %g", n, variance[i]);
        }
        free(rewards);
        model_fixture_free(&r);
    }
}

/* n geometric times, each of variance q / (1 - q)^2. */
Test(covariance, nearly_sure_chains) {
    for (double q = 1e-3; q > 1e-16; q /= 10) {
        double leave = 1 - q, stay = 1 - leave, variance; /* stay is exact */
        for (uint32_t n = 1; n <= 1000; n *= 10) {
            model_fixture r = chain(n, leave, true);
            evaluate(&r, &(pm_request){.n_theta = 1, .covariance = true}, NULL, &variance);
            check_close(variance, n * stay / (leave * leave), 1e-13);
            model_fixture_free(&r);
        }
    }
}

/* A way round with probability 1e-20 beside one of probability 1: the time is 1 or 3, and variance is 4e-20. */
Test(covariance, a_rare_branch) {
    sketch s = sketch_of(6, 0, true);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 5, 1);
    sketch_edge(&s, 1, 2, 1e-20);
    sketch_edge(&s, 2, 3, 1);
    sketch_edge(&s, 3, 5, 1);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double variance;
    evaluate(&r, &(pm_request){.n_theta = 1, .covariance = true}, NULL, &variance);
    check_close(variance, 4e-20, 1e-13);
    model_fixture_free(&r);
}

/* Start in one of two chains of 50 and 51 sure steps, with probability p and 1 - p. */
Test(covariance, what_varies_at_the_start_alone) {
    for (double p = 0.5; p > 1e-15; p /= 37) {
        sketch s = sketch_of(53, 0, true);
        sketch_start(&s, 1, p);
        sketch_start(&s, 2, 1 - p);
        for (uint32_t v = 1; v <= 51; v++) {
            sketch_edge(&s, v, v + 1, 1);
        }
        model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
        double variance;
        evaluate(&r, &(pm_request){.n_theta = 1, .covariance = true}, NULL, &variance);
        check_close(variance, p * (1 - p), 1e-13);
        model_fixture_free(&r);
    }
}

/* A reward and its opposite, and one that belongs to another state. */
Test(covariance, signs_and_products) {
    static const double rewards[] = {0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 2, 0};
    sketch s = sketch_of(4, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 4);
    sketch_edge(&s, 2, 3, 8);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double c[9];
    evaluate(&r, &(pm_request){.n_theta = 1, .n_rewards = 3, .rewards = rewards, .covariance = true}, NULL, c);
    static const double expected[] = {0.0625, -0.0625, 0, -0.0625, 0.0625, 0, 0, 0, 0.0625};
    for (size_t i = 0; i < 9; i++) {
        cr_assert(fabs(c[i] - expected[i]) <= 1e-15, "%zu: found %.17g, expected %.17g", i, c[i], expected[i]);
    }
    model_fixture_free(&r);
}

/* ---- sums that are long ---- */

/* From a hub to n leaves at rates of theta each, and out at theta: 1 / (n theta) + 1 / theta. */
Test(covariance, stars_keep_their_digits) {
    for (uint32_t n = 100; n <= 1000000; n *= 10) {
        static const double one = 1, theta[] = {0.7, 1.3, 3};
        sketch s = sketch_of((size_t)n + 3, 1, false);
        sketch_start(&s, 1, 1);
        for (uint32_t v = 2; v < n + 2; v++) {
            sketch_param(&s, 1, v, &one);
            sketch_param(&s, v, n + 2, &one);
        }
        model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
        double mean[3];
        evaluate(&r, &(pm_request){.n_theta = 3, .theta = theta, .n_moments = 1}, mean, NULL);
        for (size_t b = 0; b < 3; b++) {
            check_close(mean[b], 1 / (n * theta[b]) + 1 / theta[b], 1e-13);
        }
        model_fixture_free(&r);
    }
}

/* A million states where one may start, each with a rate of its own. */
Test(covariance, many_starts_keep_their_digits) {
    const uint32_t n = 1000000;
    sketch s = sketch_of((size_t)n + 2, 0, false);
    long double expected = 0, total = 0;
    for (uint32_t v = 1; v <= n; v++) {
        double p = 1.0 / n, rate = 0.1 + 1e-6 * v;
        sketch_start(&s, v, p);
        sketch_edge(&s, v, n + 1, rate);
        total += p;
        expected += (long double)p / rate;
    }
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double mean;
    evaluate(&r, &(pm_request){.n_theta = 1, .n_moments = 1}, &mean, NULL);
    check_close(mean, (double)(expected / total), 1e-13);
    model_fixture_free(&r);
}

/* From 1 to n + 1 by steps to either side, reflected at 1: a state takes i / rate to the next one above. */
Test(covariance, a_long_walk) {
    const uint32_t n = 20000;
    sketch s = sketch_of((size_t)n + 2, 0, false);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= n; v++) {
        sketch_edge(&s, v, v + 1, 0.3);
        if (v > 1) {
            sketch_edge(&s, v, v - 1, 0.3);
        }
    }
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double mean;
    evaluate(&r, &(pm_request){.n_theta = 1, .n_moments = 1}, &mean, NULL);
    check_close(mean, (double)n * (n + 1) / 2 / 0.3, 1e-13);
    model_fixture_free(&r);
}

/* One state that stays with probability q: factorial moments k! q^(k-1) / (1 - q)^k. The way out is three edges, whose
 * sum a double would round. */
Test(covariance, factorial_moments_of_what_hardly_stays) {
    for (double q = 0x1p-10; q >= 0x1p-51; q /= 8) {
        sketch s = sketch_of(5, 0, true);
        sketch_start(&s, 1, 1);
        sketch_edge(&s, 1, 2, 0.125 - q / 2);
        sketch_edge(&s, 1, 3, 0.25 - q / 4);
        sketch_edge(&s, 1, 4, 0.625 - q / 4);
        model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
        double moments[4], expected = 1 / (1 - q);
        evaluate(&r, &(pm_request){.n_theta = 1, .n_moments = 4, .factorial = true}, moments, NULL);
        for (unsigned k = 1; k <= 4; k++) {
            check_close(moments[k - 1], expected, 1e-13);
            expected *= (k + 1) * q / (1 - q);
        }
        model_fixture_free(&r);
    }
}
