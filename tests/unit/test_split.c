#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "scc/split.h"

enum { MOST = 40 };

/* A random graph: row 0 is the start vertex, rows 1..n-1 states; `edge` over all rows. Weights are 0.01, some edges
 * come twice, some that `edge` does not have come with weight zero. */
static pm_graph *draw_graph(pm_random *random, uint32_t n, const bool *edge, bool is_discrete, const bool *start) {
    sketch s = sketch_of(n, 0, is_discrete);
    for (uint32_t v = 1; v < n; v++) {
        if (start[v]) {
            sketch_start(&s, v, 0.01);
        } else if (draw_below(random, 4) == 0) {
            sketch_start(&s, v, 0);
        }
        for (uint32_t w = 1; w < n; w++) {
            if (v == w && !is_discrete) {
                continue;
            }
            if (edge[(size_t)v * n + w]) {
                sketch_edge(&s, v, w, 0.01);
            }
            if (draw_below(random, 5) == 0) {
                sketch_edge(&s, v, w, edge[(size_t)v * n + w] ? 0.001 : 0);
            }
        }
    }
    return sketch_finish(&s);
}

/* What reachability alone says of the same graph. */
typedef struct facts {
    bool reachable[MOST], absorbing[MOST];
    bool reach[MOST * MOST];
    uint32_t n_transient, n_absorbing, n_unreachable;
    bool certain; /* every reachable state can be absorbed */
} facts;

static bool goes_on(const facts *f, uint32_t n, uint32_t v) {
    for (uint32_t w = 1; w < n; w++) {
        if (f->absorbing[w] && (v == w || f->reach[v * n + w])) {
            return true;
        }
    }
    return false;
}

static void find_facts(uint32_t n, const bool *edge, const bool *start, facts *f) {
    *f = (facts){.certain = true};
    close_transitively(n, edge, f->reach);
    for (uint32_t v = 1; v < n; v++) {
        f->absorbing[v] = true;
        for (uint32_t w = 1; w < n; w++) {
            f->absorbing[v] &= w == v || !edge[v * n + w];
            f->reachable[v] |= start[w] && (w == v || f->reach[w * n + v]);
        }
    }
    for (uint32_t v = 1; v < n; v++) {
        f->n_unreachable += !f->reachable[v];
        f->n_absorbing += f->reachable[v] && f->absorbing[v];
        f->n_transient += f->reachable[v] && !f->absorbing[v];
        f->certain &= !f->reachable[v] || goes_on(f, n, v);
    }
}

static void check_numbers(uint32_t n, const facts *f, const pm_split *s) {
    cr_assert_eq(s->n_transient, f->n_transient);
    cr_assert_eq(s->n_absorbing, f->n_absorbing);
    cr_assert_eq(s->n_unreachable, f->n_unreachable);
    cr_assert_eq(s->n_total, s->n_sccs + f->n_absorbing + 1);
    uint32_t largest = 0, nontrivial = 0;
    cr_assert_eq(s->scc_first[0], 0u);
    cr_assert_eq(s->scc_first[s->n_sccs], s->n_transient);
    for (uint32_t c = 0; c < s->n_sccs; c++) {
        uint32_t size = s->scc_first[c + 1] - s->scc_first[c];
        cr_assert(size >= 1 && size < n);
        largest = size > largest ? size : largest;
        nontrivial += size > 1;
        for (uint32_t i = s->scc_first[c]; i < s->scc_first[c + 1]; i++) {
            cr_assert_eq(s->scc_of[s->member[i]], c);
            cr_assert(i == s->scc_first[c] || s->member[i - 1] < s->member[i]);
        }
    }
    cr_assert_eq(s->largest, largest);
    cr_assert_eq(s->n_nontrivial, nontrivial);
}

