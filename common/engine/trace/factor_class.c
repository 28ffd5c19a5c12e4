#include "trace/factor_class.h"

#include <stdint.h>
#include <string.h>

/* Solving with factors of another SCC's reads them from memory once more: about so many flops for each entry. */
#define SOLVE_FLOPS 4.0

/* One row of an SCC, in an order that does not depend on that of its edges. */
typedef struct row_content {
    uint64_t *inner; /* target, then weight */
    uint64_t *exits; /* weights */
    double *sum;     /* of their coefficients: 1 + P */
    size_t n_inner, n_exits;
} row_content;

typedef struct search {
    const pm_graph *graph;
    const pm_program *program;
    bool adds; /* exits are compared by sums of coefficients, not one by one */
    row_content a, b;
    pm_pool pool;
} search;

/* Sums of coefficients are rates where weights are linear in theta, and lose nothing where no coefficient is negative.
 */
static bool can_add(const pm_graph *g) {
    if (g->takes_values || g->normalizes_rows) {
        return false;
    }
    for (size_t i = 0; i < g->n_weights * (1 + (size_t)g->n_params); i++) {
        if (g->weights[i] < 0) {
            return false;
        }
    }
    return true;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Most rows are short. */
static void sort(uint64_t *values, size_t n) {
    if (n > 32) {
        qsort(values, n, sizeof *values, ascending);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t v = values[i];
        size_t j = i;
        for (; j > 0 && values[j - 1] > v; j--) {
            values[j] = values[j - 1];
        }
        values[j] = v;
    }
}

static void read_exits(const search *s, uint32_t at, row_content *out) {
    const pm_program *p = s->program;
    size_t width = 1 + (size_t)s->graph->n_params;
    out->n_exits = 0;
    for (size_t e = p->exit_row[at]; e < p->exit_row[at + 1]; e++) {
        out->exits[out->n_exits++] = p->exit_weight[e];
    }
    for (size_t e = p->absorb_row[at]; e < p->absorb_row[at + 1]; e++) {
        out->exits[out->n_exits++] = p->absorb_weight[e];
    }
    sort(out->exits, out->n_exits);
    memset(out->sum, 0, width * sizeof *out->sum);
    for (size_t i = 0; s->adds && i < out->n_exits; i++) {
        for (size_t k = 0; k < width; k++) {
            out->sum[k] += s->graph->weights[out->exits[i] * width + k];
        }
    }
}

static void read_row(const search *s, uint32_t at, row_content *out) {
    const pm_program *p = s->program;
    out->n_inner = 0;
    for (size_t e = p->inner_row[at]; e < p->inner_row[at + 1]; e++) {
        out->inner[out->n_inner++] = ((uint64_t)p->inner_col[e] << 32) | p->inner_weight[e];
    }
    sort(out->inner, out->n_inner);
    read_exits(s, at, out);
}

static bool same_row(search *s, uint32_t a, uint32_t b) {
    read_row(s, a, &s->a);
    read_row(s, b, &s->b);
    if (s->a.n_inner != s->b.n_inner || memcmp(s->a.inner, s->b.inner, s->a.n_inner * sizeof *s->a.inner) != 0) {
        return false;
    }
    if (s->adds) {
        return memcmp(s->a.sum, s->b.sum, (1 + (size_t)s->graph->n_params) * sizeof *s->a.sum) == 0;
    }
    return s->a.n_exits == s->b.n_exits && memcmp(s->a.exits, s->b.exits, s->a.n_exits * sizeof *s->a.exits) == 0;
}

static bool same_content(search *s, uint32_t a, uint32_t b) {
    const pm_component *x = &s->program->components[a], *y = &s->program->components[b];
    if (x->plan != y->plan) {
        return false;
    }
    for (uint32_t j = 0; j < x->n; j++) {
        if (!same_row(s, x->first + j, y->first + j)) {
            return false;
        }
    }
    return true;
}

static pm_status search_new(search *s, pm_error *err) {
    const pm_program *p = s->program;
    size_t inner = 0, exits = 0, width = 1 + (size_t)s->graph->n_params;
    for (uint32_t at = 0; at < p->n; at++) {
        size_t own = p->inner_row[at + 1] - p->inner_row[at];
        size_t leave = p->exit_row[at + 1] - p->exit_row[at] + p->absorb_row[at + 1] - p->absorb_row[at];
        inner = own > inner ? own : inner;
        exits = leave > exits ? leave : exits;
    }
    row_content *rows[] = {&s->a, &s->b};
    for (int i = 0; i < 2; i++) {
        rows[i]->inner = pmi_pool_array(&s->pool, inner, sizeof *s->a.inner);
        rows[i]->exits = pmi_pool_array(&s->pool, exits, sizeof *s->a.exits);
        rows[i]->sum = pmi_pool_array(&s->pool, width, sizeof *s->a.sum);
    }
    return pmi_pool_check(&s->pool, err, "factor classes", inner * sizeof *s->a.inner);
}

static bool pays(const pm_trace *t, uint32_t members) {
    double entries = (double)(t->l_row[t->n] + t->u_row[t->n] + t->n), solve = 2.0 * entries;
    double factor = (double)t->flops - solve;
    return (double)(members - 1) * factor > (double)members * SOLVE_FLOPS * entries;
}

/* ---- alignment ---- */

/* Larger SCCs are not aligned, nor those that colours and so many choices do not tell apart. */
#define MOST_STATES 5000
#define MOST_CHOICES 64

/* Rounds of refinement between two counts of colours. */
#define ROUNDS 4

typedef struct coloured {
    uint64_t colour;
    uint32_t state; /* position in the SCC */
} coloured;

typedef struct aligner {
    search *s;
    uint64_t *colour, *next, *table;
    coloured *sorted;
    uint32_t *order;  /* of each SCC: the state that is k-th by colour, in its SCC */
    uint32_t *vertex; /* room for one SCC */
} aligner;

/* The finalizer of splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* FNV-1a */
static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t n) {
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ byte[i]) * 0x100000001b3u;
    }
    return hash;
}

