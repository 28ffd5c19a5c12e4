#include "scc/label.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"

/* A growable list of numbers. */
typedef struct pm_numbers {
    uint32_t *list;
    size_t n, capacity;
} pm_numbers;

/* The parts of an equitable partition. Edges between two cells that are all there, or all missing, say nothing that the
 * cells do not; where more than half are there, the missing ones are kept in their place. What is left falls into
 * connected parts, which are independent of each other. */
typedef struct pm_parts {
    pm_digraph kept;
    uint32_t n;
    uint32_t *first;  /* n + 1: into member */
    uint32_t *member; /* the vertices, part by part, each part's in the order of the cells */
    uint32_t *local;  /* of each vertex: its number within its part */
    pm_pool pool;     /* of these three */
} pm_parts;

/* ---- which edges tell ---- */

typedef struct chooser {
    const pm_digraph *g;
    const pm_cells *cells;
    pm_parts *out;
    uint32_t *count;   /* of each cell: edges from the vertex at hand; zero between vertices */
    uint32_t *touched; /* cells it has edges to */
    uint32_t *mark;    /* vertex + 1, of the targets of the vertex at hand */
    uint32_t *parent;  /* of each vertex: towards the one that stands for its part */
} chooser;

static uint32_t root_of(uint32_t *parent, uint32_t v) {
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

static void join(uint32_t *parent, uint32_t v, uint32_t w) {
    uint32_t a = root_of(parent, v), b = root_of(parent, w);
    parent[a < b ? b : a] = a < b ? a : b;
}

static void keep_edge(chooser *k, uint32_t v, uint32_t w) {
    pm_digraph *kept = &k->out->kept;
    kept->col[kept->row[v + 1]++] = w;
    join(k->parent, v, w);
}

/* Of the `all` edges that v could have into a cell it has `count`. */
static void keep_missing(chooser *k, uint32_t v, uint32_t cell) {
    for (uint32_t at = cell; at < cell + k->cells->size[cell]; at++) {
        uint32_t w = k->cells->vertex[at];
        if (w != v && k->mark[w] != v + 1) {
            keep_edge(k, v, w);
        }
    }
}

static void choose_edges(chooser *k, uint32_t v) {
    const pm_digraph *g = k->g;
    const pm_cells *c = k->cells;
    uint32_t n_touched = 0;
    k->out->kept.row[v + 1] = k->out->kept.row[v];
    for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
        uint32_t cell = c->cell[g->col[e]];
        k->mark[g->col[e]] = v + 1;
        if (k->count[cell]++ == 0) {
            k->touched[n_touched++] = cell;
        }
    }
    for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
        uint32_t cell = c->cell[g->col[e]], all = c->size[cell] - (c->cell[v] == cell ? 1 : 0);
        if (k->count[cell] <= all / 2) {
            keep_edge(k, v, g->col[e]);
        }
    }
    for (uint32_t i = 0; i < n_touched; i++) {
        uint32_t cell = k->touched[i], all = c->size[cell] - (c->cell[v] == cell ? 1 : 0);
        if (k->count[cell] > all / 2 && k->count[cell] < all) {
            keep_missing(k, v, cell);
        }
        k->count[cell] = 0;
    }
}

/* ---- which vertices hang together ---- */

static void number_parts(chooser *k) {
    uint32_t n = k->g->n;
    pm_parts *out = k->out;
    uint32_t *part = k->count; /* of each root */
    memset(out->first, 0, ((size_t)n + 1) * sizeof *out->first);
    for (uint32_t at = 0; at < n; at++) {
        uint32_t v = k->cells->vertex[at], root = root_of(k->parent, v);
        if (k->mark[root] != PM_NONE) {
            k->mark[root] = PM_NONE;
            part[root] = out->n++;
        }
        out->local[v] = out->first[part[root] + 1]++;
    }
    for (uint32_t p = 0; p < out->n; p++) {
        out->first[p + 1] += out->first[p];
    }
    for (uint32_t v = 0; v < n; v++) {
        out->member[out->first[part[root_of(k->parent, v)]] + out->local[v]] = v;
    }
}

static void parts_free(pm_parts *parts) {
    pmi_digraph_free(&parts->kept);
    pmi_pool_free(&parts->pool);
}

