/* The manifest of a job: written by the producer, read by collectors and by workers that evaluate. */
#ifndef PM_REDIS_MANIFEST_H
#define PM_REDIS_MANIFEST_H

#include "redis/blob.h"
#include "scc/classes.h"
#include "wire/messages.h"

/* A manifest unpacked and checked: the graph, split, with its classes. All-zero is empty. */
typedef struct pm_job {
    uint8_t job[PM_DIGEST_BYTES];
    pm_effort effort;
    pm_graph *graph;
    pm_split split;
    pm_classes classes;
} pm_job;

pm_status pmi_manifest_encode(const pm_graph *graph, const pm_classes *classes, const pm_split *split, pm_effort effort,
                              pm_buffer *out, pm_error *err);
/* Untrusted bytes: the graph must have the job's digest, every SCC renamed must be its class's digraph. What unfolds to
 * more than `limit` bytes is refused before it takes memory. */
pm_status pmi_manifest_decode(const uint8_t *bytes, size_t n, size_t limit, const pm_log *log, pm_job *out,
                              pm_error *err);
void pmi_job_free(pm_job *job);

/* Another manifest of the job (another effort) is replaced; an info line says so. */
pm_status pmi_manifest_put(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], const pm_buffer *encoded, pm_error *err);
/* `encoded` (may be NULL) gets the bytes as they are stored. Errors: PM_ENOINPUT when Redis has no such job, or had a
 * damaged manifest, saying to submit it. */
pm_status pmi_manifest_get(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], size_t limit, const pm_log *log,
                           pm_job *out, pm_buffer *encoded, pm_error *err);

#endif
