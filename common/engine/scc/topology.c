#include "scc/topology.h"

#include <string.h>

static pm_status topology_new(uint32_t n, size_t edges, pm_topology *out, pm_error *err) {
    *out = (pm_topology){
        .n = n, .row = pmi_calloc((size_t)n + 1, sizeof *out->row), .col = pmi_malloc(edges, sizeof *out->col)};
    if (out->row == NULL || out->col == NULL) {
        pmi_topology_free(out);
        return pmi_fail_memory(err, "the inner edges of an SCC", edges * sizeof *out->col);
    }
    return PM_OK;
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void pmi_sort_u32(uint32_t *values, size_t n) {
    if (n > 32) {
        qsort(values, n, sizeof *values, compare_u32);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint32_t value = values[i];
        size_t at = i;
        for (; at > 0 && values[at - 1] > value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
}

/* Sorts row v, which is the last one so far, and drops repeats (parallel edges). */
static void finish_row(pm_topology *t, uint32_t v, size_t end) {
    size_t begin = t->row[v];
    pmi_sort_u32(t->col + begin, end - begin);
    size_t kept = begin;
    for (size_t i = begin; i < end; i++) {
        if (kept == begin || t->col[kept - 1] != t->col[i]) {
            t->col[kept++] = t->col[i];
        }
    }
    t->row[v + 1] = kept;
}

pm_status pmi_topology_of_scc(const pm_split *split, uint32_t scc, uint32_t *local, pm_topology *out, pm_error *err) {
    uint32_t first = split->scc_first[scc];
    uint32_t n = split->scc_first[scc + 1] - first;
    size_t edges = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = split->member[first + i];
        local[v] = i;
        edges += split->row[v + 1] - split->row[v];
    }
    PM_TRY(topology_new(n, edges, out, err));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = split->member[first + i];
        size_t end = out->row[i];
        for (size_t e = split->row[v]; e < split->row[v + 1]; e++) {
            if (split->scc_of[split->to[e]] == scc) {
                out->col[end++] = local[split->to[e]];
            }
        }
        finish_row(out, i, end);
    }
    return PM_OK;
}

pm_status pmi_topology_rename(const pm_topology *topology, const uint32_t *new_name, pm_topology *out, pm_error *err) {
    uint32_t n = topology->n;
    pm_status st = topology_new(n, topology->row[n], out, err);
    uint32_t *old_name = NULL;
    PM_THEN(st, PM_NEW(&old_name, n, "a renaming", err));
    if (st == PM_OK) {
        for (uint32_t v = 0; v < n; v++) {
            old_name[new_name[v]] = v;
        }
        for (uint32_t v = 0; v < n; v++) {
            size_t end = out->row[v];
            for (size_t e = topology->row[old_name[v]]; e < topology->row[old_name[v] + 1]; e++) {
                out->col[end++] = new_name[topology->col[e]];
            }
            finish_row(out, v, end);
        }
    }
    free(old_name);
    if (st != PM_OK) {
        pmi_topology_free(out);
    }
    return st;
}

/* The vertices that 0 leads to, counted; `seen` (n zeros) and `stack` (n) are scratch. */
static uint32_t count_reached(const uint32_t *row, const uint32_t *col, bool *seen, uint32_t *stack) {
    uint32_t reached = 1, waiting = 1;
    stack[0] = 0;
    seen[0] = true;
    while (waiting > 0) {
        uint32_t v = stack[--waiting];
        for (uint32_t e = row[v]; e < row[v + 1]; e++) {
            if (!seen[col[e]]) {
                seen[col[e]] = true;
                stack[waiting++] = col[e];
                reached++;
            }
        }
    }
    return reached;
}

pm_status pmi_topology_is_strong(const pm_topology *topology, bool *is_strong, pm_error *err) {
    uint32_t n = topology->n;
    pm_digraph g = {0};
    pm_pool pool = {0};
    bool *seen = pmi_pool_zeros(&pool, n, 2 * sizeof *seen);
    uint32_t *stack = pmi_pool_array(&pool, n, sizeof *stack);
    pm_status st = pmi_pool_check(&pool, err, "the ways through an SCC", n * sizeof *stack);
    if (st == PM_OK && topology->row[n] > PM_DIGRAPH_EDGES) {
        st = pmi_fail(err, PM_EDATA, "an SCC of %zu inner edges; at most %zu are taken", topology->row[n],
                      PM_DIGRAPH_EDGES);
    }
    PM_THEN(st, pmi_digraph_of_topology(topology, &g, err));
    if (st == PM_OK) {
        *is_strong =
            count_reached(g.row, g.col, seen, stack) == n && count_reached(g.in_row, g.in_col, seen + n, stack) == n;
    }
    pmi_digraph_free(&g);
    pmi_pool_free(&pool);
    return st;
}

void pmi_topology_free(pm_topology *topology) {
    free(topology->row);
    free(topology->col);
    *topology = (pm_topology){0};
}

pm_status pmi_digraph_new(uint32_t n, size_t edges, pm_digraph *out, pm_error *err) {
    *out = (pm_digraph){.n = n,
                        .row = pmi_calloc((size_t)n + 1, sizeof *out->row),
                        .col = pmi_malloc(edges, sizeof *out->col),
                        .in_row = pmi_malloc((size_t)n + 1, sizeof *out->in_row),
                        .in_col = pmi_malloc(edges, sizeof *out->in_col)};
    if (out->row == NULL || out->col == NULL || out->in_row == NULL || out->in_col == NULL) {
        pmi_digraph_free(out);
        return pmi_fail_memory(err, "a digraph in both directions", 2 * edges * sizeof *out->col);
    }
    return PM_OK;
}

void pmi_digraph_reverse(pm_digraph *g) {
    uint32_t n = g->n;
    memset(g->in_row, 0, ((size_t)n + 1) * sizeof *g->in_row);
    for (uint32_t e = 0; e < g->row[n]; e++) {
        g->in_row[g->col[e]]++;
    }
    uint32_t end = 0;
    for (uint32_t v = 0; v <= n; v++) { /* each row's end, from which it is filled downwards */
        end += v < n ? g->in_row[v] : 0;
        g->in_row[v] = end;
    }
    for (uint32_t v = n; v-- > 0;) {
        for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
            g->in_col[--g->in_row[g->col[e]]] = v;
        }
    }
}