static uint64_t add_exits(const search *s, uint64_t hash, const row_content *row) {
    return s->adds ? add_bytes(hash, row->sum, (1 + (size_t)s->graph->n_params) * sizeof *row->sum)
                   : add_bytes(hash, row->exits, row->n_exits * sizeof *row->exits);
}

static void refine(aligner *a, const pm_component *c) {
    const pm_program *p = a->s->program;
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t j = 0; j < c->n; j++) {
            a->colour[j] = a->next[j] = mix(a->colour[j]);
        }
        for (uint32_t j = 0; j < c->n; j++) {
            uint64_t sum = 0, back = (a->colour[j] << 32) | (a->colour[j] >> 32);
            for (size_t e = p->inner_row[c->first + j]; e < p->inner_row[c->first + j + 1]; e++) {
                uint64_t weight = 2 * (uint64_t)p->inner_weight[e] + 3;
                sum += a->colour[p->inner_col[e]] * weight;
                a->next[p->inner_col[e]] += back * weight;
            }
            a->next[j] += sum;
        }
        memcpy(a->colour, a->next, c->n * sizeof *a->colour);
    }
}

static int by_colour(const void *a, const void *b) {
    const coloured *x = a, *y = b;
    return (x->colour > y->colour) - (x->colour < y->colour);
}

/* Returns the number of colours. *twin: a state of the smallest colour that several states have. */
static uint32_t count_colours(aligner *a, uint32_t n, uint32_t *twin) {
    size_t size = 4;
    uint32_t count = 0;
    uint64_t least = UINT64_MAX;
    while (size < 2 * (size_t)n) {
        size *= 2;
    }
    memset(a->table, 0, size * sizeof *a->table);
    for (uint32_t j = 0; j < n; j++) {
        uint64_t colour = a->colour[j] | 1;
        size_t at = (size_t)(colour >> 32) & (size - 1);
        while (a->table[at] != 0 && a->table[at] != colour) {
            at = (at + 1) & (size - 1);
        }
        count += a->table[at] == 0 ? 1 : 0;
        if (a->table[at] == colour && colour <= least) {
            least = colour;
            *twin = j;
        }
        a->table[at] = colour;
    }
    return count;
}

