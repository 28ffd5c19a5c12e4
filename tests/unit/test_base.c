#include <criterion/criterion.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

Test(error, long_text_is_cut_with_dots) {
    pm_error err;
    cr_assert_eq(pmi_fail(&err, PM_EDATA, "%02000d", 7), PM_EDATA);
    cr_assert_eq(strlen(err.text), PM_ERROR_TEXT - 1);
    cr_assert_str_eq(err.text + PM_ERROR_TEXT - 4, "...");
}

Test(error, prefix_goes_in_front) {
    pm_error err;
    pmi_fail(&err, PM_EIO, "inner %d", 1);
    cr_assert_eq(pmi_fail_prefix(&err, "file %s", "a"), PM_EIO);
    cr_assert_str_eq(err.text, "file a: inner 1");
}

Test(mem, products_that_overflow_are_refused) {
    cr_assert_null(pmi_malloc(SIZE_MAX, 2));
    cr_assert_null(pmi_calloc(SIZE_MAX, 2));
    cr_assert_null(pmi_malloc_aligned(SIZE_MAX, 1));
    void *array = NULL;
    size_t capacity = 0;
    cr_assert_not(pmi_reserve(&array, &capacity, SIZE_MAX, 8));
    cr_assert_null(array);
}

/* FIPS 180-2, "abc"; RFC 7693 appendix B, "abc" */
Test(hash, published_vectors) {
    uint8_t d[PM_DIGEST_BYTES];
    char hex[PM_DIGEST_HEX];
    cr_assert_eq(pmi_digest(PM_SHA256, "abc", 3, d, NULL), PM_OK);
    pmi_hex(d, hex);
    cr_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_assert_eq(pmi_digest(PM_BLAKE2S256, "abc", 3, d, NULL), PM_OK);
    pmi_hex(d, hex);
    cr_assert_str_eq(hex, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    uint8_t back[PM_DIGEST_BYTES];
    cr_assert(pmi_unhex(hex, back));
    cr_assert_arr_eq(back, d, PM_DIGEST_BYTES);
    hex[5] = 'g';
    cr_assert_not(pmi_unhex(hex, back));
}

Test(hash, a_hasher_serves_again) {
    uint8_t first[PM_DIGEST_BYTES], empty[PM_DIGEST_BYTES], again[PM_DIGEST_BYTES], whole[PM_DIGEST_BYTES];
    pm_hasher *h;
    cr_assert_eq(pmi_hasher_new(PM_SHA256, &h, NULL), PM_OK);
    cr_assert_eq(pmi_hasher_add(h, "abc", 3, NULL), PM_OK);
    cr_assert_eq(pmi_hasher_finish(h, first, NULL), PM_OK);
    cr_assert_eq(pmi_hasher_finish(h, empty, NULL), PM_OK);
    cr_assert_eq(pmi_hasher_add(h, "a", 1, NULL), PM_OK);
    cr_assert_eq(pmi_hasher_add(h, "bc", 2, NULL), PM_OK);
    cr_assert_eq(pmi_hasher_finish(h, again, NULL), PM_OK);
    pmi_hasher_free(h);
    cr_assert_arr_eq(first, again, PM_DIGEST_BYTES);
    cr_assert_eq(pmi_digest(PM_SHA256, "", 0, whole, NULL), PM_OK);
    cr_assert_arr_eq(empty, whole, PM_DIGEST_BYTES);
}
