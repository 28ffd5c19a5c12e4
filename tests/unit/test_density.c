#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "density_reference.h"
#include "eval/density.h"
#include "graph/build.h"

/* ---- chains ---- */

typedef struct chain {
    pm_graph *graph;
    pm_split split;
    pm_chain *chain;
    double *start; /* (rows, S): for as many rows of theta as were asked for */
} chain;

/* Rows: the start vertex, then n transient states 1..n, then the absorbing state n + 1. One parameter scales all rates.
 */
static pm_builder *new_chain(uint32_t n, bool is_discrete) {
    pm_builder *b = NULL;
    cr_assert_eq(pm_builder_new(1, 1, is_discrete, &b, NULL), PM_OK);
    for (int32_t i = 0; i < (int32_t)n + 2; i++) {
        cr_assert_eq(pm_builder_state(b, &i, NULL, NULL), PM_OK);
    }
    return b;
}

static void edge(pm_builder *b, uint32_t from, uint32_t to, double rate) {
    const double coef[2] = {0.0, rate};
    cr_assert_eq(pm_builder_edge(b, PM_EDGE_PARAM, from, to, coef, NULL), PM_OK);
}

static void start_at(pm_builder *b, uint32_t to, double probability) {
    const double coef[2] = {probability, 0.0};
    cr_assert_eq(pm_builder_start(b, false, to, coef, NULL), PM_OK);
}

