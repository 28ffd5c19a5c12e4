#include "trace/structure.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

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
            pm_status st = check_substitution(t, j, i, pruned_end[i], mark, err);
            if (st != PM_OK) {
                return st;
            }
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
    uint32_t *mark = pmi_calloc(trace->n, sizeof *mark);
    size_t *pruned_end = pmi_malloc(trace->n, sizeof *pruned_end);
    uint64_t updates = 0;
    pm_status st = mark == NULL || pruned_end == NULL
                       ? pmi_fail_memory(err, "checking a trace", trace->n * sizeof *pruned_end)
                       : check_pivot(trace, mark, err);
    PM_THEN(st, check_rows(trace, err));
    PM_THEN(st, check_closed(trace, mark, pruned_end, &updates, err));
    PM_THEN(st, check_counts(trace, updates, err));
    free(mark);
    free(pruned_end);
    return st;
}
