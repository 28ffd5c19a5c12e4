#include "trace/program.h"

#include <math.h>
#include <string.h>

#include "trace/factor_class.h"

/* ---- how much rounding a replay gathers ---- */

/* Of weights that are all alike, and of different ones by the square root of their number. */
#define LIMIT 500.0
#define MIXED_LIMIT 50.0
/* Roundings that a term of a sum adds: of an edge, and of an entry of the trace, where elimination makes terms of all
 * sizes. Measured: a star of 10^4 leaves of equal rates 0.4 and a complete graph of 1,000 states 0.03 for each term. */
#define TERM 0.4
#define FILL_TERM 0.05
/* An SCC of so many states with so few edges inside for each of them is a ring, a walk or a tree: what passes through
 * it is a product of as many factors, whatever the order of elimination. Measured: rings of 1,913 states err
 * by 1.3e-13. */
#define THIN_STATES 500
#define THIN_EDGES 2.0

/* Roundings from position `at` on; those of larger positions of its SCC and of smaller SCCs are known. A state by
 * itself takes its longest way, an SCC each way but those that absorb: the others may have no weight at some theta. */
static double roundings(const pm_program *p, const pm_component *c, uint32_t at, const double *span) {
    size_t ways = p->exit_row[at + 1] - p->exit_row[at];
    double sum = 0, most = 0, terms = TERM * (double)(ways + p->absorb_row[at + 1] - p->absorb_row[at]);
    for (size_t e = p->exit_row[at]; e < p->exit_row[at + 1]; e++) {
        sum += span[p->exit_to[e]];
        most = fmax(most, span[p->exit_to[e]]);
    }
    if (c->plan == NULL) {
        return 1 + terms + most;
    }
    const pm_trace *t = &c->plan->trace;
    uint32_t j = at - c->first;
    size_t inside = t->u_row[j + 1] - t->u_row[j];
    for (size_t i = t->u_row[j]; i < t->u_row[j + 1]; i++) {
        sum += span[c->first + t->u[i]];
    }
    ways += inside;
    terms += TERM * (double)(p->inner_row[at + 1] - p->inner_row[at]);
    terms += FILL_TERM * (double)(inside + t->l_row[j + 1] - t->l_row[j]);
    return 1 + terms + (ways == 0 ? 0 : sum / (double)ways);
}

static double longest(const pm_program *p, double *span) {
    double most = 0;
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *c = &p->components[i];
        for (uint32_t at = c->first + c->n; at-- > c->first;) {
            span[at] = roundings(p, c, at, span);
            most = span[at] > most ? span[at] : most;
        }
    }
    return most;
}

/* The states of the largest SCC whose edges do not fill it, if there is one: rings, walks, trees. */
static uint32_t thin_scc(const pm_program *p) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *c = &p->components[i];
        double edges = (double)(p->inner_row[c->first + c->n] - p->inner_row[c->first]);
        if (c->n >= THIN_STATES && edges <= THIN_EDGES * c->n && c->n > most) {
            most = c->n;
        }
    }
    return most;
}

typedef struct weight_row {
    const double *coef;
    size_t n;
    int exponent;
} weight_row;

static int compare(const void *a, const void *b) {
    const weight_row *x = a, *y = b;
    for (size_t i = 0; i < x->n; i++) {
        double u = ldexp(x->coef[i], -x->exponent), v = ldexp(y->coef[i], -y->exponent);
        if (u != v) {
            return u < v ? -1 : 1;
        }
    }
    return 0;
}

