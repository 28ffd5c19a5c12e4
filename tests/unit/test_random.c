#include <criterion/criterion.h>

#include "base/random.h"

/* The first numbers of seed 1234567, as published with the generator (Vigna, prng.di.unimi.it). */
Test(random, is_splitmix64) {
    static const uint64_t expected[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                        UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
                                        UINT64_C(16408922859458223821)};
    pm_random r = {.state = 1234567};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_assert_eq(pmi_random_next(&r), expected[i], "number %zu", i);
    }
}

Test(random, seed_is_the_first_eight_bytes_little_endian) {
    uint8_t digest[PM_DIGEST_BYTES] = {0x87, 0xd6, 0x12}; /* 1234567 */
    pm_random r;
    pmi_random_seed(&r, digest);
    cr_assert_eq(r.state, 1234567u);
    digest[8] = 1;
    pmi_random_seed(&r, digest);
    cr_assert_eq(r.state, 1234567u);
    digest[7] = 0x80;
    pmi_random_seed(&r, digest);
    cr_assert_eq(r.state, 1234567u + (UINT64_C(1) << 63));
}

Test(random, rates_fill_their_range_evenly) {
    enum { DRAWS = 100000, BINS = 10 };
    size_t bin[BINS] = {0};
    pm_random r = {.state = 1};
    for (int i = 0; i < DRAWS; i++) {
        double rate = pmi_random_rate(&r);
        cr_assert(rate >= 0.5 && rate < 1);
        bin[(int)((rate - 0.5) * 2 * BINS)]++;
    }
    for (int b = 0; b < BINS; b++) {
        /* five standard deviations: sqrt(1e5 * 0.1 * 0.9) = 95 */
        cr_assert(bin[b] > DRAWS / BINS - 475 && bin[b] < DRAWS / BINS + 475, "bin %d: %zu", b, bin[b]);
    }
}
