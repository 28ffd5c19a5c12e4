/* Packing: pieces of work into units, units onto partitions. Pure: numbers in, numbers out. */
#ifndef PM_UNITS_PACK_H
#define PM_UNITS_PACK_H

#include "base/error.h"

/* A piece: what it costs (microseconds of one core) and how many bytes it adds to a unit's body. */
typedef struct pm_piece {
    uint32_t number; /* the caller's */
    uint64_t cost;
    size_t bytes;
} pm_piece;

/* When a unit is full. A piece above either is a unit by itself. */
typedef struct pm_unit_limits {
    uint64_t cost;
    size_t bytes;
} pm_unit_limits;

/* A unit's work: long enough for the way not to matter, short enough that the last do not keep everybody waiting. */
#define PM_MAX_UNIT_COST ((uint64_t)250000)
#define PM_MIN_UNIT_COST ((uint64_t)20000)
/* Bodies are packed before they travel; what is inline must fit at any rate. */
#define PM_UNIT_BODY_BYTES ((size_t)250 << 10)

/* Limits for so much work on so many partitions: a small job still gives every partition some units. */
pm_unit_limits pmi_unit_limits_for(uint64_t total_cost, size_t n_partitions);

/* Units as ranges of `numbers`: unit u has numbers[first[u]..first[u+1]). Units come largest cost first, and so do the
 * pieces of each; pieces of one cost in the order of their numbers, so that equal pieces make equal units. */
typedef struct pm_packing {
    size_t n_units;
    uint32_t *numbers; /* n pieces */
    size_t *first;     /* n_units + 1 */
    uint64_t *cost;    /* n_units */
} pm_packing;

/* Sorts `pieces` in place, and packs. Free with pmi_packing_free, also after a failure. */
pm_status pmi_pack(pm_piece *pieces, size_t n, pm_unit_limits limits, pm_packing *out, pm_error *err);
void pmi_packing_free(pm_packing *packing);

/* The first of the least loaded partitions from `start` on (modulo n > 0): small jobs do not all meet on 0. */
size_t pmi_least_loaded(const uint64_t *load, size_t n, size_t start);

#endif