static void sort_states(aligner *a, const pm_component *c) {
    for (uint32_t j = 0; j < c->n; j++) {
        a->sorted[j] = (coloured){.colour = a->colour[j], .state = j};
    }
    qsort(a->sorted, c->n, sizeof *a->sorted, by_colour);
}

/* Orders the states of an SCC by colours that coefficients alone decide; of states of one colour, which look the same
 * from everywhere, any one is chosen. Returns a hash of all colours, or 0 where it gives up. */
static uint64_t order_states(aligner *a, const pm_component *c) {
    uint32_t count = 0, choices = 0;
    for (uint32_t j = 0; j < c->n; j++) {
        read_exits(a->s, c->first + j, &a->s->a);
        a->colour[j] = add_exits(a->s, 0xcbf29ce484222325u, &a->s->a);
    }
    while (count < c->n) {
        uint32_t twin = 0, before = count;
        refine(a, c);
        count = count_colours(a, c->n, &twin);
        if (count < c->n && count <= before) {
            if (++choices > MOST_CHOICES) {
                return 0;
            }
            a->colour[twin] = mix(a->colour[twin] + 1);
        }
    }
    uint64_t hash = c->n;
    sort_states(a, c);
    for (uint32_t j = 0; j < c->n; j++) {
        a->order[c->first + j] = a->sorted[j].state;
        hash = mix(hash + a->sorted[j].colour);
    }
    return hash | 1;
}

typedef struct hashed {
    uint64_t hash;
    uint32_t component;
} hashed;

static int by_hash(const void *a, const void *b) {
    const hashed *x = a, *y = b;
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return x->component < y->component ? -1 : x->component > y->component;
}

/* The k-th state by colour of one SCC goes where that of the other is. */
static bool move_states(aligner *a, pm_program *p, uint32_t like, uint32_t moving) {
    const pm_component *to = &p->components[like], *c = &p->components[moving];
    bool moved = false;
    for (uint32_t k = 0; k < c->n; k++) {
        uint32_t from = a->order[c->first + k], at = a->order[to->first + k];
        a->vertex[at] = p->vertex[c->first + from];
        moved = moved || at != from;
    }
    for (uint32_t j = 0; j < c->n; j++) {
        p->vertex[c->first + j] = a->vertex[j];
        p->position[a->vertex[j]] = c->first + j;
    }
    return moved;
}

typedef struct planned {
    const pm_plan *plan;
    uint32_t component;
} planned;

static int by_plan(const void *a, const void *b) {
    const planned *x = a, *y = b;
    if (x->plan != y->plan) {
        return (uintptr_t)x->plan < (uintptr_t)y->plan ? -1 : 1;
    }
    return x->component < y->component ? -1 : x->component > y->component;
}

/* SCCs of one trace: those of equal colours are moved to be like the first of them. */
static bool align_plan(aligner *a, pm_program *p, const planned *same, size_t n, hashed *all, uint32_t *pattern) {
    bool moved = false;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = same[i].component;
        all[i] = (hashed){.hash = order_states(a, &p->components[c]), .component = c};
    }
    qsort(all, n, sizeof *all, by_hash);
    for (size_t i = 1; i < n; i++) {
        uint32_t before = all[i - 1].component, c = all[i].component;
        if (all[i].hash != 0 && all[i].hash == all[i - 1].hash) {
            pattern[c] = pattern[before] == PM_NONE ? before : pattern[before];
            moved |= move_states(a, p, pattern[c], c);
        }
    }
    return moved;
}

static pm_status aligner_new(aligner *a, pm_error *err) {
    const pm_program *p = a->s->program;
    pm_pool *pool = &a->s->pool;
    uint32_t largest = 0;
    for (uint32_t c = 0; c < p->n_components; c++) {
        largest = p->components[c].n > largest ? p->components[c].n : largest;
    }
    largest = largest < MOST_STATES ? largest : MOST_STATES;
    a->colour = pmi_pool_array(pool, largest, sizeof *a->colour);
    a->next = pmi_pool_array(pool, largest, sizeof *a->next);
    a->table = pmi_pool_array(pool, 4 * (size_t)largest + 4, sizeof *a->table);
    a->sorted = pmi_pool_array(pool, largest, sizeof *a->sorted);
    a->vertex = pmi_pool_array(pool, largest, sizeof *a->vertex);
    a->order = pmi_pool_array(pool, p->n, sizeof *a->order);
    return pmi_pool_check(pool, err, "factor classes", p->n * sizeof *a->order);
}