static pm_status parts_find(const pm_digraph *g, const pm_cells *cells, pm_parts *out, pm_error *err) {
    size_t n = g->n;
    *out = (pm_parts){0};
    out->first = pmi_pool_array(&out->pool, n + 1, sizeof *out->first);
    out->member = pmi_pool_array(&out->pool, n, sizeof *out->member);
    out->local = pmi_pool_array(&out->pool, n, sizeof *out->local);
    chooser k = {.g = g, .cells = cells, .out = out, .count = pmi_calloc(n, 4 * sizeof *k.count)};
    out->pool.is_short = out->pool.is_short || k.count == NULL;
    pm_status st = pmi_digraph_new(g->n, g->row[n], &out->kept, err);
    PM_THEN(st, pmi_pool_check(&out->pool, err, "the parts of an SCC", n * 28));
    if (st == PM_OK) {
        k.touched = k.count + n;
        k.mark = k.touched + n;
        k.parent = k.mark + n;
        for (uint32_t v = 0; v < n; v++) {
            k.parent[v] = v;
        }
        for (uint32_t v = 0; v < n; v++) {
            choose_edges(&k, v);
        }
        number_parts(&k);
        pmi_digraph_reverse(&out->kept);
    }
    free(k.count);
    if (st != PM_OK) {
        parts_free(out);
    }
    return st;
}

/* ---- one part alone ---- */

static void share_cells(const pm_cells *cells, const uint32_t *member, pm_cells *share) {
    share->count = 0;
    for (uint32_t i = 0, begin = 0; i < share->n; i++) {
        share->vertex[i] = share->place[i] = i;
        if (i == 0 || cells->cell[member[i]] != cells->cell[member[i - 1]]) {
            begin = i;
            share->size[begin] = 0;
            share->count++;
        }
        share->cell[i] = begin;
        share->size[begin]++;
    }
}

static pm_status parts_take(const pm_parts *parts, const pm_cells *cells, uint32_t part, pm_digraph *g, pm_cells *share,
                            pm_error *err) {
    const pm_digraph *kept = &parts->kept;
    const uint32_t *member = parts->member + parts->first[part];
    uint32_t n = parts->first[part + 1] - parts->first[part];
    size_t edges = 0;
    for (uint32_t i = 0; i < n; i++) {
        edges += kept->row[member[i] + 1] - kept->row[member[i]];
    }
    *share = (pm_cells){0};
    PM_TRY(pmi_digraph_new(n, edges, g, err));
    PM_TRY(pmi_cells_new(n, share, err));
    share_cells(cells, member, share);
    for (uint32_t i = 0; i < n; i++) {
        g->row[i + 1] = g->row[i];
        for (uint32_t e = kept->row[member[i]]; e < kept->row[member[i] + 1]; e++) {
            g->col[g->row[i + 1]++] = parts->local[kept->col[e]];
        }
    }
    pmi_digraph_reverse(g);
    return PM_OK;
}

/* From here on states are renamed first, so that neighbours lie close together in memory. */
#define FAR_STATES 20000
/* Vertices chosen one below the other before a part is given up: the recursion below has a constant depth. */
#define DEEPEST 200
/* A part that nauty may have goes there when so many vertices were chosen above it. */
#define DEEPEST_OF_SMALL 8
/* A cell of fewer vertices is not looked around in: trying them is as fast. */
#define LOOK_AROUND_VERTICES 32

typedef struct labeller {
    double limit; /* of pmi_thread_seconds() */
    uint32_t nauty_runs;
    bool stopped; /* orders have no meaning any more */
} labeller;

/* What is to be ordered: an equitable partition of a digraph. `quick`: any vertex of a cell is as good as any other;
 * right where they are alike, else an order that is not canonical. */
typedef struct block {
    const pm_digraph *g;
    pm_cells cells;
    unsigned depth;
    bool quick;
} block;

static pm_status label_block(labeller *l, block *b, uint32_t *order, pm_error *err);

/* ---- certificates: equal ones have equal digraphs and cells ---- */

static bool append(pm_numbers *numbers, uint32_t value) {
    if (!pmi_reserve((void **)&numbers->list, &numbers->capacity, numbers->n + 1, sizeof *numbers->list)) {
        return false;
    }
    numbers->list[numbers->n++] = value;
    return true;
}

