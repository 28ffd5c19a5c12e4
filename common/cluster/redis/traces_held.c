#include <string.h>

#include "base/mem.h"
#include "redis/traces_impl.h"

/* The slot of the key, or the free one where it belongs. */
static size_t slot_of(const pm_traces_held *held, const uint8_t key[PM_DIGEST_BYTES]) {
    uint64_t hash;
    memcpy(&hash, key, sizeof hash);
    size_t i = (size_t)hash & (held->n_slots - 1);
    while (held->slots[i].is_used && memcmp(held->slots[i].key, key, PM_DIGEST_BYTES) != 0) {
        i = (i + 1) & (held->n_slots - 1);
    }
    return i;
}

pm_held_trace *pmi_held_find(const pm_traces_held *held, const uint8_t key[PM_DIGEST_BYTES]) {
    if (held == NULL || held->n_slots == 0) {
        return NULL;
    }
    pm_held_trace *trace = &held->slots[slot_of(held, key)];
    return trace->bytes != NULL ? trace : NULL;
}

/* Places that were taken out of are given up here. */
static bool grow(pm_traces_held *held) {
    pm_traces_held larger = {.n_slots = held->n_slots == 0 ? 64 : 2 * held->n_slots};
    larger.slots = pmi_calloc(larger.n_slots, sizeof *larger.slots);
    if (larger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < held->n_slots; i++) {
        if (held->slots[i].bytes != NULL) {
            larger.slots[slot_of(&larger, held->slots[i].key)] = held->slots[i];
            larger.used++;
        }
    }
    free(held->slots);
    *held = larger;
    return true;
}

pm_status pmi_held_add(pm_traces_held *held, const uint8_t key[PM_DIGEST_BYTES], pm_span bytes, bool is_far,
                       pm_error *err) {
    uint8_t *copy = pmi_malloc(bytes.size, 1);
    if (copy == NULL || (held->used >= held->n_slots / 4 * 3 && !grow(held))) {
        free(copy);
        return pmi_fail_memory(err, "traces that were fetched", bytes.size);
    }
    pm_held_trace *trace = &held->slots[slot_of(held, key)];
    if (trace->bytes != NULL) {
        free(copy);
        return PM_OK;
    }
    held->used += !trace->is_used;
    memcpy(copy, bytes.bytes, bytes.size);
    *trace = (pm_held_trace){.bytes = copy, .size = bytes.size, .is_used = true, .is_far = is_far};
    memcpy(trace->key, key, PM_DIGEST_BYTES);
    return PM_OK;
}

void pmi_held_drop(pm_held_trace *trace) {
    if (trace != NULL) {
        free(trace->bytes);
        trace->bytes = NULL;
    }
}

void pmi_held_free(pm_traces_held *held) {
    if (held != NULL) {
        for (size_t i = 0; i < held->n_slots; i++) {
            free(held->slots[i].bytes);
        }
        free(held->slots);
        free(held);
    }
}
