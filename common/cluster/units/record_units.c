#include "units/record_units.h"

#include <string.h>

#include "base/mem.h"
#include "trace/codec.h"

/* Units are made and sent so many at a time: their bodies are in memory no longer. */
#define BODIES_AT_ONCE ((size_t)64)

static pm_status find_pieces(const pm_classes *classes, const uint32_t *numbers, size_t n, pm_piece **out,
                             uint64_t *total, pm_error *err) {
    pm_piece *pieces = pmi_malloc(n, sizeof *pieces);
    if (pieces == NULL) {
        return pmi_fail_memory(err, "the SCCs to send", n * sizeof *pieces);
    }
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        const pm_topology *t = &classes->canon[numbers[i]].topology;
        size_t n_edges = t->row[t->n];
        pieces[i] = (pm_piece){.number = numbers[i],
                               .cost = pmi_record_cost(t->n, n_edges),
                               .bytes = PM_DIGEST_BYTES + 5 + 4 * ((size_t)t->n + n_edges)};
        *total += pieces[i].cost;
    }
    *out = pieces;
    return PM_OK;
}

pm_status pmi_pack_classes(const pm_producer *p, const pm_classes *classes, const uint32_t *numbers, size_t n,
                           pm_packing *out, pm_error *err) {
    pm_piece *pieces = NULL;
    uint64_t total = 0;
    *out = (pm_packing){0};
    PM_TRY(find_pieces(classes, numbers, n, &pieces, &total, err));
    pm_status st = pmi_pack(pieces, n, pmi_unit_limits_for(total, p->n_partitions), out, err);
    free(pieces);
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
    t->n = 0;
    for (size_t u = first; u < end; u++) {
        size_t count = packing->first[u + 1] - packing->first[u];
        for (size_t i = 0; i < count; i++) {
            const pm_canon *canon = &classes->canon[packing->numbers[packing->first[u] + i]];
            memcpy(t->items[packing->first[u] - base + i], canon->key, PM_DIGEST_BYTES);
            t->canons[i] = canon;
        }
        pm_new_unit *unit = &t->units[t->n++];
        *unit = (pm_new_unit){
            .kind = &pmi_record_units,
            .items = (const uint8_t(*)[PM_DIGEST_BYTES])(t->items + (packing->first[u] - base)),
            .n_items = count,
            .cost = packing->cost[u],
        };
        PM_TRY(pmi_record_body_write(t->canons, count, effort, &unit->body, err));
    }
    return PM_OK;
}

pm_status pmi_send_packing(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_classes *classes,
                           pm_effort effort, const pm_packing *packing, size_t *n_claims, pm_error *err) {
    size_t n = packing->first[packing->n_units];
    turn *t = pmi_calloc(1, sizeof *t);
    pm_status st = PM_OK;
    if (t != NULL) {
        t->items = pmi_malloc(n, sizeof *t->items);
        t->canons = pmi_malloc(n, sizeof *t->canons);
    }
    if (t == NULL || t->items == NULL || t->canons == NULL) {
        st = pmi_fail_memory(err, "units to send", n * sizeof *t->items);
    }
    for (size_t first = 0; st == PM_OK && first < packing->n_units; first += BODIES_AT_ONCE) {
        size_t end = packing->n_units - first < BODIES_AT_ONCE ? packing->n_units : first + BODIES_AT_ONCE;
        st = fill_turn(t, classes, effort, packing, first, end, err);
        PM_THEN(st, pmi_send_units(p, job, t->units, t->n, true, n_claims, err));
        for (size_t i = 0; i < t->n; i++) {
            pmi_buffer_free(&t->units[i].body);
        }
    }
    if (t != NULL) {
        free(t->items);
        free(t->canons);
    }
    free(t);
    return st;
}

pm_status pmi_send_classes(pm_producer *p, const uint8_t job[PM_DIGEST_BYTES], const pm_classes *classes,
                           pm_effort effort, const uint32_t *numbers, size_t n, size_t *n_units, size_t *n_claims,
                           pm_error *err) {
    pm_packing packing;
    pm_status st = pmi_pack_classes(p, classes, numbers, n, &packing, err);
    if (st == PM_OK) {
        *n_units += packing.n_units;
        st = pmi_send_packing(p, job, classes, effort, &packing, n_claims, err);
    }
    pmi_packing_free(&packing);
    return st;
}
