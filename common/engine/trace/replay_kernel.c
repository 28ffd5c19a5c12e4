/* Instances of replay_lanes.inc for 1, 4, 8 and 16 lanes, compiled once per instruction set. */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/simd.h"
#include "trace/kernel.h"

const pm_kernels *PM_ISA_NAME(pmi_kernels)(unsigned lanes);

#define PM_LANES 1
#include "trace/replay_lanes.inc"
#undef PM_LANES
#define PM_LANES 4
#include "trace/replay_lanes.inc"
#undef PM_LANES
#define PM_LANES 8
#include "trace/replay_lanes.inc"
#undef PM_LANES
#define PM_LANES 16
#include "trace/replay_lanes.inc"
#undef PM_LANES

const pm_kernels *PM_ISA_NAME(pmi_kernels)(unsigned lanes) {
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
