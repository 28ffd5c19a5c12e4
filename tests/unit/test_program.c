#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "model_fixture.h"

/* One kind of edges of a row of the program, as pairs (target, weight) in ascending order. */
typedef struct edge {
    uint32_t to, weight;
} edge;

enum { MOST_EDGES = 400 };

static int compare_edges(const void *a, const void *b) {
    const edge *x = a, *y = b;
    if (x->to != y->to) {
        return x->to < y->to ? -1 : 1;
    }
    return (x->weight > y->weight) - (x->weight < y->weight);
}

static void check_same(edge *found, size_t n_found, edge *expected, size_t n_expected, const char *kind, uint32_t at) {
    cr_assert_eq(n_found, n_expected, "%s of position %u: %zu edges, expected %zu", kind, at, n_found, n_expected);
    qsort(found, n_found, sizeof *found, compare_edges);
    qsort(expected, n_expected, sizeof *expected, compare_edges);
    for (size_t i = 0; i < n_found; i++) {
        cr_assert_eq(compare_edges(&found[i], &expected[i]), 0, "%s of position %u, edge %zu", kind, at, i);
    }
}

static void check_positions(const model_fixture *r) {
    const pm_program *p = &r->model.program;
    const pm_split *s = &r->model.analysis.split;
    uint32_t transient = 0;
    for (uint32_t v = 0; v < r->model.analysis.graph->n_vertices; v++) {
        cr_assert_eq(p->position[v] == PM_NONE, s->scc_of[v] == PM_NONE);
        if (p->position[v] != PM_NONE) {
            cr_assert_lt(p->position[v], p->n);
            cr_assert_eq(p->vertex[p->position[v]], v);
            transient++;
        }
    }
    cr_assert_eq(p->n, transient);
    cr_assert_eq(p->n_components, s->n_sccs);
    for (uint32_t c = 0; c < p->n_components; c++) {
        cr_assert_eq(p->components[c].first, s->scc_first[c]);
        cr_assert_eq(p->components[c].n, s->scc_first[c + 1] - s->scc_first[c]);
        cr_assert_eq(p->components[c].plan == NULL, p->components[c].n == 1);
        for (uint32_t i = 0; i < p->components[c].n; i++) {
            cr_assert_eq(s->scc_of[p->vertex[p->components[c].first + i]], c);
        }
    }
}

/* The graph's own edges out of the state at `at`, by kind; the component's first position is taken off inner targets.
 */
typedef struct kinds {
    edge inner[MOST_EDGES], exits[MOST_EDGES], absorb[MOST_EDGES], loops[MOST_EDGES];
    size_t n_inner, n_exits, n_absorb, n_loops;
} kinds;

static void find_kinds(const model_fixture *r, uint32_t at, kinds *k) {
    const pm_graph *g = r->model.analysis.graph;
    const pm_program *p = &r->model.program;
    const pm_split *s = &r->model.analysis.split;
    uint32_t v = p->vertex[at];
    k->n_inner = k->n_exits = k->n_absorb = k->n_loops = 0;
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t to = g->to[e];
        if (g->from[e] == v && to == v) {
            k->loops[k->n_loops++] = (edge){0, g->weight[e]};
        }
        if (g->from[e] != v || to == v || pmi_graph_weight_is_zero(g, g->weight[e])) {
            continue;
        }
        if (p->position[to] == PM_NONE) {
            k->absorb[k->n_absorb++] = (edge){0, g->weight[e]};
        } else if (s->scc_of[to] == s->scc_of[v]) {
            uint32_t first = p->components[s->scc_of[v]].first;
            k->inner[k->n_inner++] = (edge){p->position[to] - first, g->weight[e]};
        } else {
            k->exits[k->n_exits++] = (edge){p->position[to], g->weight[e]};
        }
    }
}

static size_t copy_row(const size_t *row, const uint32_t *to, const uint32_t *weight, uint32_t at, edge *out) {
    for (size_t e = row[at]; e < row[at + 1]; e++) {
        out[e - row[at]] = (edge){to == NULL ? 0 : to[e], weight[e]};
    }
    return row[at + 1] - row[at];
}

