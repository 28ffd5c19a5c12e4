/* Instances of adjoint_lanes.inc for 1, 4, 8 and 16 lanes; compiled once per instruction set. */
#include "eval/adjoint_kernel.h"

#define PM_LANES_FILE "eval/adjoint_lanes.inc"
#define PM_LANES_TYPE pm_adjoint_kernels
#define PM_LANES_GET pmi_adjoint_kernels
#include "base/lanes.inc"