static chain finish(pm_builder *b, size_t n_theta) {
    chain c = {0};
    pm_error err = {0};
    cr_assert_eq(pm_builder_finish(b, &c.graph, &err), PM_OK, "%s", err.text);
    pm_builder_free(b);
    cr_assert_eq(pm_split_graph(c.graph, NULL, &c.split, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pm_chain_new(c.graph, &c.split, &c.chain, &err), PM_OK, "%s", err.text);
    const double theta = 1.0;
    c.start = malloc((n_theta + 1) * c.graph->n_starts * sizeof *c.start);
    cr_assert_not_null(c.start);
    for (size_t i = 0; i < n_theta * c.graph->n_starts; i++) {
        c.start[i] = pm_graph_weight(c.graph, c.graph->start_weight[i % c.graph->n_starts], &theta);
    }
    return c;
}

static void drop(chain *c) {
    pm_chain_free(c->chain);
    pm_split_free(&c->split);
    pm_graph_free(c->graph);
    free(c->start);
}

static chain exponential(size_t n_theta) {
    pm_builder *b = new_chain(1, false);
    edge(b, 1, 2, 2.0);
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static chain line(uint32_t n, const double *rates, size_t n_theta) {
    pm_builder *b = new_chain(n, false);
    for (uint32_t i = 1; i <= n; i++) {
        edge(b, i, i + 1, rates[i - 1]);
    }
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static chain erlang(size_t n_theta) {
    double rates[50];
    for (size_t i = 0; i < 50; i++) {
        rates[i] = 3.0;
    }
    return line(50, rates, n_theta);
}

static chain hypoexponential(size_t n_theta) {
    const double rates[] = {1.0, 1.5, 2.0, 100.0};
    return line(4, rates, n_theta);
}

static chain hyperexponential(size_t n_theta) {
    pm_builder *b = new_chain(3, false);
    const double rate[] = {1000.0, 1.0, 0.125}, p[] = {0.5, 0.25, 0.25};
    for (uint32_t i = 0; i < 3; i++) {
        edge(b, i + 1, 4, rate[i]);
        start_at(b, i + 1, p[i]);
    }
    return finish(b, n_theta);
}

static chain ring(size_t n_theta) {
    pm_builder *b = new_chain(50, false);
    for (uint32_t i = 1; i < 50; i++) {
        edge(b, i, i + 1, 1.0);
    }
    edge(b, 50, 1, 0.75);
    edge(b, 50, 51, 0.25);
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static chain switching(size_t n_theta) {
    pm_builder *b = new_chain(2, false);
    edge(b, 1, 2, 5000.0);
    edge(b, 2, 1, 5000.0);
    edge(b, 2, 3, 1.0);
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static const struct {
    const char *name;
    chain (*make)(size_t n_theta);
} chains[] = {{"exponential", exponential},           {"erlang", erlang}, {"hypoexponential", hypoexponential},
              {"hyperexponential", hyperexponential}, {"ring", ring},     {"switch", switching}};

#define N_CHAINS (sizeof chains / sizeof *chains)
#define N_REFERENCES (sizeof density_references / sizeof *density_references)

/* ---- evaluation ---- */

static pm_isa best_isa(void) {
    pm_isa isa = PM_ISA_COUNT;
    cr_assert_eq(pm_isa_choose(NULL, &isa, NULL), PM_OK);
    return isa;
}

typedef struct values {
    double *pdf, *cdf, *survival; /* (B, T) */
    pm_result result;
} values;

static pm_status evaluate_on(const chain *c, pm_isa isa, pm_request request, values *v, pm_error *err) {
    size_t n = request.n_theta * request.n_times + 1;
    v->pdf = malloc(n * sizeof(double));
    v->cdf = malloc(n * sizeof(double));
    v->survival = malloc(n * sizeof(double));
    request.pdf = request.cdf = true;
    v->result = (pm_result){.pdf = v->pdf, .cdf = v->cdf, .survival = v->survival};
    return pm_density_evaluate(c->chain, isa, &request, c->start, &v->result, NULL, err);
}

static void evaluate(const chain *c, pm_request request, values *v) {
    pm_error err = {0};
    cr_assert_eq(evaluate_on(c, best_isa(), request, v, &err), PM_OK, "%s", err.text);
}

static void free_values(values *v) {
    free(v->pdf);
    free(v->cdf);
    free(v->survival);
}

static const double one = 1.0;

/* The times and values of one chain in the table of references. */
typedef struct expected {
    size_t n;
    double time[64], pdf[64], cdf[64], survival[64], peak;
} expected;

static expected look_up(const char *name) {
    expected e = {0};
    for (size_t i = 0; i < N_REFERENCES; i++) {
        const density_reference *r = &density_references[i];
        if (strcmp(r->chain, name) == 0) {
            e.time[e.n] = r->time;
            e.pdf[e.n] = r->pdf;
            e.cdf[e.n] = r->cdf;
            e.survival[e.n++] = r->survival;
            e.peak = fmax(e.peak, r->pdf);
        }
    }
    cr_assert_gt(e.n, 5);
    return e;
}

static void check_within(const char *name, const expected *e, const values *v, double tolerance) {
    for (size_t j = 0; j < e->n; j++) {
        double pdf = fabs(v->pdf[j] - e->pdf[j]) / e->peak, cdf = fabs(v->cdf[j] - e->cdf[j]);
        double survival = fabs(v->survival[j] - e->survival[j]);
        cr_expect(pdf <= tolerance, "%s, tolerance %g: pdf(%g) = %.17g, expected %.17g", name, tolerance, e->time[j],
                  v->pdf[j], e->pdf[j]);
        cr_expect(cdf <= tolerance && survival <= tolerance, "%s, tolerance %g: cdf(%g) = %.17g, expected %.17g", name,
                  tolerance, e->time[j], v->cdf[j], e->cdf[j]);
    }
}

Test(density, closed_forms_hold_within_the_tolerance) {
    const double tolerances[] = {1e-3, 1e-6, 0.0, 1e-11};
    for (size_t i = 0; i < N_CHAINS; i++) {
        chain c = chains[i].make(1);
        expected e = look_up(chains[i].name);
        for (size_t k = 0; k < sizeof tolerances / sizeof *tolerances; k++) {
            double tolerance = tolerances[k] == 0.0 ? 1e-9 : tolerances[k];
            values v;
            evaluate(
                &c,
                (pm_request){.n_theta = 1, .theta = &one, .n_times = e.n, .times = e.time, .tolerance = tolerances[k]},
                &v);
            check_within(chains[i].name, &e, &v, tolerance);
            cr_expect(v.result.error_bound <= tolerance && v.result.error_bound > 0.0);
            /* the bound that is reported holds, but for the rounding of the reference itself */
            check_within(chains[i].name, &e, &v, v.result.error_bound + 1e-16);
            free_values(&v);
        }
        drop(&c);
    }
}

static void check_relative(const char *what, const char *name, double time, double found, double exact) {
    if (exact > 1e-290) {
        cr_expect(fabs(found - exact) <= 1e-10 * exact, "%s: %s(%g) = %.17g, expected %.17g", name, what, time, found,
                  exact);
    } else {
        cr_expect(found >= 0.0 && found < 1e-280, "%s: %s(%g) = %g, expected %g", name, what, time, found, exact);
    }
}

Test(density, both_tails_are_relatively_accurate_when_asked) {
    for (size_t i = 0; i < N_CHAINS; i++) {
        chain c = chains[i].make(1);
        expected e = look_up(chains[i].name);
        values v;
        evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = e.n, .times = e.time, .tail_accuracy = true},
                 &v);
        for (size_t j = 0; j < e.n; j++) {
            check_relative("pdf", chains[i].name, e.time[j], v.pdf[j], e.pdf[j]);
            check_relative("cdf", chains[i].name, e.time[j], v.cdf[j], e.cdf[j]);
            check_relative("survival", chains[i].name, e.time[j], v.survival[j], e.survival[j]);
        }
        cr_expect(v.result.error_bound <= 1e-10);
        free_values(&v);
        drop(&c);
    }
}

/* A single time each: neither the windows nor the scale can lean on the others. */
Test(density, each_time_alone) {
    for (size_t i = 0; i < N_CHAINS; i++) {
        chain c = chains[i].make(1);
        expected e = look_up(chains[i].name);
        for (size_t j = 0; j < e.n; j++) {
            values v;
            pm_request r = {.n_theta = 1, .theta = &one, .n_times = 1, .times = &e.time[j]};
            evaluate(&c, r, &v);
            cr_expect(fabs(v.cdf[0] - e.cdf[j]) <= 1e-9);
            double scale = fmax(e.pdf[j], 1e-6 * e.peak);
            cr_expect(fabs(v.pdf[0] - e.pdf[j]) <= 1e-9 * scale, "%s: pdf(%g) = %.17g, expected %.17g", chains[i].name,
                      e.time[j], v.pdf[0], e.pdf[j]);
            free_values(&v);
            r.tail_accuracy = true;
            evaluate(&c, r, &v);
            check_relative("pdf", chains[i].name, e.time[j], v.pdf[0], e.pdf[j]);
            check_relative("cdf", chains[i].name, e.time[j], v.cdf[0], e.cdf[j]);
            check_relative("survival", chains[i].name, e.time[j], v.survival[0], e.survival[j]);
            free_values(&v);
        }
        drop(&c);
    }
}

Test(density, a_million_means_cost_forty) {
    chain c = hypoexponential(1);
    const double time = 2.2e6; /* mean 2.18, rate 100 */
    values v;
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 1, .times = &time}, &v);
    cr_expect_eq(v.cdf[0], 1.0);
    cr_expect(v.result.steps < 45 * 218, "%llu steps", (unsigned long long)v.result.steps);
    free_values(&v);
    drop(&c);
}

/* ---- order and shape ---- */

Test(density, the_distribution_function_never_falls) {
    for (size_t i = 0; i < N_CHAINS; i++) {
        chain c = chains[i].make(1);
        expected e = look_up(chains[i].name);
        enum { N = 4000 };
        static double times[N];
        double middle = e.time[e.n / 2];
        for (size_t j = 0; j < N; j++) {
            times[j] = middle * (j < N / 2 ? (double)j / 500.0 : 4.0 + 1e-13 * (double)j);
        }
        for (int tails = 0; tails < 2; tails++) {
            values v;
            evaluate(
                &c,
                (pm_request){.n_theta = 1, .theta = &one, .n_times = N, .times = times, .tail_accuracy = tails == 1},
                &v);
            for (size_t j = 0; j < N; j++) {
                cr_assert(v.cdf[j] >= 0.0 && v.cdf[j] <= 1.0 && v.survival[j] >= 0.0 && v.survival[j] <= 1.0);
                cr_assert(fabs(v.cdf[j] + v.survival[j] - 1.0) <= 2.3e-16);
                cr_assert(v.pdf[j] >= 0.0);
                if (j > 0) {
                    cr_assert(v.cdf[j] >= v.cdf[j - 1] && v.survival[j] <= v.survival[j - 1], "%s at %.17g",
                              chains[i].name, times[j]);
                }
            }
            free_values(&v);
        }
        drop(&c);
    }
}

Test(density, unsorted_and_repeated_times_keep_their_order) {
    chain c = ring(1);
    const double sorted[] = {0.0, 1.0, 20.0, 20.0, 48.0, 333.0}, mixed[] = {20.0, 333.0, 0.0, 48.0, 1.0, 20.0};
    const size_t place[] = {2, 5, 0, 4, 1, 3};
    values a, b;
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 6, .times = sorted}, &a);
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 6, .times = mixed}, &b);
    for (size_t j = 0; j < 6; j++) {
        cr_expect_eq(b.pdf[j], a.pdf[place[j]]);
        cr_expect_eq(b.cdf[j], a.cdf[place[j]]);
        cr_expect_eq(b.survival[j], a.survival[place[j]]);
    }
    free_values(&a);
    free_values(&b);
    drop(&c);
}

