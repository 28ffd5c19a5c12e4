#include "base/isa.h"

#include <string.h>

static const char *const names[PM_ISA_COUNT] = {"x86-64-v2", "x86-64-v3", "x86-64-v4", "arm64"};

const char *pmi_isa_name(pm_isa isa) {
    return names[isa];
}

static bool runs_here(pm_isa isa) {
#if defined(__x86_64__)
    switch (isa) {
    case PM_ISA_X86_64_V2:
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt");
    case PM_ISA_X86_64_V3:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("bmi2");
    case PM_ISA_X86_64_V4:
        return runs_here(PM_ISA_X86_64_V3) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    default:
        return false;
    }
#elif defined(__aarch64__)
    return isa == PM_ISA_ARM64;
#else
#error "phasemill's kernels are written for x86-64 and arm64"
#endif
}

pm_status pmi_isa_choose(const char *forced, pm_isa *out, pm_error *err) {
    bool is_forced = forced != NULL && forced[0] != '\0';
    for (int i = PM_ISA_COUNT - 1; i >= 0; i--) {
        pm_isa isa = (pm_isa)i;
        if (is_forced && strcmp(forced, names[i]) != 0) {
            continue;
        }
        if (runs_here(isa)) {
            *out = isa;
            return PM_OK;
        }
        if (is_forced) {
            return pmi_fail(err, PM_EUNAVAILABLE, "instruction set %s: this processor does not have it", forced);
        }
    }
    if (is_forced) {
        return pmi_fail(err, PM_EUSAGE, "instruction set \"%s\": expected x86-64-v2, x86-64-v3, x86-64-v4 or arm64",
                        forced);
    }
    return pmi_fail(err, PM_EUNAVAILABLE, "this processor has none of the instruction sets x86-64-v2, -v3, -v4, arm64");
}
