/* The kernels of wide_kernel.c with a derivative beside each value. */
#define PM_PARTS 2
#define PM_LANES_GET pmi_dual_kernels
#include "trace/wide_kernel.c"
