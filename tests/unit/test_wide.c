/* Numbers of 31 digits and any size, against quadruple precision and against what must hold exactly. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>

#include "base/wide.h"
#include "dense.h"
#include "digraphs.h"

static quad quad_of(pm_wide a) {
    return a.hi == 0 ? 0 : ((quad)a.hi + (quad)a.lo) * (quad)exp2(512 * a.limb);
}

static void check_normal(pm_wide a) {
    if (a.hi == 0) {
        cr_assert(a.lo == 0 && a.limb == PM_WIDE_ZERO_LIMB);
    } else {
        cr_assert(fabs(a.hi) >= 0x1p-256 && fabs(a.hi) < 0x1p256 && a.hi + a.lo == a.hi);
    }
}

static void check_close(pm_wide found, quad expected, quad size) {
    check_normal(found);
    quad error = quad_of(found) - expected;
    error = error < 0 ? -error : error;
    cr_assert(error <= size * 0x1p-101, "found %.17g + %g, expected %.17g", found.hi, found.lo, (double)expected);
}

static pm_wide draw(pm_random *random) {
    double decades = draw_below(random, 2) == 0 ? 1 : 100;
    double a = draw_rate(random, decades), b = draw_rate(random, decades);
    pm_wide wide = pmi_wide_sum(pmi_wide_of(a), pmi_wide_of(b * 1e-17));
    return draw_below(random, 2) == 0 ? wide : (pm_wide){.hi = -wide.hi, .lo = -wide.lo, .limb = wide.limb};
}

Test(wide, operations_as_in_quadruple_precision) {
    pm_random random = {.state = 200};
    for (int i = 0; i < 200000; i++) {
        pm_wide a = draw(&random), b = draw(&random);
        quad x = quad_of(a), y = quad_of(b), larger = x * x > y * y ? x : y;
        larger = larger < 0 ? -larger : larger;
        check_close(pmi_wide_multiply(a, b), x * y, x * y < 0 ? -x * y : x * y);
        check_close(pmi_wide_sum(a, b), x + y, larger);
        check_close(pmi_wide_difference(a, b), x - y, larger);
        check_close(pmi_wide_invert(a), 1 / x, x < 0 ? -1 / x : 1 / x);
        quad both = x * y < 0 ? -x * y : x * y;
        check_close(pmi_wide_multiply_add(pmi_wide_of(larger < 1 ? 1 : 0), a, b), x * y + (larger < 1 ? 1 : 0),
                    both + 1);
    }
}

Test(wide, doubles_and_their_products_are_exact) {
    static const double values[] = {0, 1, 1.0 / 3, DBL_MAX, DBL_MIN, 4.9e-324, 3e-310, 0x1p256, 0x1p-256, 1e77, 1e-78};
    enum { COUNT = sizeof values / sizeof values[0] };
    for (size_t i = 0; i < COUNT; i++) {
        check_normal(pmi_wide_of(values[i]));
        cr_assert_eq(pmi_wide_double(pmi_wide_of(values[i])), values[i]);
        cr_assert_eq(pmi_wide_double(pmi_wide_of(-values[i])), -values[i]);
        for (size_t j = 0; j < COUNT; j++) {
            pm_wide product = pmi_wide_product(values[i], values[j]);
            check_normal(product);
            if (values[j] != 0) { /* back to where it was, whatever lies in between */
                pm_wide back = pmi_wide_multiply(product, pmi_wide_invert(pmi_wide_of(values[j])));
                cr_assert_eq(pmi_wide_double(back), values[i]);
            }
        }
    }
}

Test(wide, sizes_far_beyond_a_double) {
    pm_wide third = pmi_wide_invert(pmi_wide_of(3)), power = pmi_wide_of(1), sum = pmi_wide_of(0);
    for (int i = 0; i < 20000; i++) {
        power = pmi_wide_multiply(power, third);
        sum = pmi_wide_add(sum, power); /* (1 - 3^-n) / 2 */
    }
    cr_assert_eq(pmi_wide_range(power), -1);
    cr_assert(fabs(pmi_wide_double(sum) - 0.5) < 1e-15);
    for (int i = 0; i < 20000; i++) {
        power = pmi_wide_multiply(power, pmi_wide_of(3));
    }
    cr_assert(fabs(pmi_wide_double(power) - 1) < 1e-15);
    cr_assert_eq(pmi_wide_range(power), 0);
    pm_wide large = pmi_wide_product(DBL_MAX, DBL_MAX);
    cr_assert_eq(pmi_wide_range(large), 1);
    cr_assert_eq(pmi_wide_double(pmi_wide_difference(pmi_wide_sum(large, power), large)), 0); /* too far apart */
    cr_assert(pmi_wide_smaller(power, large) && !pmi_wide_smaller(large, power));
    cr_assert(pmi_wide_smaller(pmi_wide_of(0), pmi_wide_invert(large)));
}

Test(wide, what_cancels_leaves_the_rest) {
    pm_wide a = pmi_wide_sum(pmi_wide_of(1), pmi_wide_of(0x1p-100)), b = pmi_wide_of(1);
    cr_assert_eq(pmi_wide_double(pmi_wide_difference(a, b)), 0x1p-100);
    cr_assert_eq(pmi_wide_double(pmi_wide_difference(a, a)), 0);
    check_normal(pmi_wide_difference(a, b));
    pm_wide far = pmi_wide_sum(pmi_wide_of(1), pmi_wide_of(0x1p-700));
    check_normal(pmi_wide_difference(far, b));
    cr_assert_eq(pmi_wide_invert(pmi_wide_of(0)).hi, 0);
}
