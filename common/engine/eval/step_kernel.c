/* Instances of step_lanes.inc for 1, 4, 8 and 16 lanes, compiled once per instruction set. */
#include <stddef.h>

#include "base/isa.h"
#include "eval/step.h"

#define PM_LANES_FILE "eval/step_lanes.inc"
#define PM_LANES_TYPE pm_step_kernels
#define PM_LANES_GET pmi_step_kernels
#include "base/lanes.inc"
