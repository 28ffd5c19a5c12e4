#include <string.h>

#include "base/mem.h"
#include "scc/label_impl.h"

/* ---- which edges tell ---- */

typedef struct chooser {
    const pm_digraph *g;
    const pm_cells *cells;
    pm_parts *out;
    uint32_t *count;   /* of each cell: edges from the vertex at hand; zero between vertices */
    uint32_t *touched; /* cells it has edges to */
    uint32_t *mark;    /* vertex + 1, of the targets of the vertex at hand */
    uint32_t *parent;  /* of each vertex: towards the one that stands for its part */
} chooser;

static uint32_t root_of(uint32_t *parent, uint32_t v) {
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

static void join(uint32_t *parent, uint32_t v, uint32_t w) {
    uint32_t a = root_of(parent, v), b = root_of(parent, w);
    parent[a < b ? b : a] = a < b ? a : b;
}

static void keep_edge(chooser *k, uint32_t v, uint32_t w) {
    pm_digraph *kept = &k->out->kept;
    kept->col[kept->row[v + 1]++] = w;
    join(k->parent, v, w);
}

/* Of the `all` edges that v could have into a cell it has `count`. */
static void keep_missing(chooser *k, uint32_t v, uint32_t cell) {
    for (uint32_t at = cell; at < cell + k->cells->size[cell]; at++) {
        uint32_t w = k->cells->vertex[at];
        if (w != v && k->mark[w] != v + 1) {
            keep_edge(k, v, w);
        }
    }
}

static void choose(chooser *k, uint32_t v) {
    const pm_digraph *g = k->g;
    const pm_cells *c = k->cells;
    uint32_t n_touched = 0;
    k->out->kept.row[v + 1] = k->out->kept.row[v];
    for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
        uint32_t cell = c->cell[g->col[e]];
        k->mark[g->col[e]] = v + 1;
        if (k->count[cell]++ == 0) {
            k->touched[n_touched++] = cell;
        }
    }
    for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
        uint32_t cell = c->cell[g->col[e]], all = c->size[cell] - (c->cell[v] == cell ? 1 : 0);
        if (k->count[cell] <= all / 2) {
            keep_edge(k, v, g->col[e]);
        }
    }
    for (uint32_t i = 0; i < n_touched; i++) {
        uint32_t cell = k->touched[i], all = c->size[cell] - (c->cell[v] == cell ? 1 : 0);
        if (k->count[cell] > all / 2 && k->count[cell] < all) {
            keep_missing(k, v, cell);
        }
        k->count[cell] = 0;
    }
}

/* ---- which vertices hang together ---- */

static void number_parts(chooser *k) {
    uint32_t n = k->g->n;
    pm_parts *out = k->out;
    uint32_t *part = k->count; /* of each root */
    memset(out->first, 0, ((size_t)n + 1) * sizeof *out->first);
    for (uint32_t at = 0; at < n; at++) {
        uint32_t v = k->cells->vertex[at], root = root_of(k->parent, v);
        if (k->mark[root] != PM_NONE) {
            k->mark[root] = PM_NONE;
            part[root] = out->n++;
        }
        out->local[v] = out->first[part[root] + 1]++;
    }
    for (uint32_t p = 0; p < out->n; p++) {
        out->first[p + 1] += out->first[p];
    }
    for (uint32_t v = 0; v < n; v++) {
        out->member[out->first[part[root_of(k->parent, v)]] + out->local[v]] = v;
    }
}

pm_status pmi_parts_find(const pm_digraph *g, const pm_cells *cells, pm_parts *out, pm_error *err) {
    size_t n = g->n;
    *out = (pm_parts){.first = pmi_malloc(n + 1, sizeof *out->first),
                      .member = pmi_malloc(n, sizeof *out->member),
                      .local = pmi_malloc(n, sizeof *out->local)};
    chooser k = {.g = g, .cells = cells, .out = out, .count = pmi_calloc(n, 4 * sizeof *k.count)};
    pm_status st = pmi_digraph_new(g->n, g->row[n], &out->kept, err);
    if (st == PM_OK && (out->first == NULL || out->member == NULL || out->local == NULL || k.count == NULL)) {
        st = pmi_fail_memory(err, "the parts of an SCC", n * 28);
    }
    if (st == PM_OK) {
        k.touched = k.count + n;
        k.mark = k.touched + n;
        k.parent = k.mark + n;
        for (uint32_t v = 0; v < n; v++) {
            k.parent[v] = v;
        }
        for (uint32_t v = 0; v < n; v++) {
            choose(&k, v);
        }
        number_parts(&k);
        pmi_digraph_reverse(&out->kept);
    }
    free(k.count);
    if (st != PM_OK) {
        pmi_parts_free(out);
    }
    return st;
}

void pmi_parts_free(pm_parts *parts) {
    pmi_digraph_free(&parts->kept);
    free(parts->first);
    free(parts->member);
    free(parts->local);
    *parts = (pm_parts){0};
}

/* ---- one part alone ---- */

static void share_cells(const pm_cells *cells, const uint32_t *member, pm_cells *share) {
    share->count = 0;
    for (uint32_t i = 0, begin = 0; i < share->n; i++) {
        share->vertex[i] = share->place[i] = i;
        if (i == 0 || cells->cell[member[i]] != cells->cell[member[i - 1]]) {
            begin = i;
            share->size[begin] = 0;
            share->count++;
        }
        share->cell[i] = begin;
        share->size[begin]++;
    }
}

pm_status pmi_parts_take(const pm_parts *parts, const pm_cells *cells, uint32_t part, pm_digraph *g, pm_cells *share,
                         pm_error *err) {
    const pm_digraph *kept = &parts->kept;
    const uint32_t *member = parts->member + parts->first[part];
    uint32_t n = parts->first[part + 1] - parts->first[part];
    size_t edges = 0;
    for (uint32_t i = 0; i < n; i++) {
        edges += kept->row[member[i] + 1] - kept->row[member[i]];
    }
    *share = (pm_cells){0};
    PM_TRY(pmi_digraph_new(n, edges, g, err));
    PM_TRY(pmi_cells_new(n, share, err));
    share_cells(cells, member, share);
    for (uint32_t i = 0; i < n; i++) {
        g->row[i + 1] = g->row[i];
        for (uint32_t e = kept->row[member[i]]; e < kept->row[member[i] + 1]; e++) {
            g->col[g->row[i + 1]++] = parts->local[kept->col[e]];
        }
    }
    pmi_digraph_reverse(g);
    return PM_OK;
}
