#include "trace/order.h"

#include <amd.h>
#include <stdio.h>
#include <string.h>
/* needs stdio.h */
#include <scotch.h>

#include "base/mem.h"

/* How much larger than half of its graph a side of a separator may be. */
#define IMBALANCE 0.2

static pm_status too_large(const pm_topology *t, const char *what, pm_error *err) {
    return pmi_fail(err, PM_EDATA,
                    "an SCC of %u states and %zu inner edges is too large for %s: at most 2^31 - 1 edges", t->n,
                    t->row[t->n], what);
}

static pm_status amd_result(int status, const pm_topology *t, pm_error *err) {
    if (status == AMD_OK) {
        return PM_OK;
    }
    if (status == AMD_OUT_OF_MEMORY) {
        return pmi_fail_memory(err, "AMD's ordering", t->row[t->n] * 2 * sizeof(int));
    }
    return pmi_fail(err, PM_ESOFTWARE, "AMD refused an SCC of %u states with status %d; please report this", t->n,
                    status);
}

pm_status pmi_order_amd(const pm_topology *topology, const uint32_t *names, uint32_t *pivot, double *fill_bound,
                        pm_error *err) {
    if (topology->row[topology->n] > INT32_MAX / 4) {
        return too_large(topology, "AMD", err);
    }
    pm_topology renamed = {0};
    if (names != NULL) {
        pm_status st = pmi_topology_rename(topology, names, &renamed, err);
        if (st != PM_OK) {
            return st;
        }
    }
    const pm_topology *t = names != NULL ? &renamed : topology;
    size_t n = t->n, edges = t->row[n];
    int *row = pmi_malloc(n + 1, sizeof *row), *col = pmi_malloc(edges, sizeof *col),
        *order = pmi_malloc(n, sizeof *order);
    uint32_t *original = pmi_malloc(n, sizeof *original);
    pm_status st = PM_OK;
    if (row == NULL || col == NULL || order == NULL || original == NULL) {
        st = pmi_fail_memory(err, "AMD's ordering", edges * sizeof *col);
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
    pmi_topology_free(&renamed);
    return st;
}

/* The undirected pattern without loops, row[n + 1], col. */
static pm_status symmetric_pattern(const pm_topology *t, SCOTCH_Num **row_out, SCOTCH_Num **col_out, pm_error *err) {
    size_t n = t->n, edges = t->row[n];
    pm_status st = PM_OK;
    SCOTCH_Num *row = pmi_calloc(n + 2, sizeof *row), *col = pmi_malloc(2 * edges, sizeof *col);
    uint32_t *mark = pmi_malloc(n, sizeof *mark);
    if (row == NULL || col == NULL || mark == NULL) {
        st = pmi_fail_memory(err, "the undirected pattern of an SCC", 2 * edges * sizeof *col);
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
            col[row[v + 1]++] = (SCOTCH_Num)t->col[e];
            col[row[t->col[e] + 1]++] = (SCOTCH_Num)v;
        }
    }
    memset(mark, 0xff, n * sizeof *mark);
    SCOTCH_Num kept = 0, begin = 0;
    for (uint32_t v = 0; v < n; v++) {
        SCOTCH_Num end = row[v + 1];
        for (SCOTCH_Num e = begin; e < end; e++) {
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

/* SCOTCH's objects of one call. Its random numbers belong to the context, so that an order depends on the graph and
 * the seed alone, and calls from several threads at once do not meet. */
typedef struct dissection {
    SCOTCH_Context context;
    SCOTCH_Graph plain, bound;
    SCOTCH_Strat strategy;
} dissection;

/* The context is there already; dissection_free is due after a failure too. */
static bool dissection_begin(dissection *d, int seed, SCOTCH_Num n, SCOTCH_Num *row, SCOTCH_Num *col) {
    SCOTCH_graphInit(&d->plain);
    SCOTCH_graphInit(&d->bound);
    SCOTCH_stratInit(&d->strategy);
    if (SCOTCH_contextRandomClone(&d->context) != 0) {
        return false;
    }
    SCOTCH_contextRandomSeed(&d->context, seed);
    return SCOTCH_contextThreadSpawn(&d->context, 1, NULL) == 0 &&
           SCOTCH_contextOptionSetNum(&d->context, SCOTCH_OPTIONNUMDETERMINISTIC, 1) == 0 &&
           SCOTCH_contextOptionSetNum(&d->context, SCOTCH_OPTIONNUMRANDOMFIXEDSEED, 1) == 0 &&
           SCOTCH_graphBuild(&d->plain, 0, n, row, row + 1, NULL, NULL, row[n], col, NULL) == 0 &&
           SCOTCH_contextBindGraph(&d->context, &d->plain, &d->bound) == 0 &&
           SCOTCH_stratGraphOrderBuild(&d->strategy, SCOTCH_STRATSPEED, 0, IMBALANCE) == 0;
}

static void dissection_free(dissection *d) {
    SCOTCH_stratExit(&d->strategy);
    SCOTCH_graphExit(&d->bound);
    SCOTCH_graphExit(&d->plain);
    SCOTCH_contextExit(&d->context);
}

static pm_status dissect(const pm_topology *t, int seed, SCOTCH_Num *row, SCOTCH_Num *col, SCOTCH_Num *order,
                         pm_error *err) {
    dissection d;
    SCOTCH_Num *inverse = pmi_malloc(t->n, sizeof *inverse);
    pm_status st = PM_OK;
    if (inverse == NULL || SCOTCH_contextInit(&d.context) != 0) {
        free(inverse);
        return pmi_fail_memory(err, "SCOTCH's ordering", t->n * sizeof *inverse);
    }
    if (!dissection_begin(&d, seed, (SCOTCH_Num)t->n, row, col)) {
        st = pmi_fail_memory(err, "SCOTCH's ordering", t->row[t->n] * 2 * sizeof *col);
    } else if (SCOTCH_graphOrder(&d.bound, &d.strategy, inverse, order, NULL, NULL, NULL) != 0) {
        st = pmi_fail(err, PM_ESOFTWARE,
                      "SCOTCH found no order for an SCC of %u states: memory, or a fault; if it is "
                      "not memory, please report this",
                      t->n);
    }
    dissection_free(&d);
    free(inverse);
    return st;
}

pm_status pmi_order_dissection(const pm_topology *topology, int seed, uint32_t *pivot, pm_error *err) {
    if (topology->row[topology->n] > INT32_MAX / 4) {
        return too_large(topology, "SCOTCH", err);
    }
    size_t n = topology->n;
    SCOTCH_Num *row = NULL, *col = NULL, *order = pmi_malloc(n, sizeof *order);
    pm_status st = order != NULL ? symmetric_pattern(topology, &row, &col, err)
                                 : pmi_fail_memory(err, "SCOTCH's ordering", n * sizeof *order);
    PM_THEN(st, dissect(topology, seed, row, col, order, err));
    for (size_t p = 0; st == PM_OK && p < n; p++) {
        pivot[p] = (uint32_t)order[p];
    }
    free(order);
    free(row);
    free(col);
    return st;
}
