/* Units, packed and unpacked: what producer and worker agree on. */
#ifndef PM_WIRE_UNITS_H
#define PM_WIRE_UNITS_H

#include "trace/library.h"
#include "wire/messages.h"

/* Inline up to here (encoded bytes); larger units go by claim check. */
#define PM_UNIT_INLINE ((size_t)256 << 10)
/* The most bytes that one unit may unfold to. */
#define PM_UNIT_UNPACKED ((size_t)2 << 30)

/* SHA-256 of "phasemill unit 1", kind, job and items in order; of a probe, whose item is its own id, its body's. */
pm_status pmi_unit_id(const char *kind, const pm_digest job, const pm_digest *items, size_t n_items, pm_digest unit,
                      pm_error *err);

/* Estimated microseconds of one core for recording with effort `balanced`. Measured (bench/bench_cost.c): 0.15 (long
 * chains) to 2.5 times as long (random digraphs); `fast` 0.14 to 2.2 times, `best` 0.15 to 14 times. */
uint64_t pmi_record_cost(uint32_t n, size_t n_edges);

/* The body of a record unit from canonical SCCs, appended to `out`. */
pm_status pmi_record_body_write(const pm_canon *const *sccs, size_t n, pm_effort effort, pm_buffer *out, pm_error *err);

/* The SCCs of a record body, one after the other: untrusted, so each topology is checked (ranges, order, no
 * self-loops, strongly connected), and its key computed again from it; another key than the body says is PM_EDATA. */
typedef struct pm_record_reader {
    pm_record_body body;
    pm_message_memory memory;
    size_t n, at;     /* SCCs, the next one */
    size_t row, edge; /* where it begins in degrees and targets */
} pm_record_reader;
pm_status pmi_record_reader_open(pm_span body, pm_record_reader *out, pm_error *err);
/* The next SCC; `out->name` is NULL. Call n times. Free with pmi_canon_free. */
pm_status pmi_record_reader_next(pm_record_reader *reader, pm_canon *out, pm_error *err);
void pmi_record_reader_close(pm_record_reader *reader);

/* Version of the evaluator: raise it when the same request would give other bits. */
#define PM_EVALUATOR_VERSION 1

/* The key of a slice's result: SHA-256 of "phasemill result 1", the version, the graph, the keys of its traces (which
 * tell effort and versions of recording), and the body as it is encoded with a `result` of zeros. */
pm_status pmi_result_key(const pm_digest graph, const pm_library *library, const pm_evaluate_body *body, pm_digest key,
                         pm_error *err);

#endif
