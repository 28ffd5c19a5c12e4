#include "eval/poisson.h"

#include <float.h>
#include <math.h>

#include "eval/extended.h"

#define TWO_PI 6.283185307179586476925287

/* Weights are products of this many factors at most, where exp(-x) is well within the doubles. */
#define SMALL_COUNT 16
#define SMALL_MEAN 500.0

/* log n! - log(sqrt(2 pi n) (n/e)^n), n = 1..15; above, Stirling's series to n^-9 has full precision */
static double stirling_error(double n) {
    static const double exact[16] = {
        0.0,
        0.08106146679532725822,
        0.041340695955409294094,
        0.027677925684998339149,
        0.020790672103765093112,
        0.016644691189821192163,
        0.013876128823070747999,
        0.011896709945891770095,
        0.010411265261972096497,
        0.0092554621827127329177,
        0.0083305634333628712565,
        0.007573675487951840795,
        0.0069428401072095298657,
        0.0064089941880042070684,
        0.0059513701127588477356,
        0.005554733551962801371,
    };
    if (n <= 15.0) {
        return exact[(int)n];
    }
    double square = n * n;
    return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - 1.0 / 1188 / square) / square) / square) / square) / n;
}

/* k log(k/x) + x - k without the cancellation near k = x: with v = (k-x)/(k+x) it is
 * (k-x) v + 2 k (v^3/3 + v^5/5 + ...). *low is what the first term rounds off, which is most of the error. */
static double deviance(double k, double x, double *low) {
    double difference = k - x, sum = k + x, back = difference + x;
    double below = (k - back) + ((back - difference) - x); /* what k - x rounds off */
    if (fabs(difference) >= 0.25 * sum) {
        double quotient = k / x, logarithm = log(quotient), product = k * logarithm, total = product - difference;
        double part = total - product;
        double above = quotient * x, rest = ((k - above) - pmi_product_rest(quotient, x, above)) / x;
        *low = pmi_product_rest(k, logarithm, product) + k * rest / quotient +
               ((product - (total - part)) - (difference + part)) - below;
        return total;
    }
    double v = difference / sum, square = v * v;
    /* k + x is rounded as well, and so is v: v + rest is the quotient */
    double part = sum - k, above = (k - (sum - part)) + (x - part);
    double whole = v * sum;
    double rest = (((difference - whole) - pmi_product_rest(v, sum, whole)) + below - v * above) / sum;
    double product = difference * v;
    *low = pmi_product_rest(difference, v, product) + difference * rest + below * v;
    double term = 2.0 * k * v, series = 0.0;
    for (int odd = 3; odd < 64; odd += 2) {
        term *= square;
        double next = series + term / odd;
        if (next == series) {
            break;
        }
        series = next;
    }
    double total = product + series;
    *low += product >= series ? (product - total) + series : (series - total) + product;
    return total;
}

double pmi_poisson(uint64_t k, double x) {
    if (x == 0.0) {
        return k == 0 ? 1.0 : 0.0;
    }
    if (k < SMALL_COUNT && x < SMALL_MEAN) {
        double product = exp(-x);
        for (uint64_t i = 1; i <= k; i++) {
            product *= x / (double)i;
        }
        return product;
    }
    double n = (double)k;
    if (k == 0) {
        return exp(-x);
    }
    if (x < n * DBL_MIN) {
        return 0.0;
    }
    double low, high = deviance(n, x, &low), stirling = stirling_error(n), total = high + stirling;
    low += high >= stirling ? (high - total) + stirling : (stirling - total) + high;
    return exp(-total) * (1.0 - low) / sqrt(TWO_PI * n);
}

