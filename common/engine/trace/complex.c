#include "trace/complex.h"

PM_ISA_DECLARE(const pm_complex_kernels *, pmi_complex_kernels, (void));

const pm_complex_kernels *pmi_complex_kernels_get(pm_isa isa) {
    return PM_ISA_PICK(isa, pmi_complex_kernels)();
}
