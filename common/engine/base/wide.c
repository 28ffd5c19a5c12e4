#include "base/wide.h"

#include <float.h>
#include <math.h>

/* Numbers from outside may be anywhere in a double's range: two steps bring them into normal form. */
static pm_wide normal_twice(pm_wide a) {
    return pmi_wide_normal(pmi_wide_normal(a));
}

pm_wide pmi_wide_of(double value) {
    return normal_twice((pm_wide){.hi = value});
}

pm_wide pmi_wide_product(double a, double b) {
    return pmi_wide_multiply(pmi_wide_of(a), pmi_wide_of(b));
}

/* What is left where terms cancel may lie far below them. */
pm_wide pmi_wide_sum(pm_wide a, pm_wide b) {
    return normal_twice(pmi_wide_add(a, b));
}

pm_wide pmi_wide_difference(pm_wide a, pm_wide b) {
    return pmi_wide_sum(a, (pm_wide){.hi = -b.hi, .lo = -b.lo, .limb = b.limb});
}

double pmi_wide_double(pm_wide a) {
    if (a.hi == 0) {
        return 0;
    }
    int limb = a.limb < -8 ? -8 : a.limb > 8 ? 8 : (int)a.limb;
    return ldexp(a.hi, 512 * limb);
}

int pmi_wide_range(pm_wide a) {
    double size = fabs(pmi_wide_double(a));
    return size > DBL_MAX ? 1 : a.hi != 0 && size < DBL_MIN ? -1 : 0;
}

bool pmi_wide_smaller(pm_wide a, pm_wide b) {
    return a.limb != b.limb ? a.limb < b.limb : fabs(a.hi) < fabs(b.hi);
}