static void check_sccs(uint32_t n, const bool *edge, const facts *f, const pm_split *s) {
    cr_assert_eq(s->scc_of[0], PM_NONE);
    for (uint32_t v = 1; v < n; v++) {
        cr_assert_eq(s->scc_of[v] == PM_NONE, !f->reachable[v] || f->absorbing[v], "row %u", v);
        for (uint32_t w = 1; w < n && s->scc_of[v] != PM_NONE; w++) {
            if (s->scc_of[w] == PM_NONE) {
                continue;
            }
            bool together = v == w || (f->reach[v * n + w] && f->reach[w * n + v]);
            cr_assert_eq(s->scc_of[v] == s->scc_of[w], together, "rows %u and %u", v, w);
            cr_assert(!edge[v * n + w] || s->scc_of[w] <= s->scc_of[v], "rows %u and %u", v, w);
        }
    }
}

/* Every edge of weight other than zero, as often as the graph has it, and no other. */
static void check_adjacency(const pm_graph *g, const pm_split *s) {
    size_t at = 0;
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        cr_assert_eq(s->row[v], at);
        for (size_t e = 0; e < g->n_edges; e++) {
            if (g->from[e] == v && g->to[e] != v && g->weights[g->weight[e]] != 0) {
                cr_assert_eq(s->to[at], g->to[e]);
                cr_assert_eq(s->weight[at++], g->weight[e]);
            }
        }
    }
    cr_assert_eq(s->row[g->n_vertices], at);
}

static void check_refused(const pm_graph *g, const facts *f, const pm_error *err) {
    unsigned row;
    cr_assert_eq(sscanf(err->text, "row %u (state [", &row), 1, "%s", err->text);
    cr_assert(row < g->n_vertices && f->reachable[row] && !goes_on(f, g->n_vertices, row), "%s", err->text);
    cr_assert(strstr(err->text, "cannot reach absorption") != NULL, "%s", err->text);
}

Test(split, agrees_with_reachability) {
    pm_random random = {.state = 20};
    int good = 0, refused = 0;
    for (int turn = 0; turn < 3000; turn++) {
        uint32_t n = 3 + draw_below(&random, MOST - 3);
        bool is_discrete = draw_below(&random, 2) == 0;
        bool *edge = draw_digraph(&random, n, 1 + draw_below(&random, 300) / n);
        for (uint32_t v = 0; v < n; v++) {
            edge[v] = edge[v * n] = false;
        }
        bool start[MOST] = {false};
        start[1 + draw_below(&random, n - 1)] = start[1 + draw_below(&random, n - 1)] = true;
        pm_graph *g = draw_graph(&random, n, edge, is_discrete, start);
        static facts f;
        find_facts(n, edge, start, &f);
        pm_split s;
        pm_error err;
        pm_status st = pmi_split_graph(g, NULL, &s, &err);
        cr_assert_eq(st, f.certain ? PM_OK : PM_EDATA, "turn %d", turn);
        if (st == PM_OK) {
            check_numbers(n, &f, &s);
            check_sccs(n, edge, &f, &s);
            check_adjacency(g, &s);
            good++;
        } else {
            check_refused(g, &f, &err);
            cr_assert_null(s.row);
            refused++;
        }
        pmi_split_free(&s);
        pm_graph_free(g);
        free(edge);
    }
    cr_assert(good > 500 && refused > 200, "%d good, %d refused", good, refused);
}

Test(split, a_closed_scc_is_named) {
    sketch s = sketch_of(6, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 5, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 2, 3, 1);
    sketch_edge(&s, 3, 4, 1);
    sketch_edge(&s, 4, 2, 1);
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    pm_error err;
    cr_assert_eq(pmi_split_graph(g, NULL, &split, &err), PM_EDATA);
    cr_assert(strstr(err.text, "row 2 (state [2]) can be reached but cannot reach absorption") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "its SCC of 3 states (last: row 4 (state [4]))") != NULL, "%s", err.text);
    pm_graph_free(g);
}

/* A state of a discrete graph whose only edge is a self-loop stays for ever: it absorbs. */
Test(split, self_loops_are_no_way_out) {
    sketch s = sketch_of(4, 0, true);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 1, 0.5);
    sketch_edge(&s, 1, 2, 0.25);
    sketch_edge(&s, 1, 3, 0.25);
    sketch_edge(&s, 2, 2, 1);
    sketch_edge(&s, 3, 2, 0.5);
    sketch_edge(&s, 3, 3, 0.5);
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    cr_assert_eq(pmi_split_graph(g, NULL, &split, NULL), PM_OK);
    cr_assert_eq(split.n_absorbing, 1u);
    cr_assert_eq(split.n_transient, 2u);
    cr_assert_eq(split.scc_of[2], PM_NONE);
    cr_assert_eq(split.scc_of[3], 0u);
    cr_assert_eq(split.scc_of[1], 1u);
    cr_assert_eq(split.n_total, 4u);
    pmi_split_free(&split);
    pm_graph_free(g);
}

