#include "wire/units.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define UNIT_ID_DOMAIN "phasemill unit 1"

pm_status pmi_unit_id(const char *kind, const pm_digest job, const pm_digest *items, size_t n_items, pm_digest unit,
                      pm_error *err) {
    pm_hasher *h;
    pm_status st = pmi_hasher_new(PM_SHA256, &h, err);
    PM_THEN(st, pmi_hasher_add(h, UNIT_ID_DOMAIN, strlen(UNIT_ID_DOMAIN), err));
    PM_THEN(st, pmi_hasher_add(h, kind, strlen(kind), err));
    PM_THEN(st, pmi_hasher_add(h, job, PM_DIGEST_BYTES, err));
    PM_THEN(st, pmi_hasher_add(h, items, n_items * PM_DIGEST_BYTES, err));
    PM_THEN(st, pmi_hasher_finish(h, unit, err));
    pmi_hasher_free(h);
    return st;
}

/* Fitted to effort `balanced` (bench/bench_cost.c): the time for an edge grows about as the root of their number. */
uint64_t pmi_record_cost(uint32_t n, size_t n_edges) {
    double edges = (double)n_edges;
    double estimate = 10 + 0.1 * n + edges / 5 + edges * sqrt(edges) / 32;
    return (uint64_t)fmin(estimate, 1e18);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

typedef struct columns {
    uint8_t *keys, *as_given;
    uint32_t *states, *degrees, *targets;
    size_t n, rows, edges;
    pm_pool pool; /* the arrays */
} columns;

static pm_status count_columns(const pm_canon *const *sccs, size_t n, columns *c, pm_error *err) {
    *c = (columns){.n = n};
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const pm_topology *t = &sccs[i]->topology;
        size_t own;
        if (!pmi_add(c->rows, t->n, &c->rows) || !pmi_add(c->edges, t->row[t->n], &c->edges) ||
            !pmi_mul(t->row[t->n], sizeof *t->col, &own) || !pmi_add(own, (size_t)t->n * 4 + 64, &own) ||
            !pmi_add(bytes, own, &bytes)) {
            bytes = SIZE_MAX;
            break;
        }
    }
    if (bytes > PM_UNIT_UNPACKED - 8192) {
        return pmi_fail(err, PM_EUSAGE,
                        "%zu SCCs of %zu states and %zu inner edges do not fit a unit of %zu bytes; record this graph "
                        "with --strategy threads",
                        n, c->rows, c->edges, PM_UNIT_UNPACKED);
    }
    return PM_OK;
}

static pm_status columns_new(const pm_canon *const *sccs, size_t n, columns *c, pm_error *err) {
    PM_TRY(count_columns(sccs, n, c, err));
    c->keys = pmi_pool_array(&c->pool, n, PM_DIGEST_BYTES);
    c->as_given = pmi_pool_array(&c->pool, n, 1);
    c->states = pmi_pool_array(&c->pool, n, sizeof *c->states);
    c->degrees = pmi_pool_array(&c->pool, c->rows, sizeof *c->degrees);
    c->targets = pmi_pool_array(&c->pool, c->edges, sizeof *c->targets);
    return pmi_pool_check(&c->pool, err, "the body of a unit", (c->rows + c->edges) * sizeof *c->targets);
}

static void fill_columns(const pm_canon *const *sccs, columns *c) {
    size_t row = 0, edge = 0;
    for (size_t i = 0; i < c->n; i++) {
        const pm_topology *t = &sccs[i]->topology;
        memcpy(c->keys + i * PM_DIGEST_BYTES, sccs[i]->key, PM_DIGEST_BYTES);
        c->as_given[i] = sccs[i]->as_given;
        c->states[i] = t->n;
        for (uint32_t v = 0; v < t->n; v++) {
            c->degrees[row++] = (uint32_t)(t->row[v + 1] - t->row[v]);
        }
        memcpy(c->targets + edge, t->col, t->row[t->n] * sizeof *t->col);
        edge += t->row[t->n];
    }
}

