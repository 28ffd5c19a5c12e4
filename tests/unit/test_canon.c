#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "scc/canon.h"

static pm_canon canon_of(const pm_topology *t, pm_effort effort) {
    pm_canon canon;
    pm_error err;
    cr_assert_eq(pmi_canon_find(t, effort, NULL, &canon, &err), PM_OK, "%s", err.text);
    return canon;
}

/* The canonical digraph must be the given one under `name`, and the digest its own. */
static void check_names(const pm_topology *t, const pm_canon *canon) {
    pm_topology renamed;
    uint8_t digest[PM_DIGEST_BYTES];
    uint32_t *seen = pmi_calloc(t->n, sizeof *seen);
    for (uint32_t v = 0; v < t->n; v++) {
        cr_assert_lt(canon->name[v], t->n);
        cr_assert_eq(seen[canon->name[v]]++, 0u);
    }
    cr_assert_eq(pmi_topology_rename(t, canon->name, &renamed, NULL), PM_OK);
    cr_assert(same_topology(&renamed, &canon->topology));
    cr_assert_eq(pmi_topology_digest(&canon->topology, PM_BLAKE2S256, digest, NULL), PM_OK);
    cr_assert_arr_eq(digest, canon->digest, sizeof digest);
    pmi_topology_free(&renamed);
    free(seen);
}

/* `copies` random relabellings of the digraph have its key and its canonical form. */
static void check_relabelling(pm_random *random, uint32_t n, const bool *edge, int copies) {
    pm_topology t = topology_of(n, edge);
    pm_canon canon = canon_of(&t, PM_EFFORT_BALANCED);
    check_names(&t, &canon);
    uint32_t *name = pmi_malloc(n, sizeof *name);
    for (int c = 0; c < copies; c++) {
        pm_topology other;
        draw_permutation(random, n, name);
        cr_assert_eq(pmi_topology_rename(&t, name, &other, NULL), PM_OK);
        pm_canon found = canon_of(&other, PM_EFFORT_BALANCED);
        cr_assert_arr_eq(found.key, canon.key, PM_DIGEST_BYTES, "%u states, copy %d", n, c);
        cr_assert_arr_eq(found.digest, canon.digest, PM_DIGEST_BYTES);
        cr_assert(same_topology(&found.topology, &canon.topology));
        check_names(&other, &found);
        pmi_canon_free(&found);
        pmi_topology_free(&other);
    }
    free(name);
    pmi_canon_free(&canon);
    pmi_topology_free(&t);
}

Test(canon, relabelled_random_digraphs_have_one_key) {
    pm_random random = {.state = 30};
    for (int turn = 0; turn < 300; turn++) {
        uint32_t n = 2 + draw_below(&random, 59);
        bool *edge = draw_strong(&random, n, draw_below(&random, 4 * n));
        check_relabelling(&random, n, edge, 3);
        free(edge);
    }
}