/* Weights of edges of states that are reached, less those that are a power of two times another. */
static size_t count_weights(const pm_graph *g, const pm_program *p, weight_row *row, bool *used) {
    size_t width = 1 + (size_t)g->n_params, n = 0, count = 1;
    for (size_t e = 0; e < g->n_edges; e++) {
        used[g->weight[e]] = used[g->weight[e]] || p->position[g->from[e]] != PM_NONE;
    }
    for (size_t w = 0; w < g->n_weights; w++) {
        if (!used[w]) {
            continue;
        }
        row[n] = (weight_row){.coef = g->weights + w * width, .n = width};
        for (size_t i = width; i-- > 0;) {
            if (row[n].coef[i] != 0) {
                frexp(row[n].coef[i], &row[n].exponent);
            }
        }
        n++;
    }
    qsort(row, n, sizeof *row, compare);
    for (size_t i = 1; i < n; i++) {
        count += compare(&row[i - 1], &row[i]) != 0;
    }
    return count;
}

/* Sets program->is_long: whether moments in doubles may miss 13 digits, so that wide numbers are to be used.
 *
 * Each pivot on a path of the eliminated chain brings one more rounded inverse, each sum a rounding for each term.
 * Along a path the errors of equal rates are equal, those of different rates are not related: the error is about S /
 * sqrt(W) units of 1.1e-16, with S the largest number of roundings on a path, and W the number of weights that are no
 * multiples of each other by a power of two. The limit keeps it below 1e-13, but where theta gives ways inside of a
 * large SCC, or weights, no part in the result (docs/moments.md). */
static pm_status judge(const pm_graph *graph, pm_program *program, pm_error *err) {
    pm_pool pool = {0};
    double *span = pmi_pool_array(&pool, program->n, sizeof *span);
    weight_row *row = pmi_pool_array(&pool, graph->n_weights, sizeof *row);
    bool *used = pmi_pool_zeros(&pool, graph->n_weights, sizeof *used);
    pm_status st = pmi_pool_check(&pool, err, "the judgement of a program", program->n * sizeof *span);
    if (st == PM_OK) {
        double most = longest(program, span);
        uint32_t thin = thin_scc(program);
        program->roundings = most + thin;
        program->is_long =
            thin > 0 || (most > LIMIT && most > MIXED_LIMIT * sqrt((double)count_weights(graph, program, row, used)));
    }
    pmi_pool_free(&pool);
    return st;
}

/* ---- stitching ---- */

static pm_status allocate(const pm_graph *g, const pm_split *s, pm_program *p, pm_error *err) {
    size_t n = s->n_transient, edges = s->row[g->n_vertices];
    p->n = s->n_transient;
    p->n_components = s->n_sccs;
    p->components = pmi_pool_zeros(&p->pool, s->n_sccs, sizeof *p->components);
    p->vertex = pmi_pool_array(&p->pool, n, sizeof *p->vertex);
    p->position = pmi_pool_array(&p->pool, g->n_vertices, sizeof *p->position);
    p->inner_row = pmi_pool_zeros(&p->pool, n + 1, sizeof *p->inner_row);
    p->exit_row = pmi_pool_zeros(&p->pool, n + 1, sizeof *p->exit_row);
    p->absorb_row = pmi_pool_zeros(&p->pool, n + 1, sizeof *p->absorb_row);
    p->by_level = pmi_pool_array(&p->pool, s->n_sccs, sizeof *p->by_level);
    p->level_first = pmi_pool_zeros(&p->pool, (size_t)s->n_sccs + 2, sizeof *p->level_first);
    return pmi_pool_check(&p->pool, err, "the program", n * 40 + edges * 8);
}

