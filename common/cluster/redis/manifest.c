#include "redis/manifest.h"

#include <string.h>

#include "graph/write.h"
#include "redis/redis_impl.h"
#include "redis/traces.h"

static pm_status add_bytes(void *ctx, const void *bytes, size_t n, pm_error *err) {
    return pmi_buffer_add(ctx, bytes, n, err);
}

/* A base weight beside coefficients (of phasic 0.21) becomes two edges when it is written, and the job another one. */
static pm_status check_graph(const pm_graph *graph, pm_error *err) {
    size_t width = 1 + (size_t)graph->n_params, first = graph->n_plain + graph->n_constant;
    bool is_split = false;
    for (size_t e = first; e < graph->n_edges; e++) {
        is_split = is_split || graph->weights[graph->weight[e] * width] != 0.0;
    }
    for (size_t e = graph->n_start_plain; e < graph->n_starts; e++) {
        is_split = is_split || graph->weights[graph->start_weight[e] * width] != 0.0;
    }
    return !is_split
               ? PM_OK
               : pmi_fail(err, PM_EDATA,
                          "the graph has parametric edges with a base weight (phasic 0.21), which has no place in "
                          "the newest layout that travels; run phasemill convert on it and submit what it writes");
}

pm_status pmi_manifest_encode(const pm_analysis *analysis, pm_buffer *out, pm_error *err) {
    const pm_graph *graph = analysis->graph;
    const pm_classes *classes = &analysis->classes;
    pm_buffer written = {0};
    const pm_byte_sink sink = {.ctx = &written, .write = add_bytes};
    uint8_t *as_given = pmi_malloc(classes->n_classes, 1);
    pm_status st = check_graph(graph, err);
    if (st == PM_OK && as_given == NULL) {
        st = pmi_fail_memory(err, "a manifest", classes->n_classes);
    }
    PM_THEN(st, pmi_graph_write(graph, PM_GRAPH_MSGPACK, &sink, err));
    if (st == PM_OK) {
        for (uint32_t c = 0; c < classes->n_classes; c++) {
            as_given[c] = classes->canon[c].as_given ? 1 : 0;
        }
        pm_manifest_message message = {.effort = (uint64_t)analysis->effort,
                                       .as_given = {as_given, classes->n_classes},
                                       .class_of = pmi_u32s(classes->class_of, analysis->split.n_sccs),
                                       .names = pmi_u32s(classes->names, analysis->split.n_transient),
                                       .graph = {written.bytes, written.size}};
        memcpy(message.job, graph->digest, sizeof message.job);
        st = pmi_message_encode(&pmi_manifest_type, &message, out, err);
    }
    pmi_buffer_free(&written);
    free(as_given);
    return st;
}

static pm_status check_sizes(const pm_manifest_message *m, const pm_split *split, pm_error *err) {
    if (m->class_of.size != (size_t)split->n_sccs * 4 || m->names.size != (size_t)split->n_transient * 4) {
        return pmi_fail(
            err, PM_EDATA,
            "classes of %zu SCCs and names of %zu states, expected those of the graph's %u SCCs and %u states",
            m->class_of.size / 4, m->names.size / 4, split->n_sccs, split->n_transient);
    }
    for (size_t c = 0; c < m->as_given.size; c++) {
        if (m->as_given.bytes[c] > 1) {
            return pmi_fail(err, PM_EDATA, "as_given of class %zu is %u, expected 0 or 1", c, m->as_given.bytes[c]);
        }
    }
    return m->as_given.size <= split->n_sccs
               ? PM_OK
               : pmi_fail(err, PM_EDATA, "%zu classes, expected at most %u: one for each SCC", m->as_given.size,
                          split->n_sccs);
}

static pm_status restore_classes(const pm_manifest_message *m, pm_analysis *out, pm_error *err) {
    uint32_t *class_of = NULL, *names = NULL;
    size_t n_sccs, n_names;
    pm_status st = check_sizes(m, &out->split, err);
    PM_THEN(st, pmi_u32s_read(m->class_of, &class_of, &n_sccs, err));
    PM_THEN(st, pmi_u32s_read(m->names, &names, &n_names, err));
    PM_THEN(st, pmi_classes_restore(out->graph, &out->split, out->effort, m->as_given.bytes, (uint32_t)m->as_given.size,
                                    class_of, names, &out->classes, err));
    free(class_of);
    free(names);
    return st;
}

