/* The example models against published sizes (phasic's documentation and paper, Røikjer, Hobolth and Munch 2022), files
 * written by phasic 0.32.1, closed forms, and counts that follow from a state alone. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "examples/models.h"
#include "examples/models_explore.h"

typedef struct sizes {
    size_t vertices, edges, sccs, nontrivial, largest; /* start vertex, start edge and absorbing states included */
} sizes;

static pm_graph *make(const char *name, int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t args[PM_MODEL_MAX_ARGS] = {a, b, c, d};
    const pm_model_info *info = pmi_model_find(name);
    cr_assert_not_null(info, "%s", name);
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pmi_model_make(info, args, &g, &err), PM_OK, "%s: %s", name, err.text);
    return g;
}

static const double *coef(const pm_graph *g, size_t edge) {
    return g->weights + (size_t)g->weight[edge] * (g->n_params + 1) + 1;
}

static const int32_t *state_of(const pm_graph *g, uint32_t row) {
    return g->states + (size_t)row * g->state_length;
}

static int64_t lineages(const pm_graph *g, uint32_t row, uint32_t first, uint32_t count) {
    int64_t sum = 0;
    for (uint32_t i = first; i < first + count; i++) {
        sum += state_of(g, row)[i];
    }
    return sum;
}

/* ---- strongly connected components by Kosaraju's method: independent of the library's ------------------ */

/* Arcs by row of `key`: row[v]..row[v+1] into `end`. */
static void adjacency(const pm_graph *g, const uint32_t *key, const uint32_t *other, size_t *row, uint32_t *end) {
    memset(row, 0, (g->n_vertices + 1) * sizeof *row);
    for (size_t e = 0; e < g->n_edges; e++) {
        row[key[e] + 1]++;
    }
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        row[v + 1] += row[v];
    }
    for (size_t e = g->n_edges; e-- > 0;) {
        end[--row[key[e] + 1]] = other[e];
    }
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        row[v] = row[v + 1];
    }
    row[g->n_vertices] = g->n_edges;
}

/* Visits what can be reached from `root` and was not visited before; appends it in the order in which it is left. */
static size_t visit(const size_t *row, const uint32_t *end, uint32_t root, bool *seen, uint32_t *stack, size_t *next,
                    uint32_t *left) {
    size_t depth = 1, n = 0;
    stack[0] = root;
    next[0] = row[root];
    seen[root] = true;
    while (depth > 0) {
        uint32_t v = stack[depth - 1];
        if (next[depth - 1] == row[v + 1]) {
            left[n++] = v;
            depth--;
            continue;
        }
        uint32_t w = end[next[depth - 1]++];
        if (!seen[w]) {
            seen[w] = true;
            stack[depth] = w;
            next[depth++] = row[w];
        }
    }
    return n;
}

/* Measures; where `component` is not NULL, the number of each row's component. */
static sizes measure(const pm_graph *g, uint32_t *component) {
    size_t n = g->n_vertices, *row = pmi_malloc(n + 1, sizeof *row), *next = pmi_malloc(n, sizeof *next);
    uint32_t *end = pmi_malloc(g->n_edges, sizeof *end), *stack = pmi_malloc(n, sizeof *stack);
    uint32_t *left = pmi_malloc(n, sizeof *left), *found = pmi_malloc(n, sizeof *found);
    bool *seen = pmi_calloc(n, sizeof *seen);
    sizes s = {.vertices = n, .edges = g->n_edges + g->n_starts};
    adjacency(g, g->from, g->to, row, end);
    size_t n_left = 0;
    for (uint32_t v = 0; v < n; v++) {
        n_left += seen[v] ? 0 : visit(row, end, v, seen, stack, next, left + n_left);
    }
    cr_assert_eq(n_left, n);
    adjacency(g, g->to, g->from, row, end);
    memset(seen, 0, n * sizeof *seen);
    for (size_t i = n; i-- > 0;) {
        size_t size = seen[left[i]] ? 0 : visit(row, end, left[i], seen, stack, next, found);
        for (size_t k = 0; k < size && component != NULL; k++) {
            component[found[k]] = (uint32_t)s.sccs;
        }
        s.sccs += size > 0;
        s.nontrivial += size > 1;
        s.largest = size > s.largest ? size : s.largest;
    }
    free(seen), free(found), free(left), free(stack), free(end), free(next), free(row);
    return s;
}

