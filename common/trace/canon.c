#include "trace/canon.h"

#include <nauty/nausparse.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "trace/codec.h"

/* nauty's search state is static, and its node hook takes no context: one search at a time, one deadline. */
static pthread_mutex_t nauty_lock = PTHREAD_MUTEX_INITIALIZER;
static double nauty_deadline;

static void stop_at_deadline(graph *g, int *lab, int *ptn, int level, int cells, int tc, int code, int m, int n) {
    (void)g, (void)lab, (void)ptn, (void)level, (void)cells, (void)tc, (void)code, (void)m, (void)n;
    if (pm_seconds() > nauty_deadline) {
        nauty_kill_request = 1;
    }
}

typedef struct nauty_work {
    sparsegraph graph, canonical;
    int *lab, *ptn, *orbits;
} nauty_work;

static void nauty_work_free(nauty_work *w) {
    free(w->graph.v);
    free(w->graph.d);
    free(w->graph.e);
    free(w->canonical.v);
    free(w->canonical.d);
    free(w->canonical.e);
    free(w->lab);
    free(w->ptn);
    free(w->orbits);
}

static pm_status nauty_work_new(const pm_topology *t, nauty_work *w, pm_error *err) {
    *w = (nauty_work){0};
    size_t n = t->n, edges = t->row[n];
    w->graph.nv = (int)n;
    w->graph.nde = edges;
    w->graph.v = pm_malloc(n, sizeof *w->graph.v);
    w->graph.d = pm_malloc(n, sizeof *w->graph.d);
    w->graph.e = pm_malloc(edges, sizeof *w->graph.e);
    w->graph.vlen = w->graph.dlen = n;
    w->graph.elen = edges;
    w->lab = pm_malloc(n, sizeof *w->lab);
    w->ptn = pm_malloc(n, sizeof *w->ptn);
    w->orbits = pm_malloc(n, sizeof *w->orbits);
    if (w->graph.v == NULL || w->graph.d == NULL || w->graph.e == NULL || w->lab == NULL || w->ptn == NULL ||
        w->orbits == NULL) {
        nauty_work_free(w);
        return pm_fail_memory(err, "the canonical form of an SCC", n * 24 + edges * 4);
    }
    for (size_t v = 0; v < n; v++) {
        w->graph.v[v] = t->row[v];
        w->graph.d[v] = (int)(t->row[v + 1] - t->row[v]);
    }
    for (size_t e = 0; e < edges; e++) {
        w->graph.e[e] = (int)t->col[e];
    }
    return PM_OK;
}

/* Returns false when the time limit struck. */
static bool run_nauty(nauty_work *w) {
    DEFAULTOPTIONS_SPARSEDIGRAPH(options);
    options.getcanon = TRUE;
    options.schreier = TRUE;
    options.usernodeproc = stop_at_deadline;
    statsblk stats;
    pthread_mutex_lock(&nauty_lock);
    nauty_kill_request = 0;
    nauty_deadline = pm_seconds() + PM_CANON_SECONDS;
    sparsenauty(&w->graph, w->lab, w->ptn, w->orbits, &options, &stats, &w->canonical);
    pthread_mutex_unlock(&nauty_lock);
    return stats.errstatus == 0;
}

static pm_status find_names(const pm_topology *t, pm_canon *out, pm_error *err) {
    out->as_given = t->n > PM_CANON_MAX_STATES;
    if (!out->as_given) {
        nauty_work w;
        pm_status st = nauty_work_new(t, &w, err);
        if (st != PM_OK) {
            return st;
        }
        out->as_given = !run_nauty(&w);
        for (uint32_t i = 0; !out->as_given && i < t->n; i++) {
            out->name[w.lab[i]] = i;
        }
        nauty_work_free(&w);
    }
    if (out->as_given) {
        for (uint32_t i = 0; i < t->n; i++) {
            out->name[i] = i;
        }
    }
    return PM_OK;
}

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* n, then for each row its length and its targets: 32-bit little-endian. */
static pm_status add_topology(pm_hasher *h, const pm_topology *t, pm_error *err) {
    size_t count = 1 + (size_t)t->n + t->row[t->n];
    uint8_t *bytes = pm_malloc(count, 4);
    if (bytes == NULL) {
        return pm_fail_memory(err, "the digest of an SCC", count * 4);
    }
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
    pm_status st = pm_hasher_add(h, bytes, count * 4, err);
    free(bytes);
    return st;
}

pm_status pm_topology_digest(const pm_topology *topology, pm_digest_kind kind, uint8_t digest[PM_DIGEST_BYTES],
                             pm_error *err) {
    pm_hasher *h;
    pm_status st = pm_hasher_new(kind, &h, err);
    if (st == PM_OK) {
        st = add_topology(h, topology, err);
    }
    if (st == PM_OK) {
        st = pm_hasher_finish(h, digest, err);
    }
    pm_hasher_free(h);
    return st;
}

static pm_status make_key(const pm_canon *c, pm_effort effort, uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    uint8_t head[16];
    put_u32(head, PM_TRACE_VERSION);
    put_u32(head + 4, PM_RECORDER_VERSION);
    put_u32(head + 8, (uint32_t)effort);
    put_u32(head + 12, c->as_given ? 1 : 0);
    pm_hasher *h;
    pm_status st = pm_hasher_new(PM_SHA256, &h, err);
    if (st == PM_OK) {
        st = pm_hasher_add(h, "phasemill trace", 15, err);
    }
    if (st == PM_OK) {
        st = pm_hasher_add(h, head, sizeof head, err);
    }
    if (st == PM_OK) {
        st = add_topology(h, &c->topology, err);
    }
    if (st == PM_OK) {
        st = pm_hasher_finish(h, key, err);
    }
    pm_hasher_free(h);
    return st;
}

pm_status pm_canon_identify(pm_canon *canon, pm_effort effort, pm_error *err) {
    pm_status st = make_key(canon, effort, canon->key, err);
    return st == PM_OK ? pm_topology_digest(&canon->topology, PM_BLAKE2S256, canon->digest, err) : st;
}

void pm_canon_log(const pm_canon *canon, const pm_log *log) {
    const pm_topology *t = &canon->topology;
    if (canon->as_given) {
        pm_logf(log, PM_LOG_WARNING,
                "an SCC of %u states and %zu inner edges keeps the order of the file: canonical order is sought up to "
                "%d states and %.0f seconds; its trace is found again only for the same order",
                t->n, t->row[t->n], PM_CANON_MAX_STATES, PM_CANON_SECONDS);
    }
}

pm_status pm_canon_find(const pm_topology *topology, pm_effort effort, const pm_log *log, pm_canon *out,
                        pm_error *err) {
    *out = (pm_canon){.name = pm_malloc(topology->n, sizeof *out->name)};
    if (out->name == NULL) {
        return pm_fail_memory(err, "the canonical names of an SCC", topology->n * sizeof *out->name);
    }
    pm_status st = find_names(topology, out, err);
    if (st == PM_OK) {
        st = pm_topology_rename(topology, out->name, &out->topology, err);
    }
    if (st == PM_OK) {
        st = pm_canon_identify(out, effort, err);
    }
    if (st == PM_OK) {
        pm_canon_log(out, log);
    } else {
        pm_canon_free(out);
    }
    return st;
}

void pm_canon_free(pm_canon *canon) {
    free(canon->name);
    pm_topology_free(&canon->topology);
    *canon = (pm_canon){0};
}
