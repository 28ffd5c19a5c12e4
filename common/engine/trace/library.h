/* The traces of a graph: one for each distinct SCC, from the cache or recorded. */
#ifndef PM_TRACE_LIBRARY_H
#define PM_TRACE_LIBRARY_H

#include "base/mem.h"
#include "scc/analysis.h"
#include "trace/program.h"
#include "trace/record.h"

/* Kinds of entries, as they are stored: encoded traces by the key of their SCC (trace/codec.h), and the classes of SCCs
 * found in a graph by the graph's digest. */
typedef enum pm_cache_kind { PM_CACHE_TRACE, PM_CACHE_CLASSES } pm_cache_kind;
#define PM_CACHE_KINDS 2

/* Where encoded values of one kind are kept between runs: a store seen from here as three functions. */
typedef enum pm_cache_found { PM_CACHE_MISSING, PM_CACHE_FOUND, PM_CACHE_DAMAGED } pm_cache_found;

typedef struct pm_cache_entry {
    pm_cache_kind kind;
    uint8_t key[PM_DIGEST_BYTES];
    const uint8_t *bytes;
    size_t size;
} pm_cache_entry;

typedef struct pm_trace_cache {
    void *ctx;
    /* appends the value when found; PM_CACHE_DAMAGED: it was there, was damaged, was logged and removed */
    pm_status (*get)(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                     pm_error *err);
    pm_status (*put)(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err);
    pm_status (*remove)(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err);
    bool is_checked; /* what is found has passed a SHA-256 of the store's own */
} pm_trace_cache;

typedef struct pm_library_options {
    pm_record_options record;
    unsigned threads;              /* recording threads, at least 1 */
    const pm_trace_cache *cache;   /* NULL: none */
    const pm_trace_cache *classes; /* where the classes of whole graphs are kept; NULL: none */
    bool strict_cache;             /* a damaged entry is an error instead of being recorded again */
    bool cached_only;              /* nothing is recorded: a missing trace is PM_EUNAVAILABLE, naming its key */
    const pm_log *log;
} pm_library_options;

/* All SCCs of one key. */
typedef struct pm_trace_class {
    uint8_t key[PM_DIGEST_BYTES];
    pm_plan plan;
    uint32_t n_sccs; /* of this key in the graph */
    bool cached;
} pm_trace_class;

typedef struct pm_library {
    uint32_t n_classes;
    pm_trace_class *classes;
    pm_scc_instance *instances; /* of each SCC of the split */
    uint32_t *names;            /* n_transient; instances point into it */
    uint32_t n_recorded, n_cached;
} pm_library;

/* Graphs of fewer transient states are searched each time: that is as fast as looking them up. */
#define PM_CLASSES_KEPT_STATES 1000

/* Finds the classes where the analysis does not have them (they are taken from it), fetches traces and records. A cache
 * that cannot be written is a warning; an entry that is damaged, or does not fit its SCC, is an error line, removed and
 * recorded again. Errors: those of recording. Free with pmi_library_free, also after a failure. */
pm_status pmi_library_make(pm_analysis *analysis, const pm_library_options *options, pm_library *out, pm_error *err);
void pmi_library_free(pm_library *library);

/* The whole library from what is kept of the graph and `options->cache`, where all of it is there and fits: every SCC
 * is held against its trace, and neither digraphs nor keys are made. *made is false when anything is missing or wrong;
 * nothing is logged or removed for it. Takes kept->names when it is made. Free with pmi_library_free. */
pm_status pmi_library_of_kept(const pm_analysis *analysis, pm_kept_classes *kept, const pm_library_options *options,
                              pm_library *out, bool *made, pm_error *err);

#endif
