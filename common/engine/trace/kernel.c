#include "trace/kernel.h"

PM_ISA_DECLARE(const pm_kernels *, pmi_kernels, (unsigned lanes));
PM_ISA_DECLARE(const pm_kernels *, pmi_wide_kernels, (unsigned lanes));

const pm_kernels *pmi_kernels_get(pm_isa isa, unsigned lanes, bool wide) {
    if (isa >= PM_ISA_COUNT) {
        return NULL;
    }
    return (wide ? PM_ISA_PICK(isa, pmi_wide_kernels) : PM_ISA_PICK(isa, pmi_kernels))(lanes);
}