Test(canon, relabelled_regular_digraphs_have_one_key) {
    pm_random random = {.state = 31};
    static const uint32_t jumps[] = {1, 3, 8};
    struct {
        uint32_t n;
        bool *edge;
    } cases[] = {
        {2, ring_digraph(2)},
        {57, ring_digraph(57)},
        {64, complete_digraph(64)},
        {96, grid_digraph(12, 8)},
        {100, grid_digraph(10, 10)},
        {60, circulant_digraph(60, jumps, 2)},
        {65, circulant_digraph(65, jumps, 3)},
        {32, circulant_digraph(32, jumps, 3)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_relabelling(&random, cases[i].n, cases[i].edge, 10);
        free(cases[i].edge);
    }
}

static void key_of(uint32_t n, const bool *edge, uint8_t key[PM_DIGEST_BYTES]) {
    pm_topology t = topology_of(n, edge);
    pm_canon canon = canon_of(&t, PM_EFFORT_FAST);
    memcpy(key, canon.key, PM_DIGEST_BYTES);
    pmi_canon_free(&canon);
    pmi_topology_free(&t);
}

static bool same_key(uint32_t n, bool *a, bool *b) {
    uint8_t ka[PM_DIGEST_BYTES], kb[PM_DIGEST_BYTES];
    key_of(n, a, ka);
    key_of(n, b, kb);
    free(a);
    free(b);
    return memcmp(ka, kb, PM_DIGEST_BYTES) == 0;
}

/* All vertices alike in degree, so that nothing but the search tells them apart. */
Test(canon, regular_digraphs_that_differ_have_other_keys) {
    static const uint32_t first[] = {1, 2}, second[] = {1, 3}, third[] = {1, 4};
    cr_assert(!same_key(8, circulant_digraph(8, first, 2), circulant_digraph(8, second, 2)));
    cr_assert(!same_key(8, circulant_digraph(8, second, 2), circulant_digraph(8, third, 2)));
    cr_assert(!same_key(12, grid_digraph(4, 3), grid_digraph(6, 2)));
    /* modulo 5, x -> 3x takes the jumps 1 and 2 to 3 and 1 */
    cr_assert(same_key(5, circulant_digraph(5, first, 2), circulant_digraph(5, second, 2)));
}

/* ---- keys against isomorphism by trying all permutations ---- */

enum { MOST = 7, MOST_PERMUTATIONS = 5040 };

typedef struct permutations {
    uint32_t n, count;
    uint8_t image[MOST_PERMUTATIONS][MOST];
} permutations;

static void list_permutations(uint32_t n, permutations *p) {
    p->n = n;
    p->count = 0;
    uint8_t next[MOST] = {0}; /* an odometer of which those without repeats count */
    for (;;) {
        unsigned used = 0;
        for (uint32_t i = 0; i < n; i++) {
            used |= 1u << next[i];
        }
        if (used == (1u << n) - 1) {
            memcpy(p->image[p->count++], next, n);
        }
        uint32_t at = 0;
        while (at < n && ++next[at] == n) {
            next[at++] = 0;
        }
        if (at == n) {
            return;
        }
    }
}

/* The digraph as bits, edge v -> w at v * n + w, and the least such number over all relabellings. */
static uint64_t smallest_form(const permutations *p, const bool *edge) {
    uint64_t best = UINT64_MAX;
    uint8_t from[MOST * MOST], to[MOST * MOST];
    uint32_t n = p->n, edges = 0;
    for (uint8_t i = 0; i < n * n; i++) {
        if (edge[i]) {
            from[edges] = (uint8_t)(i / n);
            to[edges++] = (uint8_t)(i % n);
        }
    }
    for (uint32_t q = 0; q < p->count; q++) {
        const uint8_t *image = p->image[q];
        uint64_t form = 0;
        for (uint32_t e = 0; e < edges; e++) {
            form |= UINT64_C(1) << (image[from[e]] * n + image[to[e]]);
        }
        best = form < best ? form : best;
    }
    return best;
}

/* Pairs (form, key), to be sorted. */
typedef struct labelled {
    uint64_t form;
    uint8_t n, key[PM_DIGEST_BYTES];
} labelled;

static int by_key(const void *a, const void *b) {
    return memcmp(((const labelled *)a)->key, ((const labelled *)b)->key, PM_DIGEST_BYTES);
}

static int by_form(const void *a, const void *b) {
    const labelled *x = a, *y = b;
    if (x->n != y->n) {
        return x->n < y->n ? -1 : 1;
    }
    return (x->form > y->form) - (x->form < y->form);
}

/* One key for one form and one form for one key; returns the number of forms. */
static size_t check_pairs(labelled *all, size_t count) {
    size_t forms = 1;
    qsort(all, count, sizeof *all, by_form);
    for (size_t i = 1; i < count; i++) {
        if (by_form(&all[i - 1], &all[i]) == 0) {
            cr_assert_eq(by_key(&all[i - 1], &all[i]), 0, "isomorphic SCCs %" PRIx64 " have two keys", all[i].form);
        } else {
            forms++;
        }
    }
    qsort(all, count, sizeof *all, by_key);
    for (size_t i = 1; i < count; i++) {
        if (by_key(&all[i - 1], &all[i]) == 0) {
            cr_assert_eq(by_form(&all[i - 1], &all[i]), 0, "SCCs %" PRIx64 " and %" PRIx64 " share a key",
                         all[i - 1].form, all[i].form);
        }
    }
    return forms;
}

static void label(const permutations *p, const bool *edge, labelled *out) {
    *out = (labelled){.n = (uint8_t)p->n, .form = smallest_form(p, edge)};
    key_of(p->n, edge, out->key);
}

/* All 1606 + 18 + 1 labelled strongly connected digraphs (OEIS A003030); 83, 5 and 1 up to isomorphism (A035512). */
Test(canon, keys_of_all_small_sccs_are_their_isomorphism_classes) {
    static const size_t labelled_count[] = {1, 18, 1606}, forms[] = {1, 5, 83};
    static permutations p;
    for (uint32_t n = 2; n <= 4; n++) {
        labelled *all = pmi_malloc(labelled_count[n - 2], sizeof *all);
        size_t count = 0;
        list_permutations(n, &p);
        for (uint32_t bits = 0; bits < 1u << (n * (n - 1)); bits++) {
            bool edge[16] = {false};
            for (uint32_t e = 0, at = 0; at < n * n; at++) {
                edge[at] = at / n != at % n && (bits >> e++ & 1) != 0;
            }
            if (is_strong(n, edge)) {
                cr_assert_lt(count, labelled_count[n - 2]);
                label(&p, edge, &all[count++]);
            }
        }
        cr_assert_eq(count, labelled_count[n - 2]);
        cr_assert_eq(check_pairs(all, count), forms[n - 2]);
        free(all);
    }
}

static void check_random(size_t count, uint64_t seed) {
    static permutations p[MOST + 1];
    labelled *all = pmi_malloc(count, sizeof *all);
    pm_random random = {.state = seed};
    for (uint32_t n = 5; n <= MOST; n++) {
        list_permutations(n, &p[n]);
    }
    for (size_t i = 0; i < count; i++) {
        /* trying all 5040 permutations of 7 is dear: fewer of them */
        uint32_t sort = draw_below(&random, 100), n = sort < 60 ? 5 : sort < 95 ? 6 : 7;
        bool *edge = draw_strong(&random, n, draw_below(&random, 2 * n));
        label(&p[n], edge, &all[i]);
        free(edge);
    }
    size_t forms = check_pairs(all, count);
    cr_assert(forms > 300 && forms < count, "%zu forms", forms);
    free(all);
}

/* PM_LONG_TESTS=1 makes it a million. */
Test(canon, keys_of_random_sccs_are_their_isomorphism_classes) {
    const char *patient = getenv("PM_LONG_TESTS");
    check_random(patient != NULL && strcmp(patient, "1") == 0 ? 1000000 : 30000, 33);
}

/* ---- what a key holds ---- */

Test(canon, effort_is_in_the_key_and_not_in_the_digest) {
    bool *edge = ring_digraph(9);
    pm_topology t = topology_of(9, edge);
    pm_canon fast = canon_of(&t, PM_EFFORT_FAST), balanced = canon_of(&t, PM_EFFORT_BALANCED),
             best = canon_of(&t, PM_EFFORT_BEST);
    cr_assert_arr_neq(fast.key, balanced.key, PM_DIGEST_BYTES);
    cr_assert_arr_neq(fast.key, best.key, PM_DIGEST_BYTES);
    cr_assert_arr_neq(best.key, balanced.key, PM_DIGEST_BYTES);
    cr_assert_arr_eq(fast.digest, best.digest, PM_DIGEST_BYTES);
    pmi_canon_free(&fast);
    pmi_canon_free(&balanced);
    pmi_canon_free(&best);
    pmi_topology_free(&t);
    free(edge);
}

/* The digest of a digraph is that of n, and of each row its length and targets, as 32-bit little-endian numbers. */
Test(canon, digest_is_of_the_rows) {
    static const uint8_t bytes[] = {3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0,
                                    1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    static const bool edge[] = {false, true, true, false, false, true, true, false, false};
    uint8_t expected[PM_DIGEST_BYTES], found[PM_DIGEST_BYTES];
    pm_topology t = topology_of(3, edge);
    for (int kind = PM_SHA256; kind <= PM_BLAKE2S256; kind++) {
        cr_assert_eq(pmi_digest((pm_digest_kind)kind, bytes, sizeof bytes, expected, NULL), PM_OK);
        cr_assert_eq(pmi_topology_digest(&t, (pm_digest_kind)kind, found, NULL), PM_OK);
        cr_assert_arr_eq(found, expected, PM_DIGEST_BYTES);
    }
    pmi_topology_free(&t);
}

static void count_warnings(void *ctx, pm_log_level level, const char *text) {
    int *count = ctx;
    *count += level == PM_LOG_WARNING && strstr(text, "keeps the order of the file") != NULL;
}

Test(canon, when_its_time_is_over_the_order_stays) {
    int warnings = 0;
    pm_log log = {.ctx = &warnings, .line = count_warnings};
    bool *edge = ring_digraph(9);
    pm_topology t = topology_of(9, edge);
    pm_canon canon;
    double none = -1;
    cr_assert_eq(pmi_canon_find(&t, PM_EFFORT_FAST, &none, &canon, NULL), PM_OK);
    pmi_canon_log(&canon, &log);
    cr_assert(canon.as_given);
    cr_assert_eq(warnings, 1);
    cr_assert_eq(canon.name[7], 7u);
    cr_assert(same_topology(&t, &canon.topology));
    pm_canon found = canon_of(&t, PM_EFFORT_FAST);
    cr_assert_not(found.as_given);
    cr_assert_arr_neq(found.key, canon.key, PM_DIGEST_BYTES);
    pmi_canon_log(&found, &log);
    cr_assert_eq(warnings, 1);
    pmi_canon_free(&found);
    pmi_canon_free(&canon);
    cr_assert_null(canon.name);
    pmi_topology_free(&t);
    free(edge);
}

Test(canon, one_time_is_for_all_sccs_and_none_is_for_those_that_refinement_tells) {
    bool *ring = ring_digraph(9), *grid = grid_digraph(7, 7);
    pm_topology first = topology_of(9, ring), second = topology_of(49, grid);
    double seconds = 5;
    pm_canon canon;
    cr_assert_eq(pmi_canon_find(&first, PM_EFFORT_FAST, &seconds, &canon, NULL), PM_OK);
    cr_assert(!canon.as_given && seconds > 0 && seconds < 5, "%g s are left", seconds);
    pmi_canon_free(&canon);
    double left = seconds;
    cr_assert_eq(pmi_canon_find(&second, PM_EFFORT_FAST, &seconds, &canon, NULL), PM_OK);
    cr_assert(!canon.as_given && seconds > 0 && seconds < left, "%g s are left of %g", seconds, left);
    pmi_canon_free(&canon);
    seconds = 1e-9; /* over by the first look at the clock */
    cr_assert_eq(pmi_canon_find(&second, PM_EFFORT_FAST, &seconds, &canon, NULL), PM_OK);
    cr_assert(canon.as_given && seconds < 0);
    pmi_canon_free(&canon);
    cr_assert_eq(pmi_canon_find(&first, PM_EFFORT_FAST, &seconds, &canon, NULL), PM_OK);
    cr_assert(canon.as_given);
    pmi_canon_free(&canon);
    ring[0 * 9 + 4] = true; /* no two vertices are alike any more */
    pm_topology third = topology_of(9, ring);
    cr_assert_eq(pmi_canon_find(&third, PM_EFFORT_FAST, &seconds, &canon, NULL), PM_OK);
    cr_assert_not(canon.as_given);
    pmi_canon_free(&canon);
    pmi_topology_free(&first);
    pmi_topology_free(&second);
    pmi_topology_free(&third);
    free(ring);
    free(grid);
}