Test(density, an_atom_counts_from_time_zero_and_is_not_in_the_pdf) {
    pm_builder *b = new_chain(1, false);
    edge(b, 1, 2, 2.0);
    start_at(b, 1, 0.75);
    start_at(b, 2, 0.25);
    chain c = finish(b, 1);
    const double times[] = {0.0, 1e-300, 0.5, 100.0};
    values v;
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 4, .times = times}, &v);
    cr_expect_eq(v.cdf[0], 0.25);
    cr_expect_eq(v.survival[0], 0.75);
    cr_expect_eq(v.pdf[0], 1.5);
    cr_expect_eq(v.cdf[1], 0.25);
    cr_expect(fabs(v.cdf[2] - (1.0 - 0.75 * exp(-1.0))) < 1e-12);
    cr_expect(fabs(v.pdf[2] - 1.5 * exp(-1.0)) < 1e-12);
    cr_expect_eq(v.cdf[3], 1.0);
    free_values(&v);
    drop(&c);
}

Test(density, a_start_that_is_all_absorbed) {
    pm_builder *b = new_chain(1, false);
    edge(b, 1, 2, 2.0);
    start_at(b, 1, 0.0);
    start_at(b, 2, 1.0);
    chain c = finish(b, 1);
    const double times[] = {0.0, 7.0, 1e300};
    values v;
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 3, .times = times}, &v);
    for (size_t j = 0; j < 3; j++) {
        cr_expect_eq(v.cdf[j], 1.0);
        cr_expect_eq(v.survival[j], 0.0);
        cr_expect_eq(v.pdf[j], 0.0);
    }
    free_values(&v);
    drop(&c);
}

