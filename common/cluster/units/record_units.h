/* SCC classes packed into record units, and sent. */
#ifndef PM_UNITS_RECORD_UNITS_H
#define PM_UNITS_RECORD_UNITS_H

#include "units/pack.h"
#include "units/send.h"

/* Packs classes (numbers into `classes`) into units, largest cost first. Free with pmi_packing_free, also after a
 * failure. */
pm_status pmi_pack_classes(const pm_producer *p, const pm_classes *classes, const uint32_t *numbers, size_t n,
                           pm_packing *out, pm_error *err);

/* Sends the packed units, each to the least loaded partition. */
pm_status pmi_send_packing(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_classes *classes,
                           pm_effort effort, const pm_packing *packing, size_t *n_claims, pm_error *err);

/* Both. */
pm_status pmi_send_classes(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_classes *classes,
                           pm_effort effort, const uint32_t *numbers, size_t n, size_t *n_units, size_t *n_claims,
                           pm_error *err);

#endif
