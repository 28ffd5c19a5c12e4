#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "dense.h"
#include "digraphs.h"
#include "model_fixture.h"

static void evaluate(const model_fixture *r, const pm_request *request, pm_result *result) {
    pm_error err;
    cr_assert_eq(pm_evaluate(&r->model, request, result, &err), PM_OK, "%s", err.text);
}

static void check_close(double found, double expected) {
    cr_assert(fabs(found - expected) <= 1e-13 * fabs(expected), "found %.17g, expected %.17g", found, expected);
}

/* `n` successes in a row, each with probability theta; the steps until the last: negative binomial. */
static model_fixture successes(uint32_t n, bool with_loops) {
    static const double chance = 1;
    sketch s = sketch_of((size_t)n + 2, 1, true);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= n; v++) {
        sketch_param(&s, v, v + 1, &chance);
        if (with_loops) {
            sketch_edge(&s, v, v, 0.125);
        }
    }
    return model_fixture_of(sketch_finish(&s), model_fixture_isa());
}

Test(moments_discrete, geometric) {
    static const double half = 0.5;
    model_fixture r = successes(1, false);
    double raw[4], factorial[4];
    evaluate(&r, &(pm_request){.n_theta = 1, .theta = &half, .n_moments = 4}, &(pm_result){.moments = raw});
    evaluate(&r, &(pm_request){.n_theta = 1, .theta = &half, .n_moments = 4, .factorial = true},
             &(pm_result){.moments = factorial});
    static const double expected[] = {2, 6, 26, 150}, falling[] = {2, 4, 12, 48}; /* k! q^(k-1) / p^k */
    for (int k = 0; k < 4; k++) {
        check_close(raw[k], expected[k]);
        check_close(factorial[k], falling[k]);
    }
    model_fixture_free(&r);
}

/* A self-loop is a part of staying: what is not said stays put as well, so that it changes nothing. */
Test(moments_discrete, negative_binomial_with_and_without_self_loops) {
    static const double theta[] = {0.3, 0.75, 0.01, 0.875};
    for (int loops = 0; loops < 2; loops++) {
        for (uint32_t n = 1; n <= 12; n += 4) {
            model_fixture r = successes(n, loops == 1);
            double moments[4][3], variance[4];
            pm_request request = {.n_theta = 4, .theta = theta, .n_moments = 3, .covariance = true};
            evaluate(&r, &request, &(pm_result){.moments = moments[0], .covariance = variance});
            for (int b = 0; b < 4; b++) {
                double p = theta[b], q = 1 - p, mean = n / p, spread = n * q / (p * p);
                double skew = n * q * (1 + q) / (p * p * p); /* third central moment */
                check_close(moments[b][0], mean);
                check_close(moments[b][1], spread + mean * mean);
                check_close(moments[b][2], skew + 3 * mean * spread + mean * mean * mean);
                cr_assert(fabs(variance[b] - spread) <= 1e-13 * moments[b][1]);
            }
            model_fixture_free(&r);
        }
    }
}

/* Certain steps: Y is n, and has no variance. */
Test(moments_discrete, certain_steps) {
    static const double one = 1;
    model_fixture r = successes(7, false);
    double moments[3], falling[9], variance;
    pm_request request = {.n_theta = 1, .theta = &one, .n_moments = 3, .covariance = true};
    evaluate(&r, &request, &(pm_result){.moments = moments, .covariance = &variance});
    check_close(moments[0], 7);
    check_close(moments[1], 49);
    check_close(moments[2], 343);
    cr_assert_eq(variance, 0);
    request = (pm_request){.n_theta = 1, .theta = &one, .n_moments = 9, .factorial = true};
    evaluate(&r, &request, &(pm_result){.moments = falling});
    double expected = 1;
    for (int k = 1; k <= 9; k++) {
        expected *= 8 - k;
        cr_assert_eq(falling[k - 1], expected, "%d: %.17g", k, falling[k - 1]);
    }
    model_fixture_free(&r);
}

/* ---- against the distribution itself, found by stepping ---- */

enum { MOST = 7, ROWS = 5, ORDER = 4, VECTORS = 3 };

static pm_graph *draw_chain(pm_random *random, uint32_t n) {
    sketch s = sketch_of(n, 1, true);
    double share[MOST];
    for (uint32_t v = 1; v + 1 < n; v++) {
        if (v == 1 || draw_below(random, 3) == 0) {
            sketch_start(&s, v, draw_rate(random, 1));
        }
        double left = 0.3 + 0.1 * draw_below(random, 5), sum = 0;
        for (uint32_t w = 1; w < n; w++) {
            share[w] = draw_below(random, 2) == 0 ? draw_rate(random, 1) : 0;
            sum += share[w];
        }
        sketch_edge(&s, v, n - 1, 1 - left);
        for (uint32_t w = 1; w < n; w++) {
            double coef = share[w] / sum * left;
            if (coef > 0) {
                sketch_param(&s, v, w, &coef);
            }
        }
    }
    sketch_start(&s, n - 1, 0.5);
    return sketch_finish(&s);
}

static void check_moments(const dense_mass *mass, const dense_mass *size, const double *raw, const double *falling) {
    for (uint32_t k = 1; k <= ORDER; k++) {
        quad expected = dense_raw_moment(mass, k), scale = dense_raw_moment(size, k);
        cr_assert(dense_near(raw[k - 1], expected, scale, 1e-13), "moment %u: found %.17g, expected %.17g", k,
                  raw[k - 1], (double)expected);
        if (falling != NULL) {
            expected = dense_factorial_moment(mass, k);
            cr_assert(dense_near(falling[k - 1], expected, expected, 1e-13),
                      "factorial %u: found %.17g, expected %.17g", k, falling[k - 1], (double)expected);
        }
    }
}