/* Of the n vertices in `order`: each one's cell, and the numbers in that order of those it leads to. */
static pm_status certify(const pm_digraph *g, const uint32_t *cell, const uint32_t *order, uint32_t n, uint32_t *number,
                         pm_numbers *out, pm_error *err) {
    for (uint32_t i = 0; i < n; i++) {
        number[order[i]] = i;
    }
    bool fits = true;
    for (uint32_t i = 0; fits && i < n; i++) {
        uint32_t v = order[i];
        fits = append(out, cell[v]) && append(out, g->row[v + 1] - g->row[v]);
        size_t begin = out->n;
        for (uint32_t e = g->row[v]; fits && e < g->row[v + 1]; e++) {
            fits = append(out, number[g->col[e]]);
        }
        if (fits) {
            pmi_sort_u32(out->list + begin, out->n - begin);
        }
    }
    return fits ? PM_OK : pmi_fail_memory(err, "the certificate of an SCC", out->capacity * 2 * sizeof *out->list);
}

/* ---- a connected part: choices, and what they have in common ---- */

typedef struct search {
    labeller *labeller;
    const block *block;
    uint32_t target; /* the cell to choose from */
    uint32_t *best, *order, *number;
    pm_numbers best_certificate, certificate;
    uint32_t *orbit;  /* of each vertex: towards one that stands for all that automorphisms make of it */
    bool *is_covered; /* of those that stand for an orbit: one of it was chosen */
} search;

static void search_free(search *s) {
    free(s->best);
    free(s->best_certificate.list);
    free(s->certificate.list);
    free(s->is_covered);
}

static pm_status search_new(labeller *l, const block *b, uint32_t target, search *s, pm_error *err) {
    size_t n = b->g->n;
    *s = (search){.labeller = l,
                  .block = b,
                  .target = target,
                  .best = pmi_malloc(n, 4 * sizeof *s->best),
                  .is_covered = pmi_calloc(n, sizeof *s->is_covered)};
    if (s->best == NULL || s->is_covered == NULL) {
        search_free(s);
        return pmi_fail_memory(err, "the search for a canonical form", n * 17);
    }
    s->order = s->best + n;
    s->number = s->order + n;
    s->orbit = s->number + n;
    for (uint32_t v = 0; v < n; v++) {
        s->orbit[v] = v;
    }
    return PM_OK;
}

static uint32_t orbit_of(search *s, uint32_t v) {
    while (s->orbit[v] != v) {
        s->orbit[v] = s->orbit[s->orbit[v]];
        v = s->orbit[v];
    }
    return v;
}

/* `best` and `order` make the same digraph: what takes one to the other is an automorphism. */
static void note_automorphism(search *s) {
    for (uint32_t i = 0; i < s->block->g->n; i++) {
        uint32_t a = orbit_of(s, s->best[i]), b = orbit_of(s, s->order[i]);
        s->orbit[b] = a;
        s->is_covered[a] = s->is_covered[a] || s->is_covered[b];
    }
}

/* The order that choosing v leads to, and its certificate. */
static pm_status choose(search *s, uint32_t v, bool quick, uint32_t *order, pm_numbers *certificate, pm_error *err) {
    const block *b = s->block;
    block below = {.g = b->g, .depth = b->depth + 1, .quick = quick};
    pm_status st = pmi_cells_copy(&b->cells, &below.cells, err);
    if (st == PM_OK) {
        pmi_cells_individualise(&below.cells, v);
        st = pmi_cells_refine(b->g, &below.cells, s->target, err);
    }
    PM_THEN(st, label_block(s->labeller, &below, order, err));
    pmi_cells_free(&below.cells);
    certificate->n = 0;
    PM_TRY(st);
    if (!s->labeller->stopped) {
        PM_TRY(certify(b->g, b->cells.cell, order, b->g->n, s->number, certificate, err));
    }
    return PM_OK;
}

static int compare(const pm_numbers *a, const pm_numbers *b) {
    if (a->n != b->n) {
        return a->n < b->n ? -1 : 1;
    }
    return memcmp(a->list, b->list, a->n * sizeof *a->list);
}

