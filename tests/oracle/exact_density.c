/* Densities: the matrix exponential by scaling and squaring of a matrix without negative entries, so that every entry,
 * however small, keeps its digits but for one bit a squaring. */
#include <math.h>
#include <stdlib.h>

#include "exact.h"

/* The Taylor series is taken where the largest rate times the time is at most 2^-SERIES. */
#define SERIES 16

typedef struct power {
    int64_t n; /* transient states, and one place for what is absorbed */
    mpfr_prec_t bits;
    mpfr_t *now, *next;
    mpfr_t product;
} power;

static power power_new(int64_t states, mpfr_prec_t bits) {
    power p = {.n = states + 1, .bits = bits};
    p.now = exact_numbers(p.n * p.n, bits);
    p.next = exact_numbers(p.n * p.n, bits);
    mpfr_init2(p.product, bits);
    return p;
}

static void power_free(power *p) {
    exact_numbers_free(p->now, p->n * p->n);
    exact_numbers_free(p->next, p->n * p->n);
    mpfr_clear(p->product);
}

static void square(power *p) {
    for (int64_t i = 0; i < p->n; i++) {
        mpfr_t *row = p->next + i * p->n;
        for (int64_t j = 0; j < p->n; j++) {
            mpfr_set_zero(row[j], 1);
        }
        for (int64_t k = 0; k < p->n; k++) {
            const mpfr_t *left = p->now + i * p->n + k, *right = p->now + k * p->n;
            for (int64_t j = 0; !mpfr_zero_p(*left) && j < p->n; j++) {
                if (!mpfr_zero_p(right[j])) {
                    mpfr_mul(p->product, *left, right[j], MPFR_RNDN);
                    mpfr_add(row[j], row[j], p->product, MPFR_RNDN);
                }
            }
        }
    }
    mpfr_t *swap = p->now;
    p->now = p->next;
    p->next = swap;
}

/* row of `next` = row of `now` times the one-step matrix: stay, and weights over `rate`. */
static void times_step(power *p, const exact_chain *c, const mpfr_t *stay, const mpfr_t rate) {
    for (int64_t i = 0; i < p->n; i++) {
        mpfr_t *from = p->now + i * p->n, *to = p->next + i * p->n;
        mpfr_set(to[c->n], from[c->n], MPFR_RNDN);
        for (int64_t j = 0; j < c->n; j++) {
            mpfr_mul(to[j], from[j], stay[j], MPFR_RNDN);
        }
        for (int64_t j = 0; j < c->n; j++) {
            for (int64_t e = c->first[j]; !mpfr_zero_p(from[j]) && e < c->first[j + 1]; e++) {
                int64_t place = c->edges[e].to < 0 ? c->n : c->edges[e].to;
                mpfr_mul(p->product, from[j], c->edges[e].weight, MPFR_RNDN);
                mpfr_div(p->product, p->product, rate, MPFR_RNDN);
                mpfr_add(to[place], to[place], p->product, MPFR_RNDN);
            }
        }
    }
    mpfr_t *swap = p->now;
    p->now = p->next;
    p->next = swap;
}

static void identity(power *p) {
    for (int64_t i = 0; i < p->n * p->n; i++) {
        mpfr_set_ui(p->now[i], i % (p->n + 1) == 0, MPFR_RNDN);
    }
}

/* now = exp(-x) sum_k x^k/k! P^k, P the chain uniformized at `rate`, x = rate * time, small. */
static void series(power *p, const exact_chain *c, const mpfr_t *stay, const mpfr_t rate, const mpfr_t x) {
    mpfr_t *sum = exact_numbers(p->n * p->n, p->bits), factor;
    mpfr_init2(factor, p->bits);
    mpfr_neg(factor, x, MPFR_RNDN);
    mpfr_exp(factor, factor, MPFR_RNDN);
    mpfr_exp_t least = mpfr_get_exp(factor) - p->bits - SERIES;
    identity(p);
    /* every path that counts must have had its turn, however short the series */
    for (uint64_t k = 1; !mpfr_zero_p(factor) && (mpfr_get_exp(factor) > least || k <= (uint64_t)p->n + 20); k++) {
        for (int64_t i = 0; i < p->n * p->n; i++) {
            mpfr_fma(sum[i], factor, p->now[i], sum[i], MPFR_RNDN);
        }
        times_step(p, c, stay, rate);
        mpfr_mul(factor, factor, x, MPFR_RNDN);
        mpfr_div_ui(factor, factor, k, MPFR_RNDN);
    }
    for (int64_t i = 0; i < p->n * p->n; i++) {
        mpfr_set(p->now[i], sum[i], MPFR_RNDN);
    }
    exact_numbers_free(sum, p->n * p->n);
    mpfr_clear(factor);
}

