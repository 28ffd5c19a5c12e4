/* Kernels of twice the precision (eval/step.h), compiled once per instruction set, without contraction: plain loops
 * over lanes, which compilers make vectors of. */
#include <stddef.h>

#include "base/isa.h"
#include "eval/extended.h"
#include "eval/step.h"

void PM_ISA_NAME(pmi_dense_row)(const double *row, const double *row_low, const double *matrix,
                                const double *matrix_low, size_t n, double scale, double *out, double *out_low);

#define PM_LANES_FILE "eval/extended_lanes.inc"
#define PM_LANES_TYPE pm_extended_kernels
#define PM_LANES_GET pmi_extended_kernels
#include "base/lanes.inc"

void PM_ISA_NAME(pmi_dense_row)(const double *restrict row, const double *restrict row_low,
                                const double *restrict matrix, const double *restrict matrix_low, size_t n,
                                double scale, double *restrict out, double *restrict out_low) {
    for (size_t j = 0; j < n; j++) {
        out[j] = out_low[j] = 0.0;
    }
    for (size_t k = 0; k < n; k++) {
        double a = row[k], a_low = row_low[k];
        if (a == 0.0) {
            continue;
        }
        const double *restrict b = matrix + k * n, *restrict b_low = matrix_low + k * n;
        for (size_t j = 0; j < n; j++) {
            pmi_add_product(&out[j], &out_low[j], a, a_low, b[j], b_low[j]);
        }
    }
    for (size_t j = 0; j < n; j++) {
        pmi_settle(&out[j], &out_low[j]);
        out[j] *= scale;
        out_low[j] *= scale;
    }
}
