#include "trace/library.h"

#include <omp.h>
#include <string.h>

#include "trace/codec.h"

/* ---- damage ---- */

/* What was kept under the key is no use: an error with strict_cache, else a line and an empty place. `is_there`: the
 * store itself has not removed it yet. */
static pm_status discard(const pm_library_options *o, const pm_trace_cache *from, const uint8_t *key, const char *why,
                         bool is_there, pm_error *err) {
    const char *what = from == o->classes ? "the classes" : "the entry", *verb = from == o->classes ? "are" : "is";
    char hex[PM_DIGEST_HEX];
    pmi_hex(key, hex);
    if (o->strict_cache) {
        return pmi_fail(err, PM_EDATA, "trace cache: %s %s %s damaged (%s), and --strict-cache is on", what, hex, verb,
                        why);
    }
    if (!is_there) {
        return PM_OK;
    }
    pmi_logf(o->log, PM_LOG_ERROR, "trace cache: %s %s %s damaged (%s); removed, %s again", what, hex, verb, why,
             from == o->classes ? "found" : "recorded");
    return from->remove(from->ctx, key, err);
}

/* What is kept under the key, where it has not failed its store's checksum. */
static pm_status get(const pm_library_options *o, const pm_trace_cache *from, const uint8_t *key, pm_buffer *bytes,
                     bool *found, pm_error *err) {
    pm_cache_found there;
    PM_TRY(from->get(from->ctx, key, bytes, &there, err));
    *found = there == PM_CACHE_FOUND;
    const char *why = from == o->classes ? "their checksum does not match" : "its checksum does not match";
    return there == PM_CACHE_DAMAGED ? discard(o, from, key, why, false, err) : PM_OK;
}

/* Want of memory is no fault of what was looked at. */
static pm_status only_memory(pm_status st, const pm_error *why, pm_error *err) {
    return st == PM_EOSERR ? pmi_fail(err, st, "%s", why->text) : PM_OK;
}

/* ---- classes kept on disk: a graph that was seen before is not searched again ---- */

/* Whether the keys that are kept are those of the digraphs. */
static pm_status check_keys(const pm_kept_classes *kept, const pm_classes *classes, pm_error *err) {
    for (uint32_t c = 0; c < classes->n_classes; c++) {
        if (memcmp(kept->keys[c], classes->canon[c].key, PM_DIGEST_BYTES) != 0) {
            char found[PM_DIGEST_HEX], expected[PM_DIGEST_HEX];
            pmi_hex(kept->keys[c], found);
            pmi_hex(classes->canon[c].key, expected);
            return pmi_fail(err, PM_EDATA, "class %u has the key %s, its digraph has %s", c, found, expected);
        }
    }
    return PM_OK;
}

static pm_status decode_kept(const pm_split *split, const uint8_t *key, const pm_buffer *bytes, pm_kept_classes *out,
                             pm_error *err) {
    pm_status st = pmi_kept_classes_decode(bytes->bytes, bytes->size, out, err);
    if (st == PM_OK && memcmp(out->key, key, PM_DIGEST_BYTES) != 0) {
        st = pmi_fail(err, PM_EDATA, "they are kept under another key");
    } else if (st == PM_OK && (out->n_sccs != split->n_sccs || out->n_states != split->n_transient)) {
        st = pmi_fail(err, PM_EDATA, "they are of %u SCCs and %u states, the graph has %u and %u", out->n_sccs,
                      out->n_states, split->n_sccs, split->n_transient);
    }
    return st;
}

/* What a check said of kept classes: damage is logged, and they are as good as missing. */
static pm_status judge_kept(const pm_library_options *o, const uint8_t *key, pm_status st, const pm_error *why,
                            bool *found, pm_error *err) {
    *found = st == PM_OK;
    if (st == PM_EDATA) {
        return discard(o, o->classes, key, why->text, true, err);
    }
    return st == PM_OK ? PM_OK : pmi_fail(err, st, "%s", why->text);
}

/* What is kept of a graph in `options->classes`, of its numbers of SCCs and states; *found is false when it is not
 * there, or was damaged, which is logged (an error with strict_cache). */
static pm_status classes_fetch(const pm_analysis *analysis, const pm_library_options *o, pm_kept_classes *out,
                               bool *found, pm_error *err) {
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer bytes = {0};
    *found = false;
    *out = (pm_kept_classes){0};
    pm_status st = pmi_classes_key(analysis->graph->digest, analysis->effort, key, err);
    PM_THEN(st, get(o, o->classes, key, &bytes, found, err));
    if (st == PM_OK && *found) {
        pm_error why = {0};
        st = decode_kept(&analysis->split, key, &bytes, out, &why);
        st = judge_kept(o, key, st, &why, found, err);
    }
    pmi_buffer_free(&bytes);
    return st;
}

