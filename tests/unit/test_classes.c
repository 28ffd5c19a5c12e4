#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "scc/classes.h"

/* Blocks laid one behind the other into one graph: each is a strongly connected digraph, relabelled at random, that
 * exits into the next one; the last into absorption. Coefficients are drawn anew for every edge. */
typedef struct block {
    uint32_t n;
    const bool *edge;
    bool shuffled;
} block;

static pm_graph *lay_blocks(pm_random *random, const block *blocks, size_t n_blocks) {
    uint32_t n = 1, first = 1;
    for (size_t b = 0; b < n_blocks; b++) {
        n += blocks[b].n;
    }
    sketch s = sketch_of((size_t)n + 1, 0, false);
    sketch_start(&s, 1, 1);
    for (size_t b = 0; b < n_blocks; b++) {
        uint32_t size = blocks[b].n;
        uint32_t *name = pmi_malloc(size, sizeof *name);
        for (uint32_t v = 0; v < size; v++) {
            name[v] = v;
        }
        if (blocks[b].shuffled) {
            draw_permutation(random, size, name);
        }
        for (uint32_t v = 0; v < size; v++) {
            for (uint32_t w = 0; w < size; w++) {
                if (v != w && blocks[b].edge[v * size + w]) {
                    sketch_edge(&s, first + name[v], first + name[w], draw_rate(random, 2));
                }
            }
        }
        sketch_edge(&s, first + draw_below(random, size), first + size, 1);
        first += size;
        free(name);
    }
    return sketch_finish(&s);
}

static void check_class_of_scc(const pm_split *split, uint32_t scc, uint32_t *local, const pm_classes *classes) {
    uint32_t size = split->scc_first[scc + 1] - split->scc_first[scc];
    if (size == 1) {
        cr_assert_eq(classes->class_of[scc], PM_NONE);
        return;
    }
    cr_assert_lt(classes->class_of[scc], classes->n_classes);
    pm_topology t, renamed;
    cr_assert_eq(pmi_topology_of_scc(split, scc, local, &t, NULL), PM_OK);
    cr_assert_eq(pmi_topology_rename(&t, classes->names + split->scc_first[scc], &renamed, NULL), PM_OK);
    cr_assert(same_topology(&renamed, &classes->canon[classes->class_of[scc]].topology));
    pmi_topology_free(&t);
    pmi_topology_free(&renamed);
}

/* Each SCC under its names is the canonical digraph of its class, and classes count their SCCs. */
static void check_classes(const pm_graph *g, const pm_split *split, const pm_classes *classes) {
    uint32_t *local = pmi_malloc(g->n_vertices, sizeof *local);
    uint32_t *count = pmi_calloc((size_t)classes->n_classes + 1, sizeof *count);
    for (uint32_t scc = 0; scc < split->n_sccs; scc++) {
        check_class_of_scc(split, scc, local, classes);
        count[classes->class_of[scc] == PM_NONE ? classes->n_classes : classes->class_of[scc]]++;
    }
    for (uint32_t c = 0; c < classes->n_classes; c++) {
        cr_assert_eq(classes->n_sccs[c], count[c]);
        for (uint32_t other = 0; other < c; other++) {
            cr_assert_arr_neq(classes->canon[c].key, classes->canon[other].key, PM_DIGEST_BYTES);
        }
    }
    free(local);
    free(count);
}

