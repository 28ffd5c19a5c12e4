#include "peer_klu.h"

#include <klu.h>
#include <metis.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

enum { ORDER_AMD, ORDER_COLAMD, ORDER_METIS, N_ORDERS };
enum { NUMBER_FILE, NUMBER_PROGRAM, N_NUMBERINGS };

/* An edge between transient states, or from one into absorption. */
typedef struct entry {
    int from, to; /* to == -1: absorption */
    size_t edge;  /* of the graph */
} entry;

struct bench_klu {
    klu_common common;
    klu_symbolic *symbolic;
    klu_numeric *numeric;
    int ordering, numbering;
    int n, *col, *row; /* Lambda - W in columns */
    double *value, *x;
    double *fixed; /* what the edges without parameters add to `value` */
    size_t n_params;

    /* edges with parameters: their coefficients, and where they add to `value`, off the diagonal (-1: absorbed) and on
     * it */
    size_t n_edges;
    double *coef; /* n_edges x P */
    int *off, *diagonal;

    size_t n_starts;
    int *start; /* number of the state, or -1 */
    double *start_weight;
};

static void *need(void *p) {
    if (p == NULL) {
        fprintf(stderr, "no memory for KLU's matrix\n");
        exit(PM_EOSERR);
    }
    return p;
}

static void number_states(const pm_model *m, int numbering, int *number) {
    int next = 0;
    for (uint32_t v = 0; v < m->analysis.graph->n_vertices; v++) {
        uint32_t at = m->program.position[v];
        number[v] = at == PM_NONE ? -1 : numbering == NUMBER_PROGRAM ? (int)at : next++;
    }
}

static size_t list_entries(const pm_model *m, const int *number, entry *entries) {
    const pm_graph *g = m->analysis.graph;
    size_t n = 0;
    for (size_t e = 0; e < g->n_edges; e++) {
        if (number[g->from[e]] >= 0 && !pmi_graph_weight_is_zero(g, g->weight[e])) {
            entries[n++] = (entry){number[g->from[e]], number[g->to[e]], e};
        }
    }
    return n;
}

/* Column pointers and rows: the diagonal first, then a row for each entry, doubles included. */
static void scatter(bench_klu *k, const entry *entries, size_t n_entries) {
    for (size_t e = 0; e < n_entries; e++) {
        if (entries[e].to >= 0) {
            k->col[entries[e].to + 2]++;
        }
    }
    for (int j = 0; j < k->n; j++) {
        k->col[j + 2] += k->col[j + 1] + 1;
    }
    for (int j = 0; j < k->n; j++) {
        k->row[k->col[j + 1]++] = j;
    }
    for (size_t e = 0; e < n_entries; e++) {
        if (entries[e].to >= 0) {
            k->row[k->col[entries[e].to + 1]++] = entries[e].from;
        }
    }
}

/* Doubles out; `last` (n) is scratch. */
static void merge_doubles(bench_klu *k, int *last) {
    int kept = 0, begin = 0;
    memset(last, 0xff, (size_t)k->n * sizeof *last);
    for (int j = 0; j < k->n; j++) {
        int end = k->col[j + 1];
        for (int q = begin; q < end; q++) {
            int i = k->row[q];
            if (last[i] != j) {
                last[i] = j;
                k->row[kept++] = i;
            }
        }
        begin = end;
        k->col[j + 1] = kept;
    }
}

static int find(const bench_klu *k, int row, int col) {
    for (int p = k->col[col]; p < k->col[col + 1]; p++) {
        if (k->row[p] == row) {
            return p;
        }
    }
    return -1;
}

static void add(double *value, int diagonal, int off, double weight) {
    value[diagonal] += weight;
    if (off >= 0) {
        value[off] -= weight;
    }
}

static void place_entries(const pm_graph *g, bench_klu *k, const entry *entries, size_t n_entries) {
    size_t width = k->n_params;
    for (size_t e = 0; e < n_entries; e++) {
        const double *weight = g->weights + (size_t)g->weight[entries[e].edge] * (1 + width);
        int diagonal = find(k, entries[e].from, entries[e].from);
        int off = entries[e].to >= 0 ? find(k, entries[e].from, entries[e].to) : -1;
        add(k->fixed, diagonal, off, weight[0]);
        bool has_params = false;
        for (size_t p = 0; p < width; p++) {
            has_params = has_params || weight[1 + p] != 0;
        }
        if (has_params) {
            memcpy(k->coef + k->n_edges * width, weight + 1, width * sizeof *weight);
            k->diagonal[k->n_edges] = diagonal;
            k->off[k->n_edges++] = off;
        }
    }
}