static pm_status place_states(const pm_graph *g, const pm_split *s, const pm_scc_instance *instances, pm_program *p,
                              pm_error *err) {
    uint32_t *pivot_of;
    PM_TRY(PM_NEW(&pivot_of, s->largest, "the order of the program", err));
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

static void count_edges(const pm_split *s, pm_program *p) {
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
}

static pm_status allocate_edges(pm_program *p, pm_error *err) {
    size_t inner = p->inner_row[p->n], exits = p->exit_row[p->n], absorb = p->absorb_row[p->n];
    p->inner_again = pmi_pool_array(&p->pool, p->n, sizeof *p->inner_again);
    p->inner_col = pmi_pool_array(&p->pool, inner, sizeof *p->inner_col);
    p->inner_weight = pmi_pool_array(&p->pool, inner, sizeof *p->inner_weight);
    p->exit_to = pmi_pool_zeros(&p->pool, exits + PM_EXIT_AHEAD, sizeof *p->exit_to);
    p->exit_weight = pmi_pool_array(&p->pool, exits, sizeof *p->exit_weight);
    p->absorb_weight = pmi_pool_array(&p->pool, absorb, sizeof *p->absorb_weight);
    return pmi_pool_check(&p->pool, err, "the edges of the program", (inner + exits) * 8 + absorb * 4);
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
    uint32_t *seen;
    PM_TRY(PM_NEW(&seen, p->n, "the edges of the program", err));
    memset(seen, 0xff, p->n * sizeof *seen);
    for (uint32_t at = 0; at < p->n; at++) {
        place_row(s, p, at, seen);
    }
    free(seen);
    return PM_OK;
}

static pm_status replace_edges(const pm_split *s, pm_program *p, pm_error *err) {
    count_edges(s, p);
    return place_edges(s, p, err);
}

/* SCCs of one factor class get the same order of states. */
static pm_status find_classes(const pm_graph *g, const pm_split *s, pm_program *p, pm_error *err) {
    pm_pool pool = {0};
    bool moved = false;
    uint32_t *pattern = pmi_pool_array(&pool, p->n_components, sizeof *pattern);
    uint32_t *vertex = pmi_pool_array(&pool, p->n, sizeof *vertex);
    pm_status st = pmi_pool_check(&pool, err, "the order of the program", p->n * sizeof *vertex);
    if (st == PM_OK) {
        memcpy(vertex, p->vertex, p->n * sizeof *vertex);
        st = pmi_factor_classes_align(g, p, pattern, &moved, err);
    }
    if (moved) {
        PM_THEN(st, replace_edges(s, p, err));
    }
    PM_THEN(st, pmi_factor_classes_settle(g, p, pattern, vertex, &moved, err));
    if (moved) {
        PM_THEN(st, replace_edges(s, p, err));
    }
    PM_THEN(st, pmi_factor_classes_set(p, pattern, err));
    pmi_pool_free(&pool);
    return st;
}

static pm_status place_loops(const pm_graph *g, pm_program *p, pm_error *err) {
    p->loop_row = pmi_pool_zeros(&p->pool, (size_t)p->n + 1, sizeof *p->loop_row);
    PM_TRY(pmi_pool_check(&p->pool, err, "the self-loops of the program", p->n * sizeof *p->loop_row));
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t at = p->position[g->from[e]];
        if (g->from[e] == g->to[e] && at != PM_NONE) {
            p->loop_row[at + 1]++;
        }
    }
    for (uint32_t at = 0; at < p->n; at++) {
        p->loop_row[at + 1] += p->loop_row[at];
    }
    p->loop_weight = pmi_pool_array(&p->pool, p->loop_row[p->n], sizeof *p->loop_weight);
    PM_TRY(pmi_pool_check(&p->pool, err, "the self-loops of the program", p->loop_row[p->n] * sizeof *p->loop_weight));
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
    if (st == PM_OK) {
        count_edges(split, out);
        st = allocate_edges(out, err);
    }
    PM_THEN(st, place_edges(split, out, err));
    PM_THEN(st, find_classes(graph, split, out, err));
    PM_THEN(st, graph->is_discrete ? place_loops(graph, out, err) : PM_OK);
    if (st == PM_OK) {
        place_levels(split, out);
        add_costs(out);
        st = judge(graph, out, err);
    }
    if (st != PM_OK) {
        pmi_program_free(out);
    }
    return st;
}

void pmi_program_free(pm_program *program) {
    pmi_pool_free(&program->pool);
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
