/* A table of distinct rows of doubles, told apart bit by bit (so that 0.0 and -0.0 are two), numbered in the
 * order in which they first came. All-zero with a width is a valid empty table. */
#ifndef PM_GRAPH_TABLE_H
#define PM_GRAPH_TABLE_H

#include "base/error.h"

/* A place of the hash table: the row's number (UINT32_MAX: none) beside the half of its hash that says whether a look
 * at the row is worth it. */
typedef struct pm_table_slot {
    uint32_t id, tag;
} pm_table_slot;

typedef struct pm_table {
    size_t width;         /* doubles in a row, at least 1 */
    size_t n;             /* rows */
    double *rows;         /* n x width */
    size_t capacity;      /* rows that fit `rows` */
    pm_table_slot *slots; /* open addressing, at most half full */
    size_t n_slots;       /* a power of two */
} pm_table;

/* The number of the row equal to `row` (width doubles), added if it is new. Errors: PM_EOSERR; PM_EDATA for more than
 * 2^32 - 2 rows. */
pm_status pmi_table_intern(pm_table *t, const double *row, uint32_t *id, pm_error *err);

/* The number of the row equal to `row`, UINT32_MAX where there is none. */
uint32_t pmi_table_find(const pm_table *t, const double *row);

/* Frees what it holds; the width stays. */
void pmi_table_free(pm_table *t);

#endif
