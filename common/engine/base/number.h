/* Decimal numbers in text, read alike in every locale. */
#ifndef PM_BASE_NUMBER_H
#define PM_BASE_NUMBER_H

#include "base/error.h"

/* The longest text that is read as a number. */
#define PM_NUMBER_TEXT 255

typedef enum pm_number_fault {
    PM_NUMBER_OK,
    PM_NUMBER_SYNTAX, /* not a decimal number, or longer than PM_NUMBER_TEXT */
    PM_NUMBER_RANGE   /* too large for a double, or not zero but rounded to zero */
} pm_number_fault;

/* The n bytes of `text` as a double, correctly rounded: [+-] digits [. digits] [e [+-] digits], with digits on at
 * least one side of the point. */
pm_number_fault pmi_number_parse(const char *text, size_t n, double *out);

/* All of `text` as a whole number in decimal digits; false when it is none, or beyond a size_t. */
bool pmi_count_parse(const char *text, size_t *out);

/* All of `text` as a number of bytes, with an optional suffix K, M, G or T (powers of 1024). */
bool pmi_bytes_parse(const char *text, size_t *out);

/* "a number" or "a number that a double can hold": what to expect instead. */
const char *pmi_number_expected(pm_number_fault fault);

#endif