typedef struct values {
    mpfr_t pdf, cdf, survival;
} values;

/* What is absorbed, what remains, and the rate of absorption, of the start distribution times the power. */
static void read_values(power *p, const exact_chain *c, values *v) {
    mpfr_t mass;
    mpfr_init2(mass, p->bits);
    mpfr_set_zero(v->pdf, 1);
    mpfr_set_zero(v->survival, 1);
    mpfr_set(v->cdf, c->atom, MPFR_RNDN);
    for (int64_t j = 0; j <= c->n; j++) {
        mpfr_set_zero(mass, 1);
        for (int64_t i = 0; i < c->n; i++) {
            mpfr_fma(mass, c->start[i], p->now[i * p->n + j], mass, MPFR_RNDN);
        }
        if (j == c->n) {
            mpfr_add(v->cdf, v->cdf, mass, MPFR_RNDN);
            break;
        }
        mpfr_add(v->survival, v->survival, mass, MPFR_RNDN);
        for (int64_t e = c->first[j]; e < c->first[j + 1]; e++) {
            if (c->edges[e].to < 0) {
                mpfr_fma(v->pdf, mass, c->edges[e].weight, v->pdf, MPFR_RNDN);
            }
        }
    }
    mpfr_clear(mass);
}

static void write_values(char *text, int64_t count, int64_t place, const values *v) {
    exact_write(text, place, v->pdf);
    exact_write(text, count + place, v->cdf);
    exact_write(text, 2 * count + place, v->survival);
}

/* Probabilities of staying, at twice the largest rate: no digits are lost. */
static mpfr_t *staying(const exact_chain *c, mpfr_prec_t bits, mpfr_t rate) {
    mpfr_t *stay = exact_numbers(c->n, bits);
    mpfr_set_zero(rate, 1);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_max(rate, rate, c->total[i], MPFR_RNDN);
    }
    mpfr_mul_2ui(rate, rate, 1, MPFR_RNDN);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_div(stay[i], c->total[i], rate, MPFR_RNDN);
        mpfr_ui_sub(stay[i], 1, stay[i], MPFR_RNDN);
    }
    return stay;
}

/* All times that are `base` times a power of two, up to the last of them, by squaring. */
static void double_up(const exact_chain *c, const double *times, int64_t count, double base, double last, values *v,
                      mpfr_t peak, char *text) {
    mpfr_t rate, x;
    mpfr_inits2(c->bits, rate, x, (mpfr_ptr)0);
    mpfr_t *stay = staying(c, c->bits, rate);
    mpfr_mul_d(x, rate, last, MPFR_RNDN);
    long squarings = mpfr_get_exp(x) + SERIES > 0 ? mpfr_get_exp(x) + SERIES : 0;
    long needed = (long)lround(log2(last / base)); /* the first of the times is so many halves of the last */
    squarings = squarings < needed ? needed : squarings;
    power p = power_new(c->n, c->bits);
    mpfr_mul_2si(x, x, -squarings, MPFR_RNDN);
    series(&p, c, stay, rate, x);
    for (long s = 0; s <= squarings; s++) {
        double time = ldexp(last, (int)(s - squarings));
        read_values(&p, c, v);
        mpfr_max(peak, peak, v->pdf, MPFR_RNDN);
        for (int64_t k = 0; k < count; k++) {
            if (times[k] == time) {
                write_values(text, count, k, v);
            }
        }
        if (s < squarings) {
            square(&p);
        }
    }
    power_free(&p);
    exact_numbers_free(stay, c->n);
    mpfr_clears(rate, x, (mpfr_ptr)0);
}

