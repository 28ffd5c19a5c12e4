#include "graph/table.h"

#include <string.h>

#include "base/mem.h"

#define EMPTY UINT32_MAX

/* Multiply and fold the 128-bit product: every bit of the input reaches the low bits that choose the slot. */
static uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_row(const double *row, size_t width) {
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < width; i++) {
        uint64_t bits;
        memcpy(&bits, &row[i], sizeof bits);
        h = mix(h ^ bits, 0xd6e8feb86659fd93u);
        h += 0xa0761d6478bd642fu;
    }
    return mix(h, 0xe7037ed1a0b428dbu);
}

static bool is_equal(const double *a, const double *b, size_t width) {
    uint64_t difference = 0;
    for (size_t i = 0; i < width; i++) {
        uint64_t x, y;
        memcpy(&x, &a[i], sizeof x);
        memcpy(&y, &b[i], sizeof y);
        difference |= x ^ y;
    }
    return difference == 0;
}

/* The slot that holds `row`, or the empty one where it belongs. */
static size_t find_slot(const pm_table *t, const double *row, uint64_t hash) {
    size_t mask = t->n_slots - 1;
    size_t at = (size_t)hash & mask;
    uint32_t tag = (uint32_t)(hash >> 32);
    for (;; at = (at + 1) & mask) {
        pm_table_slot slot = t->slots[at];
        if (slot.id == EMPTY || (slot.tag == tag && is_equal(t->rows + slot.id * t->width, row, t->width))) {
            return at;
        }
    }
}

static pm_status grow_slots(pm_table *t, pm_error *err) {
    size_t n_slots = 64;
    if (t->n_slots != 0 && !pmi_mul(t->n_slots, 2, &n_slots)) {
        return pmi_fail_memory(err, "the table of weights", SIZE_MAX);
    }
    pm_table_slot *slots = pmi_malloc(n_slots, sizeof *slots);
    if (slots == NULL) {
        return pmi_fail_memory(err, "the table of weights", n_slots * sizeof *slots);
    }
    memset(slots, 0xff, n_slots * sizeof *slots);
    for (size_t i = 0; i < t->n; i++) {
        uint64_t hash = hash_row(t->rows + i * t->width, t->width);
        size_t at = (size_t)hash & (n_slots - 1);
        while (slots[at].id != EMPTY) {
            at = (at + 1) & (n_slots - 1);
        }
        slots[at] = (pm_table_slot){.id = (uint32_t)i, .tag = (uint32_t)(hash >> 32)};
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    return PM_OK;
}

pm_status pmi_table_intern(pm_table *t, const double *row, uint32_t *id, pm_error *err) {
    if (t->n >= t->n_slots / 2) {
        PM_TRY(grow_slots(t, err));
    }
    uint64_t hash = hash_row(row, t->width);
    size_t at = find_slot(t, row, hash);
    if (t->slots[at].id == EMPTY) {
        if (t->n >= EMPTY - 1) {
            return pmi_fail(err, PM_EDATA, "more than %u distinct weights", EMPTY - 1);
        }
        if (!pmi_reserve((void **)&t->rows, &t->capacity, t->n + 1, t->width * sizeof *row)) {
            return pmi_fail_memory(err, "the table of weights", (t->n + 1) * t->width * sizeof *row);
        }
        memcpy(t->rows + t->n * t->width, row, t->width * sizeof *row);
        t->slots[at] = (pm_table_slot){.id = (uint32_t)t->n++, .tag = (uint32_t)(hash >> 32)};
    }
    *id = t->slots[at].id;
    return PM_OK;
}

uint32_t pmi_table_find(const pm_table *t, const double *row) {
    return t->n == 0 ? EMPTY : t->slots[find_slot(t, row, hash_row(row, t->width))].id;
}

void pmi_table_free(pm_table *t) {
    free(t->rows);
    free(t->slots);
    *t = (pm_table){.width = t->width};
}
