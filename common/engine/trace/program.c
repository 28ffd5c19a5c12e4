#include "trace/program.h"

#include <string.h>

#include "base/mem.h"
#include "trace/span.h"

static pm_status allocate(const pm_graph *g, const pm_split *s, pm_program *p, pm_error *err) {
    size_t n = s->n_transient, edges = s->row[g->n_vertices];
    p->n = s->n_transient;
    p->n_components = s->n_sccs;
    p->components = pmi_calloc(s->n_sccs, sizeof *p->components);
    p->vertex = pmi_malloc(n, sizeof *p->vertex);
    p->position = pmi_malloc(g->n_vertices, sizeof *p->position);
    p->inner_row = pmi_calloc(n + 1, sizeof *p->inner_row);
    p->exit_row = pmi_calloc(n + 1, sizeof *p->exit_row);
    p->absorb_row = pmi_calloc(n + 1, sizeof *p->absorb_row);
    p->by_level = pmi_malloc(s->n_sccs, sizeof *p->by_level);
    p->level_first = pmi_calloc((size_t)s->n_sccs + 2, sizeof *p->level_first);
    if (p->components == NULL || p->vertex == NULL || p->position == NULL || p->inner_row == NULL ||
        p->exit_row == NULL || p->absorb_row == NULL || p->by_level == NULL || p->level_first == NULL) {
        return pmi_fail_memory(err, "the program", n * 40 + edges * 8);
    }
    return PM_OK;
}

static pm_status place_states(const pm_graph *g, const pm_split *s, const pm_scc_instance *instances, pm_program *p,
                              pm_error *err) {
    uint32_t *pivot_of = pmi_malloc(s->largest, sizeof *pivot_of);
    if (pivot_of == NULL) {
        return pmi_fail_memory(err, "the order of the program", s->largest * sizeof *pivot_of);
    }
    memset(p->position, 0xff, g->n_vertices * sizeof *p->position);
    for (uint32_t c = 0; c < s->n_sccs; c++) {
        uint32_t first = s->scc_first[c], n = s->scc_first[c + 1] - first;
        const pm_plan *plan = instances[c].plan;
        p->components[c] = (pm_component){.first = first, .n = n, .plan = plan};
        for (uint32_t j = 0; plan != NULL && j < n; j++) {
            pivot_of[plan->trace.pivot[j]] = j;
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t v = s->member[first + i];
            uint32_t at = first + (plan != NULL ? pivot_of[instances[c].name[i]] : 0);
            p->vertex[at] = v;
            p->position[v] = at;
        }
    }
    free(pivot_of);
    return PM_OK;
}

enum { TO_INNER, TO_EXIT, TO_ABSORPTION };

static int kind_of(const pm_split *s, uint32_t from, uint32_t to) {
    if (s->scc_of[to] == PM_NONE) {
        return TO_ABSORPTION;
    }
    return s->scc_of[to] == s->scc_of[from] ? TO_INNER : TO_EXIT;
}

static pm_status count_edges(const pm_split *s, pm_program *p, pm_error *err) {
    size_t *rows[] = {p->inner_row, p->exit_row, p->absorb_row};
    for (uint32_t at = 0; at < p->n; at++) {
        uint32_t v = p->vertex[at];
        for (int kind = 0; kind < 3; kind++) {
            rows[kind][at + 1] = rows[kind][at];
        }
        for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
            rows[kind_of(s, v, s->to[e])][at + 1]++;
        }
    }
    size_t inner = p->inner_row[p->n], exits = p->exit_row[p->n], absorb = p->absorb_row[p->n];
    p->inner_again = pmi_malloc(p->n, sizeof *p->inner_again);
    p->inner_col = pmi_malloc(inner, sizeof *p->inner_col);
    p->inner_weight = pmi_malloc(inner, sizeof *p->inner_weight);
    p->exit_to = pmi_calloc(exits + PM_EXIT_AHEAD, sizeof *p->exit_to);
    p->exit_weight = pmi_malloc(exits, sizeof *p->exit_weight);
    p->absorb_weight = pmi_malloc(absorb, sizeof *p->absorb_weight);
    if (p->inner_again == NULL || p->inner_col == NULL || p->inner_weight == NULL || p->exit_to == NULL ||
        p->exit_weight == NULL || p->absorb_weight == NULL) {
        return pmi_fail_memory(err, "the edges of the program", (inner + exits) * 8 + absorb * 4);
    }
    return PM_OK;
}

/* The edges of one row; inner edges that repeat a target stand at the end of theirs. */
static void place_row(const pm_split *s, pm_program *p, uint32_t at, uint32_t *seen) {
    uint32_t v = p->vertex[at], first = p->components[s->scc_of[v]].first;
    size_t inner = p->inner_row[at], again = p->inner_row[at + 1], exits = p->exit_row[at], absorb = p->absorb_row[at];
    for (size_t e = s->row[v]; e < s->row[v + 1]; e++) {
        uint32_t to = p->position[s->to[e]];
        int kind = kind_of(s, v, s->to[e]);
        if (kind == TO_INNER) {
            size_t slot = seen[to] == at ? --again : inner++;
            seen[to] = at;
            p->inner_col[slot] = to - first;
            p->inner_weight[slot] = s->weight[e];
        } else if (kind == TO_EXIT) {
            p->exit_to[exits] = to;
            p->exit_weight[exits++] = s->weight[e];
        } else {
            p->absorb_weight[absorb++] = s->weight[e];
        }
    }
    p->inner_again[at] = again;
}