Test(density, empty_batches_and_no_times) {
    chain c = exponential(1);
    values v;
    evaluate(&c, (pm_request){.n_theta = 0, .theta = &one, .n_times = 1, .times = &one}, &v);
    cr_expect_eq(v.result.steps, 0);
    free_values(&v);
    evaluate(&c, (pm_request){.n_theta = 1, .theta = &one, .n_times = 0, .times = NULL}, &v);
    cr_expect_eq(v.result.error_bound, 0.0);
    free_values(&v);
    drop(&c);
}

Test(density, rates_of_zero_leave_everything_where_it_is) {
    chain c = exponential(2);
    const double theta[] = {0.0, 1.0}, times[] = {0.0, 5.0};
    values v;
    evaluate(&c, (pm_request){.n_theta = 2, .theta = theta, .n_times = 2, .times = times}, &v);
    cr_expect_eq(v.pdf[1], 0.0);
    cr_expect_eq(v.cdf[1], 0.0);
    cr_expect_eq(v.survival[1], 1.0);
    cr_expect(fabs(v.cdf[3] - (1.0 - exp(-10.0))) < 1e-12);
    free_values(&v);
    drop(&c);
}

/* ---- lanes, threads, instruction sets ---- */

enum { ROWS = 21, TIMES = 7 };

