#include "families.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"

typedef struct edges {
    uint64_t *list; /* from above, to below */
    size_t n, capacity;
    uint32_t n_vertices;
} edges;

static void edge_to(edges *g, uint32_t from, uint32_t to) {
    if (from == to) {
        return;
    }
    if (!pmi_reserve((void **)&g->list, &g->capacity, g->n + 1, sizeof *g->list)) {
        abort();
    }
    g->list[g->n++] = (uint64_t)from << 32 | to;
    uint32_t most = from > to ? from : to;
    g->n_vertices = most >= g->n_vertices ? most + 1 : g->n_vertices;
}

static void edge_between(edges *g, uint32_t a, uint32_t b) {
    edge_to(g, a, b);
    edge_to(g, b, a);
}

static void star(void *g, uint32_t n) {
    for (uint32_t leaf = 1; leaf <= n; leaf++) {
        edge_between(g, 0, leaf);
    }
}

static void complete(void *g, uint32_t n) {
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b < a; b++) {
            edge_between(g, a, b);
        }
    }
}

static void bipartite(void *g, uint32_t n) {
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b < n; b++) {
            edge_between(g, a, n + b);
        }
    }
}

/* All but the edges within threes. */
static void multipartite(void *g, uint32_t n) {
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (a / 3 != b / 3) {
                edge_between(g, a, b);
            }
        }
    }
}

static void path(void *g, uint32_t n) {
    for (uint32_t v = 1; v < n; v++) {
        edge_between(g, v - 1, v);
    }
}

static void cycle(void *g, uint32_t n) {
    path(g, n);
    edge_between(g, n - 1, 0);
}

static void ring(void *g, uint32_t n) {
    for (uint32_t v = 0; v < n; v++) {
        edge_to(g, v, (v + 1) % n);
    }
}

static void grid(void *g, uint32_t n) {
    for (uint32_t v = 0; v < n * n; v++) {
        if (v % n + 1 < n) {
            edge_between(g, v, v + 1);
        }
        if (v / n + 1 < n) {
            edge_between(g, v, v + n);
        }
    }
}

static void torus(void *g, uint32_t n) {
    for (uint32_t v = 0; v < n * n; v++) {
        edge_between(g, v, v / n * n + (v + 1) % n);
        edge_between(g, v, (v + n) % (n * n));
    }
}

static void hypercube(void *g, uint32_t dimensions) {
    for (uint32_t v = 0; v < 1u << dimensions; v++) {
        for (uint32_t d = 0; d < dimensions; d++) {
            edge_to(g, v, v ^ 1u << d);
        }
    }
}

static void binary_tree(void *g, uint32_t n) {
    for (uint32_t v = 1; v < n; v++) {
        edge_between(g, v, (v - 1) / 2);
    }
}

static void caterpillar(void *g, uint32_t n) {
    path(g, n);
    for (uint32_t v = 0; v < n; v++) {
        edge_between(g, v, n + 2 * v);
        edge_between(g, v, n + 2 * v + 1);
    }
}

static void random_tree(void *g, uint32_t n) {
    pm_random random = {.state = 5};
    for (uint32_t v = 1; v < n; v++) {
        edge_between(g, v, draw_below(&random, v));
    }
}

/* A ring of hubs, each with as many leaves. */
static void hubs(void *g, uint32_t n) {
    cycle(g, n);
    for (uint32_t leaf = 0; leaf < n * n; leaf++) {
        edge_between(g, leaf / n, n + leaf);
    }
}

static void clique_ring(void *g, uint32_t n) {
    for (uint32_t c = 0; c < n; c++) {
        for (uint32_t a = 0; a < 20; a++) {
            for (uint32_t b = 0; b < a; b++) {
                edge_between(g, 20 * c + a, 20 * c + b);
            }
        }
        edge_between(g, 20 * c, 20 * ((c + 1) % n) + 1);
    }
}

/* A hub with the same small tree, path and cycle again and again. */
static void bouquet(void *g, uint32_t n) {
    for (uint32_t c = 0; c < n; c++) {
        uint32_t at = 1 + 8 * c;
        edge_between(g, 0, at);
        for (uint32_t i = 1; i < 8; i++) {
            edge_between(g, at + i, c % 3 == 0 ? at + (i - 1) / 2 : at + i - 1);
        }
        if (c % 3 == 2) {
            edge_between(g, at, at + 7);
        }
    }
}