/* As above, with long double where digits are lost: log k! is Stirling's series, whose error is small for k > 15. */
static double precise_weight(const pm_poisson_law *law, uint64_t k) {
    long double n = (long double)k, x = (long double)law->x + law->x_low;
    long double exponent = law->shift * 0.693147180559945309417232121458176568L - x;
    if (k < SMALL_COUNT) {
        long double product = expl(exponent);
        for (uint64_t i = 1; i <= k; i++) {
            product *= x / (long double)i;
        }
        return (double)product;
    }
    if (x < n * DBL_MIN) {
        return 0.0;
    }
    long double difference = n - x, v = difference / (n + x), term = 2.0L * n * v, deviance = difference * v;
    if (fabsl(v) >= 0.25L) {
        deviance = n * logl(n / x) - difference;
    } else {
        long double before = -1.0L;
        for (int odd = 3; deviance != before; odd += 2) {
            term *= v * v;
            before = deviance;
            deviance += term / odd;
        }
    }
    exponent = law->shift * 0.693147180559945309417232121458176568L - deviance - stirling_error((double)k);
    return (double)(expl(exponent) / sqrtl(6.283185307179586476925286766559L * n));
}

static double weight_of(const pm_poisson_law *law, uint64_t k) {
    if (law->x == 0.0) {
        return k == 0 ? ldexp(1.0, law->shift) : 0.0;
    }
    if (law->is_precise) {
        return precise_weight(law, k);
    }
    /* the logarithm's derivative in x is (k - x) / x */
    double weight = pmi_poisson(k, law->x) * (1.0 + law->x_low * (((double)k - law->x) / law->x));
    return law->shift == 0 ? weight : ldexp(weight, law->shift);
}

/* exp and log of the library are within a unit in the last place, two roundings. Precise: the exponent, 1022 at most,
 * has a few units of 2^-64, five times as many where a logarithm is cancelled; then one rounding to double. */
double pmi_poisson_rounding(const pm_poisson_law *law, uint64_t k) {
    if (law->is_precise) {
        return k < SMALL_COUNT ? 3.0 : 10.0;
    }
    double n = (double)k;
    if (k == 0 || (k < SMALL_COUNT && law->x < SMALL_MEAN)) {
        return 6.0 + 2.0 * n;
    }
    double distance = fabs(n - law->x);
    bool is_far = 4.0 * distance >= n + law->x;
    return 24.0 + (is_far ? 1.5 * distance * fmax(1.0, n / law->x) : 0.0);
}

bool pmi_poisson_start(const pm_poisson_law *law, uint64_t first, uint64_t last, uint64_t *k, double *weight) {
    if (first >= last) {
        return false;
    }
    *k = first;
    *weight = weight_of(law, first);
    if (*weight >= DBL_MIN) {
        return true;
    }
    uint64_t low = first, high = last - 1; /* of the rising part */
    if (law->x < (double)high) {
        high = (uint64_t)law->x;
    }
    if (high <= first || weight_of(law, high) < DBL_MIN) {
        return false;
    }
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (weight_of(law, middle) >= DBL_MIN) {
            high = middle;
        } else {
            low = middle;
        }
    }
    *k = high;
    *weight = weight_of(law, high);
    return true;
}

static uint64_t to_step(double k) {
    return k < (double)PM_POISSON_FAR ? (uint64_t)k : PM_POISSON_FAR;
}

void pmi_poisson_window(double x, double exponent, uint64_t *first, uint64_t *last) {
    if (x == 0.0 || x >= (double)PM_POISSON_FAR) {
        *first = x == 0.0 ? 0 : PM_POISSON_FAR;
        *last = x == 0.0 ? 1 : PM_POISSON_FAR;
        return;
    }
    double below = x - sqrt(2.0 * x * exponent);
    double third = exponent / 3.0;
    double above = x + third + sqrt(third * third + 2.0 * x * exponent);
    *first = below > 0.0 ? to_step(below) : 0;
    *last = to_step(above + 2.0);
}

double pmi_poisson_right_bound(uint64_t k, double x) {
    double n = (double)k;
    if (n <= x) {
        return 1.0;
    }
    double tail = pmi_poisson(k, x) / (1.0 - x / (n + 1.0));
    return tail < 1.0 ? tail : 1.0;
}

double pmi_poisson_right_tail(uint64_t k, double x) {
    double term = pmi_poisson(k, x), sum = 0.0;
    for (double n = (double)k + 1.0; sum + term > sum; n += 1.0) {
        sum += term;
        term *= x / n;
    }
    return sum;
}
