#include "trace/symbolic.h"

#include <string.h>

#include "base/mem.h"

typedef struct symbolic {
    const pm_topology *topology;
    pm_trace *trace;
    uint32_t *position; /* of each vertex in the order */
    uint32_t *mark;     /* last row (plus one) that reached this pivot */
    size_t *pruned_end; /* of each row of U: entries behind it are reached through those before it */
    size_t l_capacity, u_capacity;
} symbolic;

static void symbolic_free(symbolic *s) {
    free(s->position);
    free(s->mark);
    free(s->pruned_end);
}

static pm_status symbolic_new(const pm_topology *t, const uint32_t *pivot, pm_trace *trace, symbolic *s,
                              pm_error *err) {
    size_t n = t->n;
    *s = (symbolic){.topology = t,
                    .trace = trace,
                    .position = pmi_malloc(n, sizeof *s->position),
                    .mark = pmi_calloc(n, sizeof *s->mark),
                    .pruned_end = pmi_calloc(n, sizeof *s->pruned_end)};
    *trace = (pm_trace){.n = t->n,
                        .pivot = pmi_malloc(n, sizeof *trace->pivot),
                        .l_row = pmi_calloc(n + 1, sizeof *trace->l_row),
                        .u_row = pmi_calloc(n + 1, sizeof *trace->u_row),
                        .n_edges = t->row[n]};
    if (s->position == NULL || s->mark == NULL || s->pruned_end == NULL || trace->pivot == NULL ||
        trace->l_row == NULL || trace->u_row == NULL) {
        return pmi_fail_memory(err, "a symbolic elimination", n * 40);
    }
    memcpy(trace->pivot, pivot, n * sizeof *pivot);
    for (uint32_t j = 0; j < t->n; j++) {
        s->position[pivot[j]] = j;
    }
    return PM_OK;
}

/* Notes that row j reaches pivot k, in L or U by its side of j. Room is there (reserve_row). */
static void reach(symbolic *s, uint32_t j, uint32_t k) {
    if (k == j || s->mark[k] == j + 1) {
        return;
    }
    s->mark[k] = j + 1;
    pm_trace *t = s->trace;
    if (k < j) {
        t->l[t->l_row[j + 1]++] = k;
    } else {
        t->u[t->u_row[j + 1]++] = k;
    }
}

static bool reserve_row(symbolic *s, uint32_t j) {
    pm_trace *t = s->trace;
    return pmi_reserve((void **)&t->l, &s->l_capacity, t->l_row[j] + j, sizeof *t->l) &&
           pmi_reserve((void **)&t->u, &s->u_capacity, t->u_row[j] + (t->n - j), sizeof *t->u);
}

static void eliminate_row(symbolic *s, uint32_t j) {
    pm_trace *t = s->trace;
    const pm_topology *g = s->topology;
    uint32_t v = t->pivot[j];
    t->l_row[j + 1] = t->l_row[j];
    t->u_row[j + 1] = t->u_row[j];
    for (size_t e = g->row[v]; e < g->row[v + 1]; e++) {
        reach(s, j, s->position[g->col[e]]);
    }
    for (size_t at = t->l_row[j]; at < t->l_row[j + 1]; at++) {
        uint32_t i = t->l[at];
        for (size_t k = t->u_row[i]; k < s->pruned_end[i]; k++) {
            reach(s, j, t->u[k]);
        }
    }
    s->pruned_end[j] = t->u_row[j + 1];
}

/* Where row i leads to j and row j came from i, j's row holds all that i leads to beyond j. */
static void prune(symbolic *s, uint32_t j) {
    pm_trace *t = s->trace;
    for (size_t at = t->l_row[j]; at < t->l_row[j + 1]; at++) {
        uint32_t i = t->l[at];
        size_t begin = t->u_row[i], end = t->u_row[i + 1];
        if (s->pruned_end[i] != end) {
            continue;
        }
        bool leads_back = false;
        for (size_t k = begin; k < end && !leads_back; k++) {
            leads_back = t->u[k] == j;
        }
        if (!leads_back) {
            continue;
        }
        size_t kept = begin;
        for (size_t k = begin; k < end; k++) {
            if (t->u[k] <= j) {
                uint32_t low = t->u[k];
                t->u[k] = t->u[kept];
                t->u[kept++] = low;
            }
        }
        s->pruned_end[i] = kept;
    }
}

/* Ascending entries in every row, in linear time: through the columns and back. */
static pm_status sort_rows(uint32_t n, const size_t *row, uint32_t *entry, pm_error *err) {
    size_t count = row[n];
    size_t *column = pmi_calloc((size_t)n + 1, sizeof *column);
    size_t *at = pmi_malloc(n, sizeof *at);
    uint32_t *owner = pmi_malloc(count, sizeof *owner);
    pm_status st = PM_OK;
    if (column == NULL || at == NULL || owner == NULL) {
        st = pmi_fail_memory(err, "sorting a pattern", count * sizeof *owner);
        goto out;
    }
    for (size_t e = 0; e < count; e++) {
        column[entry[e] + 1]++;
    }
    for (uint32_t k = 0; k < n; k++) {
        column[k + 1] += column[k];
        at[k] = column[k];
    }
    for (uint32_t j = 0; j < n; j++) {
        for (size_t e = row[j]; e < row[j + 1]; e++) {
            owner[at[entry[e]]++] = j;
        }
    }
    memcpy(at, row, n * sizeof *at);
    for (uint32_t k = 0; k < n; k++) {
        for (size_t e = column[k]; e < column[k + 1]; e++) {
            entry[at[owner[e]]++] = k;
        }
    }
out:
    free(column);
    free(at);
    free(owner);
    return st;
}

/* For each substitution of i into j: one multiply-add for each entry of U(i), the exit and the right-hand side. For
 * each row: its sum, its scaling, its reciprocal and its back substitution. */
static void count_flops(pm_trace *t) {
    t->flops = 0;
    for (size_t at = 0; at < t->l_row[t->n]; at++) {
        uint32_t i = t->l[at];
        t->flops += 2 * (t->u_row[i + 1] - t->u_row[i]) + 4;
    }
    t->flops += 4 * t->u_row[t->n] + 3 * (uint64_t)t->n;
}

static void shrink(uint32_t **array, size_t used) {
    uint32_t *exact = realloc(*array, used == 0 ? 1 : used * sizeof **array);
    *array = exact != NULL ? exact : *array;
}

pm_status pmi_symbolic(const pm_topology *topology, const uint32_t *pivot, size_t max_fill, pm_trace *out, bool *fits,
                       pm_error *err) {
    symbolic s;
    *fits = true;
    pm_status st = symbolic_new(topology, pivot, out, &s, err);
    for (uint32_t j = 0; st == PM_OK && *fits && j < topology->n; j++) {
        if (!reserve_row(&s, j)) {
            st = pmi_fail_memory(err, "the pattern of a trace", (out->l_row[j] + out->u_row[j]) * sizeof *out->l);
            break;
        }
        eliminate_row(&s, j);
        prune(&s, j);
        *fits = out->l_row[j + 1] + out->u_row[j + 1] <= max_fill;
    }
    symbolic_free(&s);
    if (st == PM_OK && *fits) {
        st = sort_rows(out->n, out->l_row, out->l, err);
    }
    if (st == PM_OK && *fits) {
        st = sort_rows(out->n, out->u_row, out->u, err);
    }
    if (st != PM_OK || !*fits) {
        pmi_trace_free(out);
        return st;
    }
    shrink(&out->l, out->l_row[out->n]);
    shrink(&out->u, out->u_row[out->n]);
    count_flops(out);
    return PM_OK;
}
