#include "eval/step.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* one of each for every instruction set of the build */
#define DECLARE(isa)                                                                                                   \
    const pm_step_kernels *pmi_step_kernels_##isa(unsigned lanes);                                                     \
    const pm_extended_kernels *pmi_extended_kernels_##isa(unsigned lanes);                                             \
    double pmi_mix_##isa(const pm_mix_terms *terms, double sums[3]);                                                   \
    void pmi_dense_row_##isa(const double *row, const double *row_low, const double *matrix, const double *matrix_low, \
                             size_t n, double scale, double *out, double *out_low);

#if defined(__x86_64__)
DECLARE(x86_64_v2)
DECLARE(x86_64_v3)
DECLARE(x86_64_v4)
#else
DECLARE(arm64)
#endif

const pm_step_kernels *pmi_step_kernels_get(pm_isa isa, unsigned lanes) {
    switch (isa) {
#if defined(__x86_64__)
    case PM_ISA_X86_64_V2:
        return pmi_step_kernels_x86_64_v2(lanes);
    case PM_ISA_X86_64_V3:
        return pmi_step_kernels_x86_64_v3(lanes);
    case PM_ISA_X86_64_V4:
        return pmi_step_kernels_x86_64_v4(lanes);
#else
    case PM_ISA_ARM64:
        return pmi_step_kernels_arm64(lanes);
#endif
    default:
        return NULL;
    }
}

const pm_extended_kernels *pmi_extended_kernels_get(pm_isa isa, unsigned lanes) {
    switch (isa) {
#if defined(__x86_64__)
    case PM_ISA_X86_64_V2:
        return pmi_extended_kernels_x86_64_v2(lanes);
    case PM_ISA_X86_64_V3:
        return pmi_extended_kernels_x86_64_v3(lanes);
    case PM_ISA_X86_64_V4:
        return pmi_extended_kernels_x86_64_v4(lanes);
#else
    case PM_ISA_ARM64:
        return pmi_extended_kernels_arm64(lanes);
#endif
    default:
        return NULL;
    }
}

pm_mix_function pmi_mix_get(pm_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case PM_ISA_X86_64_V2:
        return pmi_mix_x86_64_v2;
    case PM_ISA_X86_64_V3:
        return pmi_mix_x86_64_v3;
    case PM_ISA_X86_64_V4:
        return pmi_mix_x86_64_v4;
#else
    case PM_ISA_ARM64:
        return pmi_mix_arm64;
#endif
    default:
        return NULL;
    }
}

pmi_dense_row pmi_dense_row_get(pm_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case PM_ISA_X86_64_V2:
        return pmi_dense_row_x86_64_v2;
    case PM_ISA_X86_64_V3:
        return pmi_dense_row_x86_64_v3;
    case PM_ISA_X86_64_V4:
        return pmi_dense_row_x86_64_v4;
#else
    case PM_ISA_ARM64:
        return pmi_dense_row_arm64;
#endif
    default:
        return NULL;
    }
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
