/* UTF-8 (RFC 3629). */
#ifndef PM_BASE_UTF8_H
#define PM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the n bytes are UTF-8 without U+0000; *bad (may be NULL) is where the first wrong character begins. */
bool pm_utf8_valid(const uint8_t *bytes, size_t n, size_t *bad);

/* Makes a text from elsewhere fit to be stored and shown: '?' for each byte that belongs to no character, a blank for
 * each control character of ASCII. */
void pm_utf8_mend(char *text);

#endif
