/* UTF-8 (RFC 3629). */
#ifndef PM_BASE_UTF8_H
#define PM_BASE_UTF8_H

#include "base/error.h"

/* Whether the n bytes are UTF-8 without U+0000; *bad (may be NULL) is where the first wrong character begins. */
bool pmi_utf8_valid(const uint8_t *bytes, size_t n, size_t *bad);

/* A character *steers* when it can move a cursor, begin a line or turn the order of what is shown around: the controls
 * C0 and C1, DEL, U+2028 and U+2029, and the bidirectional controls of Unicode (UAX #9). */

/* Makes a text from elsewhere fit to be stored: a blank for each control of ASCII, '?' for each byte of another
 * character that steers and for each byte that belongs to no character. */
void pmi_utf8_mend(char *text);

/* Bytes of what pmi_utf8_show writes, at most, with the zero at its end. */
#define PM_UTF8_SHOWN 12

/* The first character of the n bytes (n > 0) as it may be shown: itself, or an escape where it steers or is no
 * character: \n, \r, \t, \x1b for a byte, \u009b for a character. Returns how many bytes it takes of the text. */
size_t pmi_utf8_show(const char *text, size_t n, char shown[PM_UTF8_SHOWN]);

/* The code of the first character of the n bytes (n > 0) when it steers, else 0. *length is its bytes, 0 when they are
 * no character. */
uint32_t pmi_utf8_steers(const char *text, size_t n, size_t *length);

#define PM_UTF8_MARK_BYTES 3

/* Whether a text begins with the byte order mark that some programs put before UTF-8. */
bool pmi_utf8_has_mark(const uint8_t *bytes, size_t n);

/* Errors: PM_EDATA for a text that begins with a byte order mark of UTF-16 or UTF-32. */
pm_status pmi_utf8_check_mark(const uint8_t *bytes, size_t n, pm_error *err);

#endif
