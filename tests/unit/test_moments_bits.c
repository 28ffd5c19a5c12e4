/* Results do not depend on threads, lanes, or the batch that a row of theta comes in. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "model_fixture.h"

/* `width` SCCs of `size` states side by side, each leading into one more behind it: two levels of SCCs, wide enough for
 * threads to share a level. */
static pm_graph *wide_graph(uint32_t size, uint32_t width, bool is_discrete) {
    pm_random random = {.state = 110};
    uint32_t n = size * width * 2;
    double step = is_discrete ? 0.01 : 1;
    sketch s = sketch_of((size_t)n + 2, 1, is_discrete);
    for (uint32_t c = 0; c < 2 * width; c++) {
        bool *edge = draw_strong(&random, size, 3 * size);
        uint32_t first = 1 + c * size;
        for (uint32_t v = 0; v < size; v++) {
            if (c < width) {
                sketch_start(&s, first + v, 1.0 / (size * width));
            }
            for (uint32_t w = 0; w < size; w++) {
                double coef = step * draw_rate(&random, 0.5);
                if (v != w && edge[v * size + w]) {
                    sketch_param(&s, first + v, first + w, &coef);
                }
            }
            sketch_edge(&s, first + v, c < width ? first + v + size * width : n + 1, step * draw_rate(&random, 0.5));
        }
        free(edge);
    }
    return sketch_finish(&s);
}

enum { ROWS = 21, ORDER = 3, VECTORS = 2 };

typedef struct outcome {
    double moments[ROWS][VECTORS * ORDER], covariance[ROWS][VECTORS * VECTORS];
} outcome;

static void evaluate(const model_fixture *r, const double *theta, const double *rewards, size_t first, size_t n,
                     unsigned threads, unsigned lanes, outcome *out) {
    pm_request request = {.n_theta = n,
                          .theta = theta + first,
                          .n_moments = ORDER,
                          .n_rewards = VECTORS,
                          .rewards = rewards,
                          .covariance = true,
                          .threads = threads,
                          .lanes = lanes};
    pm_result result = {.moments = out->moments[first], .covariance = out->covariance[first]};
    pm_error err;
    cr_assert_eq(pm_evaluate(&r->model, &request, &result, &err), PM_OK, "%s", err.text);
}

static void check_graph(uint32_t size, uint32_t width, bool is_discrete) {
    static const unsigned threads[] = {1, 2, 4, 0}, lanes[] = {0, 1, 4, 8, 16};
    static outcome expected, found;
    model_fixture r = model_fixture_of(wide_graph(size, width, is_discrete), model_fixture_isa());
    uint32_t n = r.model.analysis.graph->n_vertices;
    double theta[ROWS], *rewards = pmi_calloc(VECTORS * (size_t)n, sizeof *rewards);
    for (size_t b = 0; b < ROWS; b++) {
        theta[b] = 0.25 + 0.03125 * (double)b;
    }
    for (uint32_t v = 0; v < n; v++) {
        rewards[v] = v % 3;
        rewards[n + v] = (double)(v % 5) - 2;
    }
    evaluate(&r, theta, rewards, 0, ROWS, 1, 1, &expected);
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        for (size_t l = 0; l < sizeof lanes / sizeof lanes[0]; l++) {
            memset(&found, 0xff, sizeof found);
            evaluate(&r, theta, rewards, 0, ROWS, threads[t], lanes[l], &found);
            cr_assert_arr_eq(&found, &expected, sizeof found, "%u threads, %u lanes", threads[t], lanes[l]);
        }
        /* one row, a few and more at a time: the SCCs of a level are shared out where there are fewer blocks than
         * threads */
        for (size_t batch = 1; batch <= 5; batch += 2) {
            memset(&found, 0xff, sizeof found);
            for (size_t first = 0; first < ROWS; first += batch) {
                evaluate(&r, theta, rewards, first, first + batch < ROWS ? batch : ROWS - first, threads[t], 0, &found);
            }
            cr_assert_arr_eq(&found, &expected, sizeof found, "%u threads, %zu rows", threads[t], batch);
        }
    }
    free(rewards);
    model_fixture_free(&r);
}

Test(moments_bits, continuous) {
    check_graph(12, 120, false);
}

Test(moments_bits, discrete) {
    check_graph(6, 150, true);
}

/* The lowest failing row is named, whatever the threads. */
Test(moments_bits, the_first_failing_row_is_named) {
    static const double coef = 1;
    double theta[64], moments[64 * 2];
    sketch s = sketch_of(3, 1, false);
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 2, &coef);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    for (size_t first = 0; first < 64; first += 7) {
        for (size_t b = 0; b < 64; b++) {
            theta[b] = b == first || b % 9 == 8 ? 1e-200 : 1;
        }
        size_t lowest = first < 8 ? first : 8;
        for (unsigned threads = 1; threads <= 4; threads++) {
            for (unsigned lanes = 1; lanes <= 16; lanes = lanes == 1 ? 4 : 2 * lanes) {
                pm_request request = {
                    .n_theta = 64, .theta = theta, .n_moments = 2, .threads = threads, .lanes = lanes};
                pm_error err;
                unsigned row;
                cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.moments = moments}, &err), PM_EDATA);
                cr_assert_eq(sscanf(err.text, "theta row %u: ", &row), 1, "%s", err.text);
                cr_assert_eq(row, lowest, "%s", err.text);
            }
        }
    }
    model_fixture_free(&r);
}

/* A zero pivot that only one thread of a level meets. */
Test(moments_bits, a_lost_pivot_of_a_shared_level_is_noticed) {
    const uint32_t size = 12, width = 120;
    static const double coef[] = {1, 0}, last[] = {0, 1};
    pm_random random = {.state = 111};
    sketch s = sketch_of((size_t)size * width + 2, 2, false);
    for (uint32_t c = 0; c < width; c++) {
        bool *edge = draw_strong(&random, size, 3 * size);
        for (uint32_t v = 0; v < size; v++) {
            sketch_start(&s, 1 + c * size + v, 1.0 / (size * width));
            for (uint32_t w = 0; w < size; w++) {
                if (v != w && edge[v * size + w]) {
                    sketch_param(&s, 1 + c * size + v, 1 + c * size + w, coef);
                }
            }
        }
        sketch_param(&s, 1 + c * size, size * width + 1, c + 1 == width ? last : coef);
        free(edge);
    }
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    static const double theta[] = {1, 0};
    double mean;
    for (unsigned threads = 1; threads <= 4; threads++) {
        pm_request request = {.n_theta = 1, .theta = theta, .n_moments = 1, .threads = threads, .lanes = 16};
        pm_error err;
        cr_assert_eq(pm_evaluate(&r.model, &request, &(pm_result){.moments = &mean}, &err), PM_EDATA);
        unsigned row;
        cr_assert_eq(sscanf(err.text, "theta row 0: row %u (state", &row), 1, "%s", err.text);
        cr_assert(row > size * (width - 1) && row <= size * width, "%s", err.text);
    }
    model_fixture_free(&r);
}
