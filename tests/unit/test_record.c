#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "trace/record.h"
#include "trace/trace.h"

#define PLENTY ((size_t)1 << 30)

static pm_isa best_isa(void) {
    pm_isa isa;
    cr_assert_eq(pmi_isa_choose(NULL, &isa, NULL), PM_OK);
    return isa;
}

static pm_canon canon_of(uint32_t n, const bool *edge, pm_effort effort) {
    pm_topology t = topology_of(n, edge);
    pm_canon canon;
    cr_assert_eq(pmi_canon_find(&t, effort, NULL, &canon, NULL), PM_OK);
    pmi_topology_free(&t);
    return canon;
}

static pm_plan record(const pm_canon *canon, pm_effort effort) {
    pm_plan plan;
    pm_error err = {0};
    pm_record_options options = {.effort = effort, .memory = PLENTY, .isa = best_isa()};
    cr_assert_eq(pmi_record(canon, &options, &plan, &err), PM_OK, "%s", err.text);
    return plan;
}

/* Everything that a plan promises of its trace and of its fill. */
static void check_plan(const pm_canon *canon, const pm_plan *plan) {
    const pm_trace *t = &plan->trace;
    const pm_topology *g = &canon->topology;
    pm_error err;
    cr_assert_eq(pmi_trace_check_structure(t, &err), PM_OK, "%s", err.text);
    cr_assert_eq(t->n, g->n);
    cr_assert_eq(t->n_edges, g->row[g->n]);
    cr_assert_arr_eq(t->digest, canon->digest, PM_DIGEST_BYTES);
    cr_assert_eq(plan->fill_row[t->n], t->l_row[t->n] + t->u_row[t->n] - t->n_edges);
    uint32_t *mark = pmi_calloc(t->n, sizeof *mark), *position = pmi_malloc(t->n, sizeof *position);
    for (uint32_t j = 0; j < t->n; j++) {
        position[t->pivot[j]] = j;
    }
    for (uint32_t j = 0; j < t->n; j++) {
        uint32_t v = t->pivot[j];
        for (size_t e = g->row[v]; e < g->row[v + 1]; e++) {
            mark[position[g->col[e]]] |= 1;
        }
        for (size_t e = plan->fill_row[j]; e < plan->fill_row[j + 1]; e++) {
            cr_assert_eq(mark[plan->fill[e]], 0u, "row %u: fill %u is an edge or comes twice", j, plan->fill[e]);
            mark[plan->fill[e]] |= 2;
        }
        for (size_t at = t->l_row[j]; at < t->l_row[j + 1]; at++) {
            cr_assert(mark[t->l[at]] == 1 || mark[t->l[at]] == 2, "row %u of L: %u", j, t->l[at]);
        }
        for (size_t at = t->u_row[j]; at < t->u_row[j + 1]; at++) {
            cr_assert(mark[t->u[at]] == 1 || mark[t->u[at]] == 2, "row %u of U: %u", j, t->u[at]);
        }
        memset(mark, 0, t->n * sizeof *mark);
    }
    free(mark);
    free(position);
}

static bool follows(const pm_trace *t, uint32_t i) {
    size_t count = t->u_row[i + 1] - t->u_row[i], next = t->u_row[i + 2] - t->u_row[i + 1];
    return count == next + 1 && t->u[t->u_row[i]] == i + 1 &&
           (next == 0 || memcmp(t->u + t->u_row[i] + 1, t->u + t->u_row[i + 1], next * sizeof *t->u) == 0);
}

static void check_chains(const pm_plan *plan) {
    for (uint32_t i = 0; i < plan->trace.n; i++) {
        uint32_t end = i + 1;
        while (end < plan->trace.n && follows(&plan->trace, end - 1)) {
            end++;
        }
        cr_assert_eq(plan->chain_end[i], end, "row %u", i);
    }
}