pm_status pmi_record_body_write(const pm_canon *const *sccs, size_t n, pm_effort effort, pm_buffer *out,
                                pm_error *err) {
    columns c;
    pm_status st = columns_new(sccs, n, &c, err);
    if (st == PM_OK) {
        fill_columns(sccs, &c);
        const pm_record_body body = {.effort = (uint64_t)effort,
                                     .keys = {c.keys, n * PM_DIGEST_BYTES},
                                     .as_given = {c.as_given, n},
                                     .states = pmi_u32s(c.states, n),
                                     .degrees = pmi_u32s(c.degrees, c.rows),
                                     .targets = pmi_u32s(c.targets, c.edges)};
        st = pmi_message_encode(&pmi_record_type, &body, out, err);
    }
    pmi_pool_free(&c.pool);
    return st;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* Arrays lie where they were read, which may not be aligned. */
static uint32_t u32_at(pm_span span, size_t i) {
    uint32_t value;
    memcpy(&value, span.bytes + i * sizeof value, sizeof value);
    return value;
}

static pm_status check_count(const char *name, size_t found, uint64_t expected, pm_error *err) {
    return found == expected
               ? PM_OK
               : pmi_fail(err, PM_EDATA, "%s: expected %" PRIu64 " values, found %zu", name, expected, found);
}

static pm_status check_sccs(const pm_record_reader *r, uint64_t *rows, pm_error *err) {
    *rows = 0;
    for (size_t i = 0; i < r->n; i++) {
        uint32_t states = u32_at(r->body.states, i);
        if (states < 2 || states == UINT32_MAX) {
            return pmi_fail(err, PM_EDATA, "SCC %zu: expected 2 states or more, below 2^32 - 1, found %" PRIu32, i,
                            states);
        }
        if (r->body.as_given.bytes[i] > 1) {
            return pmi_fail(err, PM_EDATA, "SCC %zu: as_given: expected 0 or 1, found %u", i,
                            (unsigned)r->body.as_given.bytes[i]);
        }
        *rows += states;
    }
    return PM_OK;
}

/* Every column has the length that those before it say. */
static pm_status check_columns(pm_record_reader *r, pm_error *err) {
    const pm_record_body *b = &r->body;
    uint64_t rows = 0, edges = 0;
    r->n = b->keys.size / PM_DIGEST_BYTES;
    PM_TRY(check_count("as_given", b->as_given.size, r->n, err));
    PM_TRY(check_count("states", b->states.size / 4, r->n, err));
    PM_TRY(check_sccs(r, &rows, err));
    PM_TRY(check_count("degrees", b->degrees.size / 4, rows, err));
    for (size_t i = 0; i < rows; i++) {
        edges += u32_at(b->degrees, i);
    }
    return check_count("targets", b->targets.size / 4, edges, err);
}

pm_status pmi_record_reader_open(pm_span body, pm_record_reader *out, pm_error *err) {
    *out = (pm_record_reader){.n = 0};
    PM_TRY(pmi_message_decode(&pmi_record_type, body.bytes, body.size, &out->body, &out->memory, err));
    pm_status st = check_columns(out, err);
    if (st != PM_OK) {
        pmi_fail_prefix(err, "%s", pmi_record_type.name);
        pmi_record_reader_close(out);
    }
    return st;
}

/* Row v, whose targets begin at `edge`: below n, ascending, without v. */
static pm_status read_row(const pm_record_reader *r, pm_topology *t, uint32_t v, size_t edge, pm_error *err) {
    for (size_t at = t->row[v]; at < t->row[v + 1]; at++) {
        uint32_t target = u32_at(r->body.targets, edge + at);
        if (target >= t->n || target == v || (at > t->row[v] && target <= t->col[at - 1])) {
            return pmi_fail(err, PM_EDATA,
                            "state %" PRIu32 ": expected targets below %" PRIu32
                            ", ascending and without itself, found "
                            "%" PRIu32,
                            v, t->n, target);
        }
        t->col[at] = target;
    }
    return PM_OK;
}

/* The lengths of all columns are known to agree, so that only the targets themselves are left to check. */
static pm_status read_topology(const pm_record_reader *r, pm_topology *t, pm_error *err) {
    t->n = u32_at(r->body.states, r->at);
    PM_TRY(PM_NEW(&t->row, (size_t)t->n + 1, "the rows of an SCC", err));
    t->row[0] = 0;
    for (uint32_t v = 0; v < t->n; v++) {
        t->row[v + 1] = t->row[v] + u32_at(r->body.degrees, r->row + v);
    }
    PM_TRY(PM_NEW(&t->col, t->row[t->n], "the inner edges of an SCC", err));
    for (uint32_t v = 0; v < t->n; v++) {
        PM_TRY(read_row(r, t, v, r->edge, err));
    }
    return PM_OK;
}

/* The recorder takes it for granted; of anything else it would make a trace that every reader refuses. */
static pm_status check_strong(const pm_topology *t, pm_error *err) {
    bool is_strong = false;
    PM_TRY(pmi_topology_is_strong(t, &is_strong, err));
    if (!is_strong) {
        return pmi_fail(err, PM_EDATA,
                        "expected a strongly connected component, found states that do not lead to each other");
    }
    return PM_OK;
}

static pm_status check_key(const pm_record_reader *r, const pm_canon *canon, pm_error *err) {
    const uint8_t *expected = r->body.keys.bytes + r->at * PM_DIGEST_BYTES;
    if (memcmp(canon->key, expected, PM_DIGEST_BYTES) == 0) {
        return PM_OK;
    }
    char found[PM_DIGEST_HEX];
    pmi_hex(canon->key, found);
    return pmi_fail(
        err, PM_EDATA,
        "expected key %s, found %s from its topology: producer and worker are of different versions, or the "
        "unit was altered; submit the graph again with this version",
        PM_HEX(expected), found);
}

pm_status pmi_record_reader_next(pm_record_reader *r, pm_canon *out, pm_error *err) {
    *out = (pm_canon){.name = NULL};
    if (r->at >= r->n) {
        return pmi_fail(err, PM_ESOFTWARE, "a unit of %zu SCCs was asked for another one", r->n);
    }
    out->as_given = r->body.as_given.bytes[r->at] == 1;
    pm_status st = read_topology(r, &out->topology, err);
    PM_THEN(st, check_strong(&out->topology, err));
    PM_THEN(st, pmi_canon_identify(out, (pm_effort)r->body.effort, err));
    PM_THEN(st, check_key(r, out, err));
    if (st != PM_OK) {
        pmi_fail_prefix(err, "SCC %zu of the unit", r->at);
        pmi_canon_free(out);
        return st;
    }
    r->row += out->topology.n;
    r->edge += out->topology.row[out->topology.n];
    r->at++;
    return PM_OK;
}

void pmi_record_reader_close(pm_record_reader *r) {
    pmi_message_memory_free(&r->memory);
    *r = (pm_record_reader){.n = 0};
}

/* ---- keys of results ----------------------------------------------------------------------------------- */

static pm_status add_all(pm_hasher *h, const uint8_t *graph, const pm_library *library, const pm_buffer *body,
                         pm_error *err) {
    static const char domain[] = "phasemill result 1";
    const uint8_t version = PM_EVALUATOR_VERSION;
    PM_TRY(pmi_hasher_add(h, domain, sizeof domain, err));
    PM_TRY(pmi_hasher_add(h, &version, 1, err));
    PM_TRY(pmi_hasher_add(h, graph, PM_DIGEST_BYTES, err));
    for (uint32_t c = 0; c < library->n_classes; c++) {
        PM_TRY(pmi_hasher_add(h, library->classes[c].key, PM_DIGEST_BYTES, err));
    }
    return pmi_hasher_add(h, body->bytes, body->size, err);
}

pm_status pmi_result_key(const pm_digest graph, const pm_library *library, const pm_evaluate_body *body, pm_digest key,
                         pm_error *err) {
    pm_evaluate_body keyless = *body;
    pm_buffer encoded = {0};
    pm_hasher *h = NULL;
    memset(keyless.result, 0, sizeof keyless.result);
    pm_status st = pmi_message_encode(&pmi_evaluate_type, &keyless, &encoded, err);
    PM_THEN(st, pmi_hasher_new(PM_SHA256, &h, err));
    PM_THEN(st, add_all(h, graph, library, &encoded, err));
    PM_THEN(st, pmi_hasher_finish(h, key, err));
    pmi_hasher_free(h);
    pmi_buffer_free(&encoded);
    return st;
}
