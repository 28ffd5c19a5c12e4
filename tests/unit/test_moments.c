#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "dense.h"
#include "digraphs.h"
#include "model_fixture.h"

static void evaluate(const model_fixture *r, const pm_request *request, pm_result *result) {
    pm_error err;
    cr_assert_eq(pm_evaluate(&r->model, request, result, &err), PM_OK, "%s", err.text);
}

/* The error of a request for `k` moments at these rows of theta. */
static pm_error refusal(const model_fixture *r, size_t n_theta, const double *theta, size_t k, pm_status status) {
    double moments[64];
    pm_request request = {.n_theta = n_theta, .theta = theta, .n_moments = k};
    pm_result result = {.moments = moments};
    pm_error err = {0};
    cr_assert_eq(pm_evaluate(&r->model, &request, &result, &err), status, "%s", err.text);
    return err;
}

static void check_close(double found, double expected) {
    cr_assert(fabs(found - expected) <= 1e-13 * fabs(expected), "found %.17g, expected %.17g", found, expected);
}

/* States 1..n one behind the other at rate theta, n + 1 absorbs. */
static model_fixture erlang(uint32_t n) {
    const double one = 1;
    sketch s = sketch_of(n + 2, 1, false);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= n; v++) {
        sketch_param(&s, v, v + 1, &one);
    }
    return model_fixture_of(sketch_finish(&s), model_fixture_isa());
}

Test(moments, exponential_and_erlang) {
    static const double theta[] = {0.5, 1, 3, 1e-30, 1e30};
    for (uint32_t n = 1; n <= 41; n += 8) {
        model_fixture r = erlang(n);
        double moments[5][6];
        evaluate(&r, &(pm_request){.n_theta = 5, .theta = theta, .n_moments = 6}, &(pm_result){.moments = moments[0]});
        for (size_t b = 0; b < 5; b++) {
            double expected = 1; /* n (n+1) .. (n+k-1) / theta^k */
            for (uint32_t k = 1; k <= 6; k++) {
                expected *= (n + k - 1) / theta[b];
                check_close(moments[b][k - 1], expected);
            }
        }
        model_fixture_free(&r);
    }
}

/* a and b at rate 0.9 each way, b absorbs at 0.1: m_a = 1/0.9 + m_b, m_b = 1 + 0.9 m_a. */
Test(moments, two_states_that_loop) {
    sketch s = sketch_of(4, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 0.9);
    sketch_edge(&s, 2, 1, 0.9);
    sketch_edge(&s, 2, 3, 0.1);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double mean;
    evaluate(&r, &(pm_request){.n_theta = 1, .n_moments = 1}, &(pm_result){.moments = &mean});
    check_close(mean, 190.0 / 9);
    model_fixture_free(&r);
}

/* ---- against the dense reference ---- */

/* States 1..n-2 with random edges, the last row absorbs and can be reached from everywhere; two parameters. */
static pm_graph *draw_chain(pm_random *random, uint32_t n, uint32_t percent, double decades) {
    sketch s = sketch_of(n, 2, false);
    for (uint32_t v = 1; v + 1 < n; v++) {
        if (v == 1 || draw_below(random, 4) == 0) {
            sketch_start(&s, v, draw_rate(random, 1));
        }
        for (uint32_t w = 1; w < n; w++) {
            double coef[] = {draw_rate(random, decades), draw_below(random, 2) == 0 ? 0 : draw_rate(random, decades)};
            bool exits = w + 1 == n && draw_below(random, 3) == 0;
            if (v != w && (exits || w == v + 1 || draw_below(random, 100) < percent)) {
                sketch_param(&s, v, w, coef);
                if (draw_below(random, 6) == 0) {
                    sketch_edge(&s, v, w, draw_rate(random, decades));
                }
            }
        }
    }
    return sketch_finish(&s);
}

enum { ROWS = 11, ORDER = 4, VECTORS = 3 };

/* Ones and halves; all zero; signed. */
static double *draw_rewards(pm_random *random, uint32_t n) {
    double *reward = pmi_calloc(VECTORS * (size_t)n, sizeof *reward);
    for (uint32_t v = 0; v < n; v++) {
        reward[v] = 0.5 * draw_below(random, 3);
        reward[2 * n + v] = (double)draw_below(random, 7) - 3;
    }
    reward[1] = 1;
    return reward;
}

