/* Matrices of numbers as a user gives them: theta, times and reward vectors, written out or in .csv and .npy files.
 *
 * Every value of a matrix is finite. Rows and values in messages count from 0, as rows of graphs do;
 * lines and columns of .csv from 1, as editors do. */
#ifndef PM_BASE_MATRIX_H
#define PM_BASE_MATRIX_H

#include "base/error.h"

typedef struct pm_matrix {
    size_t rows, cols;
    double *data; /* rows x cols, row-major */
} pm_matrix;

void pmi_matrix_free(pm_matrix *matrix); /* frees what it holds and zeroes it; all-zero is valid */

/* Numbers written out: `1,0.5` is a row, `1,2;3,4` are two, and an item may be a range `start:end:step`, both ends
 * included, whose i-th value is start + i * step. Errors: PM_EUSAGE naming row and item. */
pm_status pmi_matrix_parse_inline(const char *text, pm_matrix *out, pm_error *err);

/* Comma-separated decimal numbers, a row on each line (LF or CRLF), all of one length, no header, no empty line.
 * Errors: PM_EDATA naming line and column, or the whole when there is no row. */
pm_status pmi_matrix_parse_csv(const uint8_t *bytes, size_t n, pm_matrix *out, pm_error *err);

/* NumPy's array file (NEP 1), versions 1 to 3: float32, float64 or integers of 1 to 8 bytes, of either endianness and
 * order. (k) is one row of k columns; (r, c) may have r = 0 or c = 0. Errors: PM_EDATA naming the byte of the header,
 * or row and column of a value that is not finite or that a double cannot hold exactly. */
pm_status pmi_matrix_parse_npy(const uint8_t *bytes, size_t n, pm_matrix *out, pm_error *err);

/* True when `text` ends in .csv or .npy: then it names a file. */
bool pmi_matrix_is_path(const char *text);

/* Reads the file or the numbers written out. Errors: those of the parsers, with the path in front;
 * PM_ENOINPUT for a file that cannot be opened, PM_EIO for one that cannot be read. */
pm_status pmi_matrix_read(const char *text, pm_matrix *out, pm_error *err);

#endif
