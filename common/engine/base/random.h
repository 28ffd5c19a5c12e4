/* Reproducible pseudo-random numbers: SplitMix64 (Steele, Lea and Flood 2014). Not for secrets. */
#ifndef PM_BASE_RANDOM_H
#define PM_BASE_RANDOM_H

#include "base/hash.h"

typedef struct pm_random {
    uint64_t state;
} pm_random;

/* A seed from the first eight bytes of a digest, so that equal inputs draw equal numbers. */
static inline void pmi_random_seed(pm_random *r, const uint8_t digest[PM_DIGEST_BYTES]) {
    r->state = 0;
    for (int i = 0; i < 8; i++) {
        r->state |= (uint64_t)digest[i] << (8 * i);
    }
}

static inline uint64_t pmi_random_next(pm_random *r) {
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in [1/2, 1). */
static inline double pmi_random_rate(pm_random *r) {
    return 0.5 + (double)(pmi_random_next(r) >> 12) * 0x1p-53;
}

#endif