static void at_zero(const exact_chain *c, values *v) {
    power p = power_new(c->n, c->bits);
    identity(&p);
    read_values(&p, c, v);
    power_free(&p);
}

void exact_density(const exact_chain *c, const double *times, int64_t count, char *text) {
    values v;
    mpfr_t peak;
    mpfr_inits2(c->bits, v.pdf, v.cdf, v.survival, peak, (mpfr_ptr)0);
    at_zero(c, &v);
    mpfr_set(peak, v.pdf, MPFR_RNDN);
    bool *done = exact_room(count, sizeof *done);
    for (int64_t k = 0; k < count; k++) {
        if (times[k] == 0) {
            at_zero(c, &v);
            write_values(text, count, k, &v);
            continue;
        }
        if (done[k]) {
            continue;
        }
        int e, other;
        double mantissa = frexp(times[k], &e), base = times[k], last = times[k];
        for (int64_t j = k; j < count; j++) {
            if (times[j] > 0 && frexp(times[j], &other) == mantissa) {
                done[j] = true;
                base = fmin(base, times[j]);
                last = fmax(last, times[j]);
            }
        }
        double_up(c, times, count, base, last, &v, peak, text);
    }
    exact_write(text, 3 * count, peak);
    free(done);
    mpfr_clears(v.pdf, v.cdf, v.survival, peak, (mpfr_ptr)0);
}

/* One step of the vector; `gone` is what is absorbed in it. */
static void step(const exact_chain *c, const mpfr_t *stay, const mpfr_t *now, mpfr_t *next, mpfr_t gone) {
    mpfr_set_zero(gone, 1);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_mul(next[i], now[i], stay[i], MPFR_RNDN);
    }
    for (int64_t i = 0; i < c->n; i++) {
        for (int64_t e = c->first[i]; !mpfr_zero_p(now[i]) && e < c->first[i + 1]; e++) {
            mpfr_ptr to = c->edges[e].to < 0 ? gone : next[c->edges[e].to];
            mpfr_fma(to, now[i], c->edges[e].weight, to, MPFR_RNDN);
        }
    }
}

void exact_mass(const exact_chain *c, const int64_t *steps, int64_t count, char *text) {
    values v;
    mpfr_t *now = exact_numbers(c->n, c->bits), *next = exact_numbers(c->n, c->bits),
           *stay = exact_numbers(c->n, c->bits);
    mpfr_t peak;
    mpfr_inits2(c->bits, v.pdf, v.cdf, v.survival, peak, (mpfr_ptr)0);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_set(now[i], c->start[i], MPFR_RNDN);
        mpfr_ui_sub(stay[i], 1, c->total[i], MPFR_RNDN);
        if (mpfr_sgn(stay[i]) < 0) {
            mpfr_set_zero(stay[i], 1);
        }
    }
    mpfr_set(v.pdf, c->atom, MPFR_RNDN);
    mpfr_set(v.cdf, c->atom, MPFR_RNDN);
    mpfr_set(peak, c->atom, MPFR_RNDN);
    int64_t at = 0;
    for (int64_t k = 0; k < count; k++) {
        for (; at < steps[k]; at++) {
            step(c, stay, now, next, v.pdf);
            mpfr_add(v.cdf, v.cdf, v.pdf, MPFR_RNDN);
            mpfr_max(peak, peak, v.pdf, MPFR_RNDN);
            mpfr_t *swap = now;
            now = next;
            next = swap;
        }
        mpfr_set_zero(v.survival, 1);
        for (int64_t i = 0; i < c->n; i++) {
            mpfr_add(v.survival, v.survival, now[i], MPFR_RNDN);
        }
        write_values(text, count, k, &v);
    }
    exact_write(text, 3 * count, peak);
    exact_numbers_free(now, c->n);
    exact_numbers_free(next, c->n);
    exact_numbers_free(stay, c->n);
    mpfr_clears(v.pdf, v.cdf, v.survival, peak, (mpfr_ptr)0);
}