/* cov(f, g) = (var(f + g) - var(f - g)) / 4 */
static quad covariance_of(const dense_chain *c, const int *f, const int *g) {
    int sum[MOST], difference[MOST];
    for (uint32_t v = 0; v < c->n_rows; v++) {
        sum[v] = f[v] + g[v];
        difference[v] = f[v] - g[v];
    }
    const int *rewards[] = {sum, difference};
    quad variance[2];
    for (int i = 0; i < 2; i++) {
        dense_mass mass = dense_mass_of(c, rewards[i]);
        quad mean = dense_raw_moment(&mass, 1);
        variance[i] = dense_raw_moment(&mass, 2) - mean * mean;
        free(mass.probability);
    }
    return (variance[0] - variance[1]) / 4;
}

static void check_row(const pm_graph *g, double theta, int reward[VECTORS][MOST], double raw[VECTORS][ORDER],
                      double falling[2][ORDER], const double *covariance) {
    dense_chain c = dense_chain_of(g, &theta);
    for (size_t f = 0; f < VECTORS; f++) {
        int size[MOST];
        for (uint32_t v = 0; v < g->n_vertices; v++) {
            size[v] = abs(reward[f][v]);
        }
        dense_mass mass = dense_mass_of(&c, reward[f]), absolute = dense_mass_of(&c, size);
        check_moments(&mass, &absolute, raw[f], f < 2 ? falling[f] : NULL);
        free(mass.probability);
        free(absolute.probability);
        quad expected = covariance_of(&c, reward[0], reward[f]);
        cr_assert(dense_near(covariance[f], expected, 100, 1e-13), "covariance %zu: found %.17g, expected %.17g", f,
                  covariance[f], (double)expected);
    }
    dense_chain_free(&c);
}

/* Rewards of the first vector are 1 to 2, of the second 0 to 2, of the third -2 to 2. */
static void check_chain(pm_random *random) {
    uint32_t n = 3 + draw_below(random, MOST - 2);
    model_fixture r = model_fixture_of(draw_chain(random, n), model_fixture_isa());
    r.model.normalize_start = true;
    int whole[VECTORS][MOST];
    double rewards[VECTORS * MOST], theta[ROWS];
    for (uint32_t v = 0; v < n; v++) {
        whole[0][v] = 1 + (int)draw_below(random, 2);
        whole[1][v] = (int)draw_below(random, 3);
        whole[2][v] = (int)draw_below(random, 5) - 2;
        for (uint32_t f = 0; f < VECTORS; f++) {
            rewards[f * n + v] = whole[f][v];
        }
    }
    for (int b = 0; b < ROWS; b++) {
        theta[b] = 0.2 * (b + 1);
    }
    double raw[ROWS][VECTORS][ORDER], falling[ROWS][2][ORDER], covariance[ROWS][VECTORS * VECTORS];
    pm_request request = {.n_theta = ROWS,
                          .theta = theta,
                          .n_moments = ORDER,
                          .n_rewards = VECTORS,
                          .rewards = rewards,
                          .covariance = true};
    evaluate(&r, &request, &(pm_result){.moments = raw[0][0], .covariance = covariance[0]});
    request.n_rewards = 2;
    request.factorial = true;
    request.covariance = false;
    evaluate(&r, &request, &(pm_result){.moments = falling[0][0]});
    for (int b = 0; b < ROWS; b += 2) {
        check_row(r.model.analysis.graph, theta[b], whole, raw[b], falling[b], covariance[b]);
    }
    model_fixture_free(&r);
}

Test(moments_discrete, random_chains_against_their_distribution) {
    pm_random random = {.state = 100};
    for (int turn = 0; turn < 12; turn++) {
        check_chain(&random);
    }
}

/* ---- refusals ---- */

Test(moments_discrete, probabilities_beyond_one_name_row_and_state) {
    model_fixture r = successes(3, true);
    static const double theta[] = {0.5, 0.875, 1 - 0.125 + 1e-9};
    double moments[3];
    pm_error err;
    pm_request request = {.n_theta = 3, .theta = theta, .n_moments = 1};
    cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.moments = moments}, &err), PM_EDATA);
    cr_assert(strncmp(err.text, "theta row 2: the probabilities out of row ", 42) == 0, "%s", err.text);
    cr_assert(strstr(err.text, "expected at most 1") != NULL, "%s", err.text);
    request.n_theta = 2;
    evaluate(&r, &request, &(pm_result){.moments = moments});
    model_fixture_free(&r);
}

Test(moments_discrete, factorial_moments_need_whole_rewards) {
    model_fixture r = successes(1, false);
    static const double theta = 0.5;
    double moment, rewards[] = {0, 1.5, 0};
    pm_error err;
    pm_request request = {
        .n_theta = 1, .theta = &theta, .n_moments = 1, .factorial = true, .n_rewards = 1, .rewards = rewards};
    cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.moments = &moment}, &err), PM_EDATA);
    cr_assert(strstr(err.text, "reward vector 0, row 1: factorial moments need whole rewards") != NULL, "%s", err.text);
    rewards[1] = -1;
    cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.moments = &moment}, &err), PM_EDATA);
    rewards[1] = 2; /* 2 for each step: E[Y] = 4 */
    evaluate(&r, &request, &(pm_result){.moments = &moment});
    check_close(moment, 4);
    model_fixture_free(&r);
}
