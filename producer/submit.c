#include "producer/submit.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/retry.h"
#include "producer/hands.h"
#include "producer/pack.h"
#include "redis/manifest.h"
#include "trace/codec.h"

/* Units are made and sent so many at a time: their bodies are in memory no longer. */
#define BODIES_AT_ONCE ((size_t)64)

/* ---- record units from classes ---- */

static pm_status find_pieces(const pm_classes *classes, const uint32_t *numbers, size_t n, pm_piece **out,
                             uint64_t *total, pm_error *err) {
    pm_piece *pieces = pm_malloc(n, sizeof *pieces);
    if (pieces == NULL) {
        return pm_fail_memory(err, "the SCCs to send", n * sizeof *pieces);
    }
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        const pm_topology *t = &classes->canon[numbers[i]].topology;
        size_t n_edges = t->row[t->n];
        pieces[i] = (pm_piece){.number = numbers[i],
                               .cost = pm_record_cost(t->n, n_edges),
                               .bytes = PM_DIGEST_BYTES + 5 + 4 * ((size_t)t->n + n_edges)};
        *total += pieces[i].cost;
    }
    *out = pieces;
    return PM_OK;
}

static pm_status pack_classes(const pm_producer *p, const pm_classes *classes, const uint32_t *numbers, size_t n,
                              pm_packing *out, pm_error *err) {
    pm_piece *pieces = NULL;
    uint64_t total = 0;
    *out = (pm_packing){0};
    pm_status st = find_pieces(classes, numbers, n, &pieces, &total, err);
    if (st == PM_OK) {
        st = pm_pack(pieces, n, pm_unit_limits_for(total, p->n_partitions), out, err);
        free(pieces);
    }
    return st;
}

/* What the units of one turn borrow from: the digests of their items, and the SCCs of the unit at hand. */
typedef struct turn {
    pm_new_unit units[BODIES_AT_ONCE];
    size_t n;
    uint8_t (*items)[PM_DIGEST_BYTES];
    const pm_canon **canons;
} turn;

static pm_status fill_turn(turn *t, const pm_classes *classes, pm_effort effort, const pm_packing *packing,
                           size_t first, size_t end, pm_error *err) {
    size_t base = packing->first[first];
    pm_status st = PM_OK;
    t->n = 0;
    for (size_t u = first; st == PM_OK && u < end; u++) {
        size_t count = packing->first[u + 1] - packing->first[u];
        for (size_t i = 0; i < count; i++) {
            const pm_canon *canon = &classes->canon[packing->numbers[packing->first[u] + i]];
            memcpy(t->items[packing->first[u] - base + i], canon->key, PM_DIGEST_BYTES);
            t->canons[i] = canon;
        }
        pm_new_unit *unit = &t->units[t->n++];
        *unit = (pm_new_unit){
            .kind = "record",
            .items = (const uint8_t(*)[PM_DIGEST_BYTES])(t->items + (packing->first[u] - base)),
            .n_items = count,
            .cost = packing->cost[u],
        };
        st = pm_record_body_write(t->canons, count, effort, &unit->body, err);
    }
    return st;
}

static pm_status send_packing(pm_producer *p, const uint8_t *job, const pm_classes *classes, pm_effort effort,
                              const pm_packing *packing, size_t *n_claims, pm_error *err) {
    size_t n = packing->first[packing->n_units];
    turn *t = pm_calloc(1, sizeof *t);
    pm_status st = PM_OK;
    if (t != NULL) {
        t->items = pm_malloc(n, sizeof *t->items);
        t->canons = pm_malloc(n, sizeof *t->canons);
    }
    if (t == NULL || t->items == NULL || t->canons == NULL) {
        st = pm_fail_memory(err, "units to send", n * sizeof *t->items);
    }
    for (size_t first = 0; st == PM_OK && first < packing->n_units; first += BODIES_AT_ONCE) {
        size_t end = packing->n_units - first < BODIES_AT_ONCE ? packing->n_units : first + BODIES_AT_ONCE;
        st = fill_turn(t, classes, effort, packing, first, end, err);
        if (st == PM_OK) {
            st = pm_send_units(p, job, t->units, t->n, true, n_claims, err);
        }
        for (size_t i = 0; i < t->n; i++) {
            pm_buffer_free(&t->units[i].body);
        }
    }
    if (t != NULL) {
        free(t->items);
        free(t->canons);
    }
    free(t);
    return st;
}

pm_status pm_send_classes(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_classes *classes,
                          pm_effort effort, const uint32_t *numbers, size_t n, size_t *n_units, size_t *n_claims,
                          pm_error *err) {
    pm_packing packing;
    pm_status st = pack_classes(p, classes, numbers, n, &packing, err);
    if (st == PM_OK) {
        *n_units += packing.n_units;
        st = send_packing(p, job, classes, effort, &packing, n_claims, err);
    }
    pm_packing_free(&packing);
    return st;
}

