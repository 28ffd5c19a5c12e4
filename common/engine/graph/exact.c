#include "graph/exact.h"

#include <math.h>
#include <string.h>

/* Bit 0 of the sum counts 2^LOWEST. Products of doubles end at 2^-2148, with room for 64 bits of each, and begin below
 * 2^2048, with room for sums. */
#define LOWEST (-2240)
#define LIMBS 70
#define MANTISSA 53

/* A number of fixed point in two's complement, as long as all doubles together (Kulisch 1981). */
typedef struct accumulator {
    uint64_t limb[LIMBS];
} accumulator;

static void raise(accumulator *a, size_t i, uint64_t low, uint64_t high) {
    a->limb[i] += low;
    uint64_t carry = a->limb[i++] < low ? 1 : 0;
    a->limb[i] += high;
    uint64_t next = a->limb[i] < high ? 1 : 0;
    a->limb[i] += carry;
    next += a->limb[i++] < carry ? 1 : 0;
    for (; next != 0 && i < LIMBS; i++) {
        a->limb[i] += next;
        next = a->limb[i] == 0 ? 1 : 0;
    }
}

static void lower(accumulator *a, size_t i, uint64_t low, uint64_t high) {
    uint64_t borrow = a->limb[i] < low ? 1 : 0;
    a->limb[i++] -= low;
    uint64_t next = a->limb[i] < high ? 1 : 0;
    a->limb[i] -= high;
    next += a->limb[i] < borrow ? 1 : 0;
    a->limb[i++] -= borrow;
    for (; next != 0 && i < LIMBS; i++) {
        next = a->limb[i] == 0 ? 1 : 0;
        a->limb[i] -= 1;
    }
}

/* Adds 2^scale x. */
static void add(accumulator *a, double x, int scale) {
    int exponent = 0;
    double part = frexp(fabs(x), &exponent);
    if (part == 0.0) {
        return;
    }
    uint64_t whole = (uint64_t)ldexp(part, MANTISSA);
    size_t at = (size_t)(exponent - MANTISSA + scale - LOWEST), shift = at % 64;
    uint64_t low = whole << shift, high = shift == 0 ? 0 : whole >> (64 - shift);
    (x < 0.0 ? lower : raise)(a, at / 64, low, high);
}

static void negate(accumulator *a) {
    uint64_t carry = 1;
    for (size_t i = 0; i < LIMBS; i++) {
        a->limb[i] = ~a->limb[i] + carry;
        carry = carry != 0 && a->limb[i] == 0 ? 1 : 0;
    }
}

/* 64 bits from bit `at` on. */
static uint64_t bits_from(const accumulator *a, size_t at) {
    size_t i = at / 64, shift = at % 64;
    uint64_t low = a->limb[i] >> shift, high = shift == 0 ? 0 : a->limb[i + 1] << (64 - shift);
    return low | high;
}

/* Whether any of the first `count` bits is set. */
static bool any_below(const accumulator *a, size_t count) {
    for (size_t i = 0; i < count / 64; i++) {
        if (a->limb[i] != 0) {
            return true;
        }
    }
    return count % 64 != 0 && (a->limb[count / 64] & ((UINT64_C(1) << (count % 64)) - 1)) != 0;
}

/* The sum rounded once, to the nearest, ties to even: 2^*scale times what is returned, which is 0 or in [1/2, 1]. */
static double rounded(const accumulator *sum, int *scale) {
    accumulator a = *sum;
    bool negative = a.limb[LIMBS - 1] >> 63 != 0;
    if (negative) {
        negate(&a);
    }
    size_t limb = LIMBS;
    while (limb > 0 && a.limb[limb - 1] == 0) {
        limb--;
    }
    *scale = 0;
    if (limb == 0) {
        return 0.0;
    }
    size_t end = 64 * limb;
    while ((a.limb[limb - 1] >> (end - 1) % 64 & 1) == 0) {
        end--;
    }
    *scale = (int)end + LOWEST;
    uint64_t bits = bits_from(&a, end - 64) | (any_below(&a, end - 64) ? 1 : 0);
    uint64_t whole = bits >> 11, rest = bits & 0x7ff;
    whole += rest > 0x400 || (rest == 0x400 && (whole & 1) != 0) ? 1 : 0;
    double value = ldexp((double)whole, -MANTISSA);
    return negative ? -value : value;
}

/* Adds c x: the product of the mantissas and what that rounds off. */
static void add_product(accumulator *a, double c, double x) {
    int i = 0, j = 0;
    double p = frexp(c, &i), q = frexp(x, &j), product = p * q;
    add(a, product, i + j);
    add(a, fma(p, q, -product), i + j);
}

/* The sum, of any size, is 2^s (*high + *low) for the s that is returned. */
static int dot_scaled(const double *coef, size_t n, const double *x, double *high, double *low) {
    accumulator a;
    int scale, low_scale;
    memset(&a, 0, sizeof a);
    add_product(&a, coef[0], 1.0);
    for (size_t k = 0; k < n; k++) {
        add_product(&a, coef[1 + k], x[k]);
    }
    *high = rounded(&a, &scale);
    add(&a, -*high, scale);
    *low = rounded(&a, &low_scale);
    *low = ldexp(*low, low_scale - scale);
    return scale;
}

void pmi_exact_dot(const double *coef, size_t n, const double *x, double *high, double *low) {
    double sum, rest;
    int scale = dot_scaled(coef, n, x, &sum, &rest);
    *high = ldexp(sum, scale);
    *low = isfinite(*high) ? ldexp(rest, scale) : 0.0;
}

/* Products of this size, or zero, have a rounding error that is a double. */
#define SAFE_PRODUCT 0x1p-900

/* sum + x = total + error, exactly (Knuth). */
static double two_sum(double sum, double x, double *error) {
    double total = sum + x, part = total - sum;
    *error = (sum - (total - part)) + (x - part);
    return total;
}

/* *high + *low is the sum, exactly; false where two doubles do not hold it, or not on the way. */
static bool fits_pair(const double *coef, size_t n, const double *x, double *high, double *low) {
    double rest, lost = 0.0, error;
    *high = coef[0];
    *low = 0.0;
    for (size_t k = 0; k < n; k++) {
        double product = coef[1 + k] * x[k];
        if (product != 0.0 ? !(fabs(product) >= SAFE_PRODUCT) : coef[1 + k] != 0.0 && x[k] != 0.0) {
            return false;
        }
        *high = two_sum(*high, product, &rest);
        *low = two_sum(*low, rest, &error);
        lost += fabs(error);
        *low = two_sum(*low, fma(coef[1 + k], x[k], -product), &error);
        lost += fabs(error);
    }
    return lost == 0.0 && isfinite(*high); /* not where it is no number either */
}

pm_wide pmi_exact_dot_wide(const double *coef, size_t n, const double *x) {
    double high, low;
    if (fits_pair(coef, n, x, &high, &low)) {
        return low == 0.0 ? pmi_wide_of(high) : pmi_wide_sum(pmi_wide_of(high), pmi_wide_of(low));
    }
    int scale = dot_scaled(coef, n, x, &high, &low);
    pm_wide unit = pmi_wide_of(ldexp(1.0, scale % 512));
    unit.limb += scale / 512;
    return pmi_wide_multiply(pmi_wide_add(pmi_wide_of(high), pmi_wide_of(low)), unit);
}
