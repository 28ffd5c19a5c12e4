#include "trace/trace.h"

#include <inttypes.h>
#include <string.h>

void pmi_trace_free(pm_trace *trace) {
    if (trace == NULL) {
        return;
    }
    free(trace->pivot);
    free(trace->l_row);
    free(trace->u_row);
    free(trace->l);
    free(trace->u);
    *trace = (pm_trace){0};
}

size_t pmi_trace_bytes(uint32_t n, size_t fill) {
    /* two row arrays of n + 1 offsets, the pivots, the entries */
    size_t per_state = 2 * sizeof(size_t) + sizeof(uint32_t);
    size_t fixed = sizeof(pm_trace) + 2 * sizeof(size_t);
    size_t rows, entries, total;
    bool fits = pmi_mul(n, per_state, &rows) && pmi_mul(fill, sizeof(uint32_t), &entries) &&
                pmi_add(rows, entries, &total) && pmi_add(total, fixed, &total);
    return fits ? total : SIZE_MAX;
}

/* ---- the invariants ---- */

static pm_status check_pivot(const pm_trace *t, uint32_t *mark, pm_error *err) {
    for (uint32_t p = 0; p < t->n; p++) {
        uint32_t state = t->pivot[p];
        if (state >= t->n) {
            return pmi_fail(err, PM_EDATA, "pivot %" PRIu32 ": expected a state below %" PRIu32 ", found %" PRIu32, p,
                            t->n, state);
        }
        if (mark[state] != 0) {
            return pmi_fail(err, PM_EDATA, "pivot %" PRIu32 ": state %" PRIu32 " is eliminated twice", p, state);
        }
        mark[state] = 1;
    }
    return PM_OK;
}

/* Without an early end, so that the compiler makes vectors of it. */
static bool ascends(const uint32_t *entry, size_t count) {
    uint32_t falls = 0;
    for (size_t e = 1; e < count; e++) {
        falls |= entry[e] <= entry[e - 1] ? 1 : 0;
    }
    return falls == 0;
}

/* Row j of L (first = 0, end = j) or of U (first = j + 1, end = n). */
static pm_status check_row(const char *name, uint32_t j, const uint32_t *entry, size_t count, uint32_t first,
                           uint32_t end, pm_error *err) {
    if (count == 0 || (entry[0] >= first && entry[count - 1] < end && ascends(entry, count))) {
        return PM_OK;
    }
    uint32_t least = first;
    for (size_t e = 0; e < count; e++) {
        if (entry[e] < least || entry[e] >= end) {
            return pmi_fail(err, PM_EDATA,
                            "row %" PRIu32 " of %s, entry %zu: expected a pivot from %" PRIu32 " to below %" PRIu32
                            ", found %" PRIu32,
                            j, name, e, least, end, entry[e]);
        }
        least = entry[e] + 1;
    }
    return PM_OK;
}

static pm_status check_rows(const pm_trace *t, pm_error *err) {
    pm_status st = PM_OK;
    for (uint32_t j = 0; j < t->n && st == PM_OK; j++) {
        st = check_row("L", j, t->l + t->l_row[j], t->l_row[j + 1] - t->l_row[j], 0, j, err);
        PM_THEN(st, check_row("U", j, t->u + t->u_row[j], t->u_row[j + 1] - t->u_row[j], j + 1, t->n, err));
    }
    return st;
}

/* Where row i's first entry k that leads back to i is done, all that i leads to beyond k is in row k: from then on the
 * entries up to k are enough (symmetric pruning, Eisenstat and Liu 1992). By induction over falling i, every row that
 * has i has all of U(i), as if all entries had been looked at. */
static void prune_rows(const pm_trace *t, uint32_t j, size_t *pruned_end) {
    for (size_t e = t->l_row[j]; e < t->l_row[j + 1]; e++) {
        uint32_t i = t->l[e];
        if (pruned_end[i] != t->u_row[i + 1]) {
            continue;
        }
        size_t low = t->u_row[i], high = t->u_row[i + 1];
        while (low < high) { /* the rows ascend */
            size_t middle = low + (high - low) / 2;
            if (t->u[middle] < j) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low < t->u_row[i + 1] && t->u[low] == j) {
            pruned_end[i] = low + 1;
        }
    }
}

static pm_status check_substitution(const pm_trace *t, uint32_t j, uint32_t i, size_t end, const uint32_t *mark,
                                    pm_error *err) {
    for (size_t f = t->u_row[i]; f < end; f++) {
        if (mark[t->u[f]] != j + 1) {
            return pmi_fail(err, PM_EDATA,
                            "row %" PRIu32 ": pivot %" PRIu32 " is substituted and leads to %" PRIu32
                            ", which the row lacks: the pattern is not closed",
                            j, i, t->u[f]);
        }
    }
    return PM_OK;
}

