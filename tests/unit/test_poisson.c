#include <criterion/criterion.h>
#include <math.h>

#include "eval/poisson.h"

static double relative(double found, double expected) {
    return fabs(found - expected) / expected;
}

/* mpmath, 50 digits: exp(-x) x^k / k! */
Test(poisson, probabilities_against_fifty_digits) {
    static const struct {
        uint64_t k;
        double x, value;
    } table[] = {
#include "poisson_reference.inc"
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double found = pmi_poisson(table[i].k, table[i].x);
        cr_expect(relative(found, table[i].value) < 1e-12, "k %llu x %g: %.17g, expected %.17g",
                  (unsigned long long)table[i].k, table[i].x, found, table[i].value);
    }
}

Test(poisson, edges) {
    cr_expect_eq(pmi_poisson(0, 0.0), 1.0);
    cr_expect_eq(pmi_poisson(3, 0.0), 0.0);
    cr_expect_eq(pmi_poisson(0, 1e-300), 1.0);
    cr_expect(relative(pmi_poisson(1, 1e-300), 1e-300) < 1e-15);
    cr_expect_eq(pmi_poisson(2, 1e-300), 0.0);
    cr_expect_eq(pmi_poisson(1, 1e6), 0.0);
}

Test(poisson, sums_to_one) {
    const double x[] = {1e-3, 0.7, 15.5, 1234.5, 2e6};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        uint64_t first, last;
        pmi_poisson_window(x[i], 40.0, &first, &last);
        long double sum = 0.0L;
        for (uint64_t k = first; k < last; k++) {
            sum += pmi_poisson(k, x[i]);
        }
        cr_expect(fabsl(sum - 1.0L) < 1e-13L, "x %g: %.17Lg", x[i], sum);
    }
}

/* what the window leaves out on either side is below exp(-exponent), and the window is not much wider than that needs
 */
Test(poisson, windows_hold_what_they_promise) {
    const double x[] = {0.01, 3.0, 100.0, 1e4, 1e6};
    const double exponent[] = {5.0, 30.0, 200.0};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        for (size_t j = 0; j < sizeof exponent / sizeof *exponent; j++) {
            uint64_t first, last;
            double cut = exp(-exponent[j]);
            pmi_poisson_window(x[i], exponent[j], &first, &last);
            cr_expect(pmi_poisson_right_tail(last, x[i]) <= cut);
            long double left = 0.0L;
            for (uint64_t k = 0; k < first; k++) {
                left += pmi_poisson(k, x[i]);
            }
            cr_expect(left <= cut, "x %g exponent %g: %Lg", x[i], exponent[j], left);
            cr_expect((double)(last - first) < 4.0 * sqrt(2.0 * x[i] * exponent[j]) + 2.0 * exponent[j] + 3.0);
        }
    }
    uint64_t first, last;
    pmi_poisson_window(0.0, 40.0, &first, &last);
    cr_expect_eq(first, 0);
    cr_expect_eq(last, 1);
    pmi_poisson_window(INFINITY, 40.0, &first, &last);
    cr_expect_eq(first, PM_POISSON_FAR);
    cr_expect_eq(last, PM_POISSON_FAR);
}

Test(poisson, the_first_normal_weight_is_found) {
    const double x[] = {500.0, 900.0, 5000.0, 1e6};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        uint64_t k = 0;
        double weight = 0.0;
        cr_assert(pmi_poisson_start(&(pm_poisson_law){.x = x[i]}, 0, (uint64_t)x[i] + 1, &k, &weight));
        cr_expect(weight >= 0x1p-1022);
        cr_expect_eq(weight, pmi_poisson(k, x[i]));
        if (k > 0) {
            cr_expect(pmi_poisson(k - 1, x[i]) < 0x1p-1022);
        }
    }
    uint64_t k;
    double weight;
    cr_expect_not(pmi_poisson_start(&(pm_poisson_law){.x = 1e6}, 0, 1000, &k, &weight), "far below the mode");
    cr_expect_not(pmi_poisson_start(&(pm_poisson_law){.x = 10.0}, 2000, 3000, &k, &weight), "far above it");
    cr_expect_not(pmi_poisson_start(&(pm_poisson_law){.x = 10.0}, 5, 5, &k, &weight), "an empty range");
}

Test(poisson, right_tails) {
    /* 1 - exp(-x) for k = 1; and the sum of what the probabilities give */
    cr_expect(relative(pmi_poisson_right_tail(1, 0.25), -expm1(-0.25)) < 1e-15);
    long double sum = 0.0L;
    for (uint64_t k = 140; k < 500; k++) {
        sum += pmi_poisson(k, 100.0);
    }
    double found = pmi_poisson_right_tail(140, 100.0);
    cr_expect(relative(found, (double)sum) < 1e-13);
    cr_expect(pmi_poisson_right_bound(140, 100.0) >= found);
    cr_expect(pmi_poisson_right_bound(140, 100.0) < 1.2 * found);
    cr_expect_eq(pmi_poisson_right_bound(100, 100.0), 1.0);
}
