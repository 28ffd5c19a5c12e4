/* Numbers of twice the precision, as unevaluated sums high + low; for files without contraction of products and sums.
 */
#ifndef PM_EVAL_EXTENDED_H
#define PM_EVAL_EXTENDED_H

#include <math.h>

typedef struct pm_pair {
    double high, low;
} pm_pair;

/* What the rounded product of a and b leaves: fused, or by Dekker's splitting (1971), for |a|, |b| below 2^996. */
static inline double pmi_product_rest(double a, double b, double product) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fma(a, b, -product);
#else
    double x = 134217729.0 * a, y = 134217729.0 * b;
    double a1 = x - (x - a), b1 = y - (y - b), a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
#endif
}

/* high + low += the product of two pairs, all of them 0 or more (Dot2). */
static inline void pmi_add_product(double *high, double *low, double a, double a_low, double b, double b_low) {
    double product = a * b, rest = pmi_product_rest(a, b, product);
    rest += a * b_low + a_low * b;
    double sum = *high + product, part = sum - *high;
    *low += ((*high - (sum - part)) + (product - part)) + rest;
    *high = sum;
}

/* high + low += a pair. */
static inline void pmi_add_pair(double *high, double *low, double a, double a_low) {
    double sum = *high + a, part = sum - *high;
    *low += ((*high - (sum - part)) + (a - part)) + a_low;
    *high = sum;
}

/* |high| >= |low| again, their sum rounded to high (Dekker's FastTwoSum). */
static inline void pmi_settle(double *high, double *low) {
    double sum = *high + *low;
    *low -= sum - *high;
    *high = sum;
}

/* a / b for a double b: one step of long division. Both are made smaller where Dekker's splitting would overflow. */
static inline pm_pair pmi_divide(pm_pair a, double b) {
    if (b > 0x1p990) {
        a.high *= 0x1p-64;
        a.low *= 0x1p-64;
        b *= 0x1p-64;
    }
    double quotient = a.high / b, product = quotient * b;
    double rest = ((a.high - product) - pmi_product_rest(quotient, b, product)) + a.low;
    pm_pair result = {.high = quotient, .low = rest / b};
    pmi_settle(&result.high, &result.low);
    return result;
}

#endif
