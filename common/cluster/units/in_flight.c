#include "units/in_flight.h"

#include <string.h>

#include "base/mem.h"

static int by_digest(const void *a, const void *b, void *items) {
    const uint8_t(*all)[PM_DIGEST_BYTES] = items;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return memcmp(all[x], all[y], PM_DIGEST_BYTES);
}

pm_status pmi_item_index_new(const uint8_t (*items)[PM_DIGEST_BYTES], size_t n, pm_item_index *out, pm_error *err) {
    *out = (pm_item_index){.items = items, .n = n, .order = pmi_malloc(n, sizeof *out->order)};
    if (out->order == NULL || n > UINT32_MAX) {
        pmi_item_index_free(out);
        return pmi_fail_memory(err, "the items of a job", n * sizeof *out->order);
    }
    for (size_t i = 0; i < n; i++) {
        out->order[i] = (uint32_t)i;
    }
    qsort_r(out->order, n, sizeof *out->order, by_digest, (void *)(uintptr_t)items);
    return PM_OK;
}

void pmi_item_index_free(pm_item_index *index) {
    free(index->order);
    *index = (pm_item_index){0};
}

size_t pmi_item_find(const pm_item_index *index, const uint8_t digest[PM_DIGEST_BYTES]) {
    size_t low = 0, high = index->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(index->items[index->order[middle]], digest, PM_DIGEST_BYTES);
        if (order == 0) {
            return index->order[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return index->n;
}
