#include "trace/classes.h"

#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/mem.h"

/* A digest seen before: of an order as given (then `scc` had it first), or a key (then `class` is its number). */
typedef struct seen {
    uint8_t digest[PM_DIGEST_BYTES];
    uint32_t number;
    UT_hash_handle hh;
} seen;

typedef struct finder {
    const pm_split *split;
    pm_effort effort;
    const pm_log *log;
    pm_classes *out;
    seen *orders, *keys;
    uint32_t *local;
    size_t canon_capacity, count_capacity;
} finder;

static seen *find(seen *table, const uint8_t digest[PM_DIGEST_BYTES]) {
    seen *found;
    HASH_FIND(hh, table, digest, PM_DIGEST_BYTES, found);
    return found;
}

static pm_status add(seen **table, const uint8_t digest[PM_DIGEST_BYTES], uint32_t number, pm_error *err) {
    seen *s = pm_calloc(1, sizeof *s);
    if (s != NULL) {
        memcpy(s->digest, digest, PM_DIGEST_BYTES);
        s->number = number;
        HASH_ADD(hh, *table, digest, PM_DIGEST_BYTES, s);
    }
    if (s == NULL || s->hh.tbl == NULL) {
        free(s);
        return pm_fail_memory(err, "the table of keys", sizeof *s);
    }
    return PM_OK;
}

static void clear(seen **table) {
    seen *s, *next;
    HASH_ITER(hh, *table, s, next) {
        HASH_DEL(*table, s);
        free(s);
    }
}

static pm_status new_class(finder *f, pm_canon *canon, pm_error *err) {
    pm_classes *out = f->out;
    size_t need = (size_t)out->n_classes + 1;
    if (!pm_reserve((void **)&out->canon, &f->canon_capacity, need, sizeof *out->canon) ||
        !pm_reserve((void **)&out->n_sccs, &f->count_capacity, need, sizeof *out->n_sccs)) {
        return pm_fail_memory(err, "the table of SCC classes", need * sizeof *out->canon);
    }
    pm_status st = add(&f->keys, canon->key, out->n_classes, err);
    if (st == PM_OK) {
        out->canon[out->n_classes] = *canon;
        out->n_sccs[out->n_classes++] = 0;
        *canon = (pm_canon){0};
    }
    return st;
}

/* The SCC's order is new: search its canonical form, which may be that of a known class. */
static pm_status classify(finder *f, uint32_t scc, const pm_topology *topology, pm_error *err) {
    pm_canon canon;
    pm_status st = pm_canon_find(topology, f->effort, f->log, &canon, err);
    if (st != PM_OK) {
        return st;
    }
    memcpy(f->out->names + f->split->scc_first[scc], canon.name, topology->n * sizeof *canon.name);
    const seen *known = find(f->keys, canon.key);
    if (known != NULL) {
        f->out->class_of[scc] = known->number;
        if (memcmp(f->out->canon[known->number].digest, canon.digest, PM_DIGEST_BYTES) != 0) {
            st = pm_fail(err, PM_EDATA,
                         "hash collision: two different SCCs of %u states have one key; please report this",
                         topology->n);
        }
    } else {
        f->out->class_of[scc] = f->out->n_classes;
        st = new_class(f, &canon, err);
    }
    pm_canon_free(&canon);
    return st;
}

static pm_status place(finder *f, uint32_t scc, pm_error *err) {
    pm_topology topology = {0};
    uint8_t digest[PM_DIGEST_BYTES];
    pm_status st = pm_topology_of_scc(f->split, scc, f->local, &topology, err);
    if (st == PM_OK) {
        st = pm_topology_digest(&topology, PM_SHA256, digest, err);
    }
    if (st == PM_OK) {
        const seen *same = find(f->orders, digest);
        if (same != NULL) {
            f->out->class_of[scc] = f->out->class_of[same->number];
            memcpy(f->out->names + f->split->scc_first[scc], f->out->names + f->split->scc_first[same->number],
                   topology.n * sizeof *f->out->names);
        } else {
            st = classify(f, scc, &topology, err);
            if (st == PM_OK) {
                st = add(&f->orders, digest, scc, err);
            }
        }
    }
    pm_topology_free(&topology);
    return st;
}

pm_status pm_classes_find(const pm_graph *graph, const pm_split *split, pm_effort effort, const pm_log *log,
                          pm_classes *out, pm_error *err) {
    *out = (pm_classes){.class_of = pm_malloc(split->n_sccs, sizeof *out->class_of),
                        .names = pm_malloc(split->n_transient, sizeof *out->names)};
    finder f = {.split = split,
                .effort = effort,
                .log = log,
                .out = out,
                .local = pm_malloc(graph->n_vertices, sizeof *f.local)};
    pm_status st = PM_OK;
    if (out->class_of == NULL || out->names == NULL || f.local == NULL) {
        st = pm_fail_memory(err, "the classes of SCCs", (size_t)graph->n_vertices * 12);
    }
    for (uint32_t scc = 0; st == PM_OK && scc < split->n_sccs; scc++) {
        out->class_of[scc] = PM_NONE;
        if (split->scc_first[scc + 1] - split->scc_first[scc] > 1) {
            st = place(&f, scc, err);
        }
        if (st == PM_OK && out->class_of[scc] != PM_NONE) {
            out->n_sccs[out->class_of[scc]]++;
        }
    }
    clear(&f.orders);
    clear(&f.keys);
    free(f.local);
    if (st != PM_OK) {
        pm_classes_free(out);
    }
    return st;
}

void pm_classes_free(pm_classes *classes) {
    for (uint32_t c = 0; c < classes->n_classes; c++) {
        pm_canon_free(&classes->canon[c]);
    }
    free(classes->canon);
    free(classes->n_sccs);
    free(classes->class_of);
    free(classes->names);
    *classes = (pm_classes){0};
}
