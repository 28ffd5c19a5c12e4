#include "scc/split.h"

#include <string.h>

/* Tarjan (1972), with an explicit stack: graphs are deep. */
typedef struct tarjan {
    uint32_t *index; /* visit number + 1; 0: not visited */
    uint32_t *low;
    uint32_t *stack; /* states whose SCC is open */
    uint32_t *call;  /* the path of the depth-first search */
    size_t *next;    /* next out-edge of each state on the path */
    size_t n_stack, n_call;
    uint32_t visited;
    pm_pool pool; /* of the arrays */
} tarjan;

static pm_status tarjan_new(size_t n, tarjan *t, pm_error *err) {
    t->index = pmi_pool_zeros(&t->pool, n, sizeof *t->index);
    t->low = pmi_pool_array(&t->pool, n, sizeof *t->low);
    t->stack = pmi_pool_array(&t->pool, n, sizeof *t->stack);
    t->call = pmi_pool_array(&t->pool, n, sizeof *t->call);
    t->next = pmi_pool_array(&t->pool, n, sizeof *t->next);
    return pmi_pool_check(&t->pool, err, "the search for SCCs", n * 24);
}

static bool edge_counts(const pm_graph *g, const bool *zero, size_t e) {
    return !zero[g->weight[e]] && g->from[e] != g->to[e];
}

static void fill_adjacency(const pm_graph *g, const bool *zero, pm_split *s) {
    size_t n = g->n_vertices;
    for (size_t e = 0; e < g->n_edges; e++) {
        s->row[g->from[e] + 1] += edge_counts(g, zero, e) ? 1 : 0;
    }
    for (size_t v = 0; v < n; v++) {
        s->row[v + 1] += s->row[v];
    }
    /* fill from the back of each row, so that row[v] ends at the row's first edge: shift afterwards */
    for (size_t e = 0; e < g->n_edges; e++) {
        if (edge_counts(g, zero, e)) {
            size_t at = s->row[g->from[e]]++;
            s->to[at] = g->to[e];
            s->weight[at] = g->weight[e];
        }
    }
    memmove(s->row + 1, s->row, n * sizeof *s->row);
    s->row[0] = 0;
}

static pm_status build_adjacency(const pm_graph *g, pm_split *s, pm_error *err) {
    s->row = pmi_pool_zeros(&s->pool, (size_t)g->n_vertices + 1, sizeof *s->row);
    s->to = pmi_pool_array(&s->pool, g->n_edges, sizeof *s->to);
    s->weight = pmi_pool_array(&s->pool, g->n_edges, sizeof *s->weight);
    PM_TRY(pmi_pool_check(&s->pool, err, "the edges by state", g->n_edges * 8));
    bool *zero;
    PM_TRY(PM_NEW(&zero, g->n_weights, "the edges by state", err));
    for (size_t w = 0; w < g->n_weights; w++) {
        zero[w] = pmi_graph_weight_is_zero(g, (uint32_t)w);
    }
    fill_adjacency(g, zero, s);
    free(zero);
    return PM_OK;
}

static bool absorbs(const pm_split *s, uint32_t v) {
    return s->row[v] == s->row[v + 1];
}

static void enter(tarjan *t, const pm_split *s, uint32_t v) {
    t->index[v] = t->low[v] = ++t->visited;
    t->stack[t->n_stack++] = v;
    t->call[t->n_call++] = v;
    t->next[v] = s->row[v];
}

static void close_scc(tarjan *t, pm_split *s, uint32_t v) {
    uint32_t first = s->n_transient;
    uint32_t member;
    do {
        member = t->stack[--t->n_stack];
        s->scc_of[member] = s->n_sccs;
        s->member[s->n_transient++] = member;
    } while (member != v);
    uint32_t size = s->n_transient - first;
    s->scc_first[++s->n_sccs] = s->n_transient;
    s->n_nontrivial += size > 1 ? 1 : 0;
    s->largest = size > s->largest ? size : s->largest;
}

/* All SCCs that can be reached from `root`, sinks first. */
static void search_from(tarjan *t, pm_split *s, uint32_t root) {
    enter(t, s, root);
    while (t->n_call > 0) {
        uint32_t v = t->call[t->n_call - 1];
        if (t->next[v] < s->row[v + 1]) {
            uint32_t to = s->to[t->next[v]++];
            if (t->index[to] == 0) {
                if (absorbs(s, to)) {
                    t->index[to] = ++t->visited;
                    s->n_absorbing++;
                } else {
                    enter(t, s, to);
                }
            } else if (s->scc_of[to] == PM_NONE && !absorbs(s, to) && t->index[to] < t->low[v]) {
                t->low[v] = t->index[to];
            }
            continue;
        }
        t->n_call--;
        if (t->low[v] == t->index[v]) {
            close_scc(t, s, v);
        }
        if (t->n_call > 0 && t->low[v] < t->low[t->call[t->n_call - 1]]) {
            t->low[t->call[t->n_call - 1]] = t->low[v];
        }
    }
}

