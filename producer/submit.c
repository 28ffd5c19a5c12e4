#include "producer/submit.h"

#include <string.h>

#include "redis/manifest.h"
#include "trace/codec.h"
#include "units/in_flight.h"
#include "units/send.h"

/* ---- one submission ---- */

typedef struct submission {
    pm_producer *p;
    const pm_analysis *analysis;
    const pm_classes *classes; /* of the analysis */
    const pm_submit_options *options;
    pm_submit_report *report;
    pm_digest *keys; /* of the classes */
    bool *known, *missing;
    uint32_t *numbers; /* of the classes to send */
    size_t n_numbers;
    pm_pool pool;
} submission;

static pm_status find_known(submission *s, pm_error *err) {
    pm_status st;
    pm_retry retry = pmi_producer_retry(s->p, "Redis");
    do {
        s->report->uploaded = 0;
        st = pmi_traces_known(s->p->traces, (const pm_digest *)s->keys, s->classes->n_classes, s->known,
                              &s->report->uploaded, err);
    } while (pmi_retry_again(&retry, st, err));
    PM_TRY(st);
    for (size_t i = 0; i < s->classes->n_classes; i++) {
        s->missing[i] = !s->known[i];
        s->report->known += s->known[i] ? 1 : 0;
    }
    return PM_OK;
}

/* The manifest of a job that was submitted with another effort is replaced: its traces have other keys. */
static pm_status look_at_old_job(submission *s, pm_error *err) {
    pm_job_message old;
    pm_stored note = {0};
    pm_status st = pmi_board_job(s->p->traces->redis, s->report->job, &old, &note, err);
    if (st == PM_EDATA) {
        pmi_logf(s->p->log, PM_LOG_WARNING, "%s; it is replaced", err->text);
        return PM_OK;
    }
    if (st == PM_OK && note.found && old.effort != (uint64_t)s->analysis->effort) {
        pmi_logf(s->p->log, PM_LOG_INFO,
                 "the job was submitted with another --effort before; its manifest is replaced by this one's");
    }
    pmi_stored_free(&note);
    return st;
}

static pm_status put_manifest(submission *s, pm_error *err) {
    pm_buffer own = {0};
    pm_buffer *encoded = s->options->manifest != NULL ? s->options->manifest : &own;
    pm_status st = pmi_manifest_encode(s->analysis, encoded, err);
    pm_retry retry = pmi_producer_retry(s->p, "Redis");
    if (st == PM_OK) {
        do {
            st = pmi_manifest_put(s->p->traces->redis, s->report->job, encoded, err);
        } while (pmi_retry_again(&retry, st, err));
    }
    pmi_buffer_free(&own);
    return st;
}