static pm_status place_edges(const pm_split *s, pm_program *p, pm_error *err) {
    uint32_t *seen = pmi_malloc(p->n, sizeof *seen);
    if (seen == NULL) {
        return pmi_fail_memory(err, "the edges of the program", p->n * sizeof *seen);
    }
    memset(seen, 0xff, p->n * sizeof *seen);
    for (uint32_t at = 0; at < p->n; at++) {
        place_row(s, p, at, seen);
    }
    free(seen);
    return PM_OK;
}

static pm_status place_loops(const pm_graph *g, pm_program *p, pm_error *err) {
    p->loop_row = pmi_calloc((size_t)p->n + 1, sizeof *p->loop_row);
    if (p->loop_row == NULL) {
        return pmi_fail_memory(err, "the self-loops of the program", p->n * sizeof *p->loop_row);
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t at = p->position[g->from[e]];
        if (g->from[e] == g->to[e] && at != PM_NONE) {
            p->loop_row[at + 1]++;
        }
    }
    for (uint32_t at = 0; at < p->n; at++) {
        p->loop_row[at + 1] += p->loop_row[at];
    }
    p->loop_weight = pmi_malloc(p->loop_row[p->n], sizeof *p->loop_weight);
    if (p->loop_weight == NULL) {
        return pmi_fail_memory(err, "the self-loops of the program", p->loop_row[p->n] * sizeof *p->loop_weight);
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t at = p->position[g->from[e]];
        if (g->from[e] == g->to[e] && at != PM_NONE) {
            p->loop_weight[p->loop_row[at]++] = g->weight[e];
        }
    }
    memmove(p->loop_row + 1, p->loop_row, p->n * sizeof *p->loop_row);
    p->loop_row[0] = 0;
    return PM_OK;
}

static void place_levels(const pm_split *s, pm_program *p) {
    for (uint32_t c = 0; c < p->n_components; c++) {
        pm_component *component = &p->components[c];
        uint32_t level = 0;
        for (size_t e = p->exit_row[component->first]; e < p->exit_row[component->first + component->n]; e++) {
            uint32_t below = p->components[s->scc_of[p->vertex[p->exit_to[e]]]].level;
            level = below + 1 > level ? below + 1 : level;
        }
        component->level = level;
        p->n_levels = level + 1 > p->n_levels ? level + 1 : p->n_levels;
        p->level_first[level + 1]++;
    }
    for (uint32_t l = 0; l < p->n_levels; l++) {
        p->level_first[l + 1] += p->level_first[l];
    }
    /* level_first[l] is moved to the end of level l while filling, so that shifting restores it */
    for (uint32_t c = 0; c < p->n_components; c++) {
        p->by_level[p->level_first[p->components[c].level]++] = c;
    }
    memmove(p->level_first + 1, p->level_first, p->n_levels * sizeof *p->level_first);
    p->level_first[0] = 0;
}

static void add_costs(pm_program *p) {
    for (uint32_t c = 0; c < p->n_components; c++) {
        const pm_component *component = &p->components[c];
        p->largest = component->n > p->largest ? component->n : p->largest;
        if (component->plan == NULL) {
            p->flops += 3;
            continue;
        }
        const pm_trace *t = &component->plan->trace;
        p->flops += t->flops;
        p->largest_u = t->u_row[t->n] > p->largest_u ? t->u_row[t->n] : p->largest_u;
        p->largest_l = t->l_row[t->n] > p->largest_l ? t->l_row[t->n] : p->largest_l;
    }
    p->flops += 3 * p->exit_row[p->n] + p->absorb_row[p->n] + p->inner_row[p->n];
}

pm_status pmi_program_stitch(const pm_graph *graph, const pm_split *split, const pm_scc_instance *instances,
                             pm_program *out, pm_error *err) {
    *out = (pm_program){0};
    pm_status st = allocate(graph, split, out, err);
    PM_THEN(st, place_states(graph, split, instances, out, err));
    PM_THEN(st, count_edges(split, out, err));
    PM_THEN(st, place_edges(split, out, err));
    if (st == PM_OK && graph->is_discrete) {
        st = place_loops(graph, out, err);
    }
    if (st == PM_OK) {
        place_levels(split, out);
        add_costs(out);
        st = pmi_program_judge(graph, out, err);
    }
    if (st != PM_OK) {
        pmi_program_free(out);
    }
    return st;
}

void pmi_program_free(pm_program *program) {
    free(program->components);
    free(program->vertex);
    free(program->position);
    free(program->inner_row);
    free(program->inner_again);
    free(program->inner_col);
    free(program->inner_weight);
    free(program->exit_row);
    free(program->exit_to);
    free(program->exit_weight);
    free(program->absorb_row);
    free(program->absorb_weight);
    free(program->loop_row);
    free(program->loop_weight);
    free(program->by_level);
    free(program->level_first);
    *program = (pm_program){0};
}

pm_scc_view pmi_program_view(const pm_program *program, uint32_t component) {
    const pm_component *c = &program->components[component];
    pm_scc_view view = {.first = c->first,
                        .n = c->n,
                        .inner_row = program->inner_row + c->first,
                        .inner_again = program->inner_again + c->first,
                        .inner_col = program->inner_col,
                        .inner_weight = program->inner_weight,
                        .exit_row = program->exit_row + c->first,
                        .exit_to = program->exit_to,
                        .exit_weight = program->exit_weight,
                        .absorb_row = program->absorb_row + c->first,
                        .absorb_weight = program->absorb_weight};
    if (c->plan != NULL) {
        view.trace = &c->plan->trace;
        view.chain_end = c->plan->chain_end;
        view.fill_row = c->plan->fill_row;
        view.fill = c->plan->fill;
    }
    return view;
}