static pm_status search(const pm_graph *g, tarjan *t, pm_split *s, pm_error *err) {
    size_t n = g->n_vertices;
    s->scc_of = pmi_pool_array(&s->pool, n, sizeof *s->scc_of);
    s->scc_first = pmi_pool_zeros(&s->pool, n + 1, sizeof *s->scc_first);
    s->member = pmi_pool_array(&s->pool, n, sizeof *s->member);
    PM_TRY(pmi_pool_check(&s->pool, err, "the SCCs", n * 12));
    memset(s->scc_of, 0xff, n * sizeof *s->scc_of);
    for (size_t i = 0; i < g->n_starts; i++) {
        uint32_t v = g->start_to[i];
        if (t->index[v] != 0 || pmi_graph_weight_is_zero(g, g->start_weight[i])) {
            continue;
        }
        if (absorbs(s, v)) {
            t->index[v] = ++t->visited;
            s->n_absorbing++;
        } else {
            search_from(t, s, v);
        }
    }
    return PM_OK;
}

/* Rows ascend inside each SCC: a second pass by row number is a counting sort. */
static pm_status sort_members(const pm_graph *g, pm_split *s, pm_error *err) {
    uint32_t *at;
    PM_TRY(PM_NEW(&at, s->n_sccs, "the order of the SCCs", err));
    memcpy(at, s->scc_first, s->n_sccs * sizeof *at);
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        if (s->scc_of[v] != PM_NONE) {
            s->member[at[s->scc_of[v]]++] = v;
        }
    }
    free(at);
    return PM_OK;
}

static bool has_exit(const pm_split *s, uint32_t scc) {
    for (uint32_t i = s->scc_first[scc]; i < s->scc_first[scc + 1]; i++) {
        uint32_t v = s->member[i];
        for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
            if (s->scc_of[s->to[e]] != scc) {
                return true;
            }
        }
    }
    return false;
}

static pm_status check_absorption(const pm_graph *g, const pm_split *s, pm_error *err) {
    for (uint32_t scc = 0; scc < s->n_sccs; scc++) {
        if (has_exit(s, scc)) {
            continue;
        }
        char first[160], last[160];
        uint32_t size = s->scc_first[scc + 1] - s->scc_first[scc];
        pmi_graph_describe(g, s->member[s->scc_first[scc]], first, sizeof first);
        pmi_graph_describe(g, s->member[s->scc_first[scc + 1] - 1], last, sizeof last);
        return pmi_fail(err, PM_EDATA,
                        "%s can be reached but cannot reach absorption: no edge leaves its SCC of %u state%s (last: "
                        "%s); add an edge towards an absorbing state, remove the way in, or take what comes there as "
                        "never absorbed with --defective",
                        first, size, size == 1 ? "" : "s", last);
    }
    return PM_OK;
}

static pm_status split(const pm_graph *graph, const pm_log *log, pm_split *out, pm_error *err) {
    *out = (pm_split){0};
    tarjan t = {0};
    pm_status st = build_adjacency(graph, out, err);
    PM_THEN(st, tarjan_new(graph->n_vertices, &t, err));
    PM_THEN(st, search(graph, &t, out, err));
    PM_THEN(st, sort_members(graph, out, err));
    pmi_pool_free(&t.pool);
    if (st != PM_OK) {
        pmi_split_free(out);
        return st;
    }
    uint32_t start = graph->has_start ? 1 : 0;
    out->n_total = out->n_sccs + out->n_absorbing + start;
    out->n_unreachable = graph->n_vertices - out->n_transient - out->n_absorbing - start;
    if (out->n_unreachable > 0) {
        pmi_logf(log, PM_LOG_INFO, "%u of %u states cannot be reached from the start distribution and are left out",
                 out->n_unreachable, graph->n_vertices);
    }
    return PM_OK;
}

pm_status pmi_split_graph(const pm_graph *graph, const pm_log *log, pm_split *out, pm_error *err) {
    pm_status st = split(graph, log, out, err);
    PM_THEN(st, check_absorption(graph, out, err));
    if (st != PM_OK) {
        pmi_split_free(out);
    }
    return st;
}

pm_status pmi_split_defective(const pm_graph *graph, const pm_log *log, pm_split *out, bool *is_defective,
                              pm_error *err) {
    pm_status st = split(graph, log, out, err);
    *is_defective = st == PM_OK && check_absorption(graph, out, NULL) != PM_OK;
    return st;
}

void pmi_split_free(pm_split *split) {
    pmi_pool_free(&split->pool);
    *split = (pm_split){0};
}