Test(record, every_effort_gives_a_sound_plan) {
    pm_random random = {.state = 70};
    for (int turn = 0; turn < 60; turn++) {
        uint32_t n = 2 + draw_below(&random, turn < 40 ? 60 : 400);
        bool *edge = draw_strong(&random, n, draw_below(&random, 3 * n));
        uint64_t flops[3];
        for (int effort = PM_EFFORT_FAST; effort <= PM_EFFORT_BEST; effort++) {
            pm_canon canon = canon_of(n, edge, (pm_effort)effort);
            pm_plan plan = record(&canon, (pm_effort)effort), again = record(&canon, (pm_effort)effort);
            check_plan(&canon, &plan);
            check_chains(&plan);
            cr_assert_eq(plan.trace.flops, again.trace.flops);
            cr_assert_arr_eq(plan.trace.pivot, again.trace.pivot, n * sizeof *plan.trace.pivot);
            flops[effort] = plan.trace.flops;
            pmi_plan_free(&plan);
            pmi_plan_free(&again);
            pmi_canon_free(&canon);
        }
        cr_assert_leq(flops[PM_EFFORT_BEST], flops[PM_EFFORT_FAST], "turn %d", turn);
        cr_assert_leq(flops[PM_EFFORT_BEST], flops[PM_EFFORT_BALANCED], "turn %d", turn);
        free(edge);
    }
}

/* Above 2000 states nested dissection joins in. */
Test(record, a_large_grid) {
    const uint32_t side = 48, n = side * side;
    bool *edge = grid_digraph(side, side);
    uint64_t flops[3];
    for (int effort = PM_EFFORT_FAST; effort <= PM_EFFORT_BALANCED; effort++) {
        pm_canon canon = canon_of(n, edge, (pm_effort)effort);
        pm_plan plan = record(&canon, (pm_effort)effort);
        check_plan(&canon, &plan);
        flops[effort] = plan.trace.flops;
        pmi_plan_free(&plan);
        pmi_canon_free(&canon);
    }
    cr_assert_leq(flops[PM_EFFORT_BALANCED], flops[PM_EFFORT_FAST]);
    free(edge);
}

/* A ring of two states has no fill: the order found first is as good as any. */
Test(record, a_perfect_order_ends_the_search) {
    bool *edge = ring_digraph(2);
    pm_canon canon = canon_of(2, edge, PM_EFFORT_BEST);
    pm_plan plan = record(&canon, PM_EFFORT_BEST);
    check_plan(&canon, &plan);
    cr_assert_eq(plan.fill_row[2], 0u);
    pmi_plan_free(&plan);
    pmi_canon_free(&canon);
    free(edge);
}

Test(record, the_check_finds_a_missing_entry) {
    pm_random random = {.state = 71};
    for (int turn = 0; turn < 50; turn++) {
        uint32_t n = 5 + draw_below(&random, 60);
        bool *edge = draw_strong(&random, n, 2 * n);
        pm_canon canon = canon_of(n, edge, PM_EFFORT_FAST);
        pm_plan plan = record(&canon, PM_EFFORT_FAST);
        pm_error err;
        cr_assert_eq(pmi_plan_check(&plan, &canon.topology, best_isa(), &err), PM_OK);
        /* row j of U loses its last entry; those behind it move up */
        uint32_t j = draw_below(&random, n - 1);
        pm_trace *t = &plan.trace;
        while (t->u_row[j + 1] == t->u_row[j]) {
            j--;
        }
        size_t lost = t->u_row[j + 1] - 1;
        memmove(t->u + lost, t->u + lost + 1, (t->u_row[n] - lost - 1) * sizeof *t->u);
        for (uint32_t r = j; r < n; r++) {
            t->u_row[r + 1]--;
        }
        for (uint32_t i = 0; i < n; i++) {
            plan.chain_end[i] = i + 1;
        }
        cr_assert_eq(pmi_plan_check(&plan, &canon.topology, best_isa(), &err), PM_ESOFTWARE, "turn %d", turn);
        cr_assert(strstr(err.text, "fails its check: relative residual") != NULL, "%s", err.text);
        pmi_plan_free(&plan);
        pmi_canon_free(&canon);
        free(edge);
    }
}

