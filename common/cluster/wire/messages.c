#include "wire/messages.h"

#include <stddef.h>
#include <string.h>

#include "wire/units.h"

/* A word: a kind, a state, a type. */
#define MAX_WORD 32
/* An id, a host, a version, a traceparent. */
#define MAX_NAME 255
/* What Kafka allows. */
#define MAX_TOPIC 249
/* The most that one bin holds. */
#define MAX_BIN UINT32_MAX
/* The body of a unit, or a column of it: less than what the unit unfolds to. */
#define MAX_BODY (PM_UNIT_UNPACKED - 4096)
/* More than any value in Redis has. */
#define MAX_BLOB ((size_t)1 << 20)
#define MANIFEST_UNPACKED ((size_t)4 << 30)
#define MAX_SLOTS 4096
#define MAX_PARTITIONS ((size_t)4 << 16)

#define FIELD(s, name, kind, max)                                                                                      \
    { #name, kind, offsetof(s, name), max, NULL }

static const pm_field unit_fields[] = {
    FIELD(pm_unit_message, kind, PM_FIELD_TEXT, MAX_WORD), FIELD(pm_unit_message, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_unit_message, unit, PM_FIELD_DIGEST, 0),      FIELD(pm_unit_message, cost, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_unit_message, body, PM_FIELD_BIN, MAX_BODY),  {0},
};

const pm_message_type pmi_unit_type = {"phasemill.unit", 1,          true, sizeof(pm_unit_message),
                                       PM_UNIT_UNPACKED, unit_fields};

static const pm_field claim_fields[] = {
    FIELD(pm_claim_message, kind, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_claim_message, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_claim_message, unit, PM_FIELD_DIGEST, 0),
    FIELD(pm_claim_message, cost, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_claim_message, blob, PM_FIELD_DIGEST, 0),
    FIELD(pm_claim_message, size, PM_FIELD_UINT, UINT64_MAX),
    {0},
};

const pm_message_type pmi_claim_type = {"phasemill.claim", 1, false, sizeof(pm_claim_message), 0, claim_fields};

static const pm_field event_fields[] = {
    FIELD(pm_event_message, type, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_event_message, kind, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_event_message, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_event_message, unit, PM_FIELD_DIGEST, 0),
    FIELD(pm_event_message, worker, PM_FIELD_TEXT, MAX_NAME),
    FIELD(pm_event_message, time, PM_FIELD_REAL, 0),
    FIELD(pm_event_message, seconds, PM_FIELD_REAL, 0),
    FIELD(pm_event_message, items, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_event_message, recorded, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_event_message, known, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_event_message, error, PM_FIELD_TEXT, PM_MAX_TEXT),
    {0},
};

const pm_message_type pmi_event_type = {"phasemill.event", 1, false, sizeof(pm_event_message), 0, event_fields};

static const pm_field record_fields[] = {
    FIELD(pm_record_body, effort, PM_FIELD_UINT, PM_EFFORT_BEST),
    FIELD(pm_record_body, keys, PM_FIELD_DIGESTS, MAX_BODY),
    FIELD(pm_record_body, as_given, PM_FIELD_BIN, MAX_BODY),
    FIELD(pm_record_body, states, PM_FIELD_U32S, MAX_BODY),
    FIELD(pm_record_body, degrees, PM_FIELD_U32S, MAX_BODY),
    FIELD(pm_record_body, targets, PM_FIELD_U32S, MAX_BODY),
    {0},
};

const pm_message_type pmi_record_type = {"phasemill.record", 1, false, sizeof(pm_record_body), 0, record_fields};

static const pm_field evaluate_fields[] = {
    FIELD(pm_evaluate_body, result, PM_FIELD_DIGEST, 0),
    FIELD(pm_evaluate_body, fused, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, normalize_start, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, n_theta, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_evaluate_body, n_params, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_evaluate_body, theta, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_evaluate_body, n_moments, PM_FIELD_UINT, UINT32_MAX),
    FIELD(pm_evaluate_body, factorial, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, covariance, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, n_rewards, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_evaluate_body, rewards, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_evaluate_body, n_times, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_evaluate_body, times, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_evaluate_body, times_per_theta, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, pdf, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, cdf, PM_FIELD_BOOL, 0),
    FIELD(pm_evaluate_body, tolerance, PM_FIELD_REAL, 0),
    FIELD(pm_evaluate_body, tail_accuracy, PM_FIELD_BOOL, 0),
    {0},
};

const pm_message_type pmi_evaluate_type = {"phasemill.evaluate",     1, false,
                                           sizeof(pm_evaluate_body), 0, evaluate_fields};

static const pm_field probe_fields[] = {
    FIELD(pm_probe_body, number, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_probe_body, seconds, PM_FIELD_REAL, 0),
    FIELD(pm_probe_body, bytes, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_probe_body, crash, PM_FIELD_BOOL, 0),
    {0},
};

const pm_message_type pmi_probe_type = {"phasemill.probe", 1, false, sizeof(pm_probe_body), 0, probe_fields};

static const pm_field blob_fields[] = {
    FIELD(pm_blob_message, digest, PM_FIELD_DIGEST, 0),
    FIELD(pm_blob_message, size, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_blob_message, chunks, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_blob_message, bytes, PM_FIELD_BIN, MAX_BLOB),
    {0},
};

const pm_message_type pmi_blob_type = {"phasemill.blob", 1, false, sizeof(pm_blob_message), 0, blob_fields};

static const pm_field manifest_fields[] = {
    FIELD(pm_manifest_message, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_manifest_message, effort, PM_FIELD_UINT, PM_EFFORT_BEST),
    FIELD(pm_manifest_message, as_given, PM_FIELD_BIN, MAX_BIN),
    FIELD(pm_manifest_message, class_of, PM_FIELD_U32S, MAX_BIN),
    FIELD(pm_manifest_message, names, PM_FIELD_U32S, MAX_BIN),
    FIELD(pm_manifest_message, graph, PM_FIELD_BIN, MAX_BIN),
    {0},
};

const pm_message_type pmi_manifest_type = {
    "phasemill.manifest", 1, true, sizeof(pm_manifest_message), MANIFEST_UNPACKED, manifest_fields};

static const pm_field job_fields[] = {
    FIELD(pm_job_message, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_job_message, kind, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_job_message, source, PM_FIELD_TEXT, PM_MAX_TEXT),
    FIELD(pm_job_message, created, PM_FIELD_REAL, 0),
    FIELD(pm_job_message, effort, PM_FIELD_UINT, PM_EFFORT_BEST),
    FIELD(pm_job_message, states, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_job_message, items, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_job_message, known, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_job_message, units, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_job_message, trace, PM_FIELD_TEXT, MAX_NAME),
    {0},
};

const pm_message_type pmi_job_type = {"phasemill.job", 1, false, sizeof(pm_job_message), 0, job_fields};

static const pm_field unit_record_fields[] = {
    FIELD(pm_unit_record, unit, PM_FIELD_DIGEST, 0),
    FIELD(pm_unit_record, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_unit_record, kind, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_unit_record, cost, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_unit_record, partition, PM_FIELD_UINT, INT32_MAX),
    FIELD(pm_unit_record, offset, PM_FIELD_INT, 0),
    FIELD(pm_unit_record, time, PM_FIELD_REAL, 0),
    FIELD(pm_unit_record, items, PM_FIELD_DIGESTS, MAX_BODY),
    {0},
};

const pm_message_type pmi_unit_record_type = {"phasemill.unit-record", 1, false,
                                              sizeof(pm_unit_record),  0, unit_record_fields};

static const pm_field outcome_fields[] = {
    FIELD(pm_outcome_message, unit, PM_FIELD_DIGEST, 0),
    FIELD(pm_outcome_message, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_outcome_message, kind, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_outcome_message, code, PM_FIELD_UINT, UINT8_MAX),
    FIELD(pm_outcome_message, error, PM_FIELD_TEXT, PM_MAX_TEXT),
    FIELD(pm_outcome_message, scc, PM_FIELD_DIGESTS, PM_DIGEST_BYTES),
    FIELD(pm_outcome_message, attempts, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_outcome_message, worker, PM_FIELD_TEXT, MAX_NAME),
    FIELD(pm_outcome_message, topic, PM_FIELD_TEXT, MAX_TOPIC),
    FIELD(pm_outcome_message, partition, PM_FIELD_UINT, INT32_MAX),
    FIELD(pm_outcome_message, offset, PM_FIELD_INT, 0),
    FIELD(pm_outcome_message, time, PM_FIELD_REAL, 0),
    FIELD(pm_outcome_message, seconds, PM_FIELD_REAL, 0),
    {0},
};

const pm_message_type pmi_outcome_type = {"phasemill.outcome", 1, false, sizeof(pm_outcome_message), 0, outcome_fields};

static const pm_field running_unit_fields[] = {
    FIELD(pm_running_unit, unit, PM_FIELD_DIGEST, 0),
    FIELD(pm_running_unit, job, PM_FIELD_DIGEST, 0),
    FIELD(pm_running_unit, kind, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_running_unit, pid, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_running_unit, attempt, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_running_unit, item, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_running_unit, items, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_running_unit, since, PM_FIELD_REAL, 0),
    {0},
};

const pm_message_type pmi_running_type = {"phasemill.running-unit", 1, false,
                                          sizeof(pm_running_unit),  0, running_unit_fields};

static const pm_field worker_fields[] = {
    FIELD(pm_worker_message, id, PM_FIELD_TEXT, MAX_NAME),
    FIELD(pm_worker_message, host, PM_FIELD_TEXT, MAX_NAME),
    FIELD(pm_worker_message, version, PM_FIELD_TEXT, MAX_NAME),
    FIELD(pm_worker_message, pid, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_worker_message, state, PM_FIELD_TEXT, MAX_WORD),
    FIELD(pm_worker_message, started, PM_FIELD_REAL, 0),
    FIELD(pm_worker_message, time, PM_FIELD_REAL, 0),
    FIELD(pm_worker_message, slots, PM_FIELD_UINT, UINT16_MAX),
    {"units", PM_FIELD_LIST, offsetof(pm_worker_message, units), MAX_SLOTS, &pmi_running_type},
    FIELD(pm_worker_message, partitions, PM_FIELD_U32S, MAX_PARTITIONS),
    FIELD(pm_worker_message, done, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_worker_message, failed, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_worker_message, recorded, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_worker_message, known, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_worker_message, resident, PM_FIELD_UINT, UINT64_MAX),
    {0},
};

const pm_message_type pmi_worker_type = {"phasemill.worker", 1, false, sizeof(pm_worker_message), 0, worker_fields};

static const pm_field result_fields[] = {
    FIELD(pm_result_message, result, PM_FIELD_DIGEST, 0),
    FIELD(pm_result_message, n_theta, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_result_message, moments, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_result_message, covariance, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_result_message, atom, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_result_message, pdf, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_result_message, cdf, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_result_message, survival, PM_FIELD_F64S, MAX_BODY),
    FIELD(pm_result_message, steps, PM_FIELD_UINT, UINT64_MAX),
    FIELD(pm_result_message, error_bound, PM_FIELD_REAL, 0),
    {0},
};

const pm_message_type pmi_result_type = {"phasemill.result", 1, true, sizeof(pm_result_message), PM_UNIT_UNPACKED,
                                         result_fields};

const pm_message_type *const pmi_message_types[] = {&pmi_unit_type,     &pmi_claim_type,
                                                    &pmi_event_type,    &pmi_record_type,
                                                    &pmi_evaluate_type, &pmi_probe_type,
                                                    &pmi_blob_type,     &pmi_manifest_type,
                                                    &pmi_job_type,      &pmi_unit_record_type,
                                                    &pmi_outcome_type,  &pmi_worker_type,
                                                    &pmi_result_type,   NULL};

const pm_message_type *pmi_message_type_find(const char *name) {
    for (const pm_message_type *const *type = pmi_message_types; *type != NULL; type++) {
        if (strcmp((*type)->name, name) == 0) {
            return *type;
        }
    }
    return NULL;
}