/* ---- moments by dense elimination with long doubles ----------------------------------------------------- */

/* E[T] and E[T^2] from row 1. */
static void solve(const pm_graph *g, const double *theta, double moment[2]) {
    size_t n = g->n_vertices, w = n + 1;
    long double *a = pmi_calloc(n * w, sizeof *a), *mean = pmi_calloc(n, sizeof *mean);
    for (int power = 1; power <= 2; power++) {
        memset(a, 0, n * w * sizeof *a);
        for (size_t e = 0; e < g->n_edges; e++) {
            double rate = pmi_graph_weight(g, g->weight[e], theta);
            a[g->from[e] * w + g->from[e]] += rate;
            a[g->from[e] * w + g->to[e]] -= rate;
        }
        for (size_t i = 0; i < n; i++) { /* absorbing states (and the start vertex): x = 0 */
            bool absorbing = a[i * w + i] == 0;
            a[i * w + i] += absorbing ? 1 : 0;
            a[i * w + n] = absorbing ? 0 : power == 1 ? 1 : 2 * mean[i];
        }
        for (size_t k = n; k-- > 0;) { /* from the last row: absorbing states come late */
            for (size_t i = 0; i < k; i++) {
                long double f = a[i * w + k] / a[k * w + k];
                for (size_t j = 0; f != 0 && j <= k; j++) {
                    a[i * w + j] -= f * a[k * w + j];
                }
                a[i * w + n] -= f * a[k * w + n];
            }
        }
        for (size_t i = 0; i < n; i++) {
            long double x = a[i * w + n];
            for (size_t j = 0; j < i; j++) {
                x -= a[i * w + j] * mean[j];
            }
            a[i * w + n] = x;
            mean[i] = x / a[i * w + i];
        }
        moment[power - 1] = (double)mean[1];
    }
    free(mean);
    free(a);
}

static double mean_of(const char *name, int64_t a, int64_t b, const double *theta) {
    pm_graph *g = make(name, a, b, 0, 0);
    double moment[2];
    solve(g, theta, moment);
    pm_graph_free(g);
    return moment[0];
}

#define assert_near(x, y, tolerance) cr_assert(fabs((x) - (y)) <= (tolerance)*fabs(y), "%.17g, not %.17g", (x), (y))

/* ---- what holds for every model -------------------------------------------------------------------------- */

static size_t count_words(const char *text) {
    size_t n = 0;
    for (const char *at = text; *at != '\0'; at++) {
        n += *at != ' ' && (at == text || at[-1] == ' ');
    }
    return n;
}

/* Row 0 is the start vertex, every other row is first met (as a target) after those before it, states of rows differ.
 */
static void check_rows(const pm_graph *g, const char *name) {
    cr_assert(g->has_start && g->n_starts == 1 && g->start_to[0] == 1, "%s", name);
    cr_assert_eq(pmi_graph_weight(g, g->start_weight[0], (const double[8]){0}), 1.0, "%s", name);
    for (uint32_t i = 0; i < g->state_length; i++) {
        cr_assert_eq(g->states[i], 0, "%s", name);
    }
    uint32_t met = 1;
    for (size_t e = 0; e < g->n_edges; e++) {
        cr_assert(e == 0 || g->from[e - 1] <= g->from[e], "%s", name);
        cr_assert(g->from[e] != g->to[e] && g->from[e] <= met && g->to[e] <= met + 1, "%s: edge %zu", name, e);
        met = g->to[e] > met ? g->to[e] : met;
    }
    cr_assert_eq(met + 1, g->n_vertices, "%s", name);
    for (uint32_t v = 1; v < g->n_vertices; v++) {
        for (uint32_t w = 1; w < v; w++) {
            cr_assert(memcmp(state_of(g, v), state_of(g, w), g->state_length * sizeof *g->states) != 0, "%s", name);
        }
    }
}