/* An entry of the fill that is not cleared reads what the row before left there. */
Test(record, the_check_finds_fill_that_is_not_cleared) {
    pm_random random = {.state = 72};
    for (int turn = 0; turn < 20; turn++) {
        bool *edge = draw_strong(&random, 40, 80);
        pm_canon canon = canon_of(40, edge, PM_EFFORT_FAST);
        pm_plan plan = record(&canon, PM_EFFORT_FAST);
        cr_assert_gt(plan.fill_row[40], 20u);
        memset(plan.fill_row, 0, 41 * sizeof *plan.fill_row);
        cr_assert_eq(pmi_plan_check(&plan, &canon.topology, best_isa(), NULL), PM_ESOFTWARE, "turn %d", turn);
        pmi_plan_free(&plan);
        pmi_canon_free(&canon);
        free(edge);
    }
}

Test(record, a_trace_of_another_scc_is_refused) {
    bool *ring = ring_digraph(6), *grid = grid_digraph(3, 2), *small = ring_digraph(5);
    pm_canon canon = canon_of(6, ring, PM_EFFORT_FAST);
    pm_topology other = topology_of(6, grid), fewer = topology_of(5, small);
    const pm_topology *wrong[] = {&other, &fewer};
    for (int i = 0; i < 2; i++) {
        pm_plan plan = record(&canon, PM_EFFORT_FAST), out;
        pm_trace trace = plan.trace;
        plan.trace = (pm_trace){0};
        pmi_plan_free(&plan);
        pm_error err;
        cr_assert_eq(pmi_plan_new(&trace, wrong[i], &out, &err), PM_EDATA);
        cr_assert(strstr(err.text, "does not fit") != NULL, "%s", err.text);
        cr_assert_null(trace.pivot);
        cr_assert_null(out.trace.pivot);
    }
    pmi_topology_free(&other);
    pmi_topology_free(&fewer);
    pmi_canon_free(&canon);
    free(ring);
    free(grid);
    free(small);
}

/* The figures predicted must be of the size of those found with enough memory. */
static void check_refusal(uint32_t n, const bool *edge, pm_effort effort, size_t memory) {
    pm_canon canon = canon_of(n, edge, effort);
    pm_plan plan = record(&canon, effort), none;
    double fill = (double)(plan.trace.l_row[n] + plan.trace.u_row[n]), predicted, trace_bytes, lane_bytes;
    pm_error err;
    pm_record_options options = {.effort = effort, .memory = memory, .isa = best_isa()};
    cr_assert_eq(pmi_record(&canon, &options, &none, &err), PM_EOSERR, "%u states", n);
    cr_assert_null(none.trace.pivot);
    char head[200];
    int length =
        snprintf(head, sizeof head,
                 "an SCC of %u states and %zu inner edges does not fit the %zu bytes that --memory leaves to a "
                 "recording thread: its elimination is predicted to fill in to ",
                 n, canon.topology.row[n], memory);
    cr_assert(strncmp(err.text, head, (size_t)length) == 0, "%s", err.text);
    int found = sscanf(err.text + length, "%lf entries, %lf bytes of trace and %lf bytes of replay", &predicted,
                       &trace_bytes, &lane_bytes);
    cr_assert_eq(found, 3, "%s", err.text);
    cr_assert(predicted >= 0.99 * fill && predicted < 4 * fill, "%s; in fact %g", err.text, fill);
    cr_assert(trace_bytes >= 3.9 * fill && lane_bytes > 7.9 * fill, "%s", err.text);
    pmi_plan_free(&plan);
    pmi_canon_free(&canon);
}

Test(record, too_little_memory_is_refused_with_the_figures) {
    pm_random random = {.state = 73};
    static const uint32_t sizes[] = {20, 150, 700};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bool *edge = draw_strong(&random, sizes[i], 3 * sizes[i]);
        for (int effort = PM_EFFORT_FAST; effort <= PM_EFFORT_BEST; effort++) {
            check_refusal(sizes[i], edge, (pm_effort)effort, 300);
            check_refusal(sizes[i], edge, (pm_effort)effort, 12 * 3 * sizes[i]);
        }
        free(edge);
    }
}
