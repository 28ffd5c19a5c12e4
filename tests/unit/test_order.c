#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "trace/order.h"
#include "trace/record.h"

static void check_permutation(uint32_t n, const uint32_t *pivot) {
    bool *seen = pmi_calloc(n, sizeof *seen);
    for (uint32_t p = 0; p < n; p++) {
        cr_assert_lt(pivot[p], n);
        cr_assert(!seen[pivot[p]]);
        seen[pivot[p]] = true;
    }
    free(seen);
}

/* Markowitz' rule as it is stated: the vertex with the fewest (in-degree x out-degree) goes, its predecessors get edges
 * to its successors; ties go to the first name. */
static void naive_markowitz(uint32_t n, const bool *edge, const uint32_t *names, uint32_t *pivot) {
    bool *left = pmi_malloc((size_t)n * n, sizeof *left), *gone = pmi_calloc(n, sizeof *gone);
    memcpy(left, edge, (size_t)n * n * sizeof *left);
    for (uint32_t p = 0; p < n; p++) {
        uint32_t best = n, best_name = n;
        uint64_t least = UINT64_MAX;
        for (uint32_t v = 0; v < n; v++) {
            uint64_t in = 0, out = 0;
            for (uint32_t w = 0; w < n; w++) {
                in += w != v && !gone[w] && left[w * n + v];
                out += w != v && !gone[w] && left[v * n + w];
            }
            uint32_t name = names == NULL ? v : names[v];
            if (!gone[v] && (in * out < least || (in * out == least && name < best_name))) {
                least = in * out;
                best = v;
                best_name = name;
            }
        }
        pivot[p] = best;
        gone[best] = true;
        for (uint32_t v = 0; v < n; v++) {
            for (uint32_t w = 0; w < n; w++) {
                left[v * n + w] |= left[v * n + best] && left[best * n + w];
            }
        }
    }
    free(left);
    free(gone);
}

Test(order, markowitz_is_the_rule) {
    pm_random random = {.state = 50};
    for (int turn = 0; turn < 150; turn++) {
        uint32_t n = 2 + draw_below(&random, turn < 100 ? 40 : 140);
        bool *edge = draw_strong(&random, n, draw_below(&random, 4 * n));
        pm_topology t = topology_of(n, edge);
        uint32_t names[150], expected[150], found[150];
        draw_permutation(&random, n, names);
        for (int named = 0; named < 2; named++) {
            const uint32_t *given = named == 1 ? names : NULL;
            naive_markowitz(n, edge, given, expected);
            cr_assert_eq(pmi_order_markowitz(&t, given, found, NULL), PM_OK);
            cr_assert_arr_eq(found, expected, n * sizeof *found, "turn %d, %u states", turn, n);
        }
        pmi_topology_free(&t);
        free(edge);
    }
}

typedef pm_status (*find_order)(const pm_topology *t, const uint32_t *names, uint32_t *pivot);

static pm_status amd(const pm_topology *t, const uint32_t *names, uint32_t *pivot) {
    return pmi_order_amd(t, names, pivot, NULL, NULL);
}

static pm_status markowitz(const pm_topology *t, const uint32_t *names, uint32_t *pivot) {
    return pmi_order_markowitz(t, names, pivot, NULL);
}

static pm_status dissection(const pm_topology *t, const uint32_t *names, uint32_t *pivot) {
    return pmi_order_dissection(t, names == NULL ? 1 : (int)names[0], pivot, NULL);
}

Test(order, orders_are_permutations_and_do_not_vary) {
    static const find_order kinds[] = {amd, markowitz, dissection};
    pm_random random = {.state = 51};
    for (int turn = 0; turn < 60; turn++) {
        uint32_t n = 2 + draw_below(&random, 300), names[302], first[302], again[302];
        bool *edge = draw_strong(&random, n, draw_below(&random, 3 * n));
        pm_topology t = topology_of(n, edge);
        draw_permutation(&random, n, names);
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            for (int named = 0; named < 2; named++) {
                cr_assert_eq(kinds[k](&t, named == 1 ? names : NULL, first), PM_OK);
                cr_assert_eq(kinds[k](&t, named == 1 ? names : NULL, again), PM_OK);
                check_permutation(n, first);
                cr_assert_arr_eq(first, again, n * sizeof *first, "kind %zu", k);
            }
        }
        pmi_topology_free(&t);
        free(edge);
    }
}

static size_t fill_of(const pm_topology *t, const uint32_t *pivot) {
    pm_trace trace;
    bool fits;
    cr_assert_eq(pmi_symbolic(t, pivot, SIZE_MAX, &trace, &fits, NULL), PM_OK);
    size_t fill = trace.l_row[trace.n] + trace.u_row[trace.n];
    pmi_trace_free(&trace);
    return fill;
}

