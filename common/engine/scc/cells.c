#include "scc/cells.h"

#include <string.h>

#include "base/random.h"

/* ---- partitions ---- */

static pm_status cells_alloc(uint32_t n, pm_cells *out, pm_error *err) {
    *out = (pm_cells){.n = n};
    PM_TRY(PM_NEW(&out->vertex, 4 * (size_t)n, "a partition of states", err));
    out->place = out->vertex + n;
    out->cell = out->place + n;
    out->size = out->cell + n;
    return PM_OK;
}

pm_status pmi_cells_new(uint32_t n, pm_cells *out, pm_error *err) {
    PM_TRY(cells_alloc(n, out, err));
    if (n > 0) {
        for (uint32_t v = 0; v < n; v++) {
            out->vertex[v] = out->place[v] = v;
            out->cell[v] = 0;
        }
        out->size[0] = n;
        out->count = 1;
    }
    return PM_OK;
}

pm_status pmi_cells_copy(const pm_cells *cells, pm_cells *out, pm_error *err) {
    PM_TRY(cells_alloc(cells->n, out, err));
    out->count = cells->count;
    memcpy(out->vertex, cells->vertex, (size_t)cells->n * 4 * sizeof *out->vertex);
    return PM_OK;
}

void pmi_cells_free(pm_cells *cells) {
    free(cells->vertex);
    *cells = (pm_cells){0};
}

static void put(pm_cells *c, uint32_t place, uint32_t v) {
    c->vertex[place] = v;
    c->place[v] = place;
}

static void swap_into(pm_cells *c, uint32_t place, uint32_t v) {
    uint32_t other = c->vertex[place], from = c->place[v];
    put(c, from, other);
    put(c, place, v);
}

/* Gives the places from `begin` to `end` to a cell of their own. */
static void name_cell(pm_cells *c, uint32_t begin, uint32_t end) {
    c->size[begin] = end - begin;
    for (uint32_t at = begin; at < end; at++) {
        c->cell[c->vertex[at]] = begin;
    }
}

void pmi_cells_individualise(pm_cells *cells, uint32_t v) {
    uint32_t begin = cells->cell[v], end = begin + cells->size[begin];
    if (end - begin > 1) {
        swap_into(cells, begin, v);
        name_cell(cells, begin + 1, end);
        cells->size[begin] = 1;
        cells->count++;
    }
}

typedef struct valued {
    uint64_t value;
    uint32_t vertex;
} valued;

static int by_value(const void *a, const void *b) {
    const valued *x = a, *y = b;
    if (x->value != y->value) {
        return x->value < y->value ? -1 : 1;
    }
    return (x->vertex > y->vertex) - (x->vertex < y->vertex);
}

/* By the values of its vertices, ascending. */
static pm_status split_by_value(pm_cells *cells, uint32_t cell, const uint64_t *value, pm_error *err) {
    uint32_t size = cells->size[cell];
    valued *sorted;
    PM_TRY(PM_NEW(&sorted, size, "splitting a cell of states", err));
    for (uint32_t i = 0; i < size; i++) {
        uint32_t v = cells->vertex[cell + i];
        sorted[i] = (valued){value[v], v};
    }
    qsort(sorted, size, sizeof *sorted, by_value);
    uint32_t begin = 0;
    for (uint32_t i = 0; i < size; i++) {
        put(cells, cell + i, sorted[i].vertex);
        if (i + 1 == size || sorted[i + 1].value != sorted[i].value) {
            name_cell(cells, cell + begin, cell + i + 1);
            cells->count += begin > 0 ? 1 : 0;
            begin = i + 1;
        }
    }
    free(sorted);
    return PM_OK;
}

/* ---- refinement ---- */

typedef struct refiner {
    pm_cells *cells;
    uint32_t *count;   /* of each vertex: edges between it and the splitter; zero between splitters */
    uint32_t *hit;     /* of each cell: vertices whose count is not zero; they lie at its end */
    uint32_t *touched; /* cells that are hit */
    uint32_t n_touched;
    uint32_t *waiting; /* cells yet to split others: a ring, first in, first out */
    uint32_t head, n_waiting;
    uint32_t *splitter; /* the vertices of the cell that splits */
    uint32_t *bucket;   /* n + 1 */
    uint32_t *sorted;
    bool *is_waiting; /* of each cell */
} refiner;

static pm_status refiner_new(pm_cells *cells, refiner *r, pm_error *err) {
    size_t n = cells->n;
    uint32_t *zeros;
    PM_TRY(PM_ZEROS(&zeros, 9 * n, "refining a partition of states", err));
    *r = (refiner){.cells = cells, .count = zeros};
    r->hit = zeros + n;
    r->touched = zeros + 2 * n;
    r->waiting = zeros + 3 * n;
    r->splitter = zeros + 4 * n;
    r->sorted = zeros + 5 * n;
    r->bucket = zeros + 6 * n; /* 2 n: n + 1 are used, n is at least 1 */
    r->is_waiting = (bool *)(zeros + 8 * n);
    return PM_OK;
}

