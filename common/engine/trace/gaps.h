/* Rows of a pattern, encoded by the gaps between their entries: most are of one byte. */
#ifndef PM_TRACE_GAPS_H
#define PM_TRACE_GAPS_H

#include "codec/cursor.h"
#include "codec/writer.h"

/* The rows of L (entries of row j from 0 to below j) or of U (from j + 1 to below n), each ascending. */
typedef enum pm_gaps_side { PM_GAPS_L, PM_GAPS_U } pm_gaps_side;

/* One bin, row by row: for each entry, how many of those that may follow the one before it are left out, as LEB128
 * (seven bits a byte, low ones first, the eighth says that more follow). Fails as pmi_writer_numbers does. */
void pmi_gaps_write(pm_writer *w, pm_gaps_side side, const size_t *row, const uint32_t *entry, uint32_t n);

/* Reads the bin behind the key `name` into row[n] entries; every entry is in its range, and rows ascend. Memory is made
 * only once there are as many bytes as entries. Errors: PM_EDATA. Free *entry with free(), also after a failure. */
pm_status pmi_gaps_read(pm_cursor *c, const char *name, pm_gaps_side side, const size_t *row, uint32_t n,
                        uint32_t **entry, pm_error *err);

#endif