static pm_status check_digest(const pm_graph *graph, const pm_manifest_message *m, pm_error *err) {
    if (memcmp(graph->digest, m->job, sizeof m->job) != 0) {
        char expected[PM_DIGEST_HEX];
        pmi_hex(m->job, expected);
        return pmi_fail(err, PM_EDATA, "its graph is %s, expected %s", PM_HEX(graph->digest), expected);
    }
    return PM_OK;
}

static pm_status unpack(const pm_manifest_message *m, const pm_log *log, pm_analysis *out, pm_error *err) {
    pm_graph *graph;
    PM_TRY(pm_graph_parse(m->graph.bytes, m->graph.size, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, err));
    pm_status st = check_digest(graph, m, err);
    PM_THEN(st, pmi_analysis_split(graph, (pm_effort)m->effort, false, log, out, err));
    PM_THEN(st, restore_classes(m, out, err));
    pm_graph_free(graph);
    return st;
}

pm_status pmi_manifest_decode(const uint8_t *bytes, size_t n, size_t limit, const pm_log *log, pm_analysis *out,
                              pm_error *err) {
    pm_manifest_message message;
    pm_message_memory memory = {0};
    pm_message_type type = pmi_manifest_type;
    type.unpacked = limit < type.unpacked ? limit : type.unpacked;
    *out = (pm_analysis){0};
    pm_status st = pmi_message_decode(&type, bytes, n, &message, &memory, err);
    if (st == PM_OK) {
        st = unpack(&message, log, out, err);
        pmi_message_memory_free(&memory);
        if (st != PM_OK) {
            (void)pmi_fail_prefix(err, "the job's manifest");
        }
    }
    if (st != PM_OK) {
        pmi_analysis_free(out);
    }
    return st;
}

pm_status pmi_manifest_put(pm_redis *r, const pm_digest job, const pm_buffer *encoded, pm_error *err) {
    pm_blob_item item = {.bytes = encoded->bytes, .size = encoded->size};
    memcpy(item.digest, job, sizeof item.digest);
    PM_TRY(pmi_blob_put(r, PM_SPACE_MANIFEST, &item, 1, true, err));
    if (item.how == PM_BLOB_DIFFERS) {
        pmi_logf(r->log, PM_LOG_INFO,
                 "job %s: the manifest of an earlier submit, with another effort or by another version, is replaced",
                 PM_HEX(job));
    }
    return PM_OK;
}

/* Before it is read: what is too large for this process may be right for others, and stays. */
static pm_status check_stored_size(pm_redis *r, const uint8_t *job, size_t limit, pm_error *err) {
    uint64_t size;
    PM_TRY(pmi_blob_size(r, PM_SPACE_MANIFEST, job, &size, err));
    if (size > limit) {
        return pmi_fail(err, PM_EOSERR,
                        "the manifest of job %s has %llu bytes, and at most %zu may be taken (--memory, or the unit's "
                        "memory)",
                        PM_HEX(job), (unsigned long long)size, limit);
    }
    return PM_OK;
}

pm_status pmi_manifest_get(pm_redis *r, const pm_digest job, size_t limit, const pm_log *log, pm_analysis *out,
                           pm_buffer *encoded, pm_error *err) {
    pm_buffer bytes = {0};
    pm_blob_found found;
    char hex[PM_DIGEST_HEX];
    pmi_hex(job, hex);
    *out = (pm_analysis){0};
    PM_TRY(check_stored_size(r, job, limit, err));
    pm_status st = pmi_blob_get(r, PM_SPACE_MANIFEST, job, PM_BLOB_READ, &bytes, &found, err);
    if (st == PM_OK && found != PM_BLOB_FOUND) {
        st = pmi_fail(err, PM_ENOINPUT, "Redis at %s %s of job %s; submit the graph (again)", r->options.address,
                      found == PM_BLOB_MISSING ? "has no manifest" : "had a damaged manifest", hex);
    } else if (st == PM_OK) {
        st = pmi_manifest_decode(bytes.bytes, bytes.size, limit, log, out, err);
        st = st == PM_EDATA ? pmi_fail_prefix(err, "Redis at %s: job %s, whose graph should be submitted again",
                                              r->options.address, hex)
                            : st;
    }
    if (st == PM_OK && memcmp(out->graph->digest, job, PM_DIGEST_BYTES) != 0) {
        pmi_analysis_free(out);
        st = pmi_fail(err, PM_EDATA, "Redis at %s holds the manifest of another job under %s; submit the graph again",
                      r->options.address, hex);
    }
    if (st == PM_OK && encoded != NULL) {
        st = pmi_buffer_add(encoded, bytes.bytes, bytes.size, err);
    }
    pmi_buffer_free(&bytes);
    return st;
}
