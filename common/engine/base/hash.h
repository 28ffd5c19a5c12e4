/* Digests, computed by OpenSSL's libcrypto. */
#ifndef PM_BASE_HASH_H
#define PM_BASE_HASH_H

#include "base/error.h"

#define PM_DIGEST_BYTES 32
#define PM_DIGEST_HEX 65 /* 64 characters and the final zero */

typedef enum pm_digest_kind { PM_SHA256, PM_BLAKE2S256 } pm_digest_kind;

typedef struct pm_hasher pm_hasher;

/* A running digest; the caller frees it with pmi_hasher_free (NULL is allowed). */
pm_status pmi_hasher_new(pm_digest_kind kind, pm_hasher **out, pm_error *err);
pm_status pmi_hasher_add(pm_hasher *h, const void *bytes, size_t n, pm_error *err);
/* Writes the 32 bytes and makes the hasher ready for a new message of the same kind. */
pm_status pmi_hasher_finish(pm_hasher *h, uint8_t digest[PM_DIGEST_BYTES], pm_error *err);
void pmi_hasher_free(pm_hasher *h);

/* Digest of one piece of memory. */
pm_status pmi_digest(pm_digest_kind kind, const void *bytes, size_t n, uint8_t digest[PM_DIGEST_BYTES], pm_error *err);

/* Lower-case hexadecimal, zero-terminated; and back (false unless exactly 64 hexadecimal digits). */
void pmi_hex(const uint8_t digest[PM_DIGEST_BYTES], char text[PM_DIGEST_HEX]);
bool pmi_unhex(const char *text, uint8_t digest[PM_DIGEST_BYTES]);

#endif