pm_status pmi_digraph_of_topology(const pm_topology *topology, pm_digraph *out, pm_error *err) {
    uint32_t n = topology->n;
    PM_TRY(pmi_digraph_new(n, topology->row[n], out, err));
    for (uint32_t v = 0; v <= n; v++) {
        out->row[v] = (uint32_t)topology->row[v];
    }
    memcpy(out->col, topology->col, topology->row[n] * sizeof *out->col);
    pmi_digraph_reverse(out);
    return PM_OK;
}

static uint32_t meet(const uint32_t *row, const uint32_t *col, uint32_t v, bool *met, uint32_t *order, uint32_t end) {
    for (uint32_t e = row[v]; e < row[v + 1]; e++) {
        if (!met[col[e]]) {
            met[col[e]] = true;
            order[end++] = col[e];
        }
    }
    return end;
}

pm_status pmi_digraph_nearby(const pm_digraph *g, uint32_t *order, pm_error *err) {
    bool *met;
    PM_TRY(PM_ZEROS(&met, g->n, "a search through an SCC", err));
    uint32_t end = 0;
    for (uint32_t start = 0, next = 0; start < g->n; start++) {
        if (!met[start]) {
            met[start] = true;
            order[end++] = start;
        }
        for (; next < end; next++) {
            end = meet(g->row, g->col, order[next], met, order, end);
            end = meet(g->in_row, g->in_col, order[next], met, order, end);
        }
    }
    free(met);
    return PM_OK;
}

pm_status pmi_digraph_reorder(const pm_digraph *g, const uint32_t *order, pm_digraph *out, pm_error *err) {
    uint32_t *name;
    PM_TRY(pmi_digraph_new(g->n, g->row[g->n], out, err));
    PM_TRY(PM_NEW(&name, g->n, "a renaming", err));
    for (uint32_t i = 0; i < g->n; i++) {
        name[order[i]] = i;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        out->row[i + 1] = out->row[i];
        for (uint32_t e = g->row[order[i]]; e < g->row[order[i] + 1]; e++) {
            out->col[out->row[i + 1]++] = name[g->col[e]];
        }
    }
    pmi_digraph_reverse(out);
    free(name);
    return PM_OK;
}

void pmi_digraph_free(pm_digraph *g) {
    free(g->row);
    free(g->col);
    free(g->in_row);
    free(g->in_col);
    *g = (pm_digraph){0};
}