static void check_vector(const dense_chain *c, dense_solver solve, const double *reward, const double *found) {
    quad expected[ORDER], scale[ORDER];
    double *size = pmi_malloc(c->n_rows, sizeof *size);
    for (uint32_t v = 0; v < c->n_rows; v++) {
        size[v] = fabs(reward[v]);
    }
    dense_moments(c, solve, reward, ORDER, expected);
    dense_moments(c, solve, size, ORDER, scale);
    for (uint32_t k = 0; k < ORDER; k++) {
        cr_assert(dense_near(found[k], expected[k], scale[k], 1e-13), "moment %u: found %.17g, expected %.17g", k + 1,
                  found[k], (double)expected[k]);
    }
    free(size);
}

static void check_covariance(const dense_chain *c, dense_solver solve, const double *reward, const double *found) {
    uint32_t n = c->n_rows;
    double size[64];
    for (size_t f = 0; f < VECTORS; f++) {
        for (size_t g = 0; g < VECTORS; g++) {
            quad scale[2];
            for (uint32_t v = 0; v < n; v++) {
                size[v] = fabs(reward[f * n + v]) + fabs(reward[g * n + v]);
            }
            dense_moments(c, solve, size, 2, scale);
            quad expected = dense_covariance(c, solve, reward + f * n, reward + g * n);
            double value = found[f * VECTORS + g];
            cr_assert(dense_near(value, expected, scale[1], 1e-13), "covariance %zu, %zu: found %.17g, expected %.17g",
                      f, g, value, (double)expected);
            cr_assert_eq(value, found[g * VECTORS + f]);
        }
    }
}

static void check_chain(pm_random *random, pm_graph *graph, dense_solver solve, double decades) {
    uint32_t n = graph->n_vertices;
    double theta[ROWS][2], moments[ROWS][VECTORS][ORDER], covariance[ROWS][VECTORS * VECTORS];
    double *reward = draw_rewards(random, n);
    for (size_t b = 0; b < ROWS; b++) {
        theta[b][0] = draw_rate(random, decades);
        theta[b][1] = draw_rate(random, decades);
    }
    model_fixture r = model_fixture_of(graph, model_fixture_isa());
    r.model.normalize_start = true;
    pm_request request = {.n_theta = ROWS,
                          .theta = theta[0],
                          .n_moments = ORDER,
                          .n_rewards = VECTORS,
                          .rewards = reward,
                          .covariance = true};
    evaluate(&r, &request, &(pm_result){.moments = moments[0][0], .covariance = covariance[0]});
    for (size_t b = 0; b < ROWS; b++) {
        dense_chain c = dense_chain_of(graph, theta[b]);
        for (size_t f = 0; f < VECTORS; f++) {
            check_vector(&c, solve, reward + f * n, moments[b][f]);
        }
        if (b % 5 == 0) {
            check_covariance(&c, solve, reward, covariance[b]);
        }
        dense_chain_free(&c);
    }
    free(reward);
    model_fixture_free(&r);
}

Test(moments, random_chains_with_rewards) {
    pm_random random = {.state = 80};
    for (int turn = 0; turn < 40; turn++) {
        uint32_t n = 3 + draw_below(&random, 22);
        check_chain(&random, draw_chain(&random, n, 1 + draw_below(&random, 30), 1.5), dense_solve, 1);
    }
}

/* Rates over 18 decades: every digit must hold, as nothing is subtracted. */
Test(moments, stiff_random_chains) {
    pm_random random = {.state = 81};
    for (int turn = 0; turn < 40; turn++) {
        uint32_t n = 3 + draw_below(&random, 17);
        check_chain(&random, draw_chain(&random, n, 1 + draw_below(&random, 40), 9), dense_solve_stiff, 1);
    }
}

/* ---- atoms, empty batches, shapes ---- */

Test(moments, mass_on_an_absorbing_state_is_an_atom) {
    const double one = 1, theta[] = {2, 4};
    sketch s = sketch_of(4, 1, false);
    sketch_start(&s, 1, 0.5);
    sketch_start(&s, 2, 0.25);
    sketch_start(&s, 3, 0.25);
    sketch_param(&s, 1, 2, &one);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double atom[2], moments[4];
    pm_request request = {.n_theta = 2, .theta = theta, .n_moments = 2};
    evaluate(&r, &request, &(pm_result){.moments = moments, .atom = atom});
    check_close(atom[0], 0.5);
    check_close(atom[1], 0.5);
    check_close(moments[0], 0.25);
    check_close(moments[1], 0.25);
    check_close(moments[2], 0.125);
    check_close(moments[3], 0.0625);
    model_fixture_free(&r);
}

