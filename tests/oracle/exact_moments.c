/* Moments and covariances: Gaussian elimination of D - W, as it stands. How many digits it loses is not known before;
 * the caller asks again with twice the bits until two answers agree. */
#include <stdlib.h>

#include "exact.h"

static void fill(const exact_chain *c) {
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_set(c->lower[i][i], c->total[i], MPFR_RNDN);
        for (int64_t e = c->first[i]; e < c->first[i + 1]; e++) {
            int32_t to = c->edges[e].to;
            if (to >= 0) {
                mpfr_sub(c->lower[i][to], c->lower[i][to], c->edges[e].weight, MPFR_RNDN);
            }
        }
    }
}

/* L and U in one place; the multipliers of column p are kept where they made zeros. */
static void factor(exact_chain *c, int64_t *lost) {
    c->lower = exact_room(c->n, sizeof *c->lower);
    for (int64_t i = 0; i < c->n; i++) {
        c->lower[i] = exact_numbers(c->n, c->bits);
    }
    fill(c);
    mpfr_t product;
    mpfr_init2(product, c->bits);
    for (int64_t p = 0; p < c->n; p++) {
        mpfr_t *pivot = c->lower[p];
        *lost |= mpfr_zero_p(pivot[p]) || !mpfr_number_p(pivot[p]);
        for (int64_t i = p + 1; i < c->n; i++) {
            mpfr_t *row = c->lower[i];
            if (mpfr_zero_p(row[p])) {
                continue;
            }
            mpfr_div(row[p], row[p], pivot[p], MPFR_RNDN);
            for (int64_t j = p + 1; j < c->n; j++) {
                if (!mpfr_zero_p(pivot[j])) {
                    mpfr_mul(product, row[p], pivot[j], MPFR_RNDN);
                    mpfr_sub(row[j], row[j], product, MPFR_RNDN);
                }
            }
        }
    }
    mpfr_clear(product);
}

/* x, which holds the right side, becomes the solution. */
static void solve(exact_chain *c, mpfr_t *x, int64_t *lost) {
    if (c->lower == NULL) {
        factor(c, lost);
    }
    mpfr_t product;
    mpfr_init2(product, c->bits);
    for (int64_t i = 0; i < c->n; i++) {
        for (int64_t j = 0; j < i; j++) {
            if (!mpfr_zero_p(c->lower[i][j])) {
                mpfr_mul(product, c->lower[i][j], x[j], MPFR_RNDN);
                mpfr_sub(x[i], x[i], product, MPFR_RNDN);
            }
        }
    }
    for (int64_t i = c->n - 1; i >= 0; i--) {
        for (int64_t j = i + 1; j < c->n; j++) {
            if (!mpfr_zero_p(c->lower[i][j])) {
                mpfr_mul(product, c->lower[i][j], x[j], MPFR_RNDN);
                mpfr_sub(x[i], x[i], product, MPFR_RNDN);
            }
        }
        mpfr_div(x[i], x[i], c->lower[i][i], MPFR_RNDN);
    }
    mpfr_clear(product);
}

static void at_start(const exact_chain *c, const mpfr_t *x, mpfr_t value) {
    mpfr_set_zero(value, 1);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_fma(value, c->start[i], x[i], value, MPFR_RNDN);
    }
}

/* The mean of x after one step from state i of a discrete chain. */
static void jump_mean(const exact_chain *c, const mpfr_t *x, int64_t i, mpfr_t mean) {
    mpfr_ui_sub(mean, 1, c->total[i], MPFR_RNDN);
    mpfr_mul(mean, mean, x[i], MPFR_RNDN);
    for (int64_t e = c->first[i]; e < c->first[i + 1]; e++) {
        if (c->edges[e].to >= 0) {
            mpfr_fma(mean, c->edges[e].weight, x[c->edges[e].to], mean, MPFR_RNDN);
        }
    }
}

/* Y = r_i + Y' of a step: E[Y^m] = sum_j binomial(m, j) r_i^(m-j) E[Y'^j]; `lower` holds the vectors of E[Y^j], j < m.
 */
static void discrete_right_side(const exact_chain *c, const double *reward, int64_t m, mpfr_t **lower, mpfr_t *right) {
    mpfr_t power, mean, binomial;
    mpfr_inits2(c->bits, power, mean, binomial, (mpfr_ptr)0);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_set_d(power, reward[c->row[i]], MPFR_RNDN);
        mpfr_pow_si(right[i], power, m, MPFR_RNDN);
        mpfr_set_ui(binomial, 1, MPFR_RNDN);
        for (int64_t j = 1; j < m; j++) {
            mpfr_mul_si(binomial, binomial, m - j + 1, MPFR_RNDN);
            mpfr_div_si(binomial, binomial, j, MPFR_RNDN);
            mpfr_set_d(power, reward[c->row[i]], MPFR_RNDN);
            mpfr_pow_si(power, power, m - j, MPFR_RNDN);
            mpfr_mul(power, power, binomial, MPFR_RNDN);
            jump_mean(c, lower[j], i, mean);
            mpfr_fma(right[i], power, mean, right[i], MPFR_RNDN);
        }
    }
    mpfr_clears(power, mean, binomial, (mpfr_ptr)0);
}

