#include "wire/messages.h"

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

/* The fields of struct s. */
#define FIELD(s, name, kind, max)                                                                                      \
    { #name, kind, offsetof(s, name), max, NULL }
#define UINT(s, name, max) FIELD(s, name, PM_FIELD_UINT, max)
#define INT(s, name) FIELD(s, name, PM_FIELD_INT, 0)
#define REAL(s, name) FIELD(s, name, PM_FIELD_REAL, 0)
#define BOOL(s, name) FIELD(s, name, PM_FIELD_BOOL, 0)
#define TEXT(s, name, max) FIELD(s, name, PM_FIELD_TEXT, max)
#define DIGEST(s, name) FIELD(s, name, PM_FIELD_DIGEST, 0)
#define DIGESTS(s, name, max) FIELD(s, name, PM_FIELD_DIGESTS, max)
#define BIN(s, name, max) FIELD(s, name, PM_FIELD_BIN, max)
#define U32S(s, name, max) FIELD(s, name, PM_FIELD_U32S, max)
#define F64S(s, name, max) FIELD(s, name, PM_FIELD_F64S, max)

/* A type without the "phasemill." of its name; `unpacked` 0: it is not packed. */
#define TYPE(name, s, unpacked, ...)                                                                                   \
    {                                                                                                                  \
        "phasemill." name, 1, (unpacked) > 0, sizeof(s), unpacked, (const pm_field[]) {                                \
            __VA_ARGS__, {                                                                                             \
                0                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

const pm_message_type pmi_unit_type =
    TYPE("unit", pm_unit_message, PM_UNIT_UNPACKED, TEXT(pm_unit_message, kind, MAX_WORD), DIGEST(pm_unit_message, job),
         DIGEST(pm_unit_message, unit), UINT(pm_unit_message, cost, UINT64_MAX), BIN(pm_unit_message, body, MAX_BODY));

const pm_message_type pmi_claim_type =
    TYPE("claim", pm_claim_message, 0, TEXT(pm_claim_message, kind, MAX_WORD), DIGEST(pm_claim_message, job),
         DIGEST(pm_claim_message, unit), UINT(pm_claim_message, cost, UINT64_MAX), DIGEST(pm_claim_message, blob),
         UINT(pm_claim_message, size, UINT64_MAX));

const pm_message_type pmi_event_type =
    TYPE("event", pm_event_message, 0, TEXT(pm_event_message, type, MAX_WORD), TEXT(pm_event_message, kind, MAX_WORD),
         DIGEST(pm_event_message, job), DIGEST(pm_event_message, unit), TEXT(pm_event_message, worker, MAX_NAME),
         REAL(pm_event_message, time), REAL(pm_event_message, seconds), UINT(pm_event_message, items, UINT64_MAX),
         UINT(pm_event_message, recorded, UINT64_MAX), UINT(pm_event_message, known, UINT64_MAX),
         TEXT(pm_event_message, error, PM_MAX_TEXT));

const pm_message_type pmi_record_type = TYPE(
    "record", pm_record_body, 0, UINT(pm_record_body, effort, PM_EFFORT_BEST), DIGESTS(pm_record_body, keys, MAX_BODY),
    BIN(pm_record_body, as_given, MAX_BODY), U32S(pm_record_body, states, MAX_BODY),
    U32S(pm_record_body, degrees, MAX_BODY), U32S(pm_record_body, targets, MAX_BODY));

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "counts of a request travel as they lie in memory");
#define REQUEST(name, kind, max)                                                                                       \
    { #name, kind, offsetof(pm_evaluate_body, request.name), max, NULL }

const pm_message_type pmi_evaluate_type = TYPE(
    "evaluate", pm_evaluate_body, 0, DIGEST(pm_evaluate_body, result), BOOL(pm_evaluate_body, fused),
    BOOL(pm_evaluate_body, normalize_start), REQUEST(n_theta, PM_FIELD_UINT, UINT64_MAX),
    UINT(pm_evaluate_body, n_params, UINT64_MAX), F64S(pm_evaluate_body, theta, MAX_BODY),
    REQUEST(n_moments, PM_FIELD_UINT, UINT32_MAX), REQUEST(factorial, PM_FIELD_BOOL, 0),
    REQUEST(covariance, PM_FIELD_BOOL, 0), REQUEST(n_rewards, PM_FIELD_UINT, UINT64_MAX),
    F64S(pm_evaluate_body, rewards, MAX_BODY), REQUEST(n_times, PM_FIELD_UINT, UINT64_MAX),
    F64S(pm_evaluate_body, times, MAX_BODY), REQUEST(times_per_theta, PM_FIELD_BOOL, 0), REQUEST(pdf, PM_FIELD_BOOL, 0),
    REQUEST(cdf, PM_FIELD_BOOL, 0), REQUEST(tolerance, PM_FIELD_REAL, 0), REQUEST(tail_accuracy, PM_FIELD_BOOL, 0));

const pm_message_type pmi_probe_type =
    TYPE("probe", pm_probe_body, 0, UINT(pm_probe_body, number, UINT64_MAX), REAL(pm_probe_body, seconds),
         UINT(pm_probe_body, bytes, UINT64_MAX), BOOL(pm_probe_body, crash));

const pm_message_type pmi_blob_type =
    TYPE("blob", pm_blob_message, 0, DIGEST(pm_blob_message, digest), UINT(pm_blob_message, size, UINT64_MAX),
         UINT(pm_blob_message, chunks, UINT64_MAX), BIN(pm_blob_message, bytes, MAX_BLOB));

const pm_message_type pmi_manifest_type =
    TYPE("manifest", pm_manifest_message, MANIFEST_UNPACKED, DIGEST(pm_manifest_message, job),
         UINT(pm_manifest_message, effort, PM_EFFORT_BEST), BIN(pm_manifest_message, as_given, MAX_BIN),
         U32S(pm_manifest_message, class_of, MAX_BIN), U32S(pm_manifest_message, names, MAX_BIN),
         BIN(pm_manifest_message, graph, MAX_BIN));

const pm_message_type pmi_job_type =
    TYPE("job", pm_job_message, 0, DIGEST(pm_job_message, job), TEXT(pm_job_message, kind, MAX_WORD),
         TEXT(pm_job_message, source, PM_MAX_TEXT), REAL(pm_job_message, created),
         UINT(pm_job_message, effort, PM_EFFORT_BEST), UINT(pm_job_message, states, UINT64_MAX),
         UINT(pm_job_message, items, UINT64_MAX), UINT(pm_job_message, known, UINT64_MAX),
         UINT(pm_job_message, units, UINT64_MAX), TEXT(pm_job_message, trace, MAX_NAME));

const pm_message_type pmi_unit_record_type =
    TYPE("unit-record", pm_unit_record, 0, DIGEST(pm_unit_record, unit), DIGEST(pm_unit_record, job),
         TEXT(pm_unit_record, kind, MAX_WORD), UINT(pm_unit_record, cost, UINT64_MAX),
         UINT(pm_unit_record, partition, INT32_MAX), INT(pm_unit_record, offset), REAL(pm_unit_record, time),
         DIGESTS(pm_unit_record, items, MAX_BODY));

const pm_message_type pmi_outcome_type =
    TYPE("outcome", pm_outcome_message, 0, DIGEST(pm_outcome_message, unit), DIGEST(pm_outcome_message, job),
         TEXT(pm_outcome_message, kind, MAX_WORD), UINT(pm_outcome_message, code, UINT8_MAX),
         TEXT(pm_outcome_message, error, PM_MAX_TEXT), DIGESTS(pm_outcome_message, scc, PM_DIGEST_BYTES),
         UINT(pm_outcome_message, attempts, UINT64_MAX), TEXT(pm_outcome_message, worker, MAX_NAME),
         TEXT(pm_outcome_message, topic, MAX_TOPIC), UINT(pm_outcome_message, partition, INT32_MAX),
         INT(pm_outcome_message, offset), REAL(pm_outcome_message, time), REAL(pm_outcome_message, seconds));

const pm_message_type pmi_running_type =
    TYPE("running-unit", pm_running_unit, 0, DIGEST(pm_running_unit, unit), DIGEST(pm_running_unit, job),
         TEXT(pm_running_unit, kind, MAX_WORD), UINT(pm_running_unit, pid, UINT64_MAX),
         UINT(pm_running_unit, attempt, UINT64_MAX), UINT(pm_running_unit, item, UINT64_MAX),
         UINT(pm_running_unit, items, UINT64_MAX), REAL(pm_running_unit, since));

const pm_message_type pmi_worker_type =
    TYPE("worker", pm_worker_message, 0, TEXT(pm_worker_message, id, MAX_NAME), TEXT(pm_worker_message, host, MAX_NAME),
         TEXT(pm_worker_message, version, MAX_NAME), UINT(pm_worker_message, pid, UINT64_MAX),
         TEXT(pm_worker_message, state, MAX_WORD), REAL(pm_worker_message, started), REAL(pm_worker_message, time),
         UINT(pm_worker_message, slots, UINT16_MAX),
         {"units", PM_FIELD_LIST, offsetof(pm_worker_message, units), MAX_SLOTS, &pmi_running_type},
         U32S(pm_worker_message, partitions, MAX_PARTITIONS), UINT(pm_worker_message, done, UINT64_MAX),
         UINT(pm_worker_message, failed, UINT64_MAX), UINT(pm_worker_message, recorded, UINT64_MAX),
         UINT(pm_worker_message, known, UINT64_MAX), UINT(pm_worker_message, resident, UINT64_MAX));

const pm_message_type pmi_result_type =
    TYPE("result", pm_result_message, PM_UNIT_UNPACKED, DIGEST(pm_result_message, result),
         UINT(pm_result_message, n_theta, UINT64_MAX), F64S(pm_result_message, moments, MAX_BODY),
         F64S(pm_result_message, covariance, MAX_BODY), F64S(pm_result_message, atom, MAX_BODY),
         F64S(pm_result_message, pdf, MAX_BODY), F64S(pm_result_message, cdf, MAX_BODY),
         F64S(pm_result_message, survival, MAX_BODY), UINT(pm_result_message, steps, UINT64_MAX),
         REAL(pm_result_message, error_bound));

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
