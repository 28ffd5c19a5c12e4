#include "trace/topology.h"

#include "base/mem.h"

static pm_status topology_new(uint32_t n, size_t edges, pm_topology *out, pm_error *err) {
    *out = (pm_topology){
        .n = n, .row = pm_calloc((size_t)n + 1, sizeof *out->row), .col = pm_malloc(edges, sizeof *out->col)};
    if (out->row == NULL || out->col == NULL) {
        pm_topology_free(out);
        return pm_fail_memory(err, "the inner edges of an SCC", edges * sizeof *out->col);
    }
    return PM_OK;
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort_row(uint32_t *col, size_t n) {
    if (n > 32) {
        qsort(col, n, sizeof *col, compare_u32);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint32_t value = col[i];
        size_t at = i;
        for (; at > 0 && col[at - 1] > value; at--) {
            col[at] = col[at - 1];
        }
        col[at] = value;
    }
}

/* Sorts row v, which is the last one so far, and drops repeats (parallel edges). */
static void finish_row(pm_topology *t, uint32_t v, size_t end) {
    size_t begin = t->row[v];
    sort_row(t->col + begin, end - begin);
    size_t kept = begin;
    for (size_t i = begin; i < end; i++) {
        if (kept == begin || t->col[kept - 1] != t->col[i]) {
            t->col[kept++] = t->col[i];
        }
    }
    t->row[v + 1] = kept;
}

pm_status pm_topology_of_scc(const pm_split *split, uint32_t scc, uint32_t *local, pm_topology *out, pm_error *err) {
    uint32_t first = split->scc_first[scc];
    uint32_t n = split->scc_first[scc + 1] - first;
    size_t edges = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = split->member[first + i];
        local[v] = i;
        edges += split->row[v + 1] - split->row[v];
    }
    pm_status st = topology_new(n, edges, out, err);
    for (uint32_t i = 0; st == PM_OK && i < n; i++) {
        uint32_t v = split->member[first + i];
        size_t end = out->row[i];
        for (size_t e = split->row[v]; e < split->row[v + 1]; e++) {
            if (split->scc_of[split->to[e]] == scc) {
                out->col[end++] = local[split->to[e]];
            }
        }
        finish_row(out, i, end);
    }
    return st;
}

pm_status pm_topology_rename(const pm_topology *topology, const uint32_t *new_name, pm_topology *out, pm_error *err) {
    uint32_t n = topology->n;
    pm_status st = topology_new(n, topology->row[n], out, err);
    uint32_t *old_name = pm_malloc(n, sizeof *old_name);
    if (st == PM_OK && old_name == NULL) {
        st = pm_fail_memory(err, "a renaming", n * sizeof *old_name);
    }
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
        pm_topology_free(out);
    }
    return st;
}

void pm_topology_free(pm_topology *topology) {
    free(topology->row);
    free(topology->col);
    *topology = (pm_topology){0};
}
