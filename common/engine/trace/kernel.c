#include "trace/kernel.h"

#if defined(__x86_64__)
const pm_kernels *pmi_kernels_x86_64_v2(unsigned lanes);
const pm_kernels *pmi_kernels_x86_64_v3(unsigned lanes);
const pm_kernels *pmi_kernels_x86_64_v4(unsigned lanes);
const pm_kernels *pmi_wide_kernels_x86_64_v2(unsigned lanes);
const pm_kernels *pmi_wide_kernels_x86_64_v3(unsigned lanes);
const pm_kernels *pmi_wide_kernels_x86_64_v4(unsigned lanes);
#else
const pm_kernels *pmi_kernels_arm64(unsigned lanes);
const pm_kernels *pmi_wide_kernels_arm64(unsigned lanes);
#endif

const pm_kernels *pmi_kernels_get(pm_isa isa, unsigned lanes, bool wide) {
    switch (isa) {
#if defined(__x86_64__)
    case PM_ISA_X86_64_V2:
        return wide ? pmi_wide_kernels_x86_64_v2(lanes) : pmi_kernels_x86_64_v2(lanes);
    case PM_ISA_X86_64_V3:
        return wide ? pmi_wide_kernels_x86_64_v3(lanes) : pmi_kernels_x86_64_v3(lanes);
    case PM_ISA_X86_64_V4:
        return wide ? pmi_wide_kernels_x86_64_v4(lanes) : pmi_kernels_x86_64_v4(lanes);
#else
    case PM_ISA_ARM64:
        return wide ? pmi_wide_kernels_arm64(lanes) : pmi_kernels_arm64(lanes);
#endif
    default:
        return NULL;
    }
}
