#include "producer/hands.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* ---- the decision ---- */

static pm_unit_place find_on_topic(const pm_unit_signs *signs) {
    if (signs->lags == NULL) {
        return PM_UNIT_UNKNOWN;
    }
    if (signs->partition >= signs->n_lags) {
        return PM_UNIT_LOST;
    }
    const pm_lag *lag = &signs->lags[signs->partition];
    if (signs->offset < lag->low) {
        return PM_UNIT_EXPIRED;
    }
    /* an offset beyond the end is of a topic that was made anew since */
    return signs->offset < lag->high && signs->offset >= lag->committed ? PM_UNIT_QUEUED : PM_UNIT_LOST;
}

pm_unit_place pm_unit_find(const pm_unit_signs *signs) {
    if (signs->has_ended) {
        return PM_UNIT_ENDED;
    }
    if (signs->is_running) {
        return PM_UNIT_RUNNING;
    }
    if (signs->offset < 0) { /* no clock that was wrong makes it being sent for ever */
        return fabs(signs->since) < PM_SENDING_SECONDS ? PM_UNIT_SENDING : PM_UNIT_LOST;
    }
    return find_on_topic(signs);
}

bool pm_unit_is_in_hands(pm_unit_place place) {
    return place == PM_UNIT_RUNNING || place == PM_UNIT_SENDING || place == PM_UNIT_UNKNOWN || place == PM_UNIT_QUEUED;
}

/* ---- items by digest ---- */

static int by_digest(const void *a, const void *b, void *items) {
    const uint8_t(*all)[PM_DIGEST_BYTES] = items;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return memcmp(all[x], all[y], PM_DIGEST_BYTES);
}

pm_status pm_item_index_new(const uint8_t (*items)[PM_DIGEST_BYTES], size_t n, pm_item_index *out, pm_error *err) {
    *out = (pm_item_index){.items = items, .n = n, .order = pm_malloc(n, sizeof *out->order)};
    if (out->order == NULL || n > UINT32_MAX) {
        pm_item_index_free(out);
        return pm_fail_memory(err, "the items of a job", n * sizeof *out->order);
    }
    for (size_t i = 0; i < n; i++) {
        out->order[i] = (uint32_t)i;
    }
    qsort_r(out->order, n, sizeof *out->order, by_digest, (void *)(uintptr_t)items);
    return PM_OK;
}

void pm_item_index_free(pm_item_index *index) {
    free(index->order);
    *index = (pm_item_index){0};
}

size_t pm_item_find(const pm_item_index *index, const uint8_t digest[PM_DIGEST_BYTES]) {
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
