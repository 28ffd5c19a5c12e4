/* The manifest of a job: written by the producer, read by collectors and by workers that evaluate. */
#ifndef PM_REDIS_MANIFEST_H
#define PM_REDIS_MANIFEST_H

#include "redis/blob.h"
#include "scc/analysis.h"

/* Of a graph whose classes are found. */
pm_status pmi_manifest_encode(const pm_analysis *analysis, pm_buffer *out, pm_error *err);
/* Untrusted bytes: the graph must have the job's digest, every SCC renamed must be its class's digraph. What unfolds to
 * more than `limit` bytes is refused before it takes memory. The analysis has its classes. */
pm_status pmi_manifest_decode(const uint8_t *bytes, size_t n, size_t limit, const pm_log *log, pm_analysis *out,
                              pm_error *err);

/* Another manifest of the job (another effort) is replaced; an info line says so. */
pm_status pmi_manifest_put(pm_redis *r, const pm_digest job, const pm_buffer *encoded, pm_error *err);
/* `encoded` (may be NULL) gets the bytes as stored. Errors: PM_ENOINPUT: no such job, or a damaged manifest. */
pm_status pmi_manifest_get(pm_redis *r, const pm_digest job, size_t limit, const pm_log *log, pm_analysis *out,
                           pm_buffer *encoded, pm_error *err);

#endif