static pm_status open_job(submission *s, size_t n_units, pm_error *err) {
    char room[PM_MAX_TEXT + 1]; /* a path may be any bytes */
    pm_span source = pmi_span_clean(s->options->source == NULL ? "" : s->options->source, room, sizeof room);
    pm_job_message job = {.kind = pmi_span_of(pmi_record_units.name),
                          .source = source,
                          .effort = (uint64_t)s->analysis->effort,
                          .states = s->analysis->graph->n_vertices,
                          .items = s->classes->n_classes,
                          .known = s->report->known,
                          .units = n_units,
                          .trace = pmi_span_of(s->p->trace)};
    memcpy(job.job, s->report->job, PM_DIGEST_BYTES);
    pm_status st;
    pm_retry retry = pmi_producer_retry(s->p, "Redis");
    do {
        st = look_at_old_job(s, err);
        PM_THEN(st, pmi_board_open_job(s->p->traces->redis, &job, err));
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

/* ---- small graphs: recorded here ---- */

static pm_status record_here(submission *s, const pm_canon *canon, pm_isa isa, pm_error *err) {
    pm_record_options options = {.effort = s->analysis->effort, .memory = s->options->memory, .isa = isa};
    pm_plan plan = {0};
    pm_buffer encoded = {0};
    pm_status st = pmi_record(canon, &options, &plan, err);
    if (st == PM_OK) {
        st = pmi_trace_encode(&plan.trace, canon->key, &encoded, err);
        pmi_plan_free(&plan);
    }
    if (st == PM_OK) {
        pm_cache_entry entry = {.bytes = encoded.bytes, .size = encoded.size};
        memcpy(entry.key, canon->key, PM_DIGEST_BYTES);
        pm_trace_cache cache = pmi_traces_cache(s->p->traces);
        pm_retry retry = pmi_producer_retry(s->p, "Redis");
        do {
            st = cache.put(cache.ctx, &entry, 1, err);
        } while (pmi_retry_again(&retry, st, err));
    }
    pmi_buffer_free(&encoded);
    return st;
}

static pm_status note_all_known(submission *s, pm_error *err) {
    pm_status st;
    pm_retry retry = pmi_producer_retry(s->p, "Redis");
    do {
        st = pmi_board_known(s->p->traces->redis, s->report->job, s->classes->n_classes, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

static pm_status record_all_here(submission *s, pm_error *err) {
    pm_isa isa;
    pm_status st = pmi_isa_choose(NULL, &isa, err);
    for (size_t i = 0; st == PM_OK && i < s->classes->n_classes; i++) {
        if (s->missing[i]) {
            st = record_here(s, &s->classes->canon[i], isa, err);
            s->report->recorded_here += st == PM_OK ? 1 : 0;
        }
    }
    PM_THEN(st, note_all_known(s, err));
    pmi_logf(s->p->log, PM_LOG_DEBUG, "%zu states are fewer than --min-size %zu: %zu SCCs were recorded here",
             s->report->states, s->options->min_size, s->report->recorded_here);
    return st;
}

/* ---- all others: sent, unless somebody has them ---- */

/* Leaves in `missing` what nobody has. */
static pm_status leave_out_held(submission *s, pm_error *err) {
    size_t n = s->classes->n_classes, n_held = 0;
    pm_item_index index;
    PM_TRY(pmi_item_index_new((const pm_digest *)s->keys, n, &index, err));
    pm_in_flight in_flight = {0};
    pm_retry retry = pmi_producer_retry(s->p, "Kafka or Redis");
    pm_status st;
    do {
        st = pmi_in_flight_look(s->p, s->report->job, &pmi_record_units, &index, s->missing, &in_flight, err);
    } while (pmi_retry_again(&retry, st, err));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        n_held += in_flight.held[i] ? 1 : 0;
        s->missing[i] = s->missing[i] && !in_flight.held[i];
    }
    if (n_held > 0) {
        pmi_logf(s->p->log, PM_LOG_INFO, "%zu SCCs of this job are with workers or on their way to them already",
                 n_held);
    }
    pmi_in_flight_free(&in_flight);
    pmi_item_index_free(&index);
    return st;
}

static pm_status send_missing(submission *s, pm_error *err) {
    pm_status st = leave_out_held(s, err);
    for (uint32_t i = 0; st == PM_OK && i < s->classes->n_classes; i++) {
        if (s->missing[i]) {
            s->numbers[s->n_numbers++] = i;
        }
    }
    pm_packing packing = {0};
    PM_THEN(st, pmi_pack_classes(s->p, s->classes, s->numbers, s->n_numbers, &packing, err));
    if (st == PM_OK) {
        s->report->units = packing.n_units;
        st = open_job(s, packing.n_units, err);
    }
    PM_THEN(st, pmi_send_packing(s->p, s->report->job, s->classes, s->analysis->effort, &packing,
                                 &s->report->units_by_claim, err));
    pmi_packing_free(&packing);
    return st;
}

static pm_status send_or_record(submission *s, pm_error *err) {
    size_t n = s->classes->n_classes;
    if (s->report->known < n && s->analysis->graph->n_vertices >= s->options->min_size) {
        return send_missing(s, err);
    }
    pm_status st = open_job(s, 0, err);
    return st == PM_OK && s->report->known < n ? record_all_here(s, err) : st;
}

/* The manifest, slow to make, comes last: recording has begun. A submission killed before it is made again. */
static pm_status submit(submission *s, pm_error *err) {
    size_t n = s->classes->n_classes;
    s->known = pmi_pool_zeros(&s->pool, n, sizeof *s->known);
    s->missing = pmi_pool_zeros(&s->pool, n, sizeof *s->missing);
    s->numbers = pmi_pool_array(&s->pool, n, sizeof *s->numbers);
    PM_TRY(pmi_pool_check(&s->pool, err, "the SCCs of a job", n * (PM_DIGEST_BYTES + 8)));
    PM_TRY(pmi_trace_keys(s->classes, &s->keys, err));
    memcpy(s->report->job, s->analysis->graph->digest, PM_DIGEST_BYTES);
    s->report->states = s->analysis->graph->n_vertices;
    s->report->sccs = s->analysis->split.n_nontrivial;
    s->report->items = n;
    PM_TRY(find_known(s, err));
    PM_TRY(send_or_record(s, err));
    return put_manifest(s, err);
}

pm_status pmi_submit(pm_producer *p, const pm_analysis *analysis, const pm_submit_options *options,
                     pm_submit_report *report, pm_error *err) {
    *report = (pm_submit_report){0};
    submission s = {.p = p, .analysis = analysis, .classes = &analysis->classes, .options = options, .report = report};
    pm_status st = submit(&s, err);
    free(s.keys);
    pmi_pool_free(&s.pool);
    return st;
}

/* ---- where traces are recorded soonest ---- */

/* What a job costs on the cluster by itself. */
#define JOB_SECONDS 0.5
#define COSTS_PER_SECOND 1e6

double pmi_choice_most_seconds(const pm_analysis *analysis) {
    const pm_split *split = &analysis->split;
    uint64_t cost = 0;
    for (uint32_t scc = 0; scc < split->n_sccs; scc++) {
        size_t n_edges = 0;
        uint32_t first = split->scc_first[scc], n = split->scc_first[scc + 1] - first;
        for (uint32_t i = 0; n > 1 && i < n; i++) {
            uint32_t v = split->member[first + i];
            n_edges += split->row[v + 1] - split->row[v];
        }
        cost += n > 1 ? pmi_record_cost(n, n_edges) : 0;
    }
    return (double)cost / COSTS_PER_SECOND;
}

static pm_status estimate_missing(const pm_producer *p, const pm_classes *classes, const pm_digest *keys, bool *known,
                                  double *seconds, pm_error *err) {
    size_t uploaded;
    uint64_t cost = 0;
    PM_TRY(pmi_traces_known(p->traces, keys, classes->n_classes, known, &uploaded, err));
    for (size_t i = 0; i < classes->n_classes; i++) {
        const pm_topology *t = &classes->canon[i].topology;
        cost += known[i] ? 0 : pmi_record_cost(t->n, t->row[t->n]);
    }
    *seconds = (double)cost / COSTS_PER_SECOND;
    return PM_OK;
}

pm_status pmi_choose(const pm_producer *p, const pm_analysis *analysis, unsigned threads, pm_choice *out,
                     pm_error *err) {
    const pm_classes *classes = &analysis->classes;
    size_t n = classes->n_classes;
    double seconds = 0;
    *out = (pm_choice){.on_cluster = false};
    PM_TRY(pmi_count_workers(p->traces->redis, &out->workers, &out->slots, err));
    if (out->slots == 0) {
        return PM_OK;
    }
    pm_digest *keys;
    PM_TRY(pmi_trace_keys(classes, &keys, err));
    bool *known = pmi_calloc(n, sizeof *known);
    pm_status st = known == NULL ? pmi_fail_memory(err, "the keys of SCCs", n * sizeof *keys)
                                 : estimate_missing(p, classes, (const pm_digest *)keys, known, &seconds, err);
    free(keys);
    free(known);
    out->here = seconds / threads;
    out->there = seconds / (double)out->slots + JOB_SECONDS;
    out->on_cluster = st == PM_OK && out->there < out->here;
    return st;
}
