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

/* The slot that holds `row`, or the empty one where it belongs. */
static size_t find_slot(const pm_table *t, const double *row) {
    size_t mask = t->n_slots - 1;
    size_t slot = (size_t)hash_row(row, t->width) & mask;
    while (t->slots[slot] != EMPTY && memcmp(t->rows + t->slots[slot] * t->width, row, t->width * sizeof *row) != 0) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

static pm_status grow_slots(pm_table *t, pm_error *err) {
    size_t n_slots = t->n_slots == 0 ? 64 : t->n_slots;
    if (t->n_slots != 0 && !pm_mul(n_slots, 2, &n_slots)) {
        return pm_fail_memory(err, "the table of weights", SIZE_MAX);
    }
    uint32_t *slots = pm_malloc(n_slots, sizeof *slots);
    if (slots == NULL) {
        return pm_fail_memory(err, "the table of weights", n_slots * sizeof *slots);
    }
    memset(slots, 0xff, n_slots * sizeof *slots);
    free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    for (size_t i = 0; i < t->n; i++) {
        t->slots[find_slot(t, t->rows + i * t->width)] = (uint32_t)i;
    }
    return PM_OK;
}

pm_status pm_table_intern(pm_table *t, const double *row, uint32_t *id, pm_error *err) {
    if (t->n >= t->n_slots / 2) {
        pm_status st = grow_slots(t, err);
        if (st != PM_OK) {
            return st;
        }
    }
    size_t slot = find_slot(t, row);
    if (t->slots[slot] == EMPTY) {
        if (t->n >= EMPTY - 1) {
            return pm_fail(err, PM_EDATA, "more than %u distinct weights", EMPTY - 1);
        }
        if (!pm_reserve((void **)&t->rows, &t->capacity, t->n + 1, t->width * sizeof *row)) {
            return pm_fail_memory(err, "the table of weights", (t->n + 1) * t->width * sizeof *row);
        }
        memcpy(t->rows + t->n * t->width, row, t->width * sizeof *row);
        t->slots[slot] = (uint32_t)t->n++;
    }
    *id = t->slots[slot];
    return PM_OK;
}

void pm_table_free(pm_table *t) {
    free(t->rows);
    free(t->slots);
    *t = (pm_table){.width = t->width};
}
