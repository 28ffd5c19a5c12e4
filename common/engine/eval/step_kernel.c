/* Instances of step_lanes.inc for 1, 4, 8 and 16 lanes, and the mixing of steps; compiled once per instruction set. */
#include <stddef.h>
#include <string.h>

#include "base/isa.h"
#include "eval/step.h"

double PM_ISA_NAME(pmi_mix)(const pm_mix_terms *terms, double sums[3]);

#define PM_LANES_FILE "eval/step_lanes.inc"
#define PM_LANES_TYPE pm_step_kernels
#define PM_LANES_GET pmi_step_kernels
#include "base/lanes.inc"

/* Eight terms at a time, in 8 / W vectors of the widest register. */
#define W PM_VECTOR_DOUBLES
#define PARTS (8 / W)
#define FOR_PARTS _Pragma("GCC unroll 4") for (int q = 0; q < PARTS; q++)
typedef double vec __attribute__((vector_size(W * sizeof(double)), aligned(8), may_alias));

static inline double sum_eight(const vec sum[PARTS]) {
    double t[8];
    memcpy(t, sum, sizeof t);
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

double PM_ISA_NAME(pmi_mix)(const pm_mix_terms *terms, double sums[3]) {
    const double *absorbed = terms->absorbed, *cdf = terms->cdf, *mass = terms->mass, *ratio = terms->ratio;
    vec w[PARTS], a[PARTS] = {0}, c[PARTS] = {0}, s[PARTS] = {0};
    memcpy(w, terms->start, sizeof w);
    double x8 = terms->x8;
    size_t whole = terms->n & ~(size_t)7, rest = terms->n - whole;
    for (size_t j = 0; j < whole; j += 8) {
        FOR_PARTS a[q] += w[q] * ((const vec *)(absorbed + j))[q];
        FOR_PARTS c[q] += w[q] * ((const vec *)(cdf + j))[q];
        FOR_PARTS s[q] += w[q] * ((const vec *)(mass + j))[q];
        FOR_PARTS w[q] *= x8 * ((const vec *)(ratio + j))[q];
    }
    if (rest > 0) {
        double last[3][8] = {{0}};
        memcpy(last[0], absorbed + whole, rest * sizeof(double));
        memcpy(last[1], cdf + whole, rest * sizeof(double));
        memcpy(last[2], mass + whole, rest * sizeof(double));
        FOR_PARTS a[q] += w[q] * ((const vec *)last[0])[q];
        FOR_PARTS c[q] += w[q] * ((const vec *)last[1])[q];
        FOR_PARTS s[q] += w[q] * ((const vec *)last[2])[q];
    }
    sums[0] += sum_eight(a);
    sums[1] += sum_eight(c);
    sums[2] += sum_eight(s);
    double next[8];
    memcpy(next, w, sizeof next);
    return next[rest];
}
