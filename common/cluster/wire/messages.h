/* The messages there are. Times are seconds since 1970, durations seconds. Digests are SHA-256.
 *
 * A *unit* is one piece of work of a *job* (a graph); its *items* are what it must bring about: keys of traces, the key
 * of a result, or itself. */
#ifndef PM_WIRE_MESSAGES_H
#define PM_WIRE_MESSAGES_H

#include "wire/message.h"

#define PM_MAX_TEXT 4096

/* ---- on Kafka ---- */

/* A unit on the units topic, or in Redis behind a claim. Packed. */
typedef struct pm_unit_message {
    pm_span kind; /* "record", "evaluate", "probe" */
    pm_digest job;
    pm_digest unit;
    uint64_t cost; /* estimated microseconds of one core */
    pm_span body;  /* an encoded pm_record_body, pm_evaluate_body or pm_probe_body, by `kind` */
} pm_unit_message;
extern const pm_message_type pmi_unit_type;

/* Claim check: the unit is in Redis under `blob`, the SHA-256 of its encoded bytes, of which there are `size`. */
typedef struct pm_claim_message {
    pm_span kind;
    pm_digest job;
    pm_digest unit;
    uint64_t cost;
    pm_digest blob;
    uint64_t size;
} pm_claim_message;
extern const pm_message_type pmi_claim_type;

/* On the events topic. */
typedef struct pm_event_message {
    pm_span type; /* "done", "failed", "cancelled" */
    pm_span kind;
    pm_digest job;
    pm_digest unit;
    pm_span worker;
    double time, seconds;
    uint64_t items, recorded, known; /* items of the unit; made by it; found to be there already */
    pm_span error;
} pm_event_message;
extern const pm_message_type pmi_event_type;

/* ---- bodies of units ---- */

/* SCCs to record, columns side by side: SCC i has states[i] rows; degrees are the out-degrees of all rows, targets the
 * targets of all rows, canonical and ascending in each row (scc/topology.h). */
typedef struct pm_record_body {
    uint64_t effort;
    pm_span keys;     /* PM_DIGEST_BYTES for each SCC */
    pm_span as_given; /* a byte for each SCC: 1 when its order is as given (scc/canon.h), else 0 */
    pm_span states;   /* u32s */
    pm_span degrees;  /* u32s */
    pm_span targets;  /* u32s */
} pm_record_body;
extern const pm_message_type pmi_record_type;

/* A slice of an evaluation. Of the request all travels but its pointers, threads and lanes. */
typedef struct pm_evaluate_body {
    pm_digest result; /* key of the result: digest of all below, the job and the versions */
    bool fused;       /* the bits of fused multiply-add, else those of x86-64-v2 */
    bool normalize_start;
    uint64_t n_params;
    pm_request request;
    pm_span theta, rewards, times; /* f64s */
} pm_evaluate_body;
extern const pm_message_type pmi_evaluate_type;

/* A unit that computes nothing: it takes `seconds` of one core, `bytes` of memory, and ends as it is told. */
typedef struct pm_probe_body {
    uint64_t number; /* tells units of one job apart */
    double seconds;
    uint64_t bytes;
    bool crash;
} pm_probe_body;
extern const pm_message_type pmi_probe_type;

/* ---- in Redis ---- */

/* A value of any size: here, or in `chunks` chunks (redis/blob.h). */
typedef struct pm_blob_message {
    pm_digest digest;
    uint64_t size, chunks;
    pm_span bytes; /* when chunks is 0 */
} pm_blob_message;
extern const pm_message_type pmi_blob_type;

/* What any collector needs to finish a job: the graph, and its classes as pmi_classes_restore takes them. Packed. */
typedef struct pm_manifest_message {
    pm_digest job;
    uint64_t effort;
    pm_span as_given; /* a byte for each class */
    pm_span class_of; /* u32s: of each SCC, PM_NONE for a single state */
    pm_span names;    /* u32s: canonical number of each transient state, SCC by SCC */
    pm_span graph;    /* as MessagePack (docs/formats.md) */
} pm_manifest_message;
extern const pm_message_type pmi_manifest_type;

typedef struct pm_job_message {
    pm_digest job;
    pm_span kind;   /* of its units */
    pm_span source; /* where the graph came from */
    double created;
    uint64_t effort, states, items, known, units; /* items: distinct; known when it was submitted; units sent */
    pm_span trace;                                /* W3C traceparent */
} pm_job_message;
extern const pm_message_type pmi_job_type;

typedef struct pm_unit_record {
    pm_digest unit;
    pm_digest job;
    pm_span kind;
    uint64_t cost, partition;
    int64_t offset; /* -1: being sent */
    double time;
    pm_span items; /* PM_DIGEST_BYTES each */
} pm_unit_record;
extern const pm_message_type pmi_unit_record_type;

/* How a unit ended; also why a job failed. */
typedef struct pm_outcome_message {
    pm_digest unit;
    pm_digest job;
    pm_span kind;
    uint64_t code; /* pm_status: 0 is done */
    pm_span error;
    pm_span scc; /* the key of the SCC at fault, or empty */
    uint64_t attempts;
    pm_span worker, topic;
    uint64_t partition;
    int64_t offset;
    double time, seconds;
} pm_outcome_message;
extern const pm_message_type pmi_outcome_type;

typedef struct pm_running_unit {
    pm_digest unit;
    pm_digest job;
    pm_span kind;
    uint64_t pid, attempt;
    uint64_t item, items; /* the item it is at, of how many */
    double since;
} pm_running_unit;
extern const pm_message_type pmi_running_type; /* only in a list */

/* A worker's heartbeat. */
typedef struct pm_worker_message {
    pm_span id, host, version;
    uint64_t pid;
    pm_span state; /* "starting", "running", "waiting" (for Redis or Kafka), "draining" */
    double started, time;
    uint64_t slots;
    pm_list units;      /* of pm_running_unit */
    pm_span partitions; /* u32s: those it owns */
    uint64_t done, failed, recorded, known;
    uint64_t resident; /* bytes, of the worker and its children */
} pm_worker_message;
extern const pm_message_type pmi_worker_type;

/* A slice's result: arrays as in pm_result, row-major, empty for what was not asked for. Packed. */
typedef struct pm_result_message {
    pm_digest result;
    uint64_t n_theta;
    pm_span moments, covariance, atom, pdf, cdf, survival; /* f64s */
    uint64_t steps;
    double error_bound;
} pm_result_message;
extern const pm_message_type pmi_result_type;

/* All that have an envelope, ended by NULL; traces have their own codec (trace/codec.h). */
extern const pm_message_type *const pmi_message_types[];

/* NULL when there is none of that name. */
const pm_message_type *pmi_message_type_find(const char *name);

#endif