static void take_better(search *s) {
    uint32_t *order = s->best;
    pm_numbers certificate = s->best_certificate;
    memcpy(order, s->order, s->block->g->n * sizeof *order);
    s->best_certificate = s->certificate;
    s->certificate = certificate;
}

/* Vertex v against the best so far. *alike is false when only a whole search below v tells; then, with `whole`, it is
 * made. */
static pm_status try_vertex(search *s, uint32_t v, bool whole, bool *alike, pm_error *err) {
    pm_status st = choose(s, v, true, s->order, &s->certificate, err);
    *alike = st == PM_OK && !s->labeller->stopped && compare(&s->certificate, &s->best_certificate) == 0;
    if (st == PM_OK && !s->labeller->stopped && !*alike && whole) {
        st = choose(s, v, false, s->order, &s->certificate, err);
    }
    if (st != PM_OK || s->labeller->stopped || (!*alike && !whole)) {
        return st;
    }
    int sign = compare(&s->certificate, &s->best_certificate);
    s->is_covered[orbit_of(s, v)] = true;
    if (sign == 0) {
        note_automorphism(s);
    } else if (sign < 0) {
        take_better(s);
    }
    return PM_OK;
}

/* All vertices of the target, but for those that automorphisms take to one that was tried. A small part whose vertices
 * are not all alike is left to nauty: *regular is false. Whether it is depends on the part's shape alone. */
static pm_status try_all(search *s, bool small, bool *regular, pm_error *err) {
    const pm_cells *cells = &s->block->cells;
    uint32_t first = cells->vertex[s->target], runs = s->labeller->nauty_runs;
    pm_status st = choose(s, first, s->block->quick, s->best, &s->best_certificate, err);
    s->is_covered[first] = true;
    *regular = !small || runs == s->labeller->nauty_runs;
    uint32_t end = s->block->quick ? 0 : s->target + cells->size[s->target];
    for (uint32_t at = s->target + 1; st == PM_OK && !s->labeller->stopped && *regular && at < end; at++) {
        uint32_t v = cells->vertex[at];
        bool alike = true;
        if (!s->is_covered[orbit_of(s, v)]) {
            st = try_vertex(s, v, !small, &alike, err);
            *regular = alike || !small;
        }
    }
    return st;
}

/* The first of the smallest cells of two or more. */
static uint32_t choose_target(const pm_cells *cells) {
    uint32_t target = PM_NONE;
    for (uint32_t cell = 0; cell < cells->n; cell += cells->size[cell]) {
        if (cells->size[cell] > 1 && (target == PM_NONE || cells->size[cell] < cells->size[target])) {
            target = cell;
        }
    }
    return target;
}

static pm_status ask_nauty(labeller *l, const block *b, uint32_t *order, pm_error *err) {
    bool found = false;
    l->nauty_runs++;
    pm_status st = pmi_label_nauty(b->g, &b->cells, &l->limit, order, &found, err);
    l->stopped = l->stopped || !found;
    return st;
}

static pm_status search_block(labeller *l, block *b, uint32_t *order, pm_error *err) {
    uint32_t n = b->g->n, target = choose_target(&b->cells);
    bool small = n <= PM_NAUTY_STATES, regular, splits = false;
    pm_status st = PM_OK;
    if (b->cells.size[target] >= LOOK_AROUND_VERTICES) {
        st = pmi_cells_look_around(b->g, &b->cells, target, &splits, err);
    }
    if (st == PM_OK && splits) {
        st = pmi_cells_refine(b->g, &b->cells, PM_NONE, err);
        b->depth++;
        return st == PM_OK ? label_block(l, b, order, err) : st;
    }
    if (st == PM_OK && small && !b->quick && b->depth >= DEEPEST_OF_SMALL) {
        return ask_nauty(l, b, order, err);
    }
    search s;
    PM_TRY(st);
    PM_TRY(search_new(l, b, target, &s, err));
    st = try_all(&s, small, &regular, err);
    if (st == PM_OK && !l->stopped && !regular) {
        st = ask_nauty(l, b, order, err);
    } else if (st == PM_OK && !l->stopped) {
        memcpy(order, s.best, n * sizeof *order);
    }
    search_free(&s);
    return st;
}