/* Factorial moments: f_m = (I - P)^-1 m P f_(m-1), f_1 the mean. */
static void factorial_right_side(const exact_chain *c, int64_t m, const mpfr_t *before, mpfr_t *right) {
    for (int64_t i = 0; i < c->n; i++) {
        if (m == 1) {
            mpfr_set_ui(right[i], 1, MPFR_RNDN);
        } else {
            jump_mean(c, before, i, right[i]);
            mpfr_mul_si(right[i], right[i], m, MPFR_RNDN);
        }
    }
}

static void continuous_right_side(const exact_chain *c, const double *reward, int64_t m, const mpfr_t *before,
                                  mpfr_t *right) {
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_mul_d(right[i], before[i], reward[c->row[i]], MPFR_RNDN);
        mpfr_mul_si(right[i], right[i], m, MPFR_RNDN);
    }
}

void exact_moments(exact_chain *c, const double *reward, int64_t k, int64_t factorial, char *text, int64_t *lost) {
    mpfr_t **x = exact_room(k + 1, sizeof *x);
    mpfr_t value;
    mpfr_init2(value, c->bits);
    x[0] = exact_numbers(c->n, c->bits);
    for (int64_t i = 0; i < c->n; i++) {
        mpfr_set_ui(x[0][i], 1, MPFR_RNDN);
    }
    for (int64_t m = 1; m <= k; m++) {
        x[m] = exact_numbers(c->n, c->bits);
        if (factorial) {
            factorial_right_side(c, m, x[m - 1], x[m]);
        } else if (c->discrete) {
            discrete_right_side(c, reward, m, x, x[m]);
        } else {
            continuous_right_side(c, reward, m, x[m - 1], x[m]);
        }
        solve(c, x[m], lost);
        at_start(c, x[m], value);
        exact_write(text, m - 1, value);
    }
    for (int64_t m = 0; m <= k; m++) {
        exact_numbers_free(x[m], c->n);
    }
    free(x);
    mpfr_clear(value);
}

/* E[Y_a Y_b] with the vectors of means x_a and x_b. */
static void cross_right_side(const exact_chain *c, const double *a, const double *b, const mpfr_t *xa, const mpfr_t *xb,
                             mpfr_t *right) {
    mpfr_t mean, term;
    mpfr_inits2(c->bits, mean, term, (mpfr_ptr)0);
    for (int64_t i = 0; i < c->n; i++) {
        double ra = a[c->row[i]], rb = b[c->row[i]];
        mpfr_set_zero(right[i], 1);
        if (c->discrete) {
            mpfr_set_d(right[i], ra, MPFR_RNDN);
            mpfr_mul_d(right[i], right[i], rb, MPFR_RNDN);
            jump_mean(c, xb, i, mean);
        } else {
            mpfr_set(mean, xb[i], MPFR_RNDN);
        }
        mpfr_mul_d(term, mean, ra, MPFR_RNDN);
        mpfr_add(right[i], right[i], term, MPFR_RNDN);
        if (c->discrete) {
            jump_mean(c, xa, i, mean);
        } else {
            mpfr_set(mean, xa[i], MPFR_RNDN);
        }
        mpfr_mul_d(term, mean, rb, MPFR_RNDN);
        mpfr_add(right[i], right[i], term, MPFR_RNDN);
    }
    mpfr_clears(mean, term, (mpfr_ptr)0);
}

void exact_covariance(exact_chain *c, const double *rewards, int64_t f, int64_t rows, char *text, int64_t *lost) {
    mpfr_t **x = exact_room(f, sizeof *x);
    mpfr_t *mean = exact_numbers(f, c->bits), *right = exact_numbers(c->n, c->bits), value;
    mpfr_init2(value, c->bits);
    for (int64_t a = 0; a < f; a++) {
        x[a] = exact_numbers(c->n, c->bits);
        for (int64_t i = 0; i < c->n; i++) {
            mpfr_set_d(x[a][i], rewards[a * rows + c->row[i]], MPFR_RNDN);
        }
        solve(c, x[a], lost);
        at_start(c, x[a], mean[a]);
    }
    for (int64_t a = 0; a < f; a++) {
        for (int64_t b = 0; b <= a; b++) {
            cross_right_side(c, rewards + a * rows, rewards + b * rows, x[a], x[b], right);
            solve(c, right, lost);
            at_start(c, right, value);
            mpfr_fms(value, mean[a], mean[b], value, MPFR_RNDN);
            mpfr_neg(value, value, MPFR_RNDN);
            exact_write(text, a * f + b, value);
            exact_write(text, b * f + a, value);
        }
    }
    for (int64_t a = 0; a < f; a++) {
        exact_write(text, f * f + a, mean[a]);
        exact_numbers_free(x[a], c->n);
    }
    free(x);
    exact_numbers_free(mean, f);
    exact_numbers_free(right, c->n);
    mpfr_clear(value);
}
