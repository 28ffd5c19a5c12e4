/* SCCs that are factored once for several. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "density_chains.h"
#include "eval/moments.h"
#include "examples/models.h"
#include "model/model.h"

enum { ROWS = 19, PARAMS = 4, MOMENTS = 3 };

static pm_model *model_of(pm_graph *graph) {
    pm_model_options options;
    pm_model *m;
    pm_error err = {0};
    pm_model_options_default(&options);
    options.use_cache = false;
    options.threads = 1;
    cr_assert_eq(pm_model_new(graph, &options, &m, NULL, &err), PM_OK, "%s", err.text);
    return m;
}

static pm_graph *jsfs(int64_t n1, int64_t n2) {
    int64_t args[PM_MODEL_MAX_ARGS] = {n1, n2};
    pm_graph *graph;
    cr_assert_eq(pmi_model_make(pmi_model_find("jsfs"), args, &graph, NULL), PM_OK);
    cr_assert_eq(graph->n_params, PARAMS);
    return graph;
}

static void fill_theta(double theta[ROWS * PARAMS]) {
    for (int i = 0; i < ROWS * PARAMS; i++) {
        theta[i] = 0.25 + (double)(i * 37 % 101) / 20.0;
    }
}

typedef struct outcome {
    double moments[ROWS * MOMENTS], gradient[ROWS * MOMENTS * PARAMS], covariance[ROWS];
} outcome;

static void evaluate_all(const pm_model *m, const double *theta, unsigned lanes, unsigned threads, outcome *out) {
    pm_request r = {.n_theta = ROWS,
                    .theta = theta,
                    .n_moments = MOMENTS,
                    .gradient = true,
                    .covariance = true,
                    .lanes = lanes,
                    .threads = threads};
    pm_result result = {.moments = out->moments, .moments_gradient = out->gradient, .covariance = out->covariance};
    pm_error err = {0};
    cr_assert_eq(pm_evaluate(m, &r, &result, &err), PM_OK, "%s", err.text);
}

static size_t plain_bytes(const pm_model *m, const pm_request *request) {
    const pm_moments_context context = {.graph = m->analysis.graph,
                                        .split = &m->analysis.split,
                                        .program = &m->program,
                                        .isa = m->isa,
                                        .memory = m->memory};
    const pm_program *p = &m->program;
    return pmi_moments_lane_bytes(&context, request) - sizeof(double) * (p->class_u + p->class_l + 2 * p->class_rows);
}

/* Every SCC is in the order of its class: what the factors are made of is the same. */
static void check_members(const pm_program *p) {
    uint32_t *members = calloc(p->n_classes + 1, sizeof *members);
    for (uint32_t c = 0; c < p->n_components; c++) {
        if (p->class_of[c] == PM_NONE) {
            continue;
        }
        const pm_component *own = &p->components[c], *first = &p->components[p->classes[p->class_of[c]].component];
        members[p->class_of[c]]++;
        cr_assert_eq(own->plan, first->plan);
        for (uint32_t j = 0; j <= own->n; j++) {
            cr_assert_eq(p->inner_row[own->first + j] - p->inner_row[own->first],
                         p->inner_row[first->first + j] - p->inner_row[first->first]);
        }
    }
    for (uint32_t i = 0; i < p->n_classes; i++) {
        cr_assert_eq(members[i], p->classes[i].n_members);
        cr_assert_gt(members[i], 1);
    }
    free(members);
}

/* Shared or not, alone or side by side. */
Test(factor_class, results_are_the_same_bits_however_factors_are_had) {
    pm_graph *graph = jsfs(4, 4);
    pm_model *m = model_of(graph);
    static outcome first, other;
    double theta[ROWS * PARAMS];
    const pm_request request = {.n_theta = ROWS, .n_moments = MOMENTS, .gradient = true, .covariance = true};
    size_t memory = m->memory;
    fill_theta(theta);
    cr_assert_gt(m->program.n_classes, 3);
    check_members(&m->program);
    evaluate_all(m, theta, 1, 1, &first);
    const unsigned lanes[] = {1, 4, 16};
    for (int i = 0; i < 3; i++) {
        for (unsigned threads = 1; threads <= 3; threads += 2) {
            for (int shares = 0; shares < 2; shares++) {
                m->memory = shares == 1 ? memory : plain_bytes(m, &request) * lanes[i] * threads;
                evaluate_all(m, theta, lanes[i], threads, &other);
                cr_expect_eq(memcmp(&first, &other, sizeof first), 0, "%u lanes, %u threads, shared: %d", lanes[i],
                             threads, shares);
            }
        }
    }
    pm_model_free(m);
    pm_graph_free(graph);
}

