/* Classes kept on disk: a graph that was seen before is not searched again. */
#include <string.h>

#include "base/mem.h"
#include "trace/classes_codec.h"
#include "trace/library.h"

static pm_status restore(const pm_graph *graph, const pm_split *split, pm_effort effort, const uint8_t *key,
                         const pm_buffer *bytes, pm_classes *out, pm_error *err) {
    pm_kept_classes kept;
    pm_status st = pm_kept_classes_decode(bytes->bytes, bytes->size, &kept, err);
    if (st != PM_OK) {
        return st;
    }
    if (memcmp(kept.key, key, PM_DIGEST_BYTES) != 0) {
        st = pm_fail(err, PM_EDATA, "they are kept under another key");
    } else if (kept.n_sccs != split->n_sccs || kept.n_states != split->n_transient) {
        st = pm_fail(err, PM_EDATA, "they are of %u SCCs and %u states, the graph has %u and %u", kept.n_sccs,
                     kept.n_states, split->n_sccs, split->n_transient);
    } else {
        st = pm_classes_restore(graph, split, effort, kept.as_given, kept.n_classes, kept.class_of, kept.names, out,
                                err);
    }
    pm_kept_classes_free(&kept);
    return st;
}

/* What was there is no use: an error with strict_cache, else a line and an empty place. */
static pm_status discard(const pm_library_options *o, const uint8_t *key, const char *why, bool is_there,
                         pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pm_hex(key, hex);
    if (o->strict_cache) {
        return pm_fail(err, PM_EDATA, "trace cache: the classes %s are damaged (%s), and --strict-cache is on", hex,
                       why);
    }
    if (!is_there) {
        return PM_OK;
    }
    pm_logf(o->log, PM_LOG_ERROR, "trace cache: the classes %s are damaged (%s); removed, found again", hex, why);
    return o->classes->remove(o->classes->ctx, key, err);
}

pm_status pm_classes_fetch(const pm_graph *graph, const pm_split *split, const pm_library_options *o, pm_classes *out,
                           bool *found, pm_error *err) {
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer bytes = {0};
    pm_cache_found there = PM_CACHE_MISSING;
    *found = false;
    *out = (pm_classes){0};
    pm_status st = pm_classes_key(graph->digest, o->record.effort, key, err);
    if (st == PM_OK) {
        st = o->classes->get(o->classes->ctx, key, &bytes, &there, err);
    }
    if (st == PM_OK && there == PM_CACHE_DAMAGED) {
        st = discard(o, key, "their checksum does not match", false, err);
    } else if (st == PM_OK && there == PM_CACHE_FOUND) {
        pm_error why = {0};
        st = restore(graph, split, o->record.effort, key, &bytes, out, &why);
        *found = st == PM_OK;
        if (st == PM_EDATA) {
            st = discard(o, key, why.text, true, err);
        } else if (st != PM_OK) {
            st = pm_fail(err, st, "%s", why.text);
        }
    }
    pm_buffer_free(&bytes);
    return st;
}

static pm_status encode(const pm_graph *graph, const pm_split *split, const pm_classes *classes, pm_effort effort,
                        uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err) {
    pm_kept_classes kept = {.n_sccs = split->n_sccs,
                            .n_states = split->n_transient,
                            .n_classes = classes->n_classes,
                            .as_given = pm_malloc(classes->n_classes, 1),
                            .class_of = classes->class_of,
                            .names = classes->names};
    if (kept.as_given == NULL) {
        return pm_fail_memory(err, "keeping classes", classes->n_classes);
    }
    for (uint32_t c = 0; c < classes->n_classes; c++) {
        kept.as_given[c] = classes->canon[c].as_given ? 1 : 0;
    }
    pm_status st = pm_classes_key(graph->digest, effort, kept.key, err);
    if (st == PM_OK) {
        st = pm_kept_classes_encode(&kept, out, err);
        memcpy(key, kept.key, PM_DIGEST_BYTES);
    }
    free(kept.as_given);
    return st;
}

void pm_classes_keep(const pm_graph *graph, const pm_split *split, const pm_classes *classes,
                     const pm_library_options *o) {
    pm_buffer bytes = {0};
    pm_cache_entry entry;
    pm_error why = {0};
    pm_status st = encode(graph, split, classes, o->record.effort, entry.key, &bytes, &why);
    if (st == PM_OK) {
        entry.bytes = bytes.bytes;
        entry.size = bytes.size;
        st = o->classes->put(o->classes->ctx, &entry, 1, &why);
    }
    if (st != PM_OK) {
        pm_logf(o->log, PM_LOG_WARNING, "trace cache: the classes of the graph are not kept: %s", why.text);
    }
    pm_buffer_free(&bytes);
}
