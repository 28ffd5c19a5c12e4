/* The kernels of wide_kernel.c with a derivative beside each value. Lanes are parameters, of which there are few. */
#define PM_PARTS 2
#define PM_FEW_LANES
#define PM_LANES_GET pmi_dual_kernels
#include "trace/wide_kernel.c"