/* ---- parts that are independent of each other ---- */

typedef struct part {
    uint32_t number, n;
    uint64_t digest; /* of the certificate, to compare most by one number */
    size_t begin, size;
    const pm_numbers *certificates;
} part;

static int compare_parts(const void *a, const void *b) {
    const part *x = a, *y = b;
    if (x->n != y->n) {
        return x->n < y->n ? -1 : 1;
    }
    if (x->size != y->size) {
        return x->size < y->size ? -1 : 1;
    }
    if (x->digest != y->digest) {
        return x->digest < y->digest ? -1 : 1;
    }
    int sign = memcmp(x->certificates->list + x->begin, y->certificates->list + y->begin, x->size * sizeof(uint32_t));
    return sign != 0 ? sign : (x->number > y->number) - (x->number < y->number);
}

static uint64_t digest_of(const uint32_t *list, size_t n) {
    uint64_t sum = n;
    for (size_t i = 0; i < n; i++) {
        pm_random r = {.state = sum ^ list[i]};
        sum = pmi_random_next(&r);
    }
    return sum;
}

static bool is_discrete(const pm_cells *cells, const uint32_t *member, uint32_t n) {
    bool discrete = true;
    for (uint32_t i = 1; discrete && i < n; i++) {
        discrete = cells->cell[member[i]] != cells->cell[member[i - 1]];
    }
    return discrete;
}

/* Puts a part's members into their canonical order. */
static pm_status order_part(labeller *l, const block *b, pm_parts *parts, uint32_t p, pm_error *err) {
    uint32_t *member = parts->member + parts->first[p], n = parts->first[p + 1] - parts->first[p];
    pm_digraph g;
    block below = {.g = &g, .depth = b->depth, .quick = b->quick};
    pm_status st = parts_take(parts, &b->cells, p, &g, &below.cells, err);
    uint32_t *order = NULL;
    PM_THEN(st, PM_NEW(&order, (size_t)n * 2, "the order of a part of an SCC", err));
    PM_THEN(st, label_block(l, &below, order, err));
    if (st == PM_OK && !l->stopped) {
        uint32_t *old = order + n;
        memcpy(old, member, n * sizeof *old);
        for (uint32_t i = 0; i < n; i++) {
            member[i] = old[order[i]];
        }
    }
    free(order);
    pmi_digraph_free(&g);
    pmi_cells_free(&below.cells);
    return st;
}

/* Orders each part, and lists those of two vertices or more with their certificates. */
static pm_status order_parts(labeller *l, const block *b, pm_parts *parts, part *list, uint32_t *n_list,
                             pm_numbers *certificates, pm_error *err) {
    pm_status st = PM_OK;
    *n_list = 0;
    for (uint32_t p = 0; st == PM_OK && !l->stopped && p < parts->n; p++) {
        uint32_t *member = parts->member + parts->first[p], n = parts->first[p + 1] - parts->first[p];
        if (n == 1) {
            continue;
        }
        if (!is_discrete(&b->cells, member, n)) {
            st = order_part(l, b, parts, p, err);
        }
        size_t begin = certificates->n;
        if (st == PM_OK && !l->stopped) {
            st = certify(&parts->kept, b->cells.cell, member, n, parts->local, certificates, err);
        }
        if (st == PM_OK && !l->stopped) {
            size_t size = certificates->n - begin;
            list[(*n_list)++] = (part){p, n, digest_of(certificates->list + begin, size), begin, size, certificates};
        }
    }
    return st;
}

/* The single vertices by their cells, then the other parts by their certificates. */
static pm_status label_parts(labeller *l, const block *b, pm_parts *parts, uint32_t *order, pm_error *err) {
    pm_numbers certificates = {0};
    uint32_t n_list = 0, end = 0;
    part *list;
    PM_TRY(PM_NEW(&list, parts->n, "the parts of an SCC", err));
    for (uint32_t p = 0; p < parts->n; p++) { /* parts are numbered as the cells come */
        if (parts->first[p + 1] - parts->first[p] == 1) {
            order[end++] = parts->member[parts->first[p]];
        }
    }
    pm_status st = order_parts(l, b, parts, list, &n_list, &certificates, err);
    if (st == PM_OK && !l->stopped) {
        qsort(list, n_list, sizeof *list, compare_parts);
        for (uint32_t i = 0; i < n_list; i++) {
            memcpy(order + end, parts->member + parts->first[list[i].number], list[i].n * sizeof *order);
            end += list[i].n;
        }
    }
    free(certificates.list);
    free(list);
    return st;
}