/* All mass on absorbing states: no transient state at all. */
Test(moments, nothing_but_an_atom) {
    sketch s = sketch_of(3, 0, false);
    sketch_start(&s, 1, 0.5);
    sketch_start(&s, 2, 0.5);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double atom, moments[2] = {7, 7}, covariance = 7;
    pm_request request = {.n_theta = 1, .n_moments = 2, .covariance = true};
    evaluate(&r, &request, &(pm_result){.moments = moments, .atom = &atom, .covariance = &covariance});
    cr_assert_eq(atom, 1);
    cr_assert_eq(moments[0], 0);
    cr_assert_eq(moments[1], 0);
    cr_assert_eq(covariance, 0);
    model_fixture_free(&r);
}

Test(moments, an_empty_batch_writes_nothing) {
    model_fixture r = erlang(3);
    double moments = 42;
    evaluate(&r, &(pm_request){.n_moments = 3}, &(pm_result){.moments = &moments});
    cr_assert_eq(moments, 42);
    model_fixture_free(&r);
}

Test(moments, covariance_alone) {
    model_fixture r = erlang(4);
    const double theta = 2;
    double covariance, rewards[] = {0, 1, 0, 0, 3, 0};
    pm_request request = {.n_theta = 1, .theta = &theta, .n_rewards = 1, .rewards = rewards, .covariance = true};
    evaluate(&r, &request, &(pm_result){.covariance = &covariance});
    check_close(covariance, 0.25 + 9 * 0.25);
    model_fixture_free(&r);
}

/* ---- what double precision cannot hold ---- */

Test(moments, overflow_and_underflow_name_the_row_and_the_moment) {
    model_fixture r = erlang(1);
    static const double small[] = {1, 1e-200}, large[] = {1, 1, 1e200}, both[] = {1e-200, 1e200};
    pm_error err = refusal(&r, 2, small, 2, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 1: moment 2 of reward vector 0 overflows") != NULL, "%s", err.text);
    err = refusal(&r, 3, large, 3, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 2: moment 2 of reward vector 0 underflows") != NULL, "%s", err.text);
    err = refusal(&r, 2, both, 2, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 0: ") != NULL, "%s", err.text);
    double moments[2];
    evaluate(&r, &(pm_request){.n_theta = 2, .theta = both, .n_moments = 1}, &(pm_result){.moments = moments});
    check_close(moments[0], 1e200);
    check_close(moments[1], 1e-200);
    model_fixture_free(&r);
}

/* A mean of zero is right only where no reward is reached. */
Test(moments, rewards_that_underflow_the_mean_are_refused) {
    static const double coef[] = {1, 0}, side[] = {0, 1}, theta[] = {1e200, 0, 1e200, 1};
    sketch s = sketch_of(4, 2, false);
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 3, coef);
    sketch_param(&s, 1, 2, side);
    sketch_param(&s, 2, 3, coef);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double means[2] = {7, 7}, rewards[] = {0, 0, 1e-200, 0};
    pm_request request = {.n_theta = 1, .theta = theta, .n_moments = 1, .n_rewards = 1, .rewards = rewards};
    evaluate(&r, &request, &(pm_result){.moments = means});
    cr_assert_eq(means[0], 0);
    request.n_theta = 2;
    pm_error err;
    cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.moments = means}, &err), PM_EDATA);
    cr_assert(strstr(err.text, "theta row 1: moment 1 of reward vector 0 underflows") != NULL, "%s", err.text);
    model_fixture_free(&r);
}

Test(moments, covariance_that_overflows_is_refused) {
    model_fixture r = erlang(1);
    const double theta = 1e-160;
    double covariance;
    pm_request request = {.n_theta = 1, .theta = &theta, .covariance = true};
    pm_error err;
    cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.covariance = &covariance}, &err), PM_EDATA);
    cr_assert(strstr(err.text, "theta row 0: the covariance of reward vectors 0 and 0 overflows") != NULL, "%s",
              err.text);
    model_fixture_free(&r);
}

/* Each rate is finite, but a state's outflow is not: the mean is 1 + 1 / 3e308. */
Test(moments, rates_that_overflow_together_are_added_all_the_same) {
    const double one = 1, theta[] = {1, 1.5e308};
    sketch s = sketch_of(5, 1, false);
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 2, &one);
    sketch_param(&s, 1, 3, &one);
    sketch_edge(&s, 2, 4, 1);
    sketch_edge(&s, 3, 4, 1);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    double mean[2];
    evaluate(&r, &(pm_request){.n_theta = 2, .theta = theta, .n_moments = 1}, &(pm_result){.moments = mean});
    cr_assert_eq(mean[0], 1.5);
    cr_assert_eq(mean[1], 1);
    model_fixture_free(&r);
}