static pm_classes classes_of(const pm_graph *g, pm_split *split) {
    pm_classes classes;
    pm_error err;
    cr_assert_eq(pmi_split_graph(g, NULL, split, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_classes_find(g, split, PM_EFFORT_FAST, 1, NULL, &classes, &err), PM_OK, "%s", err.text);
    return classes;
}

Test(classes, isomorphic_sccs_share_one) {
    pm_random random = {.state = 40};
    bool *ring = ring_digraph(6), *grid = grid_digraph(3, 2), *knot = draw_strong(&random, 12, 20),
         *one = ring_digraph(1);
    const block blocks[] = {{6, ring, false}, {6, grid, true},  {12, knot, true}, {1, one, false}, {6, ring, true},
                            {6, grid, true},  {6, ring, false}, {12, knot, true}, {1, one, false}, {12, knot, true}};
    for (int turn = 0; turn < 50; turn++) {
        pm_graph *g = lay_blocks(&random, blocks, sizeof blocks / sizeof blocks[0]);
        pm_split split;
        pm_classes classes = classes_of(g, &split);
        cr_assert_eq(split.n_sccs, 10u);
        cr_assert_eq(classes.n_classes, 3u);
        check_classes(g, &split, &classes);
        /* sinks first: SCC 9 is the first block */
        cr_assert_eq(classes.class_of[9], classes.class_of[3]);
        cr_assert_eq(classes.class_of[8], classes.class_of[4]);
        cr_assert_eq(classes.class_of[7], classes.class_of[0]);
        cr_assert_eq(classes.n_sccs[classes.class_of[9]], 3u);
        pmi_classes_free(&classes);
        pmi_split_free(&split);
        pm_graph_free(g);
    }
    free(ring);
    free(grid);
    free(knot);
    free(one);
}

Test(classes, of_many_random_sccs) {
    pm_random random = {.state = 41};
    block blocks[200];
    for (int turn = 0; turn < 10; turn++) {
        bool *edges[200];
        for (size_t b = 0; b < 200; b++) {
            uint32_t n = 1 + draw_below(&random, 5);
            edges[b] = draw_strong(&random, n, draw_below(&random, 6));
            blocks[b] = (block){n, edges[b], true};
        }
        pm_graph *g = lay_blocks(&random, blocks, 200);
        pm_split split;
        pm_classes classes = classes_of(g, &split);
        cr_assert(classes.n_classes > 10 && classes.n_classes < split.n_nontrivial);
        check_classes(g, &split, &classes);
        pmi_classes_free(&classes);
        pmi_split_free(&split);
        pm_graph_free(g);
        for (size_t b = 0; b < 200; b++) {
            free(edges[b]);
        }
    }
}

/* phasic's hash depends on the order of vertices and leaves constants out; here keys are of the shape alone, and the
 * job's digest of every number in the file's order. */
Test(classes, keys_are_of_the_shape_and_the_job_of_every_number) {
    pm_random random = {.state = 42};
    bool *knot = draw_strong(&random, 9, 15);
    const block as_given = {9, knot, false}, shuffled = {9, knot, true};
    pm_graph *first = lay_blocks(&random, &as_given, 1), *same_order = lay_blocks(&random, &as_given, 1),
             *other_order = lay_blocks(&random, &shuffled, 1);
    pm_split split[3];
    pm_classes a = classes_of(first, &split[0]), b = classes_of(same_order, &split[1]),
               c = classes_of(other_order, &split[2]);
    cr_assert_arr_eq(a.canon[0].key, b.canon[0].key, PM_DIGEST_BYTES);
    cr_assert_arr_eq(a.canon[0].key, c.canon[0].key, PM_DIGEST_BYTES);
    cr_assert_arr_neq(first->digest, same_order->digest, PM_DIGEST_BYTES);
    cr_assert_arr_neq(first->digest, other_order->digest, PM_DIGEST_BYTES);
    pm_classes *all[] = {&a, &b, &c};
    for (int i = 0; i < 3; i++) {
        pmi_classes_free(all[i]);
        cr_assert_eq(all[i]->n_classes, 0u);
        pmi_split_free(&split[i]);
    }
    pm_graph_free(first);
    pm_graph_free(same_order);
    pm_graph_free(other_order);
    free(knot);
}

Test(classes, a_graph_of_single_states_has_none) {
    sketch s = sketch_of(4, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 2, 3, 1);
    pm_graph *g = sketch_finish(&s);
    pm_split split;
    pm_classes classes = classes_of(g, &split);
    cr_assert_eq(classes.n_classes, 0u);
    check_classes(g, &split, &classes);
    pmi_classes_free(&classes);
    pmi_split_free(&split);
    pm_graph_free(g);
}

/* ---- restored from arrays ---- */

typedef struct restored {
    pm_graph *graph;
    pm_split split;
    pm_classes classes;
    uint8_t *as_given;
} restored;

static restored two_grids_and_a_ring(void) {
    pm_random random = {.state = 43};
    bool *ring = ring_digraph(6), *grid = grid_digraph(3, 2);
    const block blocks[] = {{6, grid, true}, {6, ring, true}, {6, grid, true}};
    restored r = {.graph = lay_blocks(&random, blocks, 3)};
    r.classes = classes_of(r.graph, &r.split);
    r.as_given = pmi_calloc(r.classes.n_classes, 1);
    free(ring);
    free(grid);
    return r;
}

static pm_status restore(const restored *r, uint32_t n_classes, pm_classes *out, pm_error *err) {
    return pmi_classes_restore(r->graph, &r->split, PM_EFFORT_FAST, r->as_given, n_classes, r->classes.class_of,
                               r->classes.names, out, err);
}

static void restored_free(restored *r) {
    pmi_classes_free(&r->classes);
    pmi_split_free(&r->split);
    pm_graph_free(r->graph);
    free(r->as_given);
}

Test(classes, restored_are_those_found) {
    restored r = two_grids_and_a_ring();
    pm_classes again;
    pm_error err;
    cr_assert_eq(restore(&r, 2, &again, &err), PM_OK, "%s", err.text);
    check_classes(r.graph, &r.split, &again);
    for (uint32_t c = 0; c < 2; c++) {
        cr_assert_arr_eq(again.canon[c].key, r.classes.canon[c].key, PM_DIGEST_BYTES);
        cr_assert_arr_eq(again.canon[c].digest, r.classes.canon[c].digest, PM_DIGEST_BYTES);
    }
    pmi_classes_free(&again);
    restored_free(&r);
}

/* Every change of one entry of class_of or names is refused, or leaves a numbering that is as good: one under which
 * every SCC is still its class's digraph. */
Test(classes, restored_from_altered_arrays_are_refused_or_sound) {
    restored r = two_grids_and_a_ring();
    size_t n_refused = 0, n_sound = 0;
    uint32_t *arrays[] = {r.classes.class_of, r.classes.names};
    const uint32_t sizes[] = {r.split.n_sccs, r.split.n_transient};
    for (int a = 0; a < 2; a++) {
        for (uint32_t i = 0; i < sizes[a]; i++) {
            const uint32_t was = arrays[a][i], values[] = {0, 1, 2, 5, 6, PM_NONE - 1, PM_NONE};
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                arrays[a][i] = values[v];
                pm_classes again;
                pm_error err;
                pm_status st = restore(&r, 2, &again, &err);
                if (st == PM_OK) {
                    check_classes(r.graph, &r.split, &again);
                    n_sound++;
                } else {
                    cr_assert_eq(st, PM_EDATA, "%s", err.text);
                    cr_assert_not_null(strstr(err.text, "SCC"), "%s", err.text);
                    cr_assert_eq(again.n_classes, 0u);
                    n_refused++;
                }
                pmi_classes_free(&again);
            }
            arrays[a][i] = was;
        }
    }
    cr_assert_gt(n_refused, 100u);
    cr_assert_gt(n_sound, 0u);
    restored_free(&r);
}

