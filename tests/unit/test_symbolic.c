#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "trace/record.h"
#include "trace/trace.h"

/* Elimination as it is defined, on a dense pattern in pivot order: after i is gone, whoever led to i leads to where i
 * led. */
static bool *eliminate(uint32_t n, const bool *edge, const uint32_t *pivot) {
    bool *dense = pmi_malloc((size_t)n * n, sizeof *dense);
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t k = 0; k < n; k++) {
            dense[j * n + k] = j != k && edge[pivot[j] * n + pivot[k]];
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = i + 1; j < n; j++) {
            for (uint32_t k = i + 1; dense[j * n + i] && k < n; k++) {
                dense[j * n + k] |= dense[i * n + k] && k != j;
            }
        }
    }
    return dense;
}

static size_t count_row(const bool *row, uint32_t begin, uint32_t end) {
    size_t count = 0;
    for (uint32_t k = begin; k < end; k++) {
        count += row[k];
    }
    return count;
}

/* Multiplications and additions, counted one by one: each substitution of i into j takes an fma (2) for each entry of
 * U(i), one for the exit and one for the right-hand side; a row its sum, its scaling and its back substitution (an fma)
 * for each entry of U, and three for reciprocal, exit and right-hand side. */
static uint64_t count_flops(uint32_t n, const bool *dense) {
    uint64_t flops = 0;
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t i = 0; i < j; i++) {
            flops += dense[j * n + i] ? 2 * (count_row(dense + i * n, i + 1, n) + 2) : 0;
        }
        flops += 4 * count_row(dense + j * n, j + 1, n) + 3;
    }
    return flops;
}

static void check_rows(uint32_t n, const bool *dense, const size_t *row, const uint32_t *entry, bool lower) {
    size_t at = 0;
    for (uint32_t j = 0; j < n; j++) {
        cr_assert_eq(row[j], at);
        for (uint32_t k = lower ? 0 : j + 1; k < (lower ? j : n); k++) {
            if (dense[j * n + k]) {
                cr_assert(at < row[n] && entry[at++] == k, "%s: row %u misses %u", lower ? "L" : "U", j, k);
            }
        }
    }
    cr_assert_eq(row[n], at, "%s has %zu entries, expected %zu", lower ? "L" : "U", row[n], at);
}

static void check_trace(uint32_t n, const bool *edge, const uint32_t *pivot) {
    pm_topology t = topology_of(n, edge);
    pm_trace trace;
    bool fits;
    pm_error err;
    cr_assert_eq(pmi_symbolic(&t, pivot, SIZE_MAX, &trace, &fits, &err), PM_OK);
    cr_assert(fits);
    bool *dense = eliminate(n, edge, pivot);
    cr_assert_eq(trace.n, n);
    cr_assert_arr_eq(trace.pivot, pivot, n * sizeof *pivot);
    check_rows(n, dense, trace.l_row, trace.l, true);
    check_rows(n, dense, trace.u_row, trace.u, false);
    cr_assert_eq(trace.n_edges, t.row[n]);
    cr_assert_eq(trace.flops, count_flops(n, dense));
    cr_assert_eq(pmi_trace_check_structure(&trace, &err), PM_OK, "%s", err.text);
    free(dense);
    pmi_trace_free(&trace);
    pmi_topology_free(&t);
}

Test(symbolic, is_elimination) {
    pm_random random = {.state = 60};
    for (int turn = 0; turn < 1500; turn++) {
        uint32_t n = 2 + draw_below(&random, turn < 1400 ? 30 : 120), pivot[130];
        bool *edge = draw_strong(&random, n, draw_below(&random, turn % 2 == 0 ? n : 4 * n));
        draw_permutation(&random, n, pivot);
        check_trace(n, edge, pivot);
        free(edge);
    }
}

/* Symmetric patterns are where rows are pruned the most. */
Test(symbolic, is_elimination_of_symmetric_patterns) {
    pm_random random = {.state = 61};
    for (int turn = 0; turn < 500; turn++) {
        uint32_t n = 3 + draw_below(&random, 60), pivot[64];
        bool *edge = draw_strong(&random, n, draw_below(&random, 2 * n));
        for (uint32_t v = 0; v < n; v++) {
            for (uint32_t w = 0; w < v; w++) {
                edge[v * n + w] = edge[w * n + v] = edge[v * n + w] || edge[w * n + v];
            }
        }
        draw_permutation(&random, n, pivot);
        check_trace(n, edge, pivot);
        free(edge);
    }
}

Test(symbolic, is_elimination_of_known_shapes) {
    pm_random random = {.state = 62};
    static const uint32_t jumps[] = {1, 5, 7};
    struct {
        uint32_t n;
        bool *edge;
    } cases[] = {{2, ring_digraph(2)},      {50, ring_digraph(50)},      {40, complete_digraph(40)},
                 {60, grid_digraph(60, 1)}, {120, grid_digraph(12, 10)}, {48, circulant_digraph(48, jumps, 3)}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t pivot[120];
        for (uint32_t v = 0; v < cases[i].n; v++) {
            pivot[v] = v;
        }
        check_trace(cases[i].n, cases[i].edge, pivot);
        for (int turn = 0; turn < 10; turn++) {
            draw_permutation(&random, cases[i].n, pivot);
            check_trace(cases[i].n, cases[i].edge, pivot);
        }
        free(cases[i].edge);
    }
}

Test(symbolic, gives_up_beyond_the_fill_allowed) {
    pm_random random = {.state = 63};
    for (int turn = 0; turn < 100; turn++) {
        uint32_t n = 5 + draw_below(&random, 50), pivot[64];
        bool *edge = draw_strong(&random, n, 2 * n);
        pm_topology t = topology_of(n, edge);
        draw_permutation(&random, n, pivot);
        pm_trace trace;
        bool fits;
        cr_assert_eq(pmi_symbolic(&t, pivot, SIZE_MAX, &trace, &fits, NULL), PM_OK);
        size_t fill = trace.l_row[n] + trace.u_row[n];
        pmi_trace_free(&trace);
        cr_assert_eq(pmi_symbolic(&t, pivot, fill, &trace, &fits, NULL), PM_OK);
        cr_assert(fits);
        cr_assert_eq(trace.l_row[n] + trace.u_row[n], fill);
        pmi_trace_free(&trace);
        cr_assert_eq(pmi_symbolic(&t, pivot, fill - 1, &trace, &fits, NULL), PM_OK);
        cr_assert(!fits);
        cr_assert_null(trace.pivot);
        cr_assert_null(trace.l_row);
        cr_assert_eq(trace.n, 0u);
        pmi_topology_free(&t);
        free(edge);
    }
}