/* Each vertex of a ring carries two arms that may change places. */
static void arms(void *g, uint32_t n) {
    cycle(g, n);
    for (uint32_t v = 0; v < n; v++) {
        for (uint32_t arm = 0; arm < 2; arm++) {
            uint32_t at = n + 4 * v + 2 * arm;
            edge_between(g, v, at);
            edge_between(g, at, at + 1);
        }
    }
}

static void random_regular(void *g, uint32_t n) {
    pm_random random = {.state = 6};
    uint32_t *to = pmi_malloc(n, sizeof *to);
    for (int i = 0; i < 3; i++) {
        draw_permutation(&random, n, to);
        for (uint32_t v = 0; v < n; v++) {
            edge_to(g, v, to[v]);
        }
    }
    free(to);
}

static void circulant(void *g, uint32_t n) {
    for (uint32_t v = 0; v < n; v++) {
        edge_to(g, v, (v + 1) % n);
        edge_to(g, v, (v + 7) % n);
        edge_to(g, v, (v + n / 3) % n);
    }
}

static void rook(void *g, uint32_t n) {
    for (uint32_t a = 0; a < n * n; a++) {
        for (uint32_t b = 0; b < a; b++) {
            if (a / n == b / n || a % n == b % n) {
                edge_between(g, a, b);
            }
        }
    }
}

/* Edges where the difference is a square modulo a prime of 4 k + 1. */
static void paley(void *g, uint32_t prime) {
    for (uint32_t v = 0; v < prime; v++) {
        for (uint32_t x = 1; x <= prime / 2; x++) {
            edge_to(g, v, (v + x * x) % prime);
        }
    }
}

/* Two copies of a random regular digraph, and one of another, around a hub: rigid parts, one of them twice. */
static void glued(void *g, uint32_t n) {
    pm_random random = {.state = 7};
    uint32_t *to = pmi_malloc(n, sizeof *to);
    for (int i = 0; i < 4; i++) {
        draw_permutation(&random, n, to);
        for (uint32_t v = 0; v < n; v++) {
            edge_to(g, v, to[v]);
            edge_to(g, n + v, n + to[v]);
            edge_to(g, 2 * n + v, 2 * n + to[to[v]]);
        }
    }
    for (uint32_t v = 0; v < 3 * n; v++) {
        edge_between(g, 3 * n, v);
    }
    free(to);
}

const family families[] = {
    {"star", star, 3000, 1000000},
    {"complete", complete, 450, 1500},
    {"bipartite", bipartite, 200, 1000},
    {"multipartite", multipartite, 300, 1500},
    {"path", path, 3001, 1000000},
    {"cycle", cycle, 3000, 1000000},
    {"ring", ring, 3000, 1000000},
    {"grid", grid, 60, 500},
    {"torus", torus, 40, 500},
    {"hypercube", hypercube, 9, 13},
    {"binary tree", binary_tree, 4095, 1048575},
    {"caterpillar", caterpillar, 1500, 300000},
    {"random tree", random_tree, 5000, 1000000},
    {"hubs", hubs, 60, 1000},
    {"clique ring", clique_ring, 60, 10000},
    {"bouquet", bouquet, 500, 100000},
    {"arms", arms, 150, 100000},
    {"random regular", random_regular, 3000, 1000000},
    {"circulant", circulant, 3000, 300000},
    {"rook", rook, 20, 40},
    {"paley", paley, 229, 1009},
    {"glued", glued, 700, 200000},
};
const size_t n_families = sizeof families / sizeof families[0];

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

pm_topology family_topology(const family *f, uint32_t size) {
    edges g = {0};
    f->draw(&g, size);
    qsort(g.list, g.n, sizeof *g.list, compare);
    pm_topology t = {.n = g.n_vertices,
                     .row = pmi_calloc((size_t)g.n_vertices + 1, sizeof *t.row),
                     .col = pmi_malloc(g.n, sizeof *t.col)};
    size_t kept = 0;
    for (size_t i = 0; i < g.n; i++) {
        if (i == 0 || g.list[i] != g.list[i - 1]) {
            t.col[kept++] = (uint32_t)g.list[i];
            t.row[(g.list[i] >> 32) + 1] = kept;
        }
    }
    for (uint32_t v = 0; v < t.n; v++) {
        t.row[v + 1] = t.row[v + 1] < t.row[v] ? t.row[v] : t.row[v + 1];
    }
    free(g.list);
    return t;
}
