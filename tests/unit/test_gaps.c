#include "codec/writer.h"
#include "trace/codec.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

static pm_buffer written(pm_gaps_side side, const size_t *row, const uint32_t *entry, uint32_t n) {
    pm_buffer out = {0};
    pm_error err;
    pm_writer w;
    pmi_writer_init(&w, &out, &err);
    pmi_writer_text(&w, "u");
    pmi_gaps_write(&w, side, row, entry, n);
    cr_assert_eq(w.status, PM_OK);
    return out;
}

static pm_status read(const pm_buffer *b, pm_gaps_side side, const size_t *row, uint32_t n, uint32_t **entry,
                      pm_error *err) {
    pm_cursor c = {b->bytes, b->size, 0};
    *entry = NULL;
    return pmi_gaps_read(&c, "u", side, row, n, entry, err);
}

/* Gaps on both sides of every number of bytes; the values are LEB128's by hand. */
Test(gaps, bytes_of_u) {
    static const size_t row[] = {0, 2, 3, 3, 4};
    static const uint32_t entry[] = {1, 130, 16514, 2097156};
    static const uint8_t expected[] = {0xa1, 'u', 0xc4, 10, 0x00, 0x80, 0x01, 0x80, 0x81, 0x01, 0x80, 0x80, 0x80, 0x01};
    const uint32_t n = 4;
    pm_buffer bytes = written(PM_GAPS_U, row, entry, n);
    cr_assert_eq(bytes.size, sizeof expected);
    cr_assert_arr_eq(bytes.bytes, expected, sizeof expected);
    pmi_buffer_free(&bytes);
}

/* More than one chunk of the writer, every size of a gap up to n. */
Test(gaps, round_trip) {
    const uint32_t n = 3000000, step = 977;
    size_t *row = pmi_calloc((size_t)n + 1, sizeof *row);
    uint32_t *entry = pmi_malloc((size_t)n * 2, sizeof *entry), *back;
    size_t at = 0;
    for (uint32_t j = 0; j < n; j++) {
        if (j % step == 0) {
            for (uint64_t k = (uint64_t)j + 1, gap = 0; k < n; gap = gap * 2 + j % 3, k += 1 + gap) {
                entry[at++] = (uint32_t)k;
                if (gap == 0 && k > j + 40) {
                    break;
                }
            }
        }
        row[j + 1] = at;
    }
    pm_buffer bytes = written(PM_GAPS_U, row, entry, n);
    pm_error err;
    cr_assert_eq(read(&bytes, PM_GAPS_U, row, n, &back, &err), PM_OK, "%s", err.text);
    cr_assert_arr_eq(back, entry, at * sizeof *entry);
    free(back);
    pmi_buffer_free(&bytes);
    free(entry);
    free(row);
}

Test(gaps, what_is_not_canonical_is_refused) {
    static const size_t row[] = {0, 1, 1, 1};
    static const struct {
        const char *gaps, *text;
        uint8_t size;
    } cases[] = {
        {"\x02", "row 0 of 1 entries: expected gaps in their shortest form that lead below 3", 1},
        {"\x80\x00", "shortest", 2},
        {"\x80", "shortest", 1},
        {"\xff\xff\xff\xff\x7f", "shortest", 5},
        {"\x80\x80\x80\x80\x80\x01", "shortest", 6},
        {"\x00\x00", "expected the end after 1 entries, found 1 more", 2},
        {"", "row lengths add up to 1 entries, more than its 0 bytes hold", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[16] = {0xa1, 'u', 0xc4, cases[i].size};
        memcpy(bytes + 4, cases[i].gaps, cases[i].size);
        const pm_buffer b = {bytes, 4u + cases[i].size, sizeof bytes};
        uint32_t *entry;
        pm_error err = {0};
        cr_assert_eq(read(&b, PM_GAPS_U, row, 3, &entry, &err), PM_EDATA, "case %zu", i);
        cr_assert(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
        free(entry);
    }
}

/* Row 0 of L and the last row of U have no room for an entry. */
Test(gaps, rows_without_room_are_refused) {
    static const size_t first[] = {0, 1, 1}, last[] = {0, 0, 1};
    uint8_t bytes[] = {0xa1, 'u', 0xc4, 1, 0};
    const pm_buffer b = {bytes, sizeof bytes, sizeof bytes};
    uint32_t *entry;
    cr_assert_eq(read(&b, PM_GAPS_L, first, 2, &entry, NULL), PM_EDATA);
    free(entry);
    cr_assert_eq(read(&b, PM_GAPS_U, last, 2, &entry, NULL), PM_EDATA);
    free(entry);
    cr_assert_eq(read(&b, PM_GAPS_L, last, 2, &entry, NULL), PM_OK);
    cr_assert_eq(entry[0], 0);
    free(entry);
}