/* Without a start vertex row 0 is a state like any other. */
Test(split, row_0_may_be_a_state) {
    sketch s = sketch_of(3, 0, false);
    s.first = 7;
    sketch_start(&s, 0, 0.5);
    sketch_start(&s, 2, 0.5);
    sketch_edge(&s, 0, 1, 1);
    sketch_edge(&s, 1, 0, 1);
    sketch_edge(&s, 1, 2, 1);
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    cr_assert_eq(pmi_split_graph(g, NULL, &split, NULL), PM_OK);
    cr_assert_eq(split.n_sccs, 1u);
    cr_assert_eq(split.largest, 2u);
    cr_assert_eq(split.n_absorbing, 1u);
    cr_assert_eq(split.n_total, 2u);
    cr_assert_eq(split.n_unreachable, 0u);
    pmi_split_free(&split);
    pm_graph_free(g);
}

typedef struct lines {
    int n;
    pm_log_level level;
    char last[256];
} lines;

static void keep_line(void *ctx, pm_log_level level, const char *text) {
    lines *l = ctx;
    l->n++;
    l->level = level;
    snprintf(l->last, sizeof l->last, "%s", text);
}

Test(split, dropped_states_are_an_info_line) {
    lines l = {0};
    pm_log log = {.ctx = &l, .line = keep_line};
    sketch s = sketch_of(6, 1, false);
    double none = 0, one = 1;
    sketch_start(&s, 1, 1);
    sketch_param(&s, 1, 2, &one);
    sketch_param(&s, 1, 3, &none); /* identically zero: 3, and 4 behind it, are never reached, and need no absorption */
    sketch_param(&s, 3, 4, &one);
    sketch_param(&s, 4, 3, &one);
    sketch_param(&s, 5, 1, &one);
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    cr_assert_eq(pmi_split_graph(g, &log, &split, NULL), PM_OK);
    cr_assert_eq(l.n, 1);
    cr_assert_eq(l.level, PM_LOG_INFO);
    cr_assert(strncmp(l.last, "3 of 6 states cannot be reached", 31) == 0, "%s", l.last);
    cr_assert_eq(split.n_unreachable, 3u);
    pmi_split_free(&split);
    pm_graph_free(g);
}

/* 10^6 states one behind the other: a recursive search would need a stack of 10^6 frames. */
Test(split, a_deep_chain_needs_no_stack) {
    const uint32_t n = 1000002;
    sketch s = sketch_of(n, 0, false);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v + 1 < n; v++) {
        sketch_edge(&s, v, v + 1, 1);
    }
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    cr_assert_eq(pmi_split_graph(g, NULL, &split, NULL), PM_OK);
    cr_assert_eq(split.n_sccs, n - 2);
    cr_assert_eq(split.scc_of[1], n - 3);
    cr_assert_eq(split.scc_of[n - 2], 0u);
    cr_assert_eq(split.n_total, n);
    pmi_split_free(&split);
    pm_graph_free(g);
}

Test(split, a_deep_ring_is_one_scc) {
    const uint32_t n = 300002;
    sketch s = sketch_of(n, 0, false);
    sketch_start(&s, n / 2, 1);
    for (uint32_t v = 1; v + 1 < n; v++) {
        sketch_edge(&s, v, v + 2 < n ? v + 1 : 1, 1);
    }
    sketch_edge(&s, 17, n - 1, 1);
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    cr_assert_eq(pmi_split_graph(g, NULL, &split, NULL), PM_OK);
    cr_assert_eq(split.n_sccs, 1u);
    cr_assert_eq(split.largest, n - 2);
    cr_assert_eq(split.n_nontrivial, 1u);
    pmi_split_free(&split);
    pm_graph_free(g);
}
