/* A graph that was seen before: its traces are taken by the keys that were kept, and each SCC is held against the trace
 * itself. A trace whose pattern is closed and has every edge is right for an SCC, so that no digraph has to be made,
 * sorted and hashed to know it. */
#include <string.h>

#include "base/mem.h"
#include "trace/library_impl.h"

typedef struct fitter {
    const pm_split *split;
    const pm_kept_classes *kept;
    const pm_library_options *options;
    pm_library *out;
    uint32_t *position;                 /* n_vertices: of the members of the SCC at hand; PM_NONE for all others */
    uint32_t *vertex, *pivot_of, *mark; /* of as many states as the largest SCC */
} fitter;

static uint32_t size_of(const fitter *f, uint32_t scc) {
    return f->split->scc_first[scc + 1] - f->split->scc_first[scc];
}

/* Finds each member's pivot by its name; false when the names are no permutation. */
static bool place(fitter *f, uint32_t scc, const uint32_t *pivot) {
    const uint32_t *member = f->split->member + f->split->scc_first[scc];
    const uint32_t *name = f->kept->names + f->split->scc_first[scc];
    uint32_t n = size_of(f, scc);
    for (uint32_t j = 0; j < n; j++) {
        f->pivot_of[pivot[j]] = j;
    }
    memset(f->vertex, 0xff, n * sizeof *f->vertex);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = name[i] < n ? f->pivot_of[name[i]] : PM_NONE;
        if (p == PM_NONE || f->vertex[p] != PM_NONE) {
            return false;
        }
        f->vertex[p] = member[i];
        f->position[member[i]] = p;
    }
    return true;
}

static void lift(fitter *f, uint32_t scc) {
    for (uint32_t i = f->split->scc_first[scc]; i < f->split->scc_first[scc + 1]; i++) {
        f->position[f->split->member[i]] = PM_NONE;
    }
}

static pm_pivot_edges edges_of(const fitter *f, uint32_t scc) {
    return (pm_pivot_edges){
        .n = size_of(f, scc), .vertex = f->vertex, .position = f->position, .row = f->split->row, .col = f->split->to};
}

/* The trace of a class, where it is there, whole, and of so many states. */
static pm_status get_trace(const fitter *f, uint32_t class, uint32_t n, pm_trace *out, bool *fits, pm_error *err) {
    pm_buffer bytes = {0};
    pm_cache_found found;
    uint8_t key[PM_DIGEST_BYTES];
    *fits = false;
    pm_status st = pmi_library_get(f->options, f->kept->keys[class], &bytes, &found, err);
    if (st == PM_OK && found == PM_CACHE_FOUND) {
        pm_error why = {0};
        st = pmi_library_decode(f->options, &bytes, out, key, &why);
        *fits = st == PM_OK && out->n == n && memcmp(key, f->kept->keys[class], sizeof key) == 0;
        st = st == PM_EOSERR ? pmi_fail(err, st, "%s", why.text) : PM_OK;
    }
    pmi_buffer_free(&bytes);
    return st;
}

/* The first SCC of a class makes its plan. */
static pm_status fit_first(fitter *f, uint32_t scc, pm_trace_class *class, bool *fits, pm_error *err) {
    pm_trace trace = {0};
    pm_error why = {0};
    uint32_t number = f->kept->class_of[scc];
    pm_status st = get_trace(f, number, size_of(f, scc), &trace, fits, err);
    if (st == PM_OK && *fits) {
        *fits = place(f, scc, trace.pivot);
        if (*fits) {
            const pm_pivot_edges edges = edges_of(f, scc);
            st = pmi_plan_of_edges(&trace, &edges, &class->plan, &why);
            *fits = st == PM_OK;
            st = st == PM_EOSERR ? pmi_fail(err, st, "%s", why.text) : PM_OK;
        }
        lift(f, scc);
    }
    memcpy(class->key, f->kept->keys[number], PM_DIGEST_BYTES);
    class->cached = *fits;
    pmi_trace_free(&trace);
    return st;
}

static bool fits_other(fitter *f, uint32_t scc, const pm_plan *plan) {
    uint32_t n = size_of(f, scc);
    bool fits = n == plan->trace.n && place(f, scc, plan->trace.pivot);
    if (fits) {
        const pm_pivot_edges edges = edges_of(f, scc);
        memset(f->mark, 0, n * sizeof *f->mark);
        fits = pmi_plan_fits(plan, &edges, f->mark);
    }
    lift(f, scc);
    return fits;
}

static pm_status fit(fitter *f, uint32_t scc, bool *fits, pm_error *err) {
    uint32_t c = f->kept->class_of[scc];
    if (size_of(f, scc) == 1 || c == PM_NONE) {
        *fits = size_of(f, scc) == 1 && c == PM_NONE;
        return PM_OK;
    }
    pm_trace_class *class = &f->out->classes[c];
    if (class->n_sccs++ == 0) {
        return fit_first(f, scc, class, fits, err);
    }
    *fits = fits_other(f, scc, &class->plan);
    return PM_OK;
}

static pm_status fit_all(fitter *f, bool *fits, pm_error *err) {
    pm_status st = PM_OK;
    for (uint32_t scc = 0; st == PM_OK && *fits && scc < f->split->n_sccs; scc++) {
        st = fit(f, scc, fits, err);
    }
    for (uint32_t c = 0; *fits && c < f->kept->n_classes; c++) {
        *fits = f->out->classes[c].n_sccs > 0;
    }
    return st;
}

static pm_status fitter_new(const pm_graph *graph, fitter *f, pm_error *err) {
    uint32_t largest = f->split->largest;
    f->position = pmi_malloc(graph->n_vertices, sizeof *f->position);
    f->vertex = pmi_malloc(largest, 3 * sizeof *f->vertex);
    f->out->classes = pmi_calloc(f->kept->n_classes, sizeof *f->out->classes);
    f->out->instances = pmi_calloc(f->split->n_sccs, sizeof *f->out->instances);
    if (f->position == NULL || f->vertex == NULL || f->out->classes == NULL || f->out->instances == NULL) {
        return pmi_fail_memory(err, "the traces of the graph", graph->n_vertices * 16);
    }
    f->out->n_classes = f->kept->n_classes;
    f->pivot_of = f->vertex + largest;
    f->mark = f->pivot_of + largest;
    memset(f->position, 0xff, graph->n_vertices * sizeof *f->position);
    return PM_OK;
}

pm_status pmi_library_of_kept(const pm_analysis *analysis, pm_kept_classes *kept, const pm_library_options *options,
                              pm_library *out, bool *made, pm_error *err) {
    *out = (pm_library){0};
    *made = true;
    fitter f = {.split = &analysis->split, .kept = kept, .options = options, .out = out};
    pm_status st = fitter_new(analysis->graph, &f, err);
    PM_THEN(st, fit_all(&f, made, err));
    free(f.position);
    free(f.vertex);
    *made = *made && st == PM_OK;
    if (!*made) {
        pmi_library_free(out);
        return st;
    }
    out->n_cached = out->n_classes;
    out->names = kept->names;
    kept->names = NULL;
    pmi_library_fill_instances(&analysis->split, kept->class_of, out);
    return PM_OK;
}
