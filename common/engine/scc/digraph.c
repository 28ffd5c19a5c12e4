#include "scc/digraph.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

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
    bool *met = pmi_calloc(g->n, sizeof *met);
    if (met == NULL) {
        return pmi_fail_memory(err, "a search through an SCC", g->n * sizeof *met);
    }
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
    uint32_t *name = pmi_malloc(g->n, sizeof *name);
    pm_status st = pmi_digraph_new(g->n, g->row[g->n], out, err);
    if (st == PM_OK && name == NULL) {
        st = pmi_fail_memory(err, "a renaming", g->n * sizeof *name);
        pmi_digraph_free(out);
    }
    if (st == PM_OK) {
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
    }
    free(name);
    return st;
}

void pmi_digraph_free(pm_digraph *g) {
    free(g->row);
    free(g->col);
    free(g->in_row);
    free(g->in_col);
    *g = (pm_digraph){0};
}