pm_status pmi_factor_classes_align(const pm_graph *graph, pm_program *p, uint32_t *pattern, bool *moved,
                                   pm_error *err) {
    search s = {.graph = graph, .program = p, .adds = can_add(graph)};
    aligner a = {.s = &s};
    size_t n = 0;
    planned *all = pmi_pool_array(&s.pool, p->n_components, sizeof *all);
    hashed *room = pmi_pool_array(&s.pool, p->n_components, sizeof *room);
    *moved = false;
    pm_status st = search_new(&s, err);
    PM_THEN(st, aligner_new(&a, err));
    for (uint32_t c = 0; st == PM_OK && c < p->n_components; c++) {
        pattern[c] = PM_NONE;
        if (p->components[c].plan != NULL && p->components[c].n <= MOST_STATES) {
            all[n++] = (planned){.plan = p->components[c].plan, .component = c};
        }
    }
    if (st == PM_OK) {
        qsort(all, n, sizeof *all, by_plan);
    }
    for (size_t first = 0, end; st == PM_OK && first < n; first = end) {
        for (end = first + 1; end < n && all[end].plan == all[first].plan;) {
            end++;
        }
        if (pays(&all[first].plan->trace, (uint32_t)(end - first))) {
            *moved |= align_plan(&a, p, all + first, end - first, room, pattern);
        }
    }
    pmi_pool_free(&s.pool);
    return st;
}

pm_status pmi_factor_classes_settle(const pm_graph *graph, pm_program *p, uint32_t *pattern, const uint32_t *vertex,
                                    bool *moved, pm_error *err) {
    search s = {.graph = graph, .program = p, .adds = can_add(graph)};
    *moved = false;
    pm_status st = search_new(&s, err);
    for (uint32_t c = 0; st == PM_OK && c < p->n_components; c++) {
        const pm_component *own = &p->components[c];
        if (pattern[c] == PM_NONE || same_content(&s, pattern[c], c)) {
            continue;
        }
        for (uint32_t at = own->first; at < own->first + own->n; at++) {
            *moved = *moved || p->vertex[at] != vertex[at];
            p->vertex[at] = vertex[at];
            p->position[vertex[at]] = at;
        }
        pattern[c] = PM_NONE;
    }
    pmi_pool_free(&s.pool);
    return st;
}

/* ---- classes ---- */

static void add_class(pm_program *p, uint32_t first, uint32_t members) {
    const pm_trace *t = &p->components[first].plan->trace;
    pm_factor_class *c = &p->classes[p->n_classes++];
    *c = (pm_factor_class){
        .component = first, .n_members = members, .u = p->class_u, .l = p->class_l, .row = p->class_rows};
    p->class_u += t->u_row[t->n];
    p->class_l += t->l_row[t->n];
    p->class_rows += t->n;
}

pm_status pmi_factor_classes_set(pm_program *p, const uint32_t *pattern, pm_error *err) {
    uint32_t *members = NULL;
    p->class_of = pmi_pool_array(&p->pool, p->n_components, sizeof *p->class_of);
    p->classes = pmi_pool_array(&p->pool, p->n_components, sizeof *p->classes);
    PM_TRY(pmi_pool_check(&p->pool, err, "factor classes", p->n_components * sizeof *p->classes));
    PM_TRY(PM_ZEROS(&members, p->n_components, "factor classes", err));
    for (uint32_t c = 0; c < p->n_components; c++) {
        members[pattern[c] == PM_NONE ? c : pattern[c]]++;
    }
    for (uint32_t c = 0; c < p->n_components; c++) {
        p->class_of[c] = PM_NONE;
        if (members[c] > 1 && pays(&p->components[c].plan->trace, members[c])) {
            p->class_of[c] = p->n_classes;
            add_class(p, c, members[c]);
        }
    }
    for (uint32_t c = 0; c < p->n_components; c++) {
        p->class_of[c] = pattern[c] == PM_NONE ? p->class_of[c] : p->class_of[pattern[c]];
    }
    free(members);
    return PM_OK;
}