static void build_matrix(const pm_model *m, const int *number, bench_klu *k) {
    const pm_graph *g = m->analysis.graph;
    size_t n = (size_t)k->n, edges = g->n_edges;
    entry *entries = need(pmi_malloc(edges, sizeof *entries));
    size_t n_entries = list_entries(m, number, entries);
    k->col = need(pmi_calloc(n + 2, sizeof *k->col));
    k->row = need(pmi_malloc(n_entries + n, sizeof *k->row));
    scatter(k, entries, n_entries);
    int *last = need(pmi_malloc(n, sizeof *last));
    merge_doubles(k, last);
    free(last);
    k->value = need(pmi_calloc((size_t)k->col[n], sizeof *k->value));
    k->fixed = need(pmi_calloc((size_t)k->col[n], sizeof *k->fixed));
    k->coef = need(pmi_malloc(n_entries * g->n_params, sizeof *k->coef));
    k->off = need(pmi_malloc(n_entries, sizeof *k->off));
    k->diagonal = need(pmi_malloc(n_entries, sizeof *k->diagonal));
    place_entries(g, k, entries, n_entries);
    free(entries);
}

static void build_start(const pm_graph *g, const int *number, bench_klu *k) {
    k->n_starts = g->n_starts;
    k->start = need(pmi_malloc(g->n_starts, sizeof *k->start));
    k->start_weight = need(pmi_malloc(g->n_starts, sizeof *k->start_weight));
    for (size_t s = 0; s < g->n_starts; s++) {
        k->start[s] = number[g->start_to[s]];
        k->start_weight[s] = g->weights[(size_t)g->start_weight[s] * (1 + g->n_params)];
    }
}

static void fill_values(bench_klu *k, const double *theta) {
    memcpy(k->value, k->fixed, (size_t)k->col[k->n] * sizeof *k->value);
    const double *coef = k->coef;
    for (size_t e = 0; e < k->n_edges; e++, coef += k->n_params) {
        double weight = 0;
        for (size_t p = 0; p < k->n_params; p++) {
            weight += coef[p] * theta[p];
        }
        add(k->value, k->diagonal[e], k->off[e], weight);
    }
}

double bench_klu_theta(bench_klu *k, const double *theta, size_t n_moments, double *moments) {
    double begin = pmi_thread_seconds();
    fill_values(k, theta);
    klu_refactor(k->col, k->row, k->value, k->symbolic, k->numeric, &k->common);
    for (int i = 0; i < k->n; i++) {
        k->x[i] = 1;
    }
    for (size_t order = 1; order <= n_moments; order++) {
        for (int i = 0; i < k->n && order > 1; i++) {
            k->x[i] *= (double)order;
        }
        klu_solve(k->symbolic, k->numeric, k->n, 1, k->x, &k->common);
        moments[order - 1] = 0;
        for (size_t s = 0; s < k->n_starts; s++) {
            moments[order - 1] += k->start[s] < 0 ? 0 : k->start_weight[s] * k->x[k->start[s]];
        }
    }
    return pmi_thread_seconds() - begin;
}

/* The pattern of A + A' without its diagonal: rows first[j]..first[j+1] of `to`. */
static void undirected(int n, const int *col, const int *row, idx_t *first, idx_t *to, idx_t *seen) {
    for (int j = 0; j < n; j++) {
        for (int p = col[j]; p < col[j + 1]; p++) {
            first[j + 2]++, first[row[p] + 2]++;
        }
    }
    for (int j = 0; j < n; j++) {
        first[j + 2] += first[j + 1];
    }
    for (int j = 0; j < n; j++) {
        for (int p = col[j]; p < col[j + 1]; p++) {
            to[first[j + 1]++] = row[p], to[first[row[p] + 1]++] = j;
        }
    }
    memset(seen, 0xff, (size_t)n * sizeof *seen);
    for (idx_t j = 0, p = 0, kept = 0; j < n; j++) {
        idx_t end = first[j + 1];
        for (; p < end; p++) {
            if (to[p] != j && seen[to[p]] != j) {
                seen[to[p]] = j;
                to[kept++] = to[p];
            }
        }
        first[j + 1] = kept;
    }
}

