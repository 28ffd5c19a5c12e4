#include "eval/step.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

PM_ISA_DECLARE(const pm_step_kernels *, pmi_step_kernels, (unsigned lanes));
PM_ISA_DECLARE(const pm_extended_kernels *, pmi_extended_kernels, (unsigned lanes));
PM_ISA_DECLARE(const pm_mixing *, pmi_mixing, (void));
PM_ISA_DECLARE(void, pmi_dense_row,
               (const double *row, const double *row_low, const double *matrix, const double *matrix_low, size_t n,
                double scale, double *out, double *out_low));

const pm_step_kernels *pmi_step_kernels_get(pm_isa isa, unsigned lanes) {
    return PM_ISA_PICK(isa, pmi_step_kernels)(lanes);
}

const pm_extended_kernels *pmi_extended_kernels_get(pm_isa isa, unsigned lanes) {
    return PM_ISA_PICK(isa, pmi_extended_kernels)(lanes);
}

const pm_mixing *pmi_mixing_get(pm_isa isa) {
    return PM_ISA_PICK(isa, pmi_mixing)();
}

pmi_dense_row pmi_dense_row_get(pm_isa isa) {
    return PM_ISA_PICK(isa, pmi_dense_row);
}

#if defined(__x86_64__)
/* MXCSR: bit 15 flushes results, bit 6 takes denormal operands as zero */
pm_float_mode pmi_denormals_flush(void) {
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040u);
    return mode;
}

void pmi_denormals_restore(pm_float_mode mode) {
    _mm_setcsr((unsigned)mode);
}
#else
/* FPCR: bit 24 flushes operands and results */
pm_float_mode pmi_denormals_flush(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | ((uint64_t)1 << 24)));
    return mode;
}

void pmi_denormals_restore(pm_float_mode mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}
#endif
