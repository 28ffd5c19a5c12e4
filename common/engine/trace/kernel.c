#include "trace/kernel.h"

PM_ISA_DECLARE(const pm_kernels *, pmi_kernels, (unsigned lanes));
PM_ISA_DECLARE(const pm_kernels *, pmi_wide_kernels, (unsigned lanes));
PM_ISA_DECLARE(const pm_kernels *, pmi_dual_kernels, (unsigned lanes));

const pm_kernels *pmi_kernels_get(pm_isa isa, unsigned lanes, pm_number_kind kind) {
    if (isa >= PM_ISA_COUNT) {
        return NULL;
    }
    return (kind == PM_NUMBER_DUAL   ? PM_ISA_PICK(isa, pmi_dual_kernels)
            : kind == PM_NUMBER_WIDE ? PM_ISA_PICK(isa, pmi_wide_kernels)
                                     : PM_ISA_PICK(isa, pmi_kernels))(lanes);
}
