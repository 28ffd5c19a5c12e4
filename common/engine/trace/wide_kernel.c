/* Instances of wide_lanes.inc for 1, 4, 8 and 16 lanes, compiled once per instruction set. */
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
#define PM_LANES_GET pmi_wide_kernels
#include "base/lanes.inc"
