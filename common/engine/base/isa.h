/* Instruction sets: kernels are compiled once for each, one is chosen when a model is made. */
#ifndef PM_BASE_ISA_H
#define PM_BASE_ISA_H

#include "base/error.h"

typedef enum pm_isa { PM_ISA_X86_64_V2, PM_ISA_X86_64_V3, PM_ISA_X86_64_V4, PM_ISA_ARM64, PM_ISA_COUNT } pm_isa;

const char *pmi_isa_name(pm_isa isa); /* "x86-64-v3" */

/* The best that this processor runs, or the one named `forced` (NULL or "": none forced). Errors: PM_EUSAGE for an
 * unknown name, PM_EUNAVAILABLE for one that this processor or this build does not have. */
pm_status pmi_isa_choose(const char *forced, pm_isa *out, pm_error *err);

/* Declares `type name_ISA parameters` for every instruction set of the build; PM_ISA_PICK is the one for `isa`. */
#if defined(__x86_64__)
#define PM_ISA_DECLARE(type, name, parameters)                                                                         \
    type name##_x86_64_v2 parameters;                                                                                  \
    type name##_x86_64_v3 parameters;                                                                                  \
    type name##_x86_64_v4 parameters
#define PM_ISA_PICK(isa, name)                                                                                         \
    ((isa) == PM_ISA_X86_64_V4 ? name##_x86_64_v4 : (isa) == PM_ISA_X86_64_V3 ? name##_x86_64_v3 : name##_x86_64_v2)
#else
#define PM_ISA_DECLARE(type, name, parameters) type name##_arm64 parameters
#define PM_ISA_PICK(isa, name) ((void)(isa), name##_arm64)
#endif

/* ---- for files that are compiled once per instruction set (*_kernel.c) ---- */

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
