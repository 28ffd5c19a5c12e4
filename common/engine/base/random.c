#include "base/random.h"

void pmi_random_seed(pm_random *r, const uint8_t digest[PM_DIGEST_BYTES]) {
    r->state = 0;
    for (int i = 0; i < 8; i++) {
        r->state |= (uint64_t)digest[i] << (8 * i);
    }
}

uint64_t pmi_random_next(pm_random *r) {
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double pmi_random_rate(pm_random *r) {
    return 0.5 + (double)(pmi_random_next(r) >> 12) * 0x1p-53;
}
