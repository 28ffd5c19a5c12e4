/* Reproducible pseudo-random numbers: SplitMix64 (Steele, Lea and Flood 2014). Not for secrets. */
#ifndef PM_BASE_RANDOM_H
#define PM_BASE_RANDOM_H

#include "base/hash.h"

typedef struct pm_random {
    uint64_t state;
} pm_random;

/* A seed from the first eight bytes of a digest, so that equal inputs draw equal numbers. */
void pmi_random_seed(pm_random *r, const uint8_t digest[PM_DIGEST_BYTES]);
uint64_t pmi_random_next(pm_random *r);
/* Uniform in [1/2, 1). */
double pmi_random_rate(pm_random *r);

#endif
