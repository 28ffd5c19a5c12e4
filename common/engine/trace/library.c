#include <omp.h>
#include <string.h>

#include "base/mem.h"
#include "trace/codec.h"
#include "trace/library_impl.h"

pm_status pmi_library_decode(const pm_library_options *options, const pm_buffer *bytes, pm_trace *out,
                             uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    return (options->cache->is_checked ? pmi_trace_decode_checked : pmi_trace_decode)(bytes->bytes, bytes->size, out,
                                                                                      key, err);
}

/* Decodes what the cache gave for this class; *usable is false when it is damaged, or does not fit the SCC. */
static pm_status adopt(const pm_library_options *o, const pm_buffer *bytes, const pm_canon *canon,
                       pm_trace_class *class, bool *usable, pm_error *why, pm_error *err) {
    pm_trace trace;
    uint8_t key[PM_DIGEST_BYTES];
    *usable = false;
    pm_status st = pmi_library_decode(o, bytes, &trace, key, why);
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
    return st == PM_EOSERR ? pmi_fail(err, st, "%s", why->text) : PM_OK;
}

static pm_status refuse(const uint8_t *key, const char *why, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(key, hex);
    return pmi_fail(err, PM_EDATA, "trace cache: the entry %s is damaged (%s), and --strict-cache is on", hex, why);
}

static void log_damage(const pm_library_options *o, const uint8_t *key, const char *why) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(key, hex);
    pmi_logf(o->log, PM_LOG_ERROR, "trace cache: the entry %s is damaged (%s); removed, recorded again", hex, why);
}

pm_status pmi_library_get(const pm_library_options *options, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *bytes,
                          pm_cache_found *found, pm_error *err) {
    PM_TRY(options->cache->get(options->cache->ctx, key, bytes, found, err));
    if (*found == PM_CACHE_DAMAGED && options->strict_cache) {
        PM_TRY(refuse(key, "its checksum does not match", err));
    }
    return PM_OK;
}

static pm_status fetch(const pm_library_options *o, const pm_canon *canon, pm_trace_class *class, pm_error *err) {
    pm_buffer bytes = {0};
    pm_cache_found found;
    pm_status st = pmi_library_get(o, canon->key, &bytes, &found, err);
    if (st == PM_OK && found == PM_CACHE_FOUND) {
        pm_error why = {0};
        st = adopt(o, &bytes, canon, class, &class->cached, &why, err);
        if (st == PM_OK && !class->cached && o->strict_cache) {
            st = refuse(canon->key, why.text, err);
        } else if (st == PM_OK && !class->cached) {
            log_damage(o, canon->key, why.text);
            st = o->cache->remove(o->cache->ctx, canon->key, err);
        }
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
    pm_cache_entry *entries = pmi_calloc(n, sizeof *entries);
    if (entries == NULL) {
        return pmi_fail_memory(err, "the new traces", n * sizeof *entries);
    }
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
    work_item *items = pmi_calloc(classes->n_classes, sizeof *items);
    if (items == NULL) {
        return pmi_fail_memory(err, "the list of traces to record", classes->n_classes * sizeof *items);
    }
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

void pmi_library_fill_instances(const pm_split *split, const uint32_t *class_of, pm_library *out) {
    for (uint32_t scc = 0; scc < split->n_sccs; scc++) {
        uint32_t c = class_of[scc];
        if (c != PM_NONE) {
            out->instances[scc] =
                (pm_scc_instance){.plan = &out->classes[c].plan, .name = out->names + split->scc_first[scc]};
        }
    }
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
        pmi_library_fill_instances(split, classes->class_of, out);
    } else {
        classes->names = out->names;
        out->names = NULL;
        pmi_library_free(out);
    }
    return st;
}

/* The classes as they were kept, or found and then kept; `kept` is NULL when there is nothing. */
static pm_status find_classes(pm_analysis *analysis, const pm_library_options *o, const pm_kept_classes *kept,
                              bool keep, pm_error *err) {
    bool found = false;
    if (kept != NULL) {
        PM_TRY(pmi_classes_of_kept(analysis, o, kept, &found, err));
    }
    if (!found) {
        PM_TRY(pmi_classes_find(analysis->graph, &analysis->split, analysis->effort, o->threads, o->log,
                                &analysis->classes, err));
    }
    if (!found && keep) {
        pmi_classes_keep(analysis, o);
    }
    return PM_OK;
}

static pm_status make_of_graph(pm_analysis *analysis, const pm_library_options *options, pm_library *out,
                               pm_error *err) {
    bool keep = options->classes != NULL && analysis->split.n_transient >= PM_CLASSES_KEPT_STATES;
    bool found = false, made = false;
    pm_kept_classes kept = {0};
    pm_status st = keep ? pmi_classes_fetch(analysis, options, &kept, &found, err) : PM_OK;
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

void pmi_library_free(pm_library *library) {
    for (uint32_t c = 0; c < library->n_classes; c++) {
        pmi_plan_free(&library->classes[c].plan);
    }
    free(library->classes);
    free(library->instances);
    free(library->names);
    *library = (pm_library){0};
}
