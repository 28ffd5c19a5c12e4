/* Reference solutions: a chain as a dense matrix, solved in quadruple precision without looking at its components. */
#ifndef DENSE_H
#define DENSE_H

#include "graph/graph.h"

#if defined(__x86_64__)
typedef __float128 quad;
#else
typedef long double quad; /* 113 bits on arm64 */
#endif

/* A chain at one theta, over the states that can be reached there and are left again. */
typedef struct dense_chain {
    uint32_t n;       /* those states */
    uint32_t n_rows;  /* rows of the graph */
    uint32_t *row_of; /* n: row of the graph */
    quad *weight;     /* n x n: rates (probabilities) between them, self-loops left out */
    quad *exit;       /* n: into absorption */
    quad *start;      /* n */
    bool is_discrete;
} dense_chain;

/* Weights are evaluated from the coefficients in quadruple precision; start is divided by its sum. */
dense_chain dense_chain_of(const pm_graph *graph, const double *theta);
void dense_chain_free(dense_chain *chain);

/* Solves (Lambda - W) x = rhs in place, by Gaussian elimination with row exchanges. */
void dense_solve(const dense_chain *chain, quad *x);
/* The same by elimination without subtraction, in descending order of states: for rates over many decades. */
void dense_solve_stiff(const dense_chain *chain, quad *x);

/* Solves z (Lambda - W) = rhs; rhs and z are numbered by position[row of the graph]. */
void dense_solve_transposed(const dense_chain *chain, const double *rhs, const uint32_t *position, quad *z);

typedef void (*dense_solver)(const dense_chain *chain, quad *x);

/* Moments 1..order of the reward (a value for each row of the graph, NULL: ones) of a continuous chain: out[k - 1]. */
void dense_moments(const dense_chain *chain, dense_solver solve, const double *reward, uint32_t order, quad *out);
/* Covariance of two rewards of a continuous chain. */
quad dense_covariance(const dense_chain *chain, dense_solver solve, const double *f, const double *g);

/* The distribution of a whole-numbered reward of a discrete chain, step by step until less than 1e-25 is left:
 * probability[y + offset], y from -offset to offset. */
typedef struct dense_mass {
    uint32_t offset;
    long double *probability;
} dense_mass;
dense_mass dense_mass_of(const dense_chain *chain, const int *reward);
quad dense_raw_moment(const dense_mass *mass, uint32_t k);
quad dense_factorial_moment(const dense_mass *mass, uint32_t k);

/* |found - expected| <= tolerance * scale */
bool dense_near(double found, quad expected, quad scale, double tolerance);

#endif