Test(models, every_preset_keeps_the_convention) {
    size_t n;
    const pm_model_info *models = pmi_models(&n);
    cr_assert_geq(n, 9);
    for (const pm_model_info *m = models; m < models + n; m++) {
        int64_t args[PM_MODEL_MAX_ARGS] = {0};
        for (size_t k = 0; m->args[k].name != NULL; k++) {
            args[k] = m->args[k].default_value;
            cr_assert(m->args[k].minimum <= args[k] && args[k] <= m->args[k].maximum, "%s", m->name);
        }
        pm_graph *g = make(m->name, args[0], args[1], args[2], args[3]);
        cr_assert_eq(count_words(m->params), g->n_params, "%s", m->name);
        cr_assert_eq(pmi_model_find(m->name), m);
        if (strcmp(m->name, "random") != 0) {
            check_rows(g, m->name);
        }
        pm_graph_free(g);
    }
    cr_assert_null(pmi_model_find("kingmann"));
}

static void refused(const pm_model_info *m, const int64_t *args, const char *part) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pmi_model_make(m, args, &g, &err), PM_EUSAGE, "%s", m->name);
    cr_assert_null(g);
    cr_assert_not_null(strstr(err.text, m->name), "%s", err.text);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
}

Test(models, arguments_out_of_range_are_refused_by_name) {
    size_t n;
    const pm_model_info *models = pmi_models(&n);
    for (const pm_model_info *m = models; m < models + n; m++) {
        int64_t args[PM_MODEL_MAX_ARGS] = {0};
        for (size_t k = 0; m->args[k].name != NULL; k++) {
            args[k] = m->args[k].default_value;
        }
        for (size_t k = 0; m->args[k].name != NULL; k++) {
            int64_t default_value = args[k];
            args[k] = m->args[k].minimum - 1;
            refused(m, args, m->args[k].name);
            if (m->args[k].maximum < INT64_MAX) {
                args[k] = m->args[k].maximum + 1;
                refused(m, args, m->args[k].name);
            }
            args[k] = default_value;
        }
    }
}

Test(models, combinations_out_of_range_are_refused) {
    refused(pmi_model_find("islands"), (const int64_t[]){3, 4}, "second");
    refused(pmi_model_find("random"), (const int64_t[]){65536, 65536, 1, 1}, "65536 components");
}

/* ---- published sizes ------------------------------------------------------------------------------------- */

static void check_sizes(const char *name, int64_t a, int64_t b, sizes want) {
    pm_graph *g = make(name, a, b, 0, 0);
    sizes got = measure(g, NULL);
    pm_graph_free(g);
    bool same = memcmp(&got, &want, sizeof got) == 0;
    cr_assert(same, "%s %d %d: %zu vertices, %zu edges, %zu components, %zu nontrivial, the largest of %zu", name,
              (int)a, (int)b, got.vertices, got.edges, got.sccs, got.nontrivial, got.largest);
}

Test(models, acyclic_models_have_the_published_sizes) {
    check_sizes("kingman", 3, 0, (sizes){4, 3, 4, 0, 1});
    check_sizes("block-coalescent", 4, 0, (sizes){6, 6, 6, 0, 1});
    check_sizes("block-coalescent", 10, 0, (sizes){43, 115, 43, 0, 1});
    check_sizes("block-coalescent", 20, 0, (sizes){628, 3546, 628, 0, 1});
    check_sizes("erlang", 7, 0, (sizes){9, 8, 9, 0, 1});
}

Test(models, rabbits_have_the_published_sizes) {
    check_sizes("rabbits", 10, 0, (sizes){67, 221, 12, 10, 11});
    check_sizes("rabbits", 20, 0, (sizes){232, 841, 22, 20, 21});
    check_sizes("rabbits", 50, 0, (sizes){1327, 5101, 52, 50, 51});
    check_sizes("rabbits", 300, 1, (sizes){45452, 180601, 302, 300, 301});
}