static void let_wait(refiner *r, uint32_t cell) {
    uint32_t n = r->cells->n, at = r->head + r->n_waiting;
    r->waiting[at >= n || at < r->head ? at - n : at] = cell;
    r->n_waiting++;
    r->is_waiting[cell] = true;
}

static uint32_t next_waiting(refiner *r) {
    uint32_t cell = r->waiting[r->head];
    r->head = r->head + 1 == r->cells->n ? 0 : r->head + 1;
    r->n_waiting--;
    r->is_waiting[cell] = false;
    return cell;
}

static inline void touch(refiner *r, uint32_t v) {
    pm_cells *c = r->cells;
    uint32_t cell = c->cell[v], size = c->size[cell];
    if (size > 1 && r->count[v]++ == 0) {
        if (r->hit[cell]++ == 0) {
            r->touched[r->n_touched++] = cell;
        }
        swap_into(c, cell + size - r->hit[cell], v);
    }
}

/* A key for qsort: the count above, the vertex below. */
static int by_key(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static pm_status sort_far(refiner *r, uint32_t begin, uint32_t end, pm_error *err) {
    uint64_t *key;
    PM_TRY(PM_NEW(&key, end - begin, "refining a partition of states", err));
    for (uint32_t at = begin; at < end; at++) {
        uint32_t v = r->cells->vertex[at];
        key[at - begin] = (uint64_t)r->count[v] << 32 | v;
    }
    qsort(key, end - begin, sizeof *key, by_key);
    for (uint32_t at = begin; at < end; at++) {
        put(r->cells, at, (uint32_t)key[at - begin]);
    }
    free(key);
    return PM_OK;
}

/* Sorts places by the counts of their vertices: linear, where the counts lie close together. */
static pm_status sort_by_count(refiner *r, uint32_t begin, uint32_t end, uint32_t least, uint32_t most, pm_error *err) {
    uint32_t span = most - least + 1;
    if (span > end - begin) {
        return sort_far(r, begin, end, err);
    }
    memset(r->bucket, 0, ((size_t)span + 1) * sizeof *r->bucket);
    for (uint32_t at = begin; at < end; at++) {
        r->bucket[r->count[r->cells->vertex[at]] - least + 1]++;
    }
    for (uint32_t b = 0; b < span; b++) {
        r->bucket[b + 1] += r->bucket[b];
    }
    for (uint32_t at = begin; at < end; at++) {
        uint32_t v = r->cells->vertex[at];
        r->sorted[r->bucket[r->count[v] - least]++] = v;
    }
    for (uint32_t at = begin; at < end; at++) {
        put(r->cells, at, r->sorted[at - begin]);
    }
    return PM_OK;
}

/* The parts into which a cell fell, from `cell` to `end`: all wait, but for the largest of a cell that did not. */
static void queue_parts(refiner *r, uint32_t cell, uint32_t end) {
    const uint32_t *size = r->cells->size;
    uint32_t spared = cell;
    if (!r->is_waiting[cell]) {
        for (uint32_t part = cell; part < end; part += size[part]) {
            spared = size[part] > size[spared] ? part : spared;
        }
    }
    for (uint32_t part = cell; part < end; part += size[part]) {
        if (part != spared) {
            let_wait(r, part);
        }
    }
}

/* Splits a cell that is hit by the counts of its vertices; those without one stay in front. */
static pm_status split(refiner *r, uint32_t cell, pm_error *err) {
    pm_cells *c = r->cells;
    uint32_t end = cell + c->size[cell], begin = end - r->hit[cell];
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t at = begin; at < end; at++) {
        uint32_t count = r->count[c->vertex[at]];
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    r->hit[cell] = 0;
    pm_status st = least == most ? PM_OK : sort_by_count(r, begin, end, least, most, err);
    if (begin > cell) {
        c->size[cell] = begin - cell;
        c->count++;
    }
    uint32_t part = begin;
    for (uint32_t at = begin; st == PM_OK && at < end; at++) {
        if (at + 1 == end || r->count[c->vertex[at + 1]] != r->count[c->vertex[at]]) {
            c->count += part > begin ? 1 : 0;
            if (part > cell) {
                name_cell(c, part, at + 1);
            }
            c->size[part] = at + 1 - part;
            part = at + 1;
        }
    }
    for (uint32_t at = begin; at < end; at++) {
        r->count[c->vertex[at]] = 0;
    }
    PM_TRY(st);
    if (c->size[cell] < end - cell) {
        queue_parts(r, cell, end);
    }
    return PM_OK;
}

/* One direction: `row` and `col` name the vertices whose edges are counted at each vertex of the splitter. */
static pm_status split_all(refiner *r, const uint32_t *row, const uint32_t *col, uint32_t n_splitter, pm_error *err) {
    for (uint32_t i = 0; i < n_splitter; i++) {
        uint32_t w = r->splitter[i];
        for (uint32_t e = row[w]; e < row[w + 1]; e++) {
            touch(r, col[e]);
        }
    }
    pmi_sort_u32(r->touched, r->n_touched);
    pm_status st = PM_OK;
    for (uint32_t i = 0; st == PM_OK && i < r->n_touched; i++) {
        st = split(r, r->touched[i], err);
    }
    r->n_touched = 0;
    return st;
}

pm_status pmi_cells_refine(const pm_digraph *g, pm_cells *cells, uint32_t changed, pm_error *err) {
    if (cells->count == cells->n) {
        return PM_OK;
    }
    refiner r;
    pm_status st = PM_OK;
    PM_TRY(refiner_new(cells, &r, err));
    if (changed != PM_NONE) {
        let_wait(&r, changed);
    }
    for (uint32_t cell = 0; changed == PM_NONE && cell < cells->n; cell += cells->size[cell]) {
        let_wait(&r, cell);
    }
    while (st == PM_OK && r.n_waiting > 0 && cells->count < cells->n) {
        uint32_t cell = next_waiting(&r), size = cells->size[cell];
        memcpy(r.splitter, cells->vertex + cell, size * sizeof *r.splitter);
        st = split_all(&r, g->in_row, g->in_col, size, err);
        PM_THEN(st, split_all(&r, g->row, g->col, size, err));
    }
    free(r.count);
    return st;
}

/* Edges looked at for a whole cell, and for one vertex of it at least and at most. */
#define AROUND_EDGES 40000000u
#define AROUND_LEAST 16u
#define AROUND_MOST 4096u

typedef struct surroundings {
    const pm_digraph *g;
    const pm_cells *cells;
    uint32_t *seen;     /* of each vertex: the centre (plus one) that saw it last */
    uint32_t *distance; /* from that centre */
    uint32_t *queue;
} surroundings;

static uint32_t degree(const pm_digraph *g, uint32_t v) {
    return g->row[v + 1] - g->row[v] + g->in_row[v + 1] - g->in_row[v];
}

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c) {
    pm_random r = {.state = a * UINT64_C(0x9e3779b97f4a7c15) ^ b * UINT64_C(0xc2b2ae3d27d4eb4f) ^ c};
    return pmi_random_next(&r);
}

