/* The mixing of steps by Poisson weights (eval/step.h), compiled once per instruction set. What is done with one
 * weight, one time, one of eight sums does not depend on the width of registers. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"
#include "eval/step.h"

const pm_mixing *PM_ISA_NAME(pmi_mixing)(void);

/* Eight values at a time, in 8 / W vectors of the widest register. */
#define W PM_VECTOR_DOUBLES
#define PARTS (8 / W)
#define FOR_PARTS _Pragma("GCC unroll 4") for (int q = 0; q < PARTS; q++)
typedef double vec __attribute__((vector_size(W * sizeof(double)), aligned(8), may_alias));
typedef int64_t bits __attribute__((vector_size(W * sizeof(double)), aligned(8), may_alias));

typedef struct eight {
    vec v[PARTS];
} eight;

static inline const vec *parts_at(const double *array, size_t j) {
    return (const vec *)(array + j);
}

static inline double sum_eight(const eight *sum) {
    double t[8];
    memcpy(t, sum, sizeof t);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

/* value[j..j+7], those from n on as zero. */
static inline eight load_rest(const double *value, size_t j, size_t n) {
    eight last = {0};
    memcpy(&last, value + j, (n - j) * sizeof(double));
    return last;
}

/* ---- one time ---- */

static double add_series(const pm_mix_terms *t, const double *weight, const double *series) {
    eight sum = {0};
    size_t whole = t->n & ~(size_t)7;
    for (size_t j = 0; j < whole; j += 8) {
        FOR_PARTS sum.v[q] += parts_at(weight, j)[q] * parts_at(series, j)[q];
    }
    if (whole < t->n) {
        eight last = load_rest(series, whole, t->n);
        FOR_PARTS sum.v[q] += parts_at(weight, whole)[q] * last.v[q];
    }
    return sum_eight(&sum);
}

/* w_0..w_n, and more up to a multiple of eight. Returns w_n. */
static double set_weights(const pm_mix_terms *t, double weight[PM_CHUNK + 8]) {
    vec w[PARTS], x8 = (vec){0} + t->x8;
    FOR_PARTS w[q] = parts_at(t->start, 0)[q];
    for (size_t j = 0;; j += 8) {
        FOR_PARTS((vec *)(weight + j))[q] = w[q];
        if (j + 8 > t->n) {
            return weight[t->n];
        }
        FOR_PARTS w[q] *= x8 * parts_at(t->ratio, j)[q];
    }
}

static double mix(const pm_mix_terms *terms, double sums[3]) {
    double weight[PM_CHUNK + 8];
    double next = set_weights(terms, weight);
    for (int s = 0; s < 3 && terms->series[s] != NULL; s++) {
        sums[s] += add_series(terms, weight, terms->series[s]);
    }
    return next;
}

/* ---- a group of times ---- */

/* Vectors of times that Horner's rule is followed for at once: as many as hide what one multiply-add takes. */
#define SIDE_BY_SIDE (PM_MIX_TIMES / W < 8 ? PM_MIX_TIMES / W : 8)
#define FOR_TIMES _Pragma("GCC unroll 8") for (int q = 0; q < SIDE_BY_SIDE; q++)

static void horner(const double *term, size_t n, const vec *base, vec *out) {
    vec y[SIDE_BY_SIDE], sum[SIDE_BY_SIDE];
    FOR_TIMES y[q] = base[q];
    FOR_TIMES sum[q] = (vec){0};
    while (n-- > 0) {
        vec own = (vec){0} + term[n];
        FOR_TIMES sum[q] = sum[q] * y[q] + own;
    }
    FOR_TIMES out[q] = sum[q];
}

/* ratio *= base^n, by squares. */
static void raise_ratios(pm_mix_group *g, size_t n) {
    for (size_t i = 0; i < g->n; i += W) {
        vec square = *parts_at(g->base, i), product = *parts_at(g->ratio, i);
        for (size_t left = n; left > 0; left /= 2) {
            if (left % 2 == 1) {
                product *= square;
            }
            square *= square;
        }
        memcpy(g->ratio + i, &product, sizeof product);
    }
}

static void mix_series(const double *weight, const double *series, size_t n, pm_mix_group *g, double *sums) {
    double term[PM_CHUNK + 8];
    size_t whole = n & ~(size_t)7;
    for (size_t j = 0; j < whole; j += 8) {
        FOR_PARTS((vec *)(term + j))[q] = parts_at(weight, j)[q] * parts_at(series, j)[q];
    }
    for (size_t j = whole; j < n; j++) {
        term[j] = weight[j] * series[j];
    }
    for (size_t i = 0; i < g->n; i += SIDE_BY_SIDE * W) {
        vec out[SIDE_BY_SIDE];
        horner(term, n, parts_at(g->base, i), out);
        FOR_TIMES out[q] *= parts_at(g->ratio, i)[q];
        memcpy(sums + i, out, sizeof out);
    }
}

static double mix_group(const pm_mix_terms *terms, size_t skipped, pm_mix_group *group) {
    double weight[PM_CHUNK + 8];
    double next = set_weights(terms, weight);
    raise_ratios(group, skipped);
    for (int s = 0; s < 3 && terms->series[s] != NULL; s++) {
        mix_series(weight, terms->series[s], terms->n, group, group->sums[s]);
    }
    raise_ratios(group, terms->n);
    return next;
}

/* ---- sums and exponentials ---- */

static inline vec larger(vec a, vec b) {
    bits is_larger = (bits)(a > b);
    return (vec)(((bits)a & is_larger) | ((bits)b & ~is_larger));
}

static inline __attribute__((always_inline)) void add_to_totals(const vec *value, const vec *mode, eight *sum,
                                                                eight *most, eight *peak) {
    FOR_PARTS {
        sum->v[q] += value[q];
        most->v[q] = larger(value[q], most->v[q]);
        peak->v[q] = larger(value[q] * mode[q], peak->v[q]);
    }
}

static double largest(const eight *values, double least) {
    double t[8];
    memcpy(t, values, sizeof t);
    for (int i = 0; i < 8; i++) {
        least = t[i] > least ? t[i] : least;
    }
    return least;
}

static void total(size_t n, const double *value, const double *mode, pm_step_totals *totals) {
    eight sum = {0}, most = {0}, peak = {0};
    size_t whole = n & ~(size_t)7;
    for (size_t j = 0; j < whole; j += 8) {
        add_to_totals(parts_at(value, j), parts_at(mode, j), &sum, &most, &peak);
    }
    if (whole < n) {
        eight v = load_rest(value, whole, n), m = load_rest(mode, whole, n);
        add_to_totals(v.v, m.v, &sum, &most, &peak);
    }
    totals->sum = sum_eight(&sum);
    totals->most = largest(&most, totals->most);
    totals->peak = largest(&peak, totals->peak);
}

/* exp(x) = 2^k exp(r), |r| <= log(2) / 2, by 14 terms of the series. log(2) in two parts, k times the first is exact.
 */
static void exponentials(double *x, size_t n) {
    static const double factor[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       1.0 / 2,      1.0,         1.0};
    const double shift = 0x1.8p52;
    for (size_t i = 0; i < n; i += W) {
        vec v = *parts_at(x, i), shifted = v * 1.44269504088896340736 + shift, k = shifted - shift;
        vec r = (v - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33, sum = (vec){0} + factor[0];
        for (int t = 1; t < 14; t++) {
            sum = sum * r + factor[t];
        }
        bits power = ((bits)shifted - (bits)((vec){0} + shift) + 1023) << 52;
        sum *= (vec)power;
        memcpy(x + i, &sum, sizeof sum);
    }
}

const pm_mixing *PM_ISA_NAME(pmi_mixing)(void) {
    static const pm_mixing mixing = {.mix = mix, .mix_group = mix_group, .total = total, .exponentials = exponentials};
    return &mixing;
}