Test(models, two_loci_have_the_published_sizes) {
    check_sizes("two-locus-arg", 2, 0, (sizes){10, 19, 6, 3, 3});
    check_sizes("two-locus-arg", 3, 0, (sizes){32, 108, 11, 8, 7});
    check_sizes("two-locus-arg", 4, 0, (sizes){110, 520, 27, 24, 12});
    check_sizes("two-locus-arg", 5, 1, (sizes){340, 2151, 51, 48, 17});
    check_sizes("two-locus-arg", 6, 0, (sizes){1044, 8099, 123, 120, 34});
    check_sizes("two-locus-arg", 7, 0, (sizes){2999, 28168, 227, 224, 68});
    check_sizes("two-locus-arg", 8, 0, (sizes){8407, 92198, 486, 483, 102});
    check_sizes("two-locus-arg", 9, 0, (sizes){22653, 286386, 902, 899, 164});
    check_sizes("two-locus-arg", 10, 0, (sizes){59522, 851972, 1766, 1763, 271});
}

Test(models, isolation_migration_has_the_published_sizes) {
    check_sizes("isolation-migration", 2, 2, (sizes){47, 161, 11, 8, 9});
    check_sizes("isolation-migration", 3, 3, (sizes){269, 1379, 33, 30, 18});
    check_sizes("isolation-migration", 4, 4, (sizes){1432, 9541, 111, 108, 36});
}

/* The start vertex and two absorbing states are no part of the published 6,768 and 29,917 states. */
Test(models, jsfs_has_the_published_sizes) {
    check_sizes("jsfs", 5, 5, (sizes){6768 + 3, 56107, 338 + 3, 338, 72});
    check_sizes("jsfs", 6, 6, (sizes){29917 + 3, 294935, 1042 + 3, 1042, 128});
    pm_graph *g = make("jsfs", 5, 5, 0, 0);
    cr_assert_eq(g->n_weights, 38 + 1); /* and that of the start edge */
    pm_graph_free(g);
}

Test(models, islands_and_queues_have_the_published_sizes) {
    check_sizes("islands", 10, 0, (sizes){66, 199, 12, 9, 11});
    check_sizes("islands", 10, 4, (sizes){66, 199, 12, 9, 11});
    check_sizes("islands", 100, 0, (sizes){5148 + 3, 19999, 99 + 3, 99, 101});
    check_sizes("birth-death", 20, 0, (sizes){22, 40, 3, 1, 20});
    check_sizes("mm1k", 30, 0, (sizes){32, 60, 3, 1, 30});
    check_sizes("tandem", 30, 30, (sizes){902, 2640, 3, 1, 900});
    check_sizes("tandem", 2, 3, (sizes){8, 13, 3, 1, 6});
}

/* ---- phasic's own files ----------------------------------------------------------------------------------- */

static void check_fixture(const char *path, int64_t n) {
    pm_graph *want = NULL, *got = make("two-locus-arg", n, 0, 0, 0);
    pm_error err;
    cr_assert_eq(pm_graph_load(path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &want, &err), PM_OK, "%s", err.text);
    cr_assert(got->n_vertices == want->n_vertices && got->state_length == want->state_length);
    cr_assert(got->n_params == want->n_params && got->n_edges == want->n_edges && got->n_starts == want->n_starts);
    cr_assert_arr_eq(got->states, want->states, want->n_vertices * want->state_length * sizeof *want->states);
    for (size_t e = 0; e < want->n_edges; e++) {
        cr_assert(got->from[e] == want->from[e] && got->to[e] == want->to[e], "edge %zu", e);
        cr_assert_arr_eq(coef(got, e), coef(want, e), want->n_params * sizeof(double), "edge %zu", e);
    }
    pm_graph_free(want);
    pm_graph_free(got);
}

Test(models, two_loci_are_row_for_row_those_of_phasic) {
    check_fixture(PM_SOURCE_DIR "/examples/phasic-0.32.1-arg3.json", 3);
    check_fixture(PM_SOURCE_DIR "/examples/phasic-0.32.1-arg4.json", 4);
}

/* ---- coefficients ------------------------------------------------------------------------------------------ */

/* The coefficients of every row, added up: sums (n_vertices x P). */
static double *sum_rows(const pm_graph *g) {
    double *sums = pmi_calloc((size_t)g->n_vertices * g->n_params, sizeof *sums);
    for (size_t e = 0; e < g->n_edges; e++) {
        for (uint32_t p = 0; p < g->n_params; p++) {
            sums[(size_t)g->from[e] * g->n_params + p] += coef(g, e)[p];
        }
    }
    return sums;
}

