#include "trace/order.h"

#include <amd.h>
#include <metis.h>
#include <string.h>

#include "base/mem.h"

static pm_status too_large(const pm_topology *t, const char *what, pm_error *err) {
    return pm_fail(err, PM_EDATA, "an SCC of %u states and %zu inner edges is too large for %s: at most 2^31 - 1 edges",
                   t->n, t->row[t->n], what);
}

static pm_status amd_result(int status, const pm_topology *t, pm_error *err) {
    if (status == AMD_OK) {
        return PM_OK;
    }
    if (status == AMD_OUT_OF_MEMORY) {
        return pm_fail_memory(err, "AMD's ordering", t->row[t->n] * 2 * sizeof(int));
    }
    return pm_fail(err, PM_ESOFTWARE, "AMD refused an SCC of %u states with status %d; please report this", t->n,
                   status);
}

pm_status pm_order_amd(const pm_topology *topology, const uint32_t *names, uint32_t *pivot, double *fill_bound,
                       pm_error *err) {
    if (topology->row[topology->n] > INT32_MAX / 4) {
        return too_large(topology, "AMD", err);
    }
    pm_topology renamed = {0};
    if (names != NULL) {
        pm_status st = pm_topology_rename(topology, names, &renamed, err);
        if (st != PM_OK) {
            return st;
        }
    }
    const pm_topology *t = names != NULL ? &renamed : topology;
    size_t n = t->n, edges = t->row[n];
    int *row = pm_malloc(n + 1, sizeof *row), *col = pm_malloc(edges, sizeof *col),
        *order = pm_malloc(n, sizeof *order);
    uint32_t *original = pm_malloc(n, sizeof *original);
    pm_status st = PM_OK;
    if (row == NULL || col == NULL || order == NULL || original == NULL) {
        st = pm_fail_memory(err, "AMD's ordering", edges * sizeof *col);
        goto out;
    }
    for (size_t v = 0; v <= n; v++) {
        row[v] = (int)t->row[v];
    }
    for (size_t e = 0; e < edges; e++) {
        col[e] = (int)t->col[e];
    }
    for (uint32_t v = 0; v < n; v++) {
        original[names != NULL ? names[v] : v] = v;
    }
    double info[AMD_INFO];
    st = amd_result(amd_order((int)n, row, col, order, NULL, info), t, err);
    if (st == PM_OK) {
        for (size_t p = 0; p < n; p++) {
            pivot[p] = original[order[p]];
        }
        if (fill_bound != NULL) {
            *fill_bound = 2 * info[AMD_LNZ];
        }
    }
out:
    free(row);
    free(col);
    free(order);
    free(original);
    pm_topology_free(&renamed);
    return st;
}

/* The undirected pattern without loops, as METIS wants it: row[n + 1], col. */
static pm_status symmetric_pattern(const pm_topology *t, idx_t **row_out, idx_t **col_out, pm_error *err) {
    size_t n = t->n, edges = t->row[n];
    pm_status st = PM_OK;
    idx_t *row = pm_calloc(n + 2, sizeof *row), *col = pm_malloc(2 * edges, sizeof *col);
    uint32_t *mark = pm_malloc(n, sizeof *mark);
    if (row == NULL || col == NULL || mark == NULL) {
        st = pm_fail_memory(err, "the undirected pattern of an SCC", 2 * edges * sizeof *col);
        goto out;
    }
    for (uint32_t v = 0; v < n; v++) {
        for (size_t e = t->row[v]; e < t->row[v + 1]; e++) {
            row[v + 2]++;
            row[t->col[e] + 2]++;
        }
    }
    for (size_t v = 0; v < n; v++) {
        row[v + 2] += row[v + 1];
    }
    for (uint32_t v = 0; v < n; v++) {
        for (size_t e = t->row[v]; e < t->row[v + 1]; e++) {
            col[row[v + 1]++] = (idx_t)t->col[e];
            col[row[t->col[e] + 1]++] = (idx_t)v;
        }
    }
    memset(mark, 0xff, n * sizeof *mark);
    idx_t kept = 0, begin = 0;
    for (uint32_t v = 0; v < n; v++) {
        idx_t end = row[v + 1];
        for (idx_t e = begin; e < end; e++) {
            if (mark[col[e]] != v) {
                mark[col[e]] = v;
                col[kept++] = col[e];
            }
        }
        begin = end;
        row[v + 1] = kept;
    }
out:
    free(mark);
    if (st != PM_OK) {
        free(row);
        free(col);
        row = col = NULL;
    }
    *row_out = row;
    *col_out = col;
    return st;
}

pm_status pm_order_metis(const pm_topology *topology, int seed, uint32_t *pivot, pm_error *err) {
    if (topology->row[topology->n] > INT32_MAX / 4) {
        return too_large(topology, "METIS", err);
    }
    size_t n = topology->n;
    idx_t *row = NULL, *col = NULL;
    idx_t *order = pm_malloc(n, sizeof *order), *inverse = pm_malloc(n, sizeof *inverse);
    pm_status st = order != NULL && inverse != NULL ? symmetric_pattern(topology, &row, &col, err)
                                                    : pm_fail_memory(err, "METIS's ordering", n * 8);
    if (st == PM_OK) {
        idx_t options[METIS_NOPTIONS];
        METIS_SetDefaultOptions(options);
        options[METIS_OPTION_SEED] = seed;
        options[METIS_OPTION_NUMBERING] = 0;
        idx_t count = (idx_t)n;
        int status = METIS_NodeND(&count, row, col, NULL, options, order, inverse);
        if (status == METIS_ERROR_MEMORY) {
            st = pm_fail_memory(err, "METIS's ordering", topology->row[n] * 2 * sizeof(idx_t));
        } else if (status != METIS_OK) {
            st = pm_fail(err, PM_ESOFTWARE, "METIS refused an SCC of %zu states with status %d; please report this", n,
                         status);
        }
    }
    for (size_t p = 0; st == PM_OK && p < n; p++) {
        pivot[p] = (uint32_t)order[p];
    }
    free(order);
    free(inverse);
    free(row);
    free(col);
    return st;
}
