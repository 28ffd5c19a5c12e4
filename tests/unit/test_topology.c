#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"

/* One SCC of 3 states (rows 2, 4, 5) with parallel edges, a self-loop, exits, and an edge of weight zero. */
static pm_graph *knotted(void) {
    sketch s = sketch_of(7, 0, true);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 5, 0.5);
    sketch_edge(&s, 5, 4, 0.125);
    sketch_edge(&s, 5, 2, 0.125);
    sketch_edge(&s, 5, 4, 0.25);
    sketch_edge(&s, 5, 5, 0.25);
    sketch_edge(&s, 4, 2, 0.5);
    sketch_edge(&s, 4, 5, 0);
    sketch_edge(&s, 2, 5, 0.5);
    sketch_edge(&s, 2, 6, 0.5);
    return sketch_finish(&s);
}

Test(topology, of_an_scc_is_simple_and_sorted) {
    pm_graph *g = knotted();
    pm_split split;
    pm_topology t;
    cr_assert_eq(pmi_split_graph(g, NULL, &split, NULL), PM_OK);
    cr_assert_eq(split.n_sccs, 2u);
    uint32_t local[7];
    cr_assert_eq(pmi_topology_of_scc(&split, split.scc_of[5], local, &t, NULL), PM_OK);
    /* rows 2, 4, 5 are vertices 0, 1, 2 */
    static const size_t row[] = {0, 1, 2, 4};
    static const uint32_t col[] = {2, 0, 0, 1};
    cr_assert_eq(t.n, 3u);
    cr_assert_arr_eq(t.row, row, sizeof row);
    cr_assert_arr_eq(t.col, col, sizeof col);
    pmi_topology_free(&t);
    cr_assert_null(t.row);
    cr_assert_eq(pmi_topology_of_scc(&split, split.scc_of[1], local, &t, NULL), PM_OK);
    cr_assert_eq(t.n, 1u);
    cr_assert_eq(t.row[1], 0u);
    pmi_topology_free(&t);
    pmi_topology_free(&t);
    pmi_split_free(&split);
    pm_graph_free(g);
}

Test(topology, renaming_moves_every_edge) {
    pm_random random = {.state = 11};
    for (int turn = 0; turn < 200; turn++) {
        uint32_t n = 1 + draw_below(&random, 90), name[90], back[90];
        bool *edge = draw_digraph(&random, n, 10 + draw_below(&random, 80));
        pm_topology t = topology_of(n, edge), renamed, restored;
        draw_permutation(&random, n, name);
        cr_assert_eq(pmi_topology_rename(&t, name, &renamed, NULL), PM_OK);
        bool *expected = pmi_calloc((size_t)n * n, sizeof *expected);
        for (uint32_t v = 0; v < n; v++) {
            back[name[v]] = v;
            for (uint32_t w = 0; w < n; w++) {
                expected[(size_t)name[v] * n + name[w]] = edge[(size_t)v * n + w];
            }
        }
        pm_topology wanted = topology_of(n, expected);
        cr_assert(same_topology(&renamed, &wanted), "turn %d", turn);
        cr_assert_eq(pmi_topology_rename(&renamed, back, &restored, NULL), PM_OK);
        cr_assert(same_topology(&restored, &t), "turn %d", turn);
        pmi_topology_free(&t);
        pmi_topology_free(&renamed);
        pmi_topology_free(&restored);
        pmi_topology_free(&wanted);
        free(expected);
        free(edge);
    }
}

/* Against the transitive closure, at densities where both answers are frequent. */
Test(topology, strong_connection_is_that_of_the_closure) {
    static const uint8_t seed[PM_DIGEST_BYTES] = {5};
    pm_random random;
    size_t strong = 0;
    pmi_random_seed(&random, seed);
    for (uint32_t round = 0; round < 600; round++) {
        uint32_t n = 2 + round % 11;
        bool *edge = draw_digraph(&random, n, 10 + round % 5 * 12), found = false;
        pm_topology t = topology_of(n, edge);
        cr_assert_eq(pmi_topology_is_strong(&t, &found, NULL), PM_OK);
        cr_assert_eq(found, is_strong(n, edge), "round %u", round);
        strong += found;
        pmi_topology_free(&t);
        free(edge);
    }
    cr_assert(strong > 100 && strong < 500, "%zu", strong);
}