static double pairs(int64_t n) {
    return (double)(n * (n - 1)) / 2;
}

Test(models, kingman_of_three) {
    pm_graph *g = make("kingman", 3, 0, 0, 0);
    cr_assert_arr_eq(g->states, ((const int32_t[]){0, 3, 2, 1}), 4 * sizeof(int32_t));
    cr_assert(g->n_edges == 2 && g->from[0] == 1 && g->to[0] == 2 && g->from[1] == 2 && g->to[1] == 3);
    cr_assert(coef(g, 0)[0] == 3 && coef(g, 1)[0] == 1);
    pm_graph_free(g);
}

/* Every pair of lineages coalesces at rate 1, whatever the types. */
Test(models, blocks_coalesce_in_pairs) {
    pm_graph *g = make("block-coalescent", 12, 0, 0, 0);
    double *sums = sum_rows(g);
    for (uint32_t v = 1; v < g->n_vertices; v++) {
        int64_t descendants = 0;
        for (uint32_t i = 0; i < 12; i++) {
            descendants += state_of(g, v)[i] * (int64_t)(i + 1);
        }
        cr_assert_eq(descendants, 12);
        cr_assert_eq(sums[v], pairs(lineages(g, v, 0, 12)));
    }
    free(sums);
    pm_graph_free(g);
}

static void check_recombination(int64_t n, bool count) {
    pm_graph *g = make("two-locus-arg", n, count, 0, 0);
    double *sums = sum_rows(g);
    uint32_t width = (uint32_t)n + 1;
    for (uint32_t v = 1; v < g->n_vertices; v++) {
        const int32_t *state = state_of(g, v);
        int64_t total = lineages(g, v, 0, width * width), left = 0, right = 0, recombining = 0;
        for (uint32_t i = 0; i < width * width; i++) {
            left += state[i] * (int64_t)(i / width);
            right += state[i] * (int64_t)(i % width);
            recombining += i / width > 0 && i % width > 0 && state[i] > 0 ? (count ? state[i] : 1) : 0;
        }
        cr_assert(left == n && right == n && state[0] == 0);
        cr_assert_eq(sums[2 * v], pairs(total));
        cr_assert_eq(sums[2 * v + 1], total == 1 ? 0 : (double)recombining);
    }
    free(sums);
    pm_graph_free(g);
}

Test(models, two_loci_recombine_by_type_or_by_lineage) {
    check_recombination(4, false);
    check_recombination(4, true);
}

/* Migration of each lineage, coalescence of each pair in one place; own: the columns of theta for coalescence in 1 and
 * 2, and migration out of 1 and 2. */
static void check_islands(pm_graph *g, const uint32_t column[4]) {
    double *sums = sum_rows(g);
    uint32_t half = g->state_length / 2;
    for (uint32_t v = 1; v < g->n_vertices; v++) {
        int64_t n[2] = {lineages(g, v, 0, half), lineages(g, v, half, half)};
        double want[4] = {0};
        for (int side = 0; side < 2 && n[0] + n[1] > 1; side++) {
            want[column[side]] += pairs(n[side]);
            want[column[2 + side]] += (double)n[side];
        }
        cr_assert_arr_eq(sums + (size_t)v * g->n_params, want, g->n_params * sizeof *want, "row %u", v);
    }
    free(sums);
    pm_graph_free(g);
}

Test(models, islands_migrate_one_by_one_and_coalesce_in_pairs) {
    const uint32_t own[4] = {0, 1, 2, 3}, phasic[4] = {0, 0, 2, 1};
    check_islands(make("islands", 7, 3, 0, 0), own);
    check_islands(make("jsfs", 3, 2, 0, 0), own);
    check_islands(make("isolation-migration", 2, 4, 0, 0), phasic);
}