Test(moments, replay_beyond_the_memory_is_refused_with_the_figures) {
    model_fixture r = erlang(50);
    const double theta = 1;
    r.model.memory = 1000;
    pm_error err = refusal(&r, 1, &theta, 4, PM_EOSERR);
    cr_assert(strstr(err.text, "the replay of 50 states with 1 reward vectors and 4 moments takes") != NULL, "%s",
              err.text);
    cr_assert(strstr(err.text, "--memory is 1000") != NULL, "%s", err.text);
    model_fixture_free(&r);
}

/* ---- weights that are zero at a theta ---- */

/* 1 <-> 2 by constants, 1 -> 4 by theta0, 1 -> 3 by theta1, 3 -> 4 by theta0 alone. */
static model_fixture crossing(void) {
    static const double first[] = {1, 0}, second[] = {0, 1};
    sketch s = sketch_of(5, 2, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 2, 1, 1);
    sketch_param(&s, 1, 4, first);
    sketch_param(&s, 1, 3, second);
    sketch_param(&s, 3, 4, first);
    return model_fixture_of(sketch_finish(&s), model_fixture_isa());
}

Test(moments, absorption_lost_at_a_theta_names_row_and_state) {
    model_fixture r = crossing();
    static const double no_way_out[] = {1, 1, 1, 0, 0, 0}, third[] = {1, 1, 0, 1};
    pm_error err = refusal(&r, 3, no_way_out, 1, PM_EDATA);
    cr_assert(strstr(err.text,
                     "theta row 2: row 1 (state [1]) can be reached but cannot reach absorption at this theta") != NULL,
              "%s", err.text);
    err = refusal(&r, 2, third, 2, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 1: row ") != NULL && strstr(err.text, "cannot reach absorption") != NULL,
              "%s", err.text);
    model_fixture_free(&r);
}

Test(moments, a_zero_weight_that_cuts_only_what_is_not_reached_is_fine) {
    model_fixture r = crossing();
    static const double theta[] = {2, 0, 2, 1};
    double moments[2];
    evaluate(&r, &(pm_request){.n_theta = 2, .theta = theta, .n_moments = 1}, &(pm_result){.moments = moments});
    /* m1 = (1 + m2)/3, m2 = 1 + m1: 1 */
    check_close(moments[0], 1);
    /* m1 = (1 + m2 + 1/2)/4, m2 = 1 + m1: 5/6 */
    check_close(moments[1], 5.0 / 6);
    model_fixture_free(&r);
}

/* Two demes in isolation: state 3 keeps its lineages apart for ever without migration, but nothing leads there. */
Test(moments, isolation_without_migration_is_fine_where_it_is_not_reached) {
    static const double migration[] = {1, 0}, coalescence[] = {0, 1};
    sketch s = sketch_of(6, 2, false);
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 3, migration);
    sketch_param(&s, 1, 4, coalescence);
    sketch_param(&s, 3, 1, migration);
    sketch_param(&s, 3, 2, migration);
    sketch_param(&s, 2, 3, migration);
    sketch_param(&s, 2, 4, coalescence);
    sketch_edge(&s, 4, 5, 4);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    static const double theta[] = {0.5, 2, 0, 2, 1e-100, 2};
    double moments[6], covariance[3];
    pm_request request = {.n_theta = 3, .theta = theta, .n_moments = 2, .covariance = true};
    evaluate(&r, &request, &(pm_result){.moments = moments, .covariance = covariance});
    check_close(moments[2], 0.75);
    check_close(moments[3], 2 * 0.25 + 2 * 0.5 * 0.25 + 2 * 0.0625);
    check_close(covariance[1], 0.25 + 0.0625);
    cr_assert_gt(moments[0], 0.75);
    model_fixture_free(&r);
}

Test(moments, a_negative_weight_names_row_and_edge) {
    const double difference[] = {1, -1};
    sketch s = sketch_of(3, 2, false);
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 2, difference);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    static const double theta[] = {3, 1, 1, 3};
    double mean;
    evaluate(&r, &(pm_request){.n_theta = 1, .theta = theta, .n_moments = 1}, &(pm_result){.moments = &mean});
    check_close(mean, 0.5);
    pm_error err = refusal(&r, 2, theta, 1, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 1: edge from row 1 (state [1]) to row 2: weight -2 is negative") != NULL,
              "%s", err.text);
    model_fixture_free(&r);
}

Test(moments, theta_that_is_not_finite_is_named) {
    model_fixture r = erlang(1);
    static const double theta[] = {1, NAN, 1}, infinite[] = {INFINITY};
    pm_error err = refusal(&r, 3, theta, 1, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 1, column 0: expected a finite number") != NULL, "%s", err.text);
    err = refusal(&r, 1, infinite, 1, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 0") != NULL, "%s", err.text);
    model_fixture_free(&r);
}