/* Before inner_again no target comes twice; behind it each has come before. */
static void check_repeats(const pm_program *p, uint32_t at) {
    cr_assert(p->inner_again[at] >= p->inner_row[at] && p->inner_again[at] <= p->inner_row[at + 1]);
    for (size_t e = p->inner_row[at]; e < p->inner_row[at + 1]; e++) {
        bool came = false;
        for (size_t before = p->inner_row[at]; before < p->inner_again[at] && before < e; before++) {
            came |= p->inner_col[before] == p->inner_col[e];
        }
        cr_assert_eq(came, e >= p->inner_again[at], "position %u, edge %zu", at, e - p->inner_row[at]);
    }
}

static void check_edges(const model_fixture *r) {
    static kinds k;
    static edge found[MOST_EDGES];
    const pm_program *p = &r->model.program;
    for (uint32_t at = 0; at < p->n; at++) {
        find_kinds(r, at, &k);
        size_t n = copy_row(p->inner_row, p->inner_col, p->inner_weight, at, found);
        check_same(found, n, k.inner, k.n_inner, "inner edges", at);
        n = copy_row(p->exit_row, p->exit_to, p->exit_weight, at, found);
        check_same(found, n, k.exits, k.n_exits, "exits", at);
        n = copy_row(p->absorb_row, NULL, p->absorb_weight, at, found);
        check_same(found, n, k.absorb, k.n_absorb, "absorbing edges", at);
        check_repeats(p, at);
        if (r->model.analysis.graph->is_discrete) {
            n = copy_row(p->loop_row, NULL, p->loop_weight, at, found);
            check_same(found, n, k.loops, k.n_loops, "self-loops", at);
        } else {
            cr_assert_null(p->loop_row);
        }
    }
}

/* A level is one more than the highest that an SCC leads to; by_level is a stable sort by it. */
static void check_levels(const model_fixture *r) {
    const pm_program *p = &r->model.program;
    uint32_t highest = 0;
    for (uint32_t c = 0; c < p->n_components; c++) {
        const pm_component *component = &p->components[c];
        uint32_t level = 0;
        for (size_t e = p->exit_row[component->first]; e < p->exit_row[component->first + component->n]; e++) {
            uint32_t below = r->model.analysis.split.scc_of[p->vertex[p->exit_to[e]]];
            cr_assert_lt(below, c);
            level = p->components[below].level + 1 > level ? p->components[below].level + 1 : level;
        }
        cr_assert_eq(component->level, level);
        highest = level > highest ? level : highest;
    }
    cr_assert_eq(p->n_levels, highest + 1);
    cr_assert_eq(p->level_first[0], 0u);
    cr_assert_eq(p->level_first[p->n_levels], p->n_components);
    for (uint32_t l = 0; l < p->n_levels; l++) {
        cr_assert_lt(p->level_first[l], p->level_first[l + 1]);
        for (uint32_t i = p->level_first[l]; i < p->level_first[l + 1]; i++) {
            cr_assert_eq(p->components[p->by_level[i]].level, l);
            cr_assert(i == p->level_first[l] || p->by_level[i - 1] < p->by_level[i]);
        }
    }
}

static void check_sizes(const model_fixture *r) {
    const pm_program *p = &r->model.program;
    uint32_t largest = 0;
    size_t u = 0, l = 0;
    for (uint32_t c = 0; c < p->n_components; c++) {
        const pm_component *component = &p->components[c];
        largest = component->n > largest ? component->n : largest;
        if (component->plan != NULL) {
            const pm_trace *t = &component->plan->trace;
            u = t->u_row[t->n] > u ? t->u_row[t->n] : u;
            l = t->l_row[t->n] > l ? t->l_row[t->n] : l;
            pm_scc_view view = pmi_program_view(p, c);
            cr_assert_eq(view.n, component->n);
            cr_assert_eq(view.first, component->first);
            cr_assert_eq(view.trace, t);
            cr_assert_eq(view.inner_row, p->inner_row + component->first);
        }
    }
    cr_assert_eq(p->largest, largest);
    cr_assert_eq(p->largest_u, u);
    cr_assert_eq(p->largest_l, l);
    cr_assert_gt(p->flops, 0u);
}