Test(classes, restored_in_a_wrong_number_are_refused) {
    restored r = two_grids_and_a_ring();
    pm_classes again;
    pm_error err;
    cr_assert_eq(restore(&r, 1, &again, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "expected one below 1"), "%s", err.text);
    cr_assert_eq(restore(&r, 4, &again, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "4 classes"), "%s", err.text);
    r.as_given = realloc(r.as_given, 3);
    r.as_given[2] = 0;
    cr_assert_eq(restore(&r, 3, &again, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "class 2 of 3 has no SCC"), "%s", err.text);
    restored_free(&r);
}

/* ---- threads ---- */

Test(classes, are_the_same_for_any_number_of_threads) {
    pm_random random = {.state = 44};
    block blocks[300];
    bool *edges[300];
    for (size_t b = 0; b < 300; b++) {
        uint32_t n = 1 + draw_below(&random, 7);
        edges[b] = draw_strong(&random, n, draw_below(&random, 8));
        blocks[b] = (block){n, edges[b], true};
    }
    pm_graph *g = lay_blocks(&random, blocks, 300);
    pm_split split;
    pm_classes one = classes_of(g, &split), many;
    cr_assert_eq(pmi_classes_find(g, &split, PM_EFFORT_FAST, 5, NULL, &many, NULL), PM_OK);
    cr_assert_eq(many.n_classes, one.n_classes);
    cr_assert_arr_eq(many.class_of, one.class_of, split.n_sccs * sizeof *one.class_of);
    cr_assert_arr_eq(many.names, one.names, split.n_transient * sizeof *one.names);
    cr_assert_arr_eq(many.n_sccs, one.n_sccs, one.n_classes * sizeof *one.n_sccs);
    for (uint32_t c = 0; c < one.n_classes; c++) {
        cr_assert_arr_eq(many.canon[c].key, one.canon[c].key, PM_DIGEST_BYTES);
    }
    pmi_classes_free(&one);
    pmi_classes_free(&many);
    pmi_split_free(&split);
    pm_graph_free(g);
    for (size_t b = 0; b < 300; b++) {
        free(edges[b]);
    }
}
