/* The peer of the replay: SuiteSparse's KLU, used as its manual says for many matrices of one pattern. Analysis and
 * first factorisation are outside the time; for each theta come the values, klu_refactor and K times klu_solve.
 *
 * KLU gets what suits it: block triangular form, no scaling, the fastest of AMD, COLAMD and METIS, with the states
 * numbered as in the file or the program. The weight of each edge is added to two entries of Lambda - W. */
#ifndef PM_BENCH_PEER_KLU_H
#define PM_BENCH_PEER_KLU_H

#include "model/model.h"

typedef struct bench_klu bench_klu;

/* Ends the program when KLU cannot factor the model. `theta` is (3, P): the choice of orderings is timed on it. */
bench_klu *bench_klu_open(const pm_model *m, const double *theta);
void bench_klu_close(bench_klu *k);

/* Moments 1..n_moments at one theta (P values); returns the seconds of processor time that it took. */
double bench_klu_theta(bench_klu *k, const double *theta, size_t n_moments, double *moments);

/* "AMD", "COLAMD" or "METIS", and "file" or "program". */
const char *bench_klu_ordering(const bench_klu *k);
const char *bench_klu_numbering(const bench_klu *k);

#endif
