#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "density_chains.h"
#include "density_reference.h"

#define N_REFERENCES (sizeof density_references / sizeof *density_references)

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
    chain c = chain_named("hypoexponential", 1);
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
    chain c = chain_named("ring", 1);
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
    cr_expect(fabs(v.pdf[0] - 1.5) < 1e-15);
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
