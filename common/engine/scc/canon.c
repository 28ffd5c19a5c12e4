#include "scc/canon.h"

#include "scc/label.h"

static pm_status find_order(const pm_topology *t, double *seconds, uint32_t *order, bool *found, pm_error *err) {
    pm_digraph g;
    pm_status st = pmi_digraph_of_topology(t, &g, err);
    PM_THEN(st, pmi_label(&g, seconds, order, found, err));
    pmi_digraph_free(&g);
    return st;
}

static pm_status find_names(const pm_topology *t, double *seconds, pm_canon *out, pm_error *err) {
    bool found = false;
    uint32_t *order;
    PM_TRY(PM_NEW(&order, t->n, "the canonical order of an SCC", err));
    pm_status st = t->row[t->n] <= PM_DIGRAPH_EDGES ? find_order(t, seconds, order, &found, err) : PM_OK;
    for (uint32_t i = 0; i < t->n; i++) {
        out->name[found ? order[i] : i] = i;
    }
    out->as_given = !found;
    free(order);
    return st;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* n, then for each row its length and its targets: 32-bit little-endian. */
static pm_status add_topology(pm_hasher *h, const pm_topology *t, pm_error *err) {
    size_t count = 1 + (size_t)t->n + t->row[t->n];
    uint8_t *bytes;
    PM_TRY(pmi_new(&bytes, count, 4, "the digest of an SCC", err));
    uint8_t *at = bytes;
    put_u32(at, t->n);
    at += 4;
    for (uint32_t v = 0; v < t->n; v++) {
        put_u32(at, (uint32_t)(t->row[v + 1] - t->row[v]));
        at += 4;
        for (size_t e = t->row[v]; e < t->row[v + 1]; e++, at += 4) {
            put_u32(at, t->col[e]);
        }
    }
    pm_status st = pmi_hasher_add(h, bytes, count * 4, err);
    free(bytes);
    return st;
}

pm_status pmi_topology_digest(const pm_topology *topology, pm_digest_kind kind, uint8_t digest[PM_DIGEST_BYTES],
                              pm_error *err) {
    pm_hasher *h;
    pm_status st = pmi_hasher_new(kind, &h, err);
    PM_THEN(st, add_topology(h, topology, err));
    PM_THEN(st, pmi_hasher_finish(h, digest, err));
    pmi_hasher_free(h);
    return st;
}

static pm_status make_key(const pm_canon *c, pm_effort effort, uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    uint8_t head[16];
    put_u32(head, PM_TRACE_VERSION);
    put_u32(head + 4, PM_RECORDER_VERSION);
    put_u32(head + 8, (uint32_t)effort);
    put_u32(head + 12, c->as_given ? 1 : 0);
    pm_hasher *h;
    pm_status st = pmi_hasher_new(PM_SHA256, &h, err);
    PM_THEN(st, pmi_hasher_add(h, "phasemill trace", 15, err));
    PM_THEN(st, pmi_hasher_add(h, head, sizeof head, err));
    PM_THEN(st, add_topology(h, &c->topology, err));
    PM_THEN(st, pmi_hasher_finish(h, key, err));
    pmi_hasher_free(h);
    return st;
}

pm_status pmi_canon_identify(pm_canon *canon, pm_effort effort, pm_error *err) {
    PM_TRY(make_key(canon, effort, canon->key, err));
    return pmi_topology_digest(&canon->topology, PM_BLAKE2S256, canon->digest, err);
}

void pmi_canon_log(const pm_canon *canon, const pm_log *log) {
    const pm_topology *t = &canon->topology;
    if (canon->as_given) {
        pmi_logf(
            log, PM_LOG_WARNING,
            "an SCC of %u states and %zu inner edges keeps the order of the file: a run seeks canonical orders for "
            "at most %.0f seconds of processor time; its trace is found again only for the same order",
            t->n, t->row[t->n], PM_CANON_SECONDS);
    }
}

pm_status pmi_canon_find(const pm_topology *topology, pm_effort effort, double *seconds, pm_canon *out, pm_error *err) {
    *out = (pm_canon){0};
    PM_TRY(PM_NEW(&out->name, topology->n, "the canonical names of an SCC", err));
    pm_status st = find_names(topology, seconds, out, err);
    PM_THEN(st, pmi_topology_rename(topology, out->name, &out->topology, err));
    PM_THEN(st, pmi_canon_identify(out, effort, err));
    if (st != PM_OK) {
        pmi_canon_free(out);
    }
    return st;
}

void pmi_canon_free(pm_canon *canon) {
    free(canon->name);
    pmi_topology_free(&canon->topology);
    *canon = (pm_canon){0};
}