Test(order, the_bound_of_amd_holds) {
    pm_random random = {.state = 52};
    for (int turn = 0; turn < 100; turn++) {
        uint32_t n = 2 + draw_below(&random, 200), names[202], pivot[202];
        bool *edge = draw_strong(&random, n, draw_below(&random, 4 * n));
        pm_topology t = topology_of(n, edge);
        draw_permutation(&random, n, names);
        double bound;
        cr_assert_eq(pmi_order_amd(&t, turn % 2 == 0 ? names : NULL, pivot, &bound, NULL), PM_OK);
        cr_assert((double)fill_of(&t, pivot) <= bound, "turn %d: bound %g", turn, bound);
        pmi_topology_free(&t);
        free(edge);
    }
}

/* Edges of a tree in both directions: eliminated from the leaves, it does not fill in. */
static bool *draw_tree(pm_random *random, uint32_t n) {
    bool *edge = draw_digraph(random, n, 0);
    for (uint32_t v = 1; v < n; v++) {
        uint32_t parent = draw_below(random, v);
        edge[v * n + parent] = edge[parent * n + v] = true;
    }
    return edge;
}

Test(order, trees_do_not_fill_in) {
    pm_random random = {.state = 53};
    uint32_t pivot[200];
    for (int turn = 0; turn < 20; turn++) {
        uint32_t n = 100 + draw_below(&random, 100);
        bool *edge = draw_tree(&random, n);
        pm_topology t = topology_of(n, edge);
        cr_assert_eq(amd(&t, NULL, pivot), PM_OK);
        cr_assert_eq(fill_of(&t, pivot), t.row[n]);
        cr_assert_eq(markowitz(&t, NULL, pivot), PM_OK);
        cr_assert_eq(fill_of(&t, pivot), t.row[n]);
        pmi_topology_free(&t);
        free(edge);
    }
}

/* On a grid nested dissection is far below the natural order, whose fill is that of a band. */
Test(order, dissection_beats_the_band_of_a_grid) {
    const uint32_t side = 40, n = side * side;
    bool *edge = grid_digraph(side, side);
    pm_topology t = topology_of(n, edge);
    uint32_t *pivot = pmi_malloc(n, sizeof *pivot);
    for (uint32_t v = 0; v < n; v++) {
        pivot[v] = v;
    }
    size_t band = fill_of(&t, pivot);
    cr_assert_eq(pmi_order_dissection(&t, 1, pivot, NULL), PM_OK);
    size_t dissected = fill_of(&t, pivot);
    cr_assert_lt(dissected, band / 2, "%zu of %zu", dissected, band);
    cr_assert_eq(amd(&t, NULL, pivot), PM_OK);
    cr_assert_lt(fill_of(&t, pivot), band / 2);
    free(pivot);
    pmi_topology_free(&t);
    free(edge);
}

/* ---- several threads at once ---- */

typedef struct dissector {
    const pm_topology *topology;
    uint32_t *pivot; /* TURNS orders, of the seeds 1, 2, .. */
} dissector;

#define TURNS 6

static void *dissect_often(void *argument) {
    dissector *d = argument;
    for (int turn = 0; turn < TURNS; turn++) {
        if (pmi_order_dissection(d->topology, turn + 1, d->pivot + (size_t)turn * d->topology->n, NULL) != PM_OK) {
            return argument;
        }
    }
    return NULL;
}

/* Nor do they take from, or give to, the C library's random numbers, which belong to the caller. */
Test(order, dissection_is_the_same_while_other_threads_dissect) {
    enum { N = 2500, THREADS = 4 };
    pm_random random = {.state = 54};
    bool *edge[2] = {draw_strong(&random, N, 2 * N), draw_strong(&random, N, N)};
    pm_topology t[2] = {topology_of(N, edge[0]), topology_of(N, edge[1])};
    uint32_t *alone[2], *pivot = pmi_malloc((size_t)THREADS * TURNS * N, sizeof *pivot);
    srand(7);
    int expected = rand();
    srand(7);
    for (int g = 0; g < 2; g++) {
        alone[g] = pmi_malloc((size_t)TURNS * N, sizeof *alone[g]);
        cr_assert_null(dissect_often(&(dissector){&t[g], alone[g]}));
    }
    dissector d[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        d[i] = (dissector){&t[i % 2], pivot + (size_t)i * TURNS * N};
        cr_assert_eq(pthread_create(&threads[i], NULL, dissect_often, &d[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
        cr_assert_arr_eq(d[i].pivot, alone[i % 2], (size_t)TURNS * N * sizeof *pivot, "thread %d", i);
    }
    cr_assert_eq(rand(), expected);
    for (int g = 0; g < 2; g++) {
        pmi_topology_free(&t[g]);
        free(alone[g]);
        free(edge[g]);
    }
    free(pivot);
}
