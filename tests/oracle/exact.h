/* A phase-type distribution in arithmetic of many bits (MPFR): the reference of tests/oracle/fuzz, which loads this as
 * a shared library. It shares no code and no algorithm with phasemill: moments are solved by plain Gaussian elimination
 * with subtractions, densities by scaling and squaring of a non-negative matrix. Weights are exact. */
#ifndef PM_ORACLE_EXACT_H
#define PM_ORACLE_EXACT_H

#include <mpfr.h>
#include <stdbool.h>
#include <stdint.h>

/* Room for a number in a result: 40 decimal digits and the exponent, ended by 0. */
#define EXACT_TEXT 80

/* What a chain is made of. Row k of `coefs` and `start_coefs` has P values; the weight is sum_k coefs[k] theta[k]. */
typedef struct exact_input {
    int64_t n, edges, starts, params;
    const int32_t *from, *to, *start_to;
    const double *coefs, *start_coefs, *theta;
    int64_t discrete, bits;
} exact_input;

enum exact_status {
    EXACT_OK = 0,
    EXACT_NEGATIVE = 1,      /* the weight of an edge, or a start probability, is negative */
    EXACT_TRAPPED = 2,       /* a reachable state cannot be absorbed */
    EXACT_START = 3,         /* the start distribution does not sum to one within 1e-9 */
    EXACT_PROBABILITIES = 4, /* a row of a discrete chain sums to more than 1 + 1e-12 */
};

typedef struct exact_edge {
    int32_t to; /* a transient state, or -1: absorbed */
    mpfr_t weight;
} exact_edge;

/* `total` is the sum of a state's edges to other states; the transient states are the reachable ones that have such. */
typedef struct exact_chain {
    mpfr_prec_t bits;
    bool discrete;
    int64_t n;         /* transient states */
    int32_t *row;      /* their rows in the graph */
    int64_t *first;    /* n + 1: of their edges */
    exact_edge *edges; /* to other states */
    mpfr_t *total, *start;
    mpfr_t atom;
    mpfr_t **lower; /* n rows of n: the factors of D - W; NULL until it is needed */
} exact_chain;

exact_chain *exact_chain_new(const exact_input *input, int64_t *status);
void exact_chain_free(exact_chain *c);
/* Bits from the smallest weight to the largest one. Where twice the bits see the same small weights vanish, they agree
 * in something wrong: elimination of n states may need n times as many. */
int64_t exact_chain_spread(const exact_chain *c);
/* The largest total rate: with the largest time, it says how many bits the squarings of a density lose. */
double exact_chain_largest(const exact_chain *c);

/* Raw moments 1..k of the reward (n values of the graph's rows), or factorial moments of the steps, into k texts;
 * `lost` when a pivot was zero. */
void exact_moments(exact_chain *c, const double *reward, int64_t k, int64_t factorial, char *text, int64_t *lost);
/* The covariance matrix of f rewards (f x rows values) into f x f texts, and their means into f more. */
void exact_covariance(exact_chain *c, const double *rewards, int64_t f, int64_t rows, char *text, int64_t *lost);
/* pdf, cdf, survival at `times`, each `count` texts in `text`; then the largest pdf met on the way. */
void exact_density(const exact_chain *c, const double *times, int64_t count, char *text);
/* The same of a discrete chain at whole numbers of steps in ascending order. */
void exact_mass(const exact_chain *c, const int64_t *steps, int64_t count, char *text);

/* Shared by the files: an array of numbers, all zero. */
mpfr_t *exact_numbers(int64_t count, mpfr_prec_t bits);
void exact_numbers_free(mpfr_t *x, int64_t count);
void *exact_room(int64_t count, size_t size);
void exact_write(char *text, int64_t place, const mpfr_t value);

#endif