/* KLU's hook for an ordering of its blocks; returns a guess of the factor's entries, which KLU only reports. */
static int metis_order(int n, int *col, int *row, int *order, klu_common *common) {
    (void)common;
    idx_t *first = need(pmi_calloc((size_t)n + 2, sizeof *first));
    idx_t *to = need(pmi_malloc(2 * (size_t)col[n], sizeof *to));
    idx_t *inverse = need(pmi_malloc((size_t)n, sizeof *inverse)), *seen = need(pmi_malloc((size_t)n, sizeof *seen));
    undirected(n, col, row, first, to, seen);
    idx_t count = n;
    int status = METIS_NodeND(&count, first, to, NULL, NULL, order, inverse);
    free(first);
    free(to);
    free(inverse);
    free(seen);
    return status == METIS_OK ? 2 * col[n] : 0;
}

static void drop_factors(bench_klu *k) {
    klu_free_numeric(&k->numeric, &k->common);
    klu_free_symbolic(&k->symbolic, &k->common);
}

/* Analyses and factors with one ordering; false when KLU gives up. */
static bool factor(bench_klu *k, int ordering, const double *theta) {
    klu_defaults(&k->common);
    k->ordering = ordering;
    k->common.ordering = ordering == ORDER_METIS ? 3 : ordering;
    k->common.user_order = metis_order;
    k->common.scale = -1;
    k->symbolic = klu_analyze(k->n, k->col, k->row, &k->common);
    fill_values(k, theta);
    k->numeric = k->symbolic == NULL ? NULL : klu_factor(k->col, k->row, k->value, k->symbolic, &k->common);
    return k->numeric != NULL;
}

static bench_klu *open_numbered(const pm_model *m, int numbering) {
    bench_klu *k = need(pmi_calloc(1, sizeof *k));
    int *number = need(pmi_malloc(m->analysis.graph->n_vertices, sizeof *number));
    number_states(m, numbering, number);
    k->numbering = numbering;
    k->n = (int)m->program.n;
    k->n_params = m->analysis.graph->n_params;
    k->x = need(pmi_malloc((size_t)k->n, sizeof *k->x));
    build_matrix(m, number, k);
    build_start(m->analysis.graph, number, k);
    free(number);
    return k;
}

/* The fastest ordering for this numbering, left factored; its seconds. */
static double choose_ordering(bench_klu *k, const double *theta) {
    double best = 1e300, moment;
    int chosen = -1;
    for (int ordering = 0; ordering < N_ORDERS; ordering++) {
        if (factor(k, ordering, theta)) {
            double seconds[3];
            for (size_t i = 0; i < 3; i++) {
                seconds[i] = bench_klu_theta(k, theta + i * k->n_params, 1, &moment);
            }
            double median = bench_median(seconds, 3);
            if (median < best) {
                best = median, chosen = ordering;
            }
        }
        drop_factors(k);
    }
    if (chosen < 0 || !factor(k, chosen, theta)) {
        fprintf(stderr, "KLU cannot factor this model\n");
        exit(EXIT_FAILURE);
    }
    return best;
}

bench_klu *bench_klu_open(const pm_model *m, const double *theta) {
    bench_klu *best = NULL;
    double best_seconds = 0;
    for (int numbering = 0; numbering < N_NUMBERINGS; numbering++) {
        bench_klu *k = open_numbered(m, numbering);
        double seconds = choose_ordering(k, theta);
        bool is_better = best == NULL || seconds < best_seconds;
        bench_klu_close(is_better ? best : k);
        if (is_better) {
            best = k, best_seconds = seconds;
        }
    }
    return best;
}

void bench_klu_close(bench_klu *k) {
    if (k == NULL) {
        return;
    }
    drop_factors(k);
    void *owned[] = {k->col, k->row, k->value, k->x, k->fixed, k->coef, k->off, k->diagonal, k->start, k->start_weight};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        free(owned[i]);
    }
    free(k);
}

const char *bench_klu_ordering(const bench_klu *k) {
    return k->ordering == ORDER_AMD ? "AMD" : k->ordering == ORDER_COLAMD ? "COLAMD" : "METIS";
}

const char *bench_klu_numbering(const bench_klu *k) {
    return k->numbering == NUMBER_FILE ? "file" : "program";
}
