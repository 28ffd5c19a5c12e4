/* Instances of wide_lanes.inc for 1, 4, 8 and 16 lanes, compiled once per instruction set; of values alone, where
 * PM_PARTS is not given. */
#include <stddef.h>
#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#include "base/isa.h"
#include "base/wide.h"
#include "trace/kernel.h"

#define PM_LANES_FILE "trace/wide_lanes.inc"
#define PM_LANES_TYPE pm_kernels
#ifndef PM_PARTS
#define PM_PARTS 1
#define PM_LANES_GET pmi_wide_kernels
#endif
#include "base/lanes.inc"