static pm_status label_block(labeller *l, block *b, uint32_t *order, pm_error *err) {
    uint32_t n = b->g->n;
    l->stopped = l->stopped || b->depth > DEEPEST || pmi_thread_seconds() > l->limit;
    if (l->stopped) {
        return PM_OK;
    }
    if (b->cells.count == n) {
        memcpy(order, b->cells.vertex, n * sizeof *order);
        return PM_OK;
    }
    pm_parts parts;
    pm_status st;
    PM_TRY(parts_find(b->g, &b->cells, &parts, err));
    if (parts.n > 1) {
        st = label_parts(l, b, &parts, order, err);
    } else {
        const pm_digraph *g = b->g;
        b->g = &parts.kept;
        st = search_block(l, b, order, err);
        b->g = g;
    }
    parts_free(&parts);
    return st;
}

/* ---- the whole digraph ---- */

/* By cells first, by `order` within each. */
static pm_status order_by_cells(const pm_cells *cells, uint32_t *order, pm_error *err) {
    uint32_t n = cells->n;
    uint32_t *old;
    PM_TRY(PM_NEW(&old, (size_t)n * 2, "the canonical order of an SCC", err));
    uint32_t *next = old + n;
    memcpy(old, order, n * sizeof *old);
    for (uint32_t at = 0; at < n; at++) {
        next[at] = at;
    }
    for (uint32_t i = 0; i < n; i++) {
        order[next[cells->cell[old[i]]]++] = old[i];
    }
    free(old);
    return PM_OK;
}

/* What refining left, within the time that is left. */
static pm_status search_rest(block *b, double *seconds, bool *found, uint32_t *order, pm_error *err) {
    labeller l = {.limit = seconds != NULL ? pmi_thread_seconds() + *seconds : HUGE_VAL};
    pm_cells first = {0};
    pm_status st = pmi_cells_copy(&b->cells, &first, err);
    PM_THEN(st, label_block(&l, b, order, err));
    *found = st == PM_OK && !l.stopped;
    if (*found) {
        st = order_by_cells(&first, order, err);
    }
    if (seconds != NULL) {
        *seconds = l.limit - pmi_thread_seconds();
    }
    pmi_cells_free(&first);
    return st;
}

static pm_status label_whole(const pm_digraph *g, double *seconds, uint32_t *order, bool *found, pm_error *err) {
    block b = {.g = g};
    pm_status st = pmi_cells_new(g->n, &b.cells, err);
    PM_THEN(st, pmi_cells_refine(g, &b.cells, PM_NONE, err));
    if (st == PM_OK && b.cells.count == g->n) {
        memcpy(order, b.cells.vertex, g->n * sizeof *order);
        *found = true;
    } else if (st == PM_OK) {
        st = search_rest(&b, seconds, found, order, err);
    }
    pmi_cells_free(&b.cells);
    return st;
}

/* In the names of `near`; each number of the order is looked up in it. */
static pm_status label_near(const pm_digraph *g, double *seconds, uint32_t *order, bool *found, pm_error *err) {
    pm_digraph renamed = {0};
    uint32_t *near;
    PM_TRY(PM_NEW(&near, g->n, "the order of an SCC", err));
    pm_status st = pmi_digraph_nearby(g, near, err);
    PM_THEN(st, pmi_digraph_reorder(g, near, &renamed, err));
    PM_THEN(st, label_whole(&renamed, seconds, order, found, err));
    for (uint32_t i = 0; st == PM_OK && *found && i < g->n; i++) {
        order[i] = near[order[i]];
    }
    free(near);
    pmi_digraph_free(&renamed);
    return st;
}

pm_status pmi_label(const pm_digraph *g, double *seconds, uint32_t *order, bool *found, pm_error *err) {
    *found = false;
    return g->n < FAR_STATES ? label_whole(g, seconds, order, found, err) : label_near(g, seconds, order, found, err);
}
