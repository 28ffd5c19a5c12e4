/* Classes kept on disk: a graph that was seen before is not searched again. */
#include <string.h>

#include "base/mem.h"
#include "trace/library_impl.h"

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

/* What was there is no use: an error with strict_cache, else a line and an empty place. */
static pm_status discard(const pm_library_options *o, const uint8_t *key, const char *why, bool is_there,
                         pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(key, hex);
    if (o->strict_cache) {
        return pmi_fail(err, PM_EDATA, "trace cache: the classes %s are damaged (%s), and --strict-cache is on", hex,
                        why);
    }
    if (!is_there) {
        return PM_OK;
    }
    pmi_logf(o->log, PM_LOG_ERROR, "trace cache: the classes %s are damaged (%s); removed, found again", hex, why);
    return o->classes->remove(o->classes->ctx, key, err);
}

static pm_status decode(const pm_split *split, const uint8_t *key, const pm_buffer *bytes, pm_kept_classes *out,
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
static pm_status judge(const pm_library_options *o, const uint8_t *key, pm_status st, const pm_error *why, bool *found,
                       pm_error *err) {
    *found = st == PM_OK;
    if (st == PM_EDATA) {
        return discard(o, key, why->text, true, err);
    }
    return st == PM_OK ? PM_OK : pmi_fail(err, st, "%s", why->text);
}

pm_status pmi_classes_fetch(const pm_analysis *analysis, const pm_library_options *o, pm_kept_classes *out, bool *found,
                            pm_error *err) {
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer bytes = {0};
    pm_cache_found there = PM_CACHE_MISSING;
    *found = false;
    *out = (pm_kept_classes){0};
    pm_status st = pmi_classes_key(analysis->graph->digest, analysis->effort, key, err);
    PM_THEN(st, o->classes->get(o->classes->ctx, key, &bytes, &there, err));
    if (st == PM_OK && there == PM_CACHE_DAMAGED) {
        st = discard(o, key, "their checksum does not match", false, err);
    } else if (st == PM_OK && there == PM_CACHE_FOUND) {
        pm_error why = {0};
        st = decode(&analysis->split, key, &bytes, out, &why);
        st = judge(o, key, st, &why, found, err);
    }
    pmi_buffer_free(&bytes);
    return st;
}

pm_status pmi_classes_of_kept(pm_analysis *analysis, const pm_library_options *o, const pm_kept_classes *kept,
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
    return judge(o, kept->key, st, &why, found, err);
}

static pm_status encode(const pm_analysis *analysis, uint8_t key[PM_DIGEST_BYTES], pm_buffer *out, pm_error *err) {
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

void pmi_classes_keep(const pm_analysis *analysis, const pm_library_options *o) {
    pm_buffer bytes = {0};
    pm_cache_entry entry;
    pm_error why = {0};
    pm_status st = encode(analysis, entry.key, &bytes, &why);
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