/* The classes made of it become the analysis's; *found is false when they are not those of the graph, or their keys not
 * those of its digraphs: damage, as above. */
static pm_status classes_of_kept(pm_analysis *analysis, const pm_library_options *o, const pm_kept_classes *kept,
                                 bool *found, pm_error *err) {
    pm_error why = {0};
    pm_classes *out = &analysis->classes;
    pm_status st = pmi_classes_restore(analysis->graph, &analysis->split, analysis->effort, kept->as_given,
                                       kept->n_classes, kept->class_of, kept->names, out, &why);
    if (st == PM_OK) {
        st = check_keys(kept, out, &why);
        if (st != PM_OK) {
            pmi_classes_free(out);
        }
    }
    return judge_kept(o, kept->key, st, &why, found, err);
}

static pm_status encode_kept(const pm_analysis *analysis, uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err) {
    const pm_classes *classes = &analysis->classes;
    uint32_t n = classes->n_classes;
    pm_kept_classes kept = {.n_sccs = analysis->split.n_sccs,
                            .n_states = analysis->split.n_transient,
                            .n_classes = n,
                            .as_given = pmi_malloc(n, 1),
                            .keys = pmi_malloc(n, sizeof *kept.keys),
                            .class_of = classes->class_of,
                            .names = classes->names};
    pm_status st = kept.as_given == NULL || kept.keys == NULL
                       ? pmi_fail_memory(err, "keeping classes", n * (1 + sizeof *kept.keys))
                       : pmi_classes_key(analysis->graph->digest, analysis->effort, kept.key, err);
    if (st == PM_OK) {
        for (uint32_t c = 0; c < n; c++) {
            kept.as_given[c] = classes->canon[c].as_given ? 1 : 0;
            memcpy(kept.keys[c], classes->canon[c].key, PM_DIGEST_BYTES);
        }
        memcpy(key, kept.key, PM_DIGEST_BYTES);
        st = pmi_kept_classes_encode(&kept, out, err);
    }
    free(kept.as_given);
    free(kept.keys);
    return st;
}

static void classes_keep(const pm_analysis *analysis, const pm_library_options *o) {
    pm_buffer bytes = {0};
    pm_cache_entry entry = {.kind = PM_CACHE_CLASSES};
    pm_error why = {0};
    pm_status st = encode_kept(analysis, entry.key, &bytes, &why);
    if (st == PM_OK) {
        entry.bytes = bytes.bytes;
        entry.size = bytes.size;
        st = o->classes->put(o->classes->ctx, &entry, 1, &why);
    }
    if (st != PM_OK) {
        pmi_logf(o->log, PM_LOG_WARNING, "trace cache: the classes of the graph are not kept: %s", why.text);
    }
    pmi_buffer_free(&bytes);
}

/* ---- the library ---- */

static void library_fill_instances(const pm_split *split, const uint32_t *class_of, pm_library *out) {
    for (uint32_t scc = 0; scc < split->n_sccs; scc++) {
        uint32_t c = class_of[scc];
        if (c != PM_NONE) {
            out->instances[scc] =
                (pm_scc_instance){.plan = &out->classes[c].plan, .name = out->names + split->scc_first[scc]};
        }
    }
}

void pmi_library_free(pm_library *library) {
    for (uint32_t c = 0; c < library->n_classes; c++) {
        pmi_plan_free(&library->classes[c].plan);
    }
    free(library->classes);
    free(library->instances);
    free(library->names);
    *library = (pm_library){0};
}

/* Decodes what the cache gave for this class; *usable is false when it is damaged, or does not fit the SCC. */
static pm_status adopt(const pm_library_options *o, const pm_buffer *bytes, const pm_canon *canon,
                       pm_trace_class *class, bool *usable, pm_error *why, pm_error *err) {
    pm_trace trace;
    uint8_t key[PM_DIGEST_BYTES];
    *usable = false;
    pm_status st = pmi_trace_decode(bytes->bytes, bytes->size, o->cache->is_checked, &trace, key, why);
    if (st == PM_OK && memcmp(key, canon->key, PM_DIGEST_BYTES) != 0) {
        st = pmi_fail(why, PM_EDATA, "it is a trace of another key");
    } else if (st == PM_OK &&
               (trace.n != canon->topology.n || trace.n_edges != canon->topology.row[canon->topology.n] ||
                memcmp(trace.digest, canon->digest, PM_DIGEST_BYTES) != 0)) {
        st = pmi_fail(why, PM_EDATA, "it is of another SCC, of %u states and %zu edges, expected %u and %zu", trace.n,
                      (size_t)trace.n_edges, canon->topology.n, (size_t)canon->topology.row[canon->topology.n]);
    } else if (st == PM_OK) {
        st = pmi_plan_new(&trace, &canon->topology, &class->plan, why);
        *usable = st == PM_OK;
    }
    pmi_trace_free(&trace);
    return only_memory(st, why, err);
}