/* Covariances are computed in wide numbers, which share nothing. */
Test(factor_class, second_moments_agree_with_the_variance) {
    pm_graph *graph = jsfs(4, 4);
    pm_model *m = model_of(graph);
    static outcome o;
    double theta[ROWS * PARAMS];
    fill_theta(theta);
    evaluate_all(m, theta, 0, 1, &o);
    for (int b = 0; b < ROWS; b++) {
        double mean = o.moments[b * MOMENTS], second = o.moments[b * MOMENTS + 1];
        cr_expect(fabs(second - mean * mean - o.covariance[b]) <= 1e-14 * second, "row %d: %.17g, %.17g", b,
                  second - mean * mean, o.covariance[b]);
    }
    pm_model_free(m);
    pm_graph_free(graph);
}

/* ---- graphs by hand ---- */

enum { SIZE = 12, COPIES = 6, NONE = COPIES };

/* COPIES complete digraphs of SIZE states, one after the other. The rate of an edge is that of the step around a circle
 * from one state to the other; each copy has its states in another order. Of copy `odd` one rate differs. States leave,
 * all or the first one, for the next copy: in one edge, or in two of half the rate. */
static pm_graph *copies(int odd, bool all_leave) {
    pm_builder *b = new_chain(SIZE * COPIES, false);
    for (uint32_t c = 0; c < COPIES; c++) {
        uint32_t first = 1 + c * SIZE, stride = (const uint32_t[]){1, 5, 7, 11}[c % 4];
        for (uint32_t i = 0; i < SIZE; i++) {
            uint32_t from = first + (i * stride + c) % SIZE;
            for (uint32_t step = 1; step < SIZE; step++) {
                uint32_t to = first + ((i + step) * stride + c) % SIZE;
                edge(b, from, to, (double)(step % 5 + 1) + (c == (uint32_t)odd && i == 3 && step == 2 ? 0.5 : 0.0));
            }
            if (i == 0 || all_leave) {
                bool splits = c % 2 == 1 && c + 1 < COPIES;
                edge(b, from, c + 1 < COPIES ? first + SIZE + i : SIZE * COPIES + 1, splits ? 1.0 : 2.0);
                if (splits) {
                    edge(b, from, first + SIZE + (i + 1) % SIZE, 1.0);
                }
            }
        }
    }
    start_at(b, 1, 1.0);
    pm_graph *graph;
    pm_error err = {0};
    cr_assert_eq(pmi_builder_finish(b, &graph, &err), PM_OK, "%s", err.text);
    pmi_builder_free(b);
    return graph;
}

static void check_copies(int odd, bool all_leave) {
    pm_graph *graph = copies(odd, all_leave);
    pm_model *m = model_of(graph);
    uint32_t n = odd == NONE ? COPIES : COPIES - 1;
    cr_assert_eq(m->program.n_classes, 1, "%u classes", m->program.n_classes);
    cr_expect_eq(m->program.classes[0].n_members, n, "%u members", m->program.classes[0].n_members);
    const double theta = 1.5;
    double moments[2], covariance;
    pm_request r = {.n_theta = 1, .theta = &theta, .n_moments = 2, .covariance = true, .threads = 1};
    pm_result result = {.moments = moments, .covariance = &covariance};
    pm_error err = {0};
    cr_assert_eq(pm_evaluate(m, &r, &result, &err), PM_OK, "%s", err.text);
    double variance = moments[1] - moments[0] * moments[0];
    cr_expect(fabs(variance - covariance) <= 1e-14 * moments[1], "%.17g, %.17g", variance, covariance);
    pm_model_free(m);
    pm_graph_free(graph);
}

/* Factors of one row of theta are not taken for those of the next. Moments of rate theta are those of 1 by theta^k. */
Test(factor_class, each_row_has_factors_of_its_own) {
    enum { B = 3 };
    pm_graph *graph = copies(NONE, true);
    pm_model *m = model_of(graph);
    const double theta[B] = {1, 2, 5};
    size_t memory = m->memory;
    cr_assert_eq(m->program.n_classes, 1, "%u classes", m->program.n_classes);
    for (int i = 0; i < 2; i++) {
        double moments[2 * B], gradient[2 * B];
        pm_request r = {.n_theta = B, .theta = theta, .n_moments = 2, .gradient = true, .threads = 1, .lanes = 1};
        pm_result result = {.moments = moments, .moments_gradient = gradient};
        pm_error err = {0};
        m->memory = i == 0 ? memory : plain_bytes(m, &r);
        cr_assert_eq(pm_evaluate(m, &r, &result, &err), PM_OK, "%s", err.text);
        for (int k = 0; k < 2 * B; k++) {
            int order = k % 2 + 1;
            double want = moments[k % 2] / pow(theta[k / 2], order), slope = -order * want / theta[k / 2];
            cr_expect(fabs(moments[k] - want) <= 1e-13 * want, "moment %d of row %d: %.17g, expected %.17g", order,
                      k / 2, moments[k], want);
            cr_expect(fabs(gradient[k] - slope) <= 1e-11 * -slope, "row %d: %.17g, expected %.17g", k / 2, gradient[k],
                      slope);
        }
    }
    pm_model_free(m);
    pm_graph_free(graph);
}

Test(factor_class, states_in_any_order_are_recognized) {
    for (int odd = 1; odd <= COPIES; odd++) {
        check_copies(odd, false);
        check_copies(odd, true);
    }
}