/* Descendants of both samples are kept: types are (i, j) at i * width + j. */
Test(models, joint_spectrum_states_keep_their_samples) {
    pm_graph *g = make("jsfs", 2, 3, 0, 0);
    const uint32_t width = 4;
    cr_assert_eq(g->state_length, 2 * width * width);
    cr_assert_eq(state_of(g, 1)[width], 2);
    cr_assert_eq(state_of(g, 1)[width * width + 1], 3);
    for (uint32_t v = 1; v < g->n_vertices; v++) {
        int64_t first = 0, second = 0;
        for (uint32_t i = 0; i < g->state_length; i++) {
            first += state_of(g, v)[i] * (int64_t)(i % (width * width) / width);
            second += state_of(g, v)[i] * (int64_t)(i % width);
        }
        cr_assert(first == 2 && second == 3, "row %u", v);
    }
    pm_graph_free(g);
}

Test(models, rabbits_jump_once_or_each) {
    for (int64_t count = 0; count < 2; count++) {
        pm_graph *g = make("rabbits", 6, count, 0, 0);
        double *sums = sum_rows(g);
        for (uint32_t v = 1; v < g->n_vertices; v++) {
            const int32_t *at = state_of(g, v);
            double left = at[0] > 0, right = at[1] > 0;
            cr_assert_eq(sums[3 * v], count ? at[0] + at[1] : left + right);
            cr_assert(sums[3 * v + 1] == left && sums[3 * v + 2] == right);
        }
        free(sums);
        pm_graph_free(g);
    }
}

/* ---- distributions ------------------------------------------------------------------------------------------- */

Test(models, closed_forms_of_the_mean) {
    assert_near(mean_of("kingman", 20, 0, (const double[]){1}), 2 * (1 - 1 / 20.0), 1e-14);
    assert_near(mean_of("block-coalescent", 9, 0, (const double[]){2}), 1 - 1 / 9.0, 1e-14);
    assert_near(mean_of("erlang", 7, 0, (const double[]){4}), 7 / 4.0, 1e-15);
    assert_near(mean_of("mm1k", 12, 0, (const double[]){2, 2}), 12 * 13 / 2.0 / 2, 1e-14);
    double l = 1, m = 1.5, k = 8;
    assert_near(mean_of("mm1k", 8, 0, (const double[]){l, m}),
                k / (l - m) - m / ((l - m) * (l - m)) * (1 - pow(m / l, k)), 1e-13);
    /* island model, each lineage migrates at M/2: d within, d + (d-1)/M between */
    double migration = 0.7;
    const double islands[] = {1, 1, migration / 2, migration / 2}, shared[] = {1, migration / 2, migration / 2};
    assert_near(mean_of("islands", 2, 0, islands), 2.0, 1e-14);
    assert_near(mean_of("islands", 2, 1, islands), 2 + 1 / migration, 1e-14);
    assert_near(mean_of("jsfs", 1, 1, islands), 2 + 1 / migration, 1e-14);
    assert_near(mean_of("isolation-migration", 1, 1, shared), 2 + 1 / migration, 1e-14);
}

/* Linear birth and death from one individual, capped at n: extinction takes sum over k of (birth/death)^(k-1) / (k
 * death). */
Test(models, birth_and_death_until_extinction) {
    double want = 0, birth = 0.8, death = 1.25;
    for (int k = 1; k <= 15; k++) {
        want += pow(birth / death, k - 1) / (k * death);
    }
    assert_near(mean_of("birth-death", 15, 0, (const double[]){birth, death}), want, 1e-14);
}

/* phasic 0.32.1: update_weights and moments at theta = (2, 5); its paper's rabbits have rates 1, 2, 4. */
Test(models, moments_are_those_of_phasic) {
    double moment[2];
    pm_graph *g = make("two-locus-arg", 5, 0, 0, 0);
    solve(g, (const double[]){2, 5}, moment);
    pm_graph_free(g);
    assert_near(moment[0], 1.2642720623023331, 1e-14);
    assert_near(moment[1], 2.1855944321379384, 1e-14);
    assert_near(mean_of("rabbits", 10, 0, (const double[]){1, 2, 4}), 0.53656, 1e-5);
}

