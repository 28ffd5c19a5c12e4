/* Instances of wide_lanes.inc for 1, 4, 8 and 16 lanes, compiled once per instruction set. */
#include <stddef.h>
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#include "base/simd.h"
#include "base/wide.h"
#include "trace/kernel.h"

const pm_kernels *PM_ISA_NAME(pmi_wide_kernels)(unsigned lanes);

#define PM_LANES 1
#include "trace/wide_lanes.inc"
#undef PM_LANES
#define PM_LANES 4
#include "trace/wide_lanes.inc"
#undef PM_LANES
#define PM_LANES 8
#include "trace/wide_lanes.inc"
#undef PM_LANES
#define PM_LANES 16
#include "trace/wide_lanes.inc"
#undef PM_LANES

const pm_kernels *PM_ISA_NAME(pmi_wide_kernels)(unsigned lanes) {
    switch (lanes) {
    case 1:
        return &kernels_1;
    case 4:
        return &kernels_4;
    case 8:
        return &kernels_8;
    case 16:
        return &kernels_16;
    default:
        return NULL;
    }
}
