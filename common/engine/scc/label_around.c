#include "base/mem.h"
#include "base/random.h"
#include "scc/label_impl.h"

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
    pm_status st = *splits ? pmi_cells_split(cells, cell, value, err) : PM_OK;
    free(s.seen);
    free(value);
    return st;
}