static pm_status fetch(const pm_library_options *o, const pm_canon *canon, pm_trace_class *class, pm_error *err) {
    pm_buffer bytes = {0};
    bool found = false;
    pm_status st = get(o, o->cache, canon->key, &bytes, &found, err);
    if (st == PM_OK && found) {
        pm_error why = {0};
        st = adopt(o, &bytes, canon, class, &class->cached, &why, err);
        PM_THEN(st, class->cached ? PM_OK : discard(o, o->cache, canon->key, why.text, true, err));
    }
    pmi_buffer_free(&bytes);
    return st;
}

/* The work list: classes without a trace, the largest first. */
typedef struct work_item {
    uint32_t class;
    uint32_t n;
    pm_buffer encoded;
    pm_status status;
    pm_error error;
} work_item;

static int larger_first(const void *a, const void *b) {
    const work_item *x = a, *y = b;
    if (x->n != y->n) {
        return x->n > y->n ? -1 : 1;
    }
    return (x->class > y->class) - (x->class < y->class);
}

static void record_one(const pm_library_options *o, const pm_canon *canon, pm_trace_class *class, work_item *item) {
    item->status = pmi_record(canon, &o->record, &class->plan, &item->error);
    if (item->status == PM_OK && o->cache != NULL) {
        item->status = pmi_trace_encode(&class->plan.trace, canon->key, &item->encoded, &item->error);
    }
}

static void record_all(const pm_library_options *o, const pm_classes *classes, pm_library *out, work_item *items,
                       size_t n) {
    size_t done = 0;
    bool failed = false;
    int threads = (int)(n < o->threads ? n : o->threads);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (size_t i = 0; i < n; i++) {
        bool stop;
#pragma omp atomic read
        stop = failed;
        if (stop) {
            continue;
        }
        uint32_t c = items[i].class;
        record_one(o, &classes->canon[c], &out->classes[c], &items[i]);
        if (items[i].status != PM_OK) {
#pragma omp atomic write
            failed = true;
        }
        size_t so_far;
#pragma omp atomic capture
        so_far = ++done;
        if (omp_get_thread_num() == 0) {
            pmi_log_progress(o->log, "recording", so_far, n);
        }
    }
}

static pm_status first_failure(const work_item *items, size_t n, const pm_classes *classes, pm_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (items[i].status != PM_OK) {
            char hex[PM_DIGEST_HEX];
            pmi_hex(classes->canon[items[i].class].key, hex);
            return pmi_fail(err, items[i].status, "recording the SCC %s of %u states: %s", hex, items[i].n,
                            items[i].error.text);
        }
    }
    return PM_OK;
}

static pm_status keep_all(const pm_library_options *o, const pm_classes *classes, const work_item *items, size_t n,
                          pm_error *err) {
    if (o->cache == NULL || n == 0) {
        return PM_OK;
    }
    pm_cache_entry *entries;
    PM_TRY(PM_ZEROS(&entries, n, "the new traces", err));
    for (size_t i = 0; i < n; i++) {
        memcpy(entries[i].key, classes->canon[items[i].class].key, PM_DIGEST_BYTES);
        entries[i].bytes = items[i].encoded.bytes;
        entries[i].size = items[i].encoded.size;
    }
    pm_error why = {0};
    if (o->cache->put(o->cache->ctx, entries, n, &why) != PM_OK) {
        pmi_logf(o->log, PM_LOG_WARNING, "trace cache: %zu new traces are not kept: %s", n, why.text);
    }
    free(entries);
    return PM_OK;
}

static pm_status record_missing(const pm_library_options *o, const pm_classes *classes, pm_library *out,
                                pm_error *err) {
    work_item *items;
    PM_TRY(PM_ZEROS(&items, classes->n_classes, "the list of traces to record", err));
    size_t n = 0;
    for (uint32_t c = 0; c < classes->n_classes; c++) {
        if (!out->classes[c].cached) {
            items[n++] = (work_item){.class = c, .n = classes->canon[c].topology.n};
        }
    }
    qsort(items, n, sizeof *items, larger_first);
    record_all(o, classes, out, items, n);
    pm_status st = first_failure(items, n, classes, err);
    PM_THEN(st, keep_all(o, classes, items, n, err));
    out->n_recorded = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        pmi_buffer_free(&items[i].encoded);
    }
    free(items);
    return st;
}

