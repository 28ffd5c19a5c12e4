/* Seals: what is stored in Redis or sent over Kafka, with proof that whoever wrote it had the cluster's key.
 *
 * A sealed value is an envelope whose last element is the seal, 40 bytes, in place of a checksum:
 *     MessagePack [ "phasemill.sealed", 1, bin VALUE, bin (ID | HMAC) ]
 *     ID    the first 8 bytes of HMAC(cluster.key, "phasemill key id"): tells keys apart, so that a wrong one is named
 *     HMAC  HMAC(key of the type, 8 bytes: little-endian length of NAME | NAME | VALUE), 32 bytes
 *     key of the type    HMAC(cluster.key, "phasemill seal 1 " TYPE), TYPE being "phasemill.blob" and the like
 * HMAC is HMAC-SHA-256 (RFC 2104, FIPS 198-1) by libcrypto. NAME is where the value belongs, its Redis prefix in front:
 * the whole key in Redis; of a unit on its topic its id, its job and its kind. So a value that was moved to another
 * place, another job or another cluster is refused as an altered one is. Nothing of VALUE is looked at before its seal
 * was found to fit. Old values under their own name, and removal, are not noticed (docs/trust.md). */
#ifndef PM_WIRE_SEAL_H
#define PM_WIRE_SEAL_H

#include "wire/messages.h"

#define PM_MIN_SEAL_KEY 32 /* bytes of a cluster.key */
#define PM_SEAL_ID_TEXT 17 /* 16 hexadecimal digits and the final zero */
#define PM_SEAL_NAME 256   /* bytes of a name with its final zero */

/* A cluster.key made ready. One thread at a time. */
typedef struct pm_seal pm_seal;

/* The n bytes of the key are not kept. Errors: PM_ECONFIG when n is below PM_MIN_SEAL_KEY; PM_EOSERR. */
pm_status pmi_seal_new(const char *key, size_t n, pm_seal **out, pm_error *err);
void pmi_seal_free(pm_seal *seal);
/* The ID, which is no secret, as hexadecimal digits. */
const char *pmi_seal_id(const pm_seal *seal);

/* Seals in place what `out` holds from byte `from` on, or leaves `out` as it was. `seal` NULL: nothing is done.
 * PM_ESOFTWARE: `type` is none that has seals. */
pm_status pmi_seal_put(const pm_seal *seal, const pm_message_type *type, pm_span name, size_t from, pm_buffer *out,
                       pm_error *err);

/* Opens untrusted bytes; *inside points into them. `seal` NULL: takes what is not sealed, and that alone. Errors:
 * PM_EDATA, and which it is: no seal; a seal and no key here; another key's; one that does not fit; PM_EOSERR. */
pm_status pmi_seal_open(const pm_seal *seal, const pm_message_type *type, pm_span name, const uint8_t *bytes, size_t n,
                        pm_span *inside, pm_error *err);

/* What is inside of sealed bytes, unchecked: for looking at. *id is "" and *inside all of them when they have no seal.
 * Errors: PM_EDATA with the byte position, for what begins as a seal does and is none. */
pm_status pmi_seal_peel(const uint8_t *bytes, size_t n, pm_span *inside, char id[PM_SEAL_ID_TEXT], pm_error *err);

/* pmi_message_encode, then pmi_seal_put; pmi_seal_open, then pmi_message_decode. */
pm_status pmi_sealed_encode(const pm_seal *seal, pm_span name, const pm_message_type *type, const void *message,
                            pm_buffer *out, pm_error *err);
pm_status pmi_sealed_decode(const pm_seal *seal, pm_span name, const pm_message_type *type, const uint8_t *bytes,
                            size_t n, void *message, pm_message_memory *memory, pm_error *err);

/* "PREFIX:units:{unit}:job:kind", for a message of the units topic; and "PREFIX:events". */
pm_span pmi_seal_unit_name(const char *prefix, const pm_digest job, const pm_digest unit, const char *kind,
                           char name[PM_SEAL_NAME]);
pm_span pmi_seal_event_name(const char *prefix, char name[PM_SEAL_NAME]);

#endif