/* ---- one submission ---- */

typedef struct submission {
    pm_producer *p;
    const pm_graph *graph;
    const pm_split *split;
    const pm_classes *classes;
    const pm_submit_options *options;
    pm_submit_report *report;
    uint8_t (*keys)[PM_DIGEST_BYTES]; /* of the classes */
    bool *known, *missing;
    uint32_t *numbers; /* of the classes to send */
    size_t n_numbers;
} submission;

static pm_retry retry_redis(pm_producer *p) {
    return pm_producer_retry(p, "Redis");
}

static pm_status find_known(submission *s, pm_error *err) {
    pm_status st;
    pm_retry retry = retry_redis(s->p);
    do {
        s->report->uploaded = 0;
        st = pm_traces_known(s->p->traces, (const uint8_t(*)[PM_DIGEST_BYTES])s->keys, s->classes->n_classes, s->known,
                             &s->report->uploaded, err);
    } while (pm_retry_again(&retry, st, err));
    for (size_t i = 0; st == PM_OK && i < s->classes->n_classes; i++) {
        s->missing[i] = !s->known[i];
        s->report->known += s->known[i] ? 1 : 0;
    }
    return st;
}

/* The manifest of a job that was submitted with another effort is replaced: its traces have other keys. */
static pm_status look_at_old_job(submission *s, pm_error *err) {
    pm_job_message old;
    pm_note note = {0};
    pm_error why = {0};
    pm_status st = pm_board_job(s->p->traces->redis, s->report->job, &old, &note, &why);
    if (st == PM_EDATA) {
        pm_logf(s->p->log, PM_LOG_WARNING, "%s; it is replaced", why.text);
        return PM_OK;
    }
    if (st != PM_OK) {
        return pm_fail(err, st, "%s", why.text);
    }
    if (note.found && old.effort != (uint64_t)s->options->effort) {
        pm_logf(s->p->log, PM_LOG_INFO,
                "the job was submitted with another --effort before; its manifest is replaced by this one's");
    }
    pm_note_free(&note);
    return st;
}

static pm_status put_manifest(submission *s, pm_error *err) {
    pm_buffer own = {0};
    pm_buffer *encoded = s->options->manifest != NULL ? s->options->manifest : &own;
    pm_status st = pm_manifest_encode(s->graph, s->classes, s->split, s->options->effort, encoded, err);
    pm_retry retry = retry_redis(s->p);
    if (st == PM_OK) {
        do {
            st = pm_manifest_put(s->p->traces->redis, s->report->job, encoded, err);
        } while (pm_retry_again(&retry, st, err));
    }
    pm_buffer_free(&own);
    return st;
}

static pm_status open_job(submission *s, size_t n_units, pm_error *err) {
    char room[PM_TEXT_MOST + 1]; /* a path may be any bytes */
    pm_span source = pm_span_clean(s->options->source == NULL ? "" : s->options->source, room, sizeof room);
    pm_job_message job = {.kind = pm_span_of("record"),
                          .source = source,
                          .effort = (uint64_t)s->options->effort,
                          .states = s->graph->n_vertices,
                          .items = s->classes->n_classes,
                          .known = s->report->known,
                          .units = n_units,
                          .trace = pm_span_of(s->p->trace)};
    memcpy(job.job, s->report->job, PM_DIGEST_BYTES);
    pm_status st;
    pm_retry retry = retry_redis(s->p);
    do {
        st = look_at_old_job(s, err);
        st = st == PM_OK ? pm_board_open_job(s->p->traces->redis, &job, err) : st;
    } while (pm_retry_again(&retry, st, err));
    return st;
}

/* ---- small graphs: recorded here ---- */

static pm_status record_here(submission *s, const pm_canon *canon, pm_isa isa, pm_error *err) {
    pm_record_options options = {.effort = s->options->effort, .memory = s->options->memory, .isa = isa};
    pm_plan plan = {0};
    pm_buffer encoded = {0};
    pm_status st = pm_record(canon, &options, &plan, err);
    if (st == PM_OK) {
        st = pm_trace_encode(&plan.trace, canon->key, &encoded, err);
        pm_plan_free(&plan);
    }
    if (st == PM_OK) {
        pm_cache_entry entry = {.bytes = encoded.bytes, .size = encoded.size};
        memcpy(entry.key, canon->key, PM_DIGEST_BYTES);
        pm_trace_cache cache = pm_traces_cache(s->p->traces);
        pm_retry retry = retry_redis(s->p);
        do {
            st = cache.put(cache.ctx, &entry, 1, err);
        } while (pm_retry_again(&retry, st, err));
    }
    pm_buffer_free(&encoded);
    return st;
}

static pm_status note_all_known(submission *s, pm_error *err) {
    pm_status st;
    pm_retry retry = retry_redis(s->p);
    do {
        st = pm_board_known(s->p->traces->redis, s->report->job, s->classes->n_classes, err);
    } while (pm_retry_again(&retry, st, err));
    return st;
}