static pm_status fill_classes(const pm_library_options *o, const pm_classes *classes, pm_library *out, pm_error *err) {
    pm_status st = PM_OK;
    for (uint32_t c = 0; st == PM_OK && c < classes->n_classes; c++) {
        memcpy(out->classes[c].key, classes->canon[c].key, PM_DIGEST_BYTES);
        out->classes[c].n_sccs = classes->n_sccs[c];
        if (o->cache != NULL) {
            st = fetch(o, &classes->canon[c], &out->classes[c], err);
        }
        out->n_cached += out->classes[c].cached ? 1 : 0;
    }
    return st;
}

static pm_status refuse_missing(const pm_library *library, pm_error *err) {
    for (uint32_t c = 0; c < library->n_classes; c++) {
        if (!library->classes[c].cached) {
            char hex[PM_DIGEST_HEX];
            pmi_hex(library->classes[c].key, hex);
            return pmi_fail(err, PM_EUNAVAILABLE, "the trace %s is missing; it must be recorded first", hex);
        }
    }
    return PM_OK;
}

static pm_status make_of_classes(pm_analysis *analysis, const pm_library_options *options, pm_library *out,
                                 pm_error *err) {
    const pm_split *split = &analysis->split;
    pm_classes *classes = &analysis->classes;
    pm_status st = PM_OK;
    *out = (pm_library){.n_classes = classes->n_classes,
                        .classes = pmi_calloc(classes->n_classes, sizeof *out->classes),
                        .instances = pmi_calloc(split->n_sccs, sizeof *out->instances),
                        .names = classes->names};
    classes->names = NULL;
    if (out->classes == NULL || out->instances == NULL) {
        out->n_classes = 0;
        st = pmi_fail_memory(err, "the traces of the graph", split->n_sccs * sizeof *out->instances);
    }
    PM_THEN(st, fill_classes(options, classes, out, err));
    PM_THEN(st, options->cached_only ? refuse_missing(out, err) : record_missing(options, classes, out, err));
    if (st == PM_OK) {
        library_fill_instances(split, classes->class_of, out);
    } else {
        classes->names = out->names;
        out->names = NULL;
        pmi_library_free(out);
    }
    return st;
}

/* ---- a graph that was seen before ---- */

/* Its traces are taken by the keys that were kept, and each SCC is held against the trace itself: one whose pattern is
 * closed and has every edge is right, and no digraph has to be made, sorted and hashed to know it. */

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
    const pm_trace_cache *cache = f->options->cache;
    pm_buffer bytes = {0};
    bool found = false;
    uint8_t key[PM_DIGEST_BYTES];
    *fits = false;
    pm_status st = get(f->options, cache, f->kept->keys[class], &bytes, &found, err);
    if (st == PM_OK && found) {
        pm_error why = {0};
        st = pmi_trace_decode(bytes.bytes, bytes.size, cache->is_checked, out, key, &why);
        *fits = st == PM_OK && out->n == n && memcmp(key, f->kept->keys[class], sizeof key) == 0;
        st = only_memory(st, &why, err);
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
            st = only_memory(st, &why, err);
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
    library_fill_instances(&analysis->split, kept->class_of, out);
    return PM_OK;
}

/* ---- making it ---- */

/* The classes as they were kept, or found and then kept; `kept` is NULL when there is nothing. */
static pm_status find_classes(pm_analysis *analysis, const pm_library_options *o, const pm_kept_classes *kept,
                              bool keep, pm_error *err) {
    bool found = false;
    if (kept != NULL) {
        PM_TRY(classes_of_kept(analysis, o, kept, &found, err));
    }
    if (!found) {
        PM_TRY(pmi_classes_find(analysis->graph, &analysis->split, analysis->effort, o->threads, o->log,
                                &analysis->classes, err));
    }
    if (!found && keep) {
        classes_keep(analysis, o);
    }
    return PM_OK;
}

static pm_status make_of_graph(pm_analysis *analysis, const pm_library_options *options, pm_library *out,
                               pm_error *err) {
    bool keep = options->classes != NULL && analysis->split.n_transient >= PM_CLASSES_KEPT_STATES;
    bool found = false, made = false;
    pm_kept_classes kept = {0};
    pm_status st = keep ? classes_fetch(analysis, options, &kept, &found, err) : PM_OK;
    if (st == PM_OK && found && options->cache != NULL) {
        st = pmi_library_of_kept(analysis, &kept, options, out, &made, err);
    }
    if (st == PM_OK && !made) {
        st = find_classes(analysis, options, found ? &kept : NULL, keep, err);
        PM_THEN(st, make_of_classes(analysis, options, out, err));
    }
    pmi_kept_classes_free(&kept);
    return st;
}

pm_status pmi_library_make(pm_analysis *analysis, const pm_library_options *options, pm_library *out, pm_error *err) {
    *out = (pm_library){0};
    PM_TRY((analysis->classes.class_of != NULL ? make_of_classes : make_of_graph)(analysis, options, out, err));
    pmi_classes_free(&analysis->classes);
    return PM_OK;
}
