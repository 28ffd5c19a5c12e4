/* The kernels of trace/complex.h, compiled once per instruction set. */
#include <math.h>
#include <stddef.h>

#include "trace/complex.h"

#define PM_LANES PM_NODES
#define PM_LANES_FILE "trace/complex_lanes.inc"
#include "base/lane_vectors.inc"

const pm_complex_kernels *PM_ISA_NAME(pmi_complex_kernels)(void);

const pm_complex_kernels *PM_ISA_NAME(pmi_complex_kernels)(void) {
    static const pm_complex_kernels kernels = {.solve = PM_JOIN(solve_, PM_NODES),
                                               .add_up = PM_JOIN(add_up_, PM_NODES)};
    return &kernels;
}
