#include <string.h>

#include "base/mem.h"
#include "scc/classes.h"

typedef struct restorer {
    const pm_split *split;
    pm_effort effort;
    const uint8_t *as_given;
    pm_classes *out;
    uint32_t *local, *mark; /* n_vertices each; mark[name] == scc + 1: the name is taken */
} restorer;

static bool is_permutation(restorer *r, uint32_t scc, const uint32_t *names, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (names[i] >= n || r->mark[names[i]] == scc + 1) {
            return false;
        }
        r->mark[names[i]] = scc + 1;
    }
    return true;
}

static bool same_digraph(const pm_topology *a, const pm_topology *b) {
    return a->n == b->n && memcmp(a->row, b->row, ((size_t)a->n + 1) * sizeof *a->row) == 0 &&
           memcmp(a->col, b->col, a->row[a->n] * sizeof *a->col) == 0;
}

/* The first SCC of a class makes its canonical form; all others must have the same. */
static pm_status place(restorer *r, uint32_t scc, pm_topology *renamed, pm_error *err) {
    uint32_t c = r->out->class_of[scc];
    pm_canon *canon = &r->out->canon[c];
    if (r->out->n_sccs[c]++ == 0) {
        canon->topology = *renamed;
        canon->as_given = r->as_given[c] != 0;
        *renamed = (pm_topology){0};
        return pmi_canon_identify(canon, r->effort, err);
    }
    if (!same_digraph(renamed, &canon->topology)) {
        return pmi_fail(err, PM_EDATA, "SCC %u, renamed, is not the digraph of its class %u", scc, c);
    }
    return PM_OK;
}

static pm_status restore(restorer *r, uint32_t scc, pm_error *err) {
    uint32_t n = r->split->scc_first[scc + 1] - r->split->scc_first[scc], c = r->out->class_of[scc];
    if (n == 1) {
        return c == PM_NONE ? PM_OK
                            : pmi_fail(err, PM_EDATA, "SCC %u: a single state has class %u, expected none", scc, c);
    }
    if (c >= r->out->n_classes) {
        return pmi_fail(err, PM_EDATA, "SCC %u: class %u, expected one below %u", scc, c, r->out->n_classes);
    }
    const uint32_t *names = r->out->names + r->split->scc_first[scc];
    if (!is_permutation(r, scc, names, n)) {
        return pmi_fail(err, PM_EDATA, "SCC %u: its canonical numbers are no permutation of 0..%u", scc, n - 1);
    }
    pm_topology topology = {0}, renamed = {0};
    pm_status st = pmi_topology_of_scc(r->split, scc, r->local, &topology, err);
    PM_THEN(st, pmi_topology_rename(&topology, names, &renamed, err));
    PM_THEN(st, place(r, scc, &renamed, err));
    pmi_topology_free(&topology);
    pmi_topology_free(&renamed);
    return st;
}

static pm_status restore_all(restorer *r, pm_error *err) {
    pm_status st = PM_OK;
    for (uint32_t scc = 0; st == PM_OK && scc < r->split->n_sccs; scc++) {
        st = restore(r, scc, err);
    }
    for (uint32_t c = 0; st == PM_OK && c < r->out->n_classes; c++) {
        if (r->out->n_sccs[c] == 0) {
            st = pmi_fail(err, PM_EDATA, "class %u of %u has no SCC", c, r->out->n_classes);
        }
    }
    return st;
}

pm_status pmi_classes_restore(const pm_graph *graph, const pm_split *split, pm_effort effort, const uint8_t *as_given,
                              uint32_t n_classes, const uint32_t *class_of, const uint32_t *names, pm_classes *out,
                              pm_error *err) {
    *out = (pm_classes){0};
    if (n_classes > split->n_nontrivial) {
        return pmi_fail(err, PM_EDATA, "%u classes, expected at most %u: the SCCs of at least 2 states", n_classes,
                        split->n_nontrivial);
    }
    *out = (pm_classes){.n_classes = n_classes,
                        .canon = pmi_calloc(n_classes, sizeof *out->canon),
                        .n_sccs = pmi_calloc(n_classes, sizeof *out->n_sccs),
                        .class_of = pmi_malloc(split->n_sccs, sizeof *out->class_of),
                        .names = pmi_malloc(split->n_transient, sizeof *out->names)};
    restorer r = {.split = split,
                  .effort = effort,
                  .as_given = as_given,
                  .out = out,
                  .local = pmi_malloc(graph->n_vertices, sizeof *r.local),
                  .mark = pmi_calloc(graph->n_vertices, sizeof *r.mark)};
    pm_status st = PM_OK;
    if (out->canon == NULL || out->n_sccs == NULL || out->class_of == NULL || out->names == NULL || r.local == NULL ||
        r.mark == NULL) {
        out->n_classes = out->canon == NULL ? 0 : n_classes;
        st = pmi_fail_memory(err, "the classes of SCCs", (size_t)graph->n_vertices * 16);
    } else {
        memcpy(out->class_of, class_of, split->n_sccs * sizeof *class_of);
        memcpy(out->names, names, split->n_transient * sizeof *names);
        st = restore_all(&r, err);
    }
    free(r.local);
    free(r.mark);
    if (st != PM_OK) {
        pmi_classes_free(out);
    }
    return st;
}