/* With a fast second server, queue 1 is an M/M/1 queue that reaches 3 customers after 3 * 4 / 2 = 6. From there it
 * exits or serves with the same odds, and in the latter case is back after 3: m = 1/2 + (3 + m)/2 = 4 more. */
Test(models, tandem_with_a_fast_second_server_is_one_queue) {
    assert_near(mean_of("tandem", 4, 30, (const double[]){1, 1, 1e9, 1}), 6.0 + 4.0, 1e-6);
}

/* The published lambda * T, T four means and lambda the largest outflow: 243 at rates (3, .6, .6), 4.1e3 at 1. */
Test(models, tandem_has_the_published_mean) {
    double slow = mean_of("tandem", 30, 30, (const double[]){3, 0.6, 0.6, 1});
    cr_assert_eq(round(4 * slow * 4.6), 243, "%g", 4 * slow * 4.6); /* arrival, service 2 and exit */
    double even = mean_of("tandem", 30, 30, (const double[]){1, 1, 1, 1});
    cr_assert_eq(round(4 * even * 3 / 100), 41, "%g", 4 * even * 3);
}

/* ---- random components ------------------------------------------------------------------------------------- */

Test(models, random_components_are_strong_and_sized_as_asked) {
    for (int64_t seed = 0; seed < 20; seed++) {
        pm_graph *g = make("random", 13, 7, seed % 4, seed);
        uint32_t component[2 + 13 * 7];
        sizes s = measure(g, component);
        cr_assert(s.sccs == 13 + 2 && s.nontrivial == 13 && s.largest == 7);
        for (uint32_t v = 1; v < g->n_vertices - 1; v++) {
            uint32_t first = 1 + (v - 1) / 7 * 7;
            cr_assert_eq(component[v], component[first]);
            cr_assert(state_of(g, v)[0] == (int32_t)((v - 1) / 7 + 1) &&
                      state_of(g, v)[1] == (int32_t)((v - 1) % 7 + 1));
        }
        pm_graph_free(g);
    }
}

Test(models, random_draws_depend_on_the_seed_alone) {
    pm_graph *a = make("random", 9, 11, 2, 5), *b = make("random", 9, 11, 2, 5), *c = make("random", 9, 11, 2, 6);
    cr_assert_arr_eq(a->digest, b->digest, PM_DIGEST_BYTES);
    cr_assert(memcmp(a->digest, c->digest, PM_DIGEST_BYTES) != 0);
    pm_graph_free(a), pm_graph_free(b), pm_graph_free(c);
}

/* Expected edges: of the cycle 1 each, of `extra` draws those that are new, an exit to each two states and one more to
 * a component. The published sizes are 248k and 434k. */
Test(models, random_components_have_the_published_density) {
    pm_graph *g = make("random", 2000, 50, 1, 1);
    cr_assert(llabs((long long)g->n_edges - 248000) < 500, "%zu", g->n_edges);
    pm_graph_free(g);
    g = make("random", 2000, 50, 3, 1);
    cr_assert(llabs((long long)g->n_edges - 434000) < 700, "%zu", g->n_edges);
    pm_graph_free(g);
}

Test(models, random_components_of_one_state_form_a_chain) {
    pm_graph *g = make("random", 6, 1, 3, 2);
    sizes s = measure(g, NULL);
    cr_assert(s.vertices == 8 && s.sccs == 8 && s.nontrivial == 0 && s.edges >= 7);
    pm_graph_free(g);
}

/* ---- the explorer --------------------------------------------------------------------------------------------- */

static pm_status expand_and_fail(const void *model, pm_explorer *x, pm_error *err) {
    if (x->state[0] == *(const int32_t *)model) {
        return pmi_fail(err, PM_ESOFTWARE, "the rule gives up at %d", x->state[0]);
    }
    pmi_explorer_change(x, 0, 1);
    return pmi_explorer_edge(x, 0, 1, err);
}

Test(models, an_error_of_the_rule_ends_the_exploration) {
    const int32_t last = 5000, first = 0;
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pmi_explore(1, 1, &first, expand_and_fail, &last, &g, &err), PM_ESOFTWARE);
    cr_assert_str_eq(err.text, "the rule gives up at 5000");
    cr_assert_null(g);
}
