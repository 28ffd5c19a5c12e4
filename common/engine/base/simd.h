/* Names and vector widths for files that are compiled once per instruction set (*_kernel.c). */
#ifndef PM_BASE_SIMD_H
#define PM_BASE_SIMD_H

#define PM_JOIN2(a, b) a##b
#define PM_JOIN(a, b) PM_JOIN2(a, b)

/* A public name that ends with the instruction set, as in pmi_kernels_x86_64_v3. */
#define PM_ISA_NAME(name) PM_JOIN(PM_JOIN(name, _), PM_ISA_SUFFIX)

/* doubles in the widest register */
#if defined(__AVX512F__)
#define PM_VECTOR_DOUBLES 8
#elif defined(__AVX2__)
#define PM_VECTOR_DOUBLES 4
#else
#define PM_VECTOR_DOUBLES 2
#endif

#endif
