#include "graph/exact.h"

#include <math.h>

/* An expansion: doubles that do not overlap, by ascending magnitude. Their exponents lie within 1,200 bits of each
 * other, so that compressed ones, 53 bits apart, are fewer than these. */
#define PARTS 32

typedef struct expansion {
    double part[PARTS];
    size_t n;
} expansion;

/* Parts that are each below the last bit of the next: Shewchuk's first pass, downwards. */
static void compress(expansion *e) {
    size_t bottom = e->n;
    double x = e->part[e->n - 1];
    for (size_t i = e->n - 1; i-- > 0;) {
        double y = e->part[i], sum = x + y, rest = y - (sum - x);
        if (rest != 0.0) {
            e->part[--bottom] = sum;
            x = rest;
        } else {
            x = sum;
        }
    }
    e->part[--bottom] = x;
    for (size_t i = bottom; i < e->n; i++) {
        e->part[i - bottom] = e->part[i];
    }
    e->n -= bottom;
}

/* Adds x without rounding: what each TwoSum leaves stays a part of its own, zeros go. */
static void add(expansion *e, double x) {
    size_t kept = 0;
    if (e->n == PARTS) {
        compress(e);
    }
    for (size_t i = 0; i < e->n; i++) {
        double y = e->part[i], sum = x + y, z = sum - x;
        double rest = (x - (sum - z)) + (y - z);
        if (rest != 0.0) {
            e->part[kept++] = rest;
        }
        x = sum;
    }
    if (x != 0.0) {
        e->part[kept++] = x;
    }
    e->n = kept;
}

/* The sum rounded once, to the nearest; a tie of the two largest parts is broken by the third. */
static double rounded(const expansion *e) {
    if (e->n == 0) {
        return 0.0;
    }
    size_t i = e->n - 1;
    double sum = e->part[i], rest = 0.0;
    while (i > 0 && rest == 0.0) {
        double x = sum, y = e->part[--i];
        sum = x + y;
        rest = y - (sum - x);
    }
    if (i > 0 && (rest < 0.0) == (e->part[i - 1] < 0.0)) {
        double twice = 2.0 * rest, next = sum + twice;
        sum = next - sum == twice ? next : sum;
    }
    return sum;
}

/* c * x = 2^scale (high + low) with the mantissas' product in [1/4, 1), or zero. */
static int multiply(double c, double x, double *high, double *low) {
    int a = 0, b = 0;
    double p = frexp(c, &a), q = frexp(x, &b);
    *high = p * q;
    *low = fma(p, q, -*high);
    return a + b;
}

static int largest_scale(const double *coef, size_t n, const double *x) {
    int most = -5000;
    for (size_t k = 0; k <= n; k++) {
        double high, low;
        int scale = multiply(coef[k], k == 0 ? 1.0 : x[k - 1], &high, &low);
        most = high != 0.0 && scale > most ? scale : most;
    }
    return most;
}

int pm_exact_dot_scaled(const double *coef, size_t n, const double *x, double *high, double *low) {
    int most = largest_scale(coef, n, x);
    expansion e = {.n = 0};
    for (size_t k = 0; k <= n; k++) {
        double product, rest;
        int scale = multiply(coef[k], k == 0 ? 1.0 : x[k - 1], &product, &rest);
        add(&e, ldexp(rest, scale - most));
        add(&e, ldexp(product, scale - most));
    }
    *high = rounded(&e);
    add(&e, -*high);
    *low = rounded(&e);
    return most;
}

void pm_exact_dot(const double *coef, size_t n, const double *x, double *high, double *low) {
    double sum, rest;
    int scale = pm_exact_dot_scaled(coef, n, x, &sum, &rest);
    *high = ldexp(sum, scale);
    *low = isfinite(*high) ? ldexp(rest, scale) : 0.0;
}