static uint32_t meet(surroundings *s, uint32_t centre, uint32_t v, uint32_t distance, uint32_t end) {
    if (s->seen[v] == centre + 1) {
        return end;
    }
    s->seen[v] = centre + 1;
    s->distance[v] = distance;
    s->queue[end] = v;
    return end + 1;
}

/* The vertices around a centre, whole distances only, while their edges are not more than `limit`. */
static uint32_t spread(surroundings *s, uint32_t centre, uint32_t limit) {
    const pm_digraph *g = s->g;
    uint32_t end = meet(s, centre, centre, 0, 0), begin = 0;
    uint64_t edges = 0;
    for (uint32_t distance = 1; begin < end; distance++) {
        uint32_t ring_end = end;
        for (uint32_t i = begin; i < ring_end && edges <= limit; i++) {
            edges += degree(g, s->queue[i]);
        }
        if (edges > limit) {
            break;
        }
        for (; begin < ring_end; begin++) {
            uint32_t v = s->queue[begin];
            for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
                end = meet(s, centre, g->col[e], distance, end);
            }
            for (uint32_t e = g->in_row[v]; e < g->in_row[v + 1]; e++) {
                end = meet(s, centre, g->in_col[e], distance, end);
            }
        }
    }
    return begin; /* all edges of these were followed */
}

/* What the surroundings look like: a sum over their edges, each by its ends' cells and distances. */
static uint64_t look(surroundings *s, uint32_t centre, uint32_t limit) {
    const pm_digraph *g = s->g;
    uint64_t sum = 0;
    uint32_t n = spread(s, centre, limit);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t v = s->queue[i];
        uint64_t from = mix(s->cells->cell[v], s->distance[v], 1);
        for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
            uint32_t w = g->col[e];
            sum += mix(from, s->cells->cell[w], s->distance[w]);
        }
    }
    return sum;
}

pm_status pmi_cells_look_around(const pm_digraph *g, pm_cells *cells, uint32_t cell, bool *splits, pm_error *err) {
    uint32_t n = g->n, size = cells->size[cell], limit = AROUND_EDGES / size;
    limit = limit < AROUND_LEAST ? AROUND_LEAST : limit > AROUND_MOST ? AROUND_MOST : limit;
    surroundings s = {.g = g, .cells = cells, .seen = pmi_calloc(n, 3 * sizeof *s.seen)};
    uint64_t *value = pmi_malloc(n, sizeof *value);
    *splits = false;
    if (s.seen == NULL || value == NULL) {
        free(s.seen);
        free(value);
        return pmi_fail_memory(err, "the surroundings of states", (size_t)n * 20);
    }
    s.distance = s.seen + n;
    s.queue = s.distance + n;
    for (uint32_t at = cell; at < cell + size; at++) {
        value[cells->vertex[at]] = look(&s, cells->vertex[at], limit);
        *splits = *splits || value[cells->vertex[at]] != value[cells->vertex[cell]];
    }
    pm_status st = *splits ? split_by_value(cells, cell, value, err) : PM_OK;
    free(s.seen);
    free(value);
    return st;
}
