/* Instances of replay_lanes.inc for 1, 4, 8 and 16 lanes, compiled once per instruction set. */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/isa.h"
#include "trace/kernel.h"

#define PM_LANES_FILE "trace/replay_lanes.inc"
#define PM_LANES_TYPE pm_kernels
#define PM_LANES_GET pmi_kernels
#include "base/lanes.inc"