/* Every edge of an SCC, between positions of the program, is in the pattern of its trace. */
static void check_pattern(const model_fixture *r) {
    const pm_program *p = &r->model.program;
    for (uint32_t c = 0; c < p->n_components; c++) {
        const pm_trace *t = p->components[c].plan == NULL ? NULL : &p->components[c].plan->trace;
        for (uint32_t j = 0; t != NULL && j < t->n; j++) {
            uint32_t at = p->components[c].first + j;
            for (size_t e = p->inner_row[at]; e < p->inner_row[at + 1]; e++) {
                bool there = false;
                for (size_t i = t->l_row[j]; i < t->l_row[j + 1]; i++) {
                    there |= t->l[i] == p->inner_col[e];
                }
                for (size_t i = t->u_row[j]; i < t->u_row[j + 1]; i++) {
                    there |= t->u[i] == p->inner_col[e];
                }
                cr_assert(there, "component %u, row %u", c, j);
            }
        }
    }
}

static pm_graph *draw_graph(pm_random *random, uint32_t n, bool is_discrete) {
    sketch s = sketch_of(n, 0, is_discrete);
    uint32_t density = 1 + draw_below(random, 200) / n;
    sketch_start(&s, 1, 0.5);
    sketch_start(&s, 1 + draw_below(random, n - 1), 0.5);
    for (uint32_t v = 1; v + 1 < n; v++) {
        for (uint32_t w = 1; w < n; w++) {
            bool forwards = w == v + 1, here = draw_below(random, 100) < density;
            for (uint32_t copies = forwards + here; copies > 0 && (v != w || is_discrete); copies--) {
                sketch_edge(&s, v, w, 0.001 * (1 + draw_below(random, 5)));
            }
            if (v != w && draw_below(random, 20) == 0) {
                sketch_edge(&s, v, w, 0);
            }
        }
    }
    return sketch_finish(&s);
}

Test(program, is_the_graph_in_another_order) {
    pm_random random = {.state = 130};
    uint32_t parts = 0;
    for (int turn = 0; turn < 200; turn++) {
        model_fixture r =
            model_fixture_of(draw_graph(&random, 3 + draw_below(&random, 60), turn % 2 == 0), model_fixture_isa());
        check_positions(&r);
        check_edges(&r);
        check_levels(&r);
        check_sizes(&r);
        check_pattern(&r);
        parts += r.model.analysis.split.n_nontrivial;
        model_fixture_free(&r);
    }
    cr_assert_gt(parts, 50u, "%u", parts);
}

/* {5, 6} at the bottom, {3, 4} and 2 above it, 1 on top. */
Test(program, levels_of_a_small_graph) {
    sketch s = sketch_of(8, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 1, 3, 2);
    sketch_edge(&s, 1, 3, 2);
    sketch_edge(&s, 2, 5, 3);
    sketch_edge(&s, 3, 4, 4);
    sketch_edge(&s, 4, 3, 5);
    sketch_edge(&s, 4, 3, 6);
    sketch_edge(&s, 4, 5, 7);
    sketch_edge(&s, 5, 6, 8);
    sketch_edge(&s, 6, 5, 9);
    sketch_edge(&s, 6, 7, 10);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    const pm_program *p = &r.model.program;
    static const uint32_t level[] = {0, 2, 1, 1, 1, 0, 0};
    for (uint32_t v = 1; v <= 6; v++) {
        cr_assert_eq(p->components[r.model.analysis.split.scc_of[v]].level, level[v], "row %u", v);
    }
    cr_assert_eq(p->n_levels, 3u);
    uint32_t at = p->position[4];
    cr_assert_eq(p->inner_row[at + 1] - p->inner_row[at], 2u);
    cr_assert_eq(p->inner_again[at], p->inner_row[at] + 1);
    cr_assert_eq(p->absorb_row[p->n], 1u);
    cr_assert_eq(p->exit_row[p->n], 5u);
    model_fixture_free(&r);
}

Test(program, without_transient_states_is_empty) {
    sketch s = sketch_of(2, 0, false);
    sketch_start(&s, 1, 1);
    model_fixture r = model_fixture_of(sketch_finish(&s), model_fixture_isa());
    cr_assert_eq(r.model.program.n, 0u);
    cr_assert_eq(r.model.program.n_components, 0u);
    cr_assert_eq(r.model.program.position[1], PM_NONE);
    model_fixture_free(&r);
    pmi_program_free(&r.model.program);
}
