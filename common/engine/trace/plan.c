#include "trace/plan.h"

#include <string.h>

#include "base/mem.h"

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
    *out = (pm_plan){.chain_end = pmi_malloc(n, sizeof *out->chain_end),
                     .fill_row = pmi_calloc((size_t)n + 1, sizeof *out->fill_row),
                     .fill = pmi_malloc(entries, sizeof *out->fill)};
    out->trace = *trace;
    *trace = (pm_trace){0};
    uint32_t *mark = pmi_calloc(n, sizeof *mark);
    pm_status st = PM_OK;
    if (out->chain_end == NULL || out->fill_row == NULL || out->fill == NULL || mark == NULL) {
        st = pmi_fail_memory(err, "the plan of a trace", entries * sizeof *out->fill);
    } else if (n != edges->n) {
        st = pmi_fail(err, PM_EDATA, "it does not fit: a trace of %u states for an SCC of %u", n, edges->n);
    } else {
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
    free(plan->chain_end);
    free(plan->fill_row);
    free(plan->fill);
    *plan = (pm_plan){0};
}