/* Takes about as long as finding the pattern does, far less than its updates, which are counted. `mark` holds values
 * that are at most 1. */
static pm_status check_closed(const pm_trace *t, uint32_t *mark, size_t *pruned_end, uint64_t *updates, pm_error *err) {
    *updates = 0;
    memcpy(pruned_end, t->u_row + 1, t->n * sizeof *pruned_end);
    for (uint32_t j = 1; j < t->n; j++) {
        uint32_t stamp = j + 1;
        mark[j] = stamp;
        for (size_t e = t->l_row[j]; e < t->l_row[j + 1]; e++) {
            mark[t->l[e]] = stamp;
        }
        for (size_t e = t->u_row[j]; e < t->u_row[j + 1]; e++) {
            mark[t->u[e]] = stamp;
        }
        for (size_t e = t->l_row[j]; e < t->l_row[j + 1]; e++) {
            uint32_t i = t->l[e];
            PM_TRY(check_substitution(t, j, i, pruned_end[i], mark, err));
            *updates += t->u_row[i + 1] - t->u_row[i];
        }
        prune_rows(t, j, pruned_end);
    }
    return PM_OK;
}

static pm_status check_counts(const pm_trace *t, uint64_t updates, pm_error *err) {
    uint64_t fill = (uint64_t)t->l_row[t->n] + t->u_row[t->n];
    if (t->n_edges < t->n || t->n_edges > fill) {
        return pmi_fail(err, PM_EDATA,
                        "edges: expected from %" PRIu32 " (states) to %" PRIu64
                        " (entries of the pattern), found %" PRIu64,
                        t->n, fill, t->n_edges);
    }
    uint64_t most = 16 * (updates + fill + t->n);
    if (t->flops < fill || t->flops > most) {
        return pmi_fail(err, PM_EDATA, "flops: expected from %" PRIu64 " to %" PRIu64 ", found %" PRIu64, fill, most,
                        t->flops);
    }
    return PM_OK;
}

pm_status pmi_trace_check_structure(const pm_trace *trace, pm_error *err) {
    if (trace->n < 2 || trace->n == UINT32_MAX) {
        return pmi_fail(err, PM_EDATA, "states: expected from 2 to %" PRIu32 ", found %" PRIu32, UINT32_MAX - 1,
                        trace->n);
    }
    pm_pool pool = {0};
    uint32_t *mark = pmi_pool_zeros(&pool, trace->n, sizeof *mark);
    size_t *pruned_end = pmi_pool_array(&pool, trace->n, sizeof *pruned_end);
    uint64_t updates = 0;
    pm_status st = pmi_pool_check(&pool, err, "checking a trace", trace->n * sizeof *pruned_end);
    PM_THEN(st, check_pivot(trace, mark, err));
    PM_THEN(st, check_rows(trace, err));
    PM_THEN(st, check_closed(trace, mark, pruned_end, &updates, err));
    PM_THEN(st, check_counts(trace, updates, err));
    pmi_pool_free(&pool);
    return st;
}

/* ---- plans ---- */

static void find_chains(const pm_trace *t, uint32_t *chain_end) {
    for (uint32_t i = t->n; i-- > 0;) {
        const uint32_t *u = t->u + t->u_row[i];
        size_t count = t->u_row[i + 1] - t->u_row[i];
        bool chained = i + 1 < t->n && count > 0 && u[0] == i + 1 && count == t->u_row[i + 2] - t->u_row[i + 1] + 1 &&
                       memcmp(u + 1, t->u + t->u_row[i + 1], (count - 1) * sizeof *u) == 0;
        chain_end[i] = chained ? chain_end[i + 1] : i + 1;
    }
}

/* Marks where the edges of pivot j lead; returns how many are distinct. */
static size_t mark_edges(const pm_pivot_edges *edges, uint32_t j, uint32_t *mark) {
    uint32_t v = edges->vertex[j];
    size_t distinct = 0;
    for (size_t e = edges->row[v]; e < edges->row[v + 1]; e++) {
        uint32_t p = edges->position[edges->col[e]];
        if (p != PM_NONE && mark[p] != j + 1) {
            mark[p] = j + 1;
            distinct++;
        }
    }
    return distinct;
}

/* Appends the entries that `mark` does not have for row j; those it has are counted in *matched. */
static size_t add_fill(const uint32_t *entry, size_t begin, size_t end, uint32_t j, const uint32_t *mark, size_t at,
                       uint32_t *fill, size_t *matched) {
    for (size_t e = begin; e < end; e++) {
        if (mark[entry[e]] == j + 1) {
            (*matched)++;
        } else {
            fill[at++] = entry[e];
        }
    }
    return at;
}

