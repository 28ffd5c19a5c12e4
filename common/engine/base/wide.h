/* One number of about 31 digits and any size: the scalar form of base/wide.inc, for what is not a kernel. */
#ifndef PM_BASE_WIDE_H
#define PM_BASE_WIDE_H

#include <stdbool.h>
#include <stdint.h>

/* The limb of zero: far below that of any number. */
#define PM_WIDE_ZERO_LIMB (-0x1p52)

#define NAME(name) pmi_wide_##name
#define INLINE static inline
#define WIDTH 1
#define vec double
#include "base/wide.inc"
#undef number
#undef vec
#undef WIDTH
#undef INLINE
#undef NAME

typedef struct pmi_wide_number pm_wide;

/* Any finite double, denormal ones too, exactly. */
pm_wide pmi_wide_of(double value);
/* a b, exactly. */
pm_wide pmi_wide_product(double a, double b);
/* Terms that may cancel. */
pm_wide pmi_wide_sum(pm_wide a, pm_wide b);
pm_wide pmi_wide_difference(pm_wide a, pm_wide b);
/* The nearest double: infinite beyond the range, and rounded to a denormal or zero below DBL_MIN. */
double pmi_wide_double(pm_wide a);
/* -1 below DBL_MIN in size and not zero, 1 beyond DBL_MAX, else 0. */
int pmi_wide_range(pm_wide a);
/* a < b in size. */
bool pmi_wide_smaller(pm_wide a, pm_wide b);

#endif