static pm_request batch_request(const double *theta, const double *times) {
    return (pm_request){.n_theta = ROWS, .theta = theta, .n_times = TIMES, .times = times, .times_per_theta = true};
}

static void fill_batch(double *theta, double *times) {
    for (size_t i = 0; i < ROWS; i++) {
        theta[i] = 0.25 * (double)(i + 1) + (i == 9 ? 4.0 : 0.0);
        for (size_t j = 0; j < TIMES; j++) {
            times[i * TIMES + j] = (double)((j * 5 + i) % 11) * 12.5;
        }
    }
}

static bool same_values(const values *a, const values *b) {
    size_t bytes = ROWS * TIMES * sizeof(double);
    return memcmp(a->pdf, b->pdf, bytes) == 0 && memcmp(a->cdf, b->cdf, bytes) == 0 &&
           memcmp(a->survival, b->survival, bytes) == 0 && a->result.steps == b->result.steps &&
           a->result.error_bound == b->result.error_bound;
}

static void compare_lanes(const chain *c, bool tails) {
    double theta[ROWS], times[ROWS * TIMES];
    fill_batch(theta, times);
    pm_request r = batch_request(theta, times);
    r.tail_accuracy = tails;
    values first;
    r.lanes = 1;
    r.threads = 1;
    evaluate(c, r, &first);
    const unsigned lanes[] = {0, 4, 8, 16};
    for (size_t i = 0; i < 4; i++) {
        for (unsigned threads = 1; threads <= 3; threads++) {
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
        if (strcmp(chains[i].name, "switch") == 0) {
            continue; /* as fast as the others only for one row of theta */
        }
        chain c = chains[i].make(ROWS);
        compare_lanes(&c, false);
        compare_lanes(&c, true);
        drop(&c);
    }
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

#if defined(__x86_64__)
Test(density, instruction_sets_with_fused_multiply_add_agree_to_the_last_bit) {
    chain c = ring(ROWS);
    double theta[ROWS], times[ROWS * TIMES];
    fill_batch(theta, times);
    values v2, v3, v4;
    pm_error err;
    const char *const names[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4"};
    values *const out[] = {&v2, &v3, &v4};
    bool have[3];
    for (size_t i = 0; i < 3; i++) {
        pm_isa isa;
        have[i] = pm_isa_choose(names[i], &isa, NULL) == PM_OK;
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
    chain c = switching(1);
    const double times[] = {1.0, 2e9};
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = 2, .times = times, .tolerance = 1e-14};
    expect_error(&c, r, PM_EDATA, "uniformization steps");
    r.tolerance = 1e-15;
    expect_error(&c, r, PM_EDATA, "--tolerance");
    drop(&c);
}

/* From 1e-30 per unit of time against 1: what happens in 1e12 units cannot be had by steps. */
Test(density, steps_without_end_are_refused) {
    pm_builder *b = new_chain(2, false);
    edge(b, 1, 2, 1.0);
    edge(b, 2, 1, 1.0);
    edge(b, 2, 3, 1e-30);
    start_at(b, 1, 1.0);
    chain c = finish(b, 1);
    const double time = 1e12;
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = 1, .times = &time, .tolerance = 1e-12};
    expect_error(&c, r, PM_EDATA, "more than the tolerance");
    drop(&c);
}