/* Every edge must be in the pattern; what else is in it is fill-in. */
static pm_status find_fill(const pm_trace *t, const pm_pivot_edges *edges, pm_plan *out, uint32_t *mark,
                           pm_error *err) {
    uint64_t n_edges = 0;
    for (uint32_t j = 0; j < t->n; j++) {
        size_t distinct = mark_edges(edges, j, mark), matched = 0;
        size_t at = add_fill(t->l, t->l_row[j], t->l_row[j + 1], j, mark, out->fill_row[j], out->fill, &matched);
        out->fill_row[j + 1] = add_fill(t->u, t->u_row[j], t->u_row[j + 1], j, mark, at, out->fill, &matched);
        if (matched != distinct) {
            return pmi_fail(err, PM_EDATA,
                            "it does not fit the SCC of %u states: its pattern lacks an edge of the canonical state %u",
                            t->n, t->pivot[j]);
        }
        n_edges += distinct;
    }
    return n_edges == t->n_edges
               ? PM_OK
               : pmi_fail(err, PM_EDATA, "it does not fit the SCC of %u states: it is of %llu edges, the SCC has %llu",
                          t->n, (unsigned long long)t->n_edges, (unsigned long long)n_edges);
}

pm_status pmi_plan_of_edges(pm_trace *trace, const pm_pivot_edges *edges, pm_plan *out, pm_error *err) {
    uint32_t n = trace->n;
    size_t entries = trace->l_row[n] + trace->u_row[n];
    *out = (pm_plan){.trace = *trace};
    *trace = (pm_trace){0};
    out->chain_end = pmi_pool_array(&out->pool, n, sizeof *out->chain_end);
    out->fill_row = pmi_pool_zeros(&out->pool, (size_t)n + 1, sizeof *out->fill_row);
    out->fill = pmi_pool_array(&out->pool, entries, sizeof *out->fill);
    uint32_t *mark = pmi_calloc(n, sizeof *mark);
    out->pool.is_short = out->pool.is_short || mark == NULL;
    pm_status st = pmi_pool_check(&out->pool, err, "the plan of a trace", entries * sizeof *out->fill);
    if (st == PM_OK && n != edges->n) {
        st = pmi_fail(err, PM_EDATA, "it does not fit: a trace of %u states for an SCC of %u", n, edges->n);
    } else if (st == PM_OK) {
        find_chains(&out->trace, out->chain_end);
        st = find_fill(&out->trace, edges, out, mark, err);
    }
    free(mark);
    if (st != PM_OK) {
        pmi_plan_free(out);
    }
    return st;
}

pm_status pmi_plan_new(pm_trace *trace, const pm_topology *topology, pm_plan *out, pm_error *err) {
    uint32_t n = trace->n;
    uint32_t *position = pmi_malloc(n > topology->n ? n : topology->n, sizeof *position);
    if (position == NULL) {
        pmi_trace_free(trace);
        *out = (pm_plan){0};
        return pmi_fail_memory(err, "the plan of a trace", n * sizeof *position);
    }
    for (uint32_t j = 0; j < n; j++) {
        position[trace->pivot[j]] = j;
    }
    const pm_pivot_edges edges = {
        .n = topology->n, .vertex = trace->pivot, .position = position, .row = topology->row, .col = topology->col};
    pm_status st = pmi_plan_of_edges(trace, &edges, out, err);
    free(position);
    return st;
}

static size_t count_marked(const uint32_t *entry, size_t begin, size_t end, uint32_t j, const uint32_t *mark) {
    size_t count = 0;
    for (size_t e = begin; e < end; e++) {
        count += mark[entry[e]] == j + 1 ? 1 : 0;
    }
    return count;
}

bool pmi_plan_fits(const pm_plan *plan, const pm_pivot_edges *edges, uint32_t *mark) {
    const pm_trace *t = &plan->trace;
    bool fits = t->n == edges->n;
    for (uint32_t j = 0; fits && j < t->n; j++) {
        size_t in_l = t->l_row[j + 1] - t->l_row[j], in_u = t->u_row[j + 1] - t->u_row[j];
        size_t in_fill = plan->fill_row[j + 1] - plan->fill_row[j];
        fits = mark_edges(edges, j, mark) == in_l + in_u - in_fill &&
               count_marked(t->l, t->l_row[j], t->l_row[j + 1], j, mark) +
                       count_marked(t->u, t->u_row[j], t->u_row[j + 1], j, mark) ==
                   in_l + in_u - in_fill &&
               count_marked(plan->fill, plan->fill_row[j], plan->fill_row[j + 1], j, mark) == 0;
    }
    return fits;
}

void pmi_plan_free(pm_plan *plan) {
    pmi_trace_free(&plan->trace);
    pmi_pool_free(&plan->pool);
    *plan = (pm_plan){0};
}