static pm_status record_all_here(submission *s, pm_error *err) {
    pm_isa isa;
    pm_status st = pm_isa_choose(NULL, &isa, err);
    for (size_t i = 0; st == PM_OK && i < s->classes->n_classes; i++) {
        if (s->missing[i]) {
            st = record_here(s, &s->classes->canon[i], isa, err);
            s->report->recorded_here += st == PM_OK ? 1 : 0;
        }
    }
    st = st == PM_OK ? note_all_known(s, err) : st;
    pm_logf(s->p->log, PM_LOG_DEBUG, "%zu states are fewer than --min-size %zu: %zu SCCs were recorded here",
            s->report->states, s->options->min_size, s->report->recorded_here);
    return st;
}

/* ---- all others: sent, unless somebody has them ---- */

/* Leaves in `missing` what nobody has. */
static pm_status leave_out_held(submission *s, pm_error *err) {
    size_t n = s->classes->n_classes, n_held = 0;
    pm_item_index index;
    pm_status st = pm_item_index_new((const uint8_t(*)[PM_DIGEST_BYTES])s->keys, n, &index, err);
    if (st != PM_OK) {
        return st;
    }
    pm_hands hands = {0};
    pm_retry retry = pm_producer_retry(s->p, "Kafka or Redis");
    do {
        st = pm_hands_look(s->p, s->report->job, "record", &index, s->missing, &hands, err);
    } while (pm_retry_again(&retry, st, err));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        n_held += hands.held[i] ? 1 : 0;
        s->missing[i] = s->missing[i] && !hands.held[i];
    }
    if (n_held > 0) {
        pm_logf(s->p->log, PM_LOG_INFO, "%zu SCCs of this job are with workers or on their way to them already",
                n_held);
    }
    pm_hands_free(&hands);
    pm_item_index_free(&index);
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
    if (st == PM_OK) {
        st = pack_classes(s->p, s->classes, s->numbers, s->n_numbers, &packing, err);
    }
    if (st == PM_OK) {
        s->report->units = packing.n_units;
        st = open_job(s, packing.n_units, err);
    }
    if (st == PM_OK) {
        st = send_packing(s->p, s->report->job, s->classes, s->options->effort, &packing, &s->report->units_by_claim,
                          err);
    }
    pm_packing_free(&packing);
    return st;
}

static pm_status send_or_record(submission *s, pm_error *err) {
    size_t n = s->classes->n_classes;
    if (s->report->known < n && s->graph->n_vertices >= s->options->min_size) {
        return send_missing(s, err);
    }
    pm_status st = open_job(s, 0, err);
    return st == PM_OK && s->report->known < n ? record_all_here(s, err) : st;
}

/* The manifest, which takes as long to make as all the rest, comes last: recording has begun meanwhile. A submission
 * that was killed before it is made again. */
static pm_status submit(submission *s, pm_error *err) {
    size_t n = s->classes->n_classes;
    s->keys = pm_malloc(n, sizeof *s->keys);
    s->known = pm_calloc(n, sizeof *s->known);
    s->missing = pm_calloc(n, sizeof *s->missing);
    s->numbers = pm_malloc(n, sizeof *s->numbers);
    if (s->keys == NULL || s->known == NULL || s->missing == NULL || s->numbers == NULL) {
        return pm_fail_memory(err, "the SCCs of a job", n * (PM_DIGEST_BYTES + 8));
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(s->keys[i], s->classes->canon[i].key, PM_DIGEST_BYTES);
    }
    memcpy(s->report->job, s->graph->digest, PM_DIGEST_BYTES);
    s->report->states = s->graph->n_vertices;
    s->report->sccs = s->split->n_nontrivial;
    s->report->items = n;
    pm_status st = find_known(s, err);
    if (st == PM_OK) {
        st = send_or_record(s, err);
    }
    return st == PM_OK ? put_manifest(s, err) : st;
}

pm_status pm_submit(pm_producer *p, const pm_graph *graph, const pm_split *split, const pm_classes *classes,
                    const pm_submit_options *options, pm_submit_report *report, pm_error *err) {
    pm_split own_split = {0};
    pm_classes own_classes = {0};
    pm_status st = PM_OK;
    *report = (pm_submit_report){0};
    if (split == NULL) {
        st = pm_split_graph(graph, p->log, &own_split, err);
        split = &own_split;
    }
    if (st == PM_OK && classes == NULL) {
        st = pm_classes_find(graph, split, options->effort, 0, p->log, &own_classes, err);
        classes = &own_classes;
    }
    if (st == PM_OK) {
        submission s = {
            .p = p, .graph = graph, .split = split, .classes = classes, .options = options, .report = report};
        st = submit(&s, err);
        free(s.keys);
        free(s.known);
        free(s.missing);
        free(s.numbers);
    }
    pm_classes_free(&own_classes);
    pm_split_free(&own_split);
    return st;
}
