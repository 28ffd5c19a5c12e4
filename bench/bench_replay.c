/* Replay of moments against SuiteSparse KLU (numeric refactorisation and solve, values included), both in one process,
 * in turn. Usage: bench_replay [model args...]; without arguments, the models of docs/benchmarks.md.
 *
 * KLU gets its best of AMD and COLAMD, block triangular form, no scaling, analysis and first factorisation outside the
 * time, and the same table of distinct weights for its values. Times are medians of thread CPU time (one thread), and
 * best wall times for two threads. */
#include <klu.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "graph/weights.h"

#define ROUNDS 7

typedef struct klu_case {
    klu_common common;
    klu_symbolic *symbolic;
    klu_numeric *numeric;
    int n, *col, *row; /* A in columns */
    double *value, *x, *weights;
    /* where each edge of the program adds to `value`: off the diagonal (-1: none) and on it */
    size_t n_edges;
    int *off, *diagonal;
    uint32_t *weight;
} klu_case;

static int find(const klu_case *k, int row, int col) {
    for (int p = k->col[col]; p < k->col[col + 1]; p++) {
        if (k->row[p] == row) {
            return p;
        }
    }
    return -1;
}

/* Lambda - W by positions: entry (i, j) stands in column j. */
static void build_pattern(const pm_program *p, klu_case *k) {
    size_t n = p->n, edges = p->inner_row[n] + p->exit_row[n] + p->absorb_row[n];
    k->n = (int)n;
    k->col = calloc(n + 2, sizeof *k->col);
    k->row = malloc((edges + n) * sizeof *k->row);
    k->off = malloc(edges * sizeof *k->off);
    k->diagonal = malloc(edges * sizeof *k->diagonal);
    k->weight = malloc(edges * sizeof *k->weight);
    int *from = malloc(edges * sizeof *from), *to = malloc(edges * sizeof *to);
    for (uint32_t c = 0; c < p->n_components; c++) {
        const pm_component *s = &p->components[c];
        for (uint32_t i = s->first; i < s->first + s->n; i++) {
            for (size_t e = p->inner_row[i]; e < p->inner_row[i + 1]; e++) {
                from[k->n_edges] = (int)i, to[k->n_edges] = (int)(s->first + p->inner_col[e]);
                k->weight[k->n_edges++] = p->inner_weight[e];
            }
            for (size_t e = p->exit_row[i]; e < p->exit_row[i + 1]; e++) {
                from[k->n_edges] = (int)i, to[k->n_edges] = (int)p->exit_to[e];
                k->weight[k->n_edges++] = p->exit_weight[e];
            }
            for (size_t e = p->absorb_row[i]; e < p->absorb_row[i + 1]; e++) {
                from[k->n_edges] = (int)i, to[k->n_edges] = -1;
                k->weight[k->n_edges++] = p->absorb_weight[e];
            }
        }
    }
    /* columns: the diagonal first, then each edge once */
    for (size_t e = 0; e < k->n_edges; e++) {
        if (to[e] >= 0) {
            k->col[to[e] + 2]++;
        }
    }
    for (size_t j = 0; j < n; j++) {
        k->col[j + 2] += k->col[j + 1] + 1;
    }
    for (size_t j = 0; j < n; j++) {
        k->row[k->col[j + 1]++] = (int)j;
    }
    for (size_t e = 0; e < k->n_edges; e++) {
        if (to[e] >= 0) {
            k->row[k->col[to[e] + 1]++] = from[e];
        }
    }
    int kept = 0, begin = 0;
    for (size_t j = 0; j < n; j++) {
        int end = k->col[j + 1], first = kept;
        for (int q = begin; q < end; q++) {
            bool seen = false;
            for (int r = first; r < kept && !seen; r++) {
                seen = k->row[r] == k->row[q];
            }
            if (!seen) {
                k->row[kept++] = k->row[q];
            }
        }
        begin = end;
        k->col[j + 1] = kept;
    }
    for (size_t e = 0; e < k->n_edges; e++) {
        k->diagonal[e] = find(k, from[e], from[e]);
        k->off[e] = to[e] >= 0 ? find(k, from[e], to[e]) : -1;
    }
    free(from);
    free(to);
}

static void fill_values(const pm_model *m, klu_case *k, const double *theta, size_t row) {
    pm_error err;
    bench_check(pm_weights_fill(m->graph, theta, row, 1, 1, k->weights, &err), &err);
    memset(k->value, 0, (size_t)k->col[k->n] * sizeof *k->value);
    for (size_t e = 0; e < k->n_edges; e++) {
        double w = k->weights[k->weight[e]];
        k->value[k->diagonal[e]] += w;
        if (k->off[e] >= 0) {
            k->value[k->off[e]] -= w;
        }
    }
}

static double klu_theta(const pm_model *m, klu_case *k, const double *theta, size_t row) {
    double begin = bench_thread_seconds();
    fill_values(m, k, theta, row);
    klu_refactor(k->col, k->row, k->value, k->symbolic, k->numeric, &k->common);
    for (int i = 0; i < k->n; i++) {
        k->x[i] = 1;
    }
    klu_solve(k->symbolic, k->numeric, k->n, 1, k->x, &k->common);
    return bench_thread_seconds() - begin;
}

static double klu_prepare(const pm_model *m, klu_case *k, int ordering, const double *theta) {
    klu_defaults(&k->common);
    k->common.ordering = ordering;
    k->common.scale = -1;
    k->symbolic = klu_analyze(k->n, k->col, k->row, &k->common);
    fill_values(m, k, theta, 0);
    k->numeric = klu_factor(k->col, k->row, k->value, k->symbolic, &k->common);
    if (k->numeric == NULL) {
        fprintf(stderr, "KLU cannot factor this model\n");
        exit(EXIT_FAILURE);
    }
    double t[3];
    for (int i = 0; i < 3; i++) {
        t[i] = klu_theta(m, k, theta, (size_t)i);
    }
    return bench_median(t, 3);
}

static void klu_drop(klu_case *k) {
    klu_free_numeric(&k->numeric, &k->common);
    klu_free_symbolic(&k->symbolic, &k->common);
}

static void klu_open(const pm_model *m, klu_case *k, const double *theta) {
    *k = (klu_case){0};
    build_pattern(&m->program, k);
    k->value = malloc((size_t)k->col[k->n] * sizeof *k->value);
    k->x = malloc((size_t)k->n * sizeof *k->x);
    k->weights = malloc(m->graph->n_weights * sizeof *k->weights);
    double amd = klu_prepare(m, k, 0, theta);
    klu_drop(k);
    double colamd = klu_prepare(m, k, 1, theta);
    if (amd < colamd) {
        klu_drop(k);
        klu_prepare(m, k, 0, theta);
    }
}

static void klu_close(klu_case *k) {
    klu_drop(k);
    free(k->col);
    free(k->row);
    free(k->value);
    free(k->x);
    free(k->weights);
    free(k->off);
    free(k->diagonal);
    free(k->weight);
}

static double replay(const pm_model *m, const double *theta, size_t rows, unsigned threads, double *out) {
    pm_request request = {.n_theta = rows, .theta = theta, .n_moments = 1, .threads = threads};
    pm_result result = {.moments = out};
    pm_error err;
    double begin = threads == 1 ? bench_thread_seconds() : pm_seconds();
    bench_check(pm_evaluate(m, &request, &result, &err), &err);
    return (threads == 1 ? bench_thread_seconds() : pm_seconds()) - begin;
}

static double start_mean(const pm_model *m, const klu_case *k) {
    double mean = 0;
    for (size_t s = 0; s < m->graph->n_starts; s++) {
        uint32_t at = m->program.position[m->graph->start_to[s]];
        mean += at == PM_NONE ? 0 : k->weights[m->graph->start_weight[s]] * k->x[at];
    }
    return mean;
}

static void run(const char *model, const int64_t *args, size_t n_args, size_t rows) {
    pm_graph *graph = bench_graph(model, args, n_args);
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    options.threads = 1;
    options.isa = getenv("PHASEMILL_ISA");
    pm_model *m;
    pm_model_report report;
    pm_error err;
    double begin = bench_thread_seconds();
    bench_check(pm_model_new(graph, &options, &m, &report, &err), &err);
    double record = bench_thread_seconds() - begin;
    double *theta = bench_theta(graph, rows), *out = malloc(rows * sizeof *out);
    klu_case k;
    klu_open(m, &k, theta);
    double klu[ROUNDS], one[ROUNDS], two = 1e300;
    for (int r = 0; r < ROUNDS; r++) {
        size_t turns = rows < 8 ? rows : 8;
        klu[r] = 0;
        for (size_t i = 0; i < turns; i++) {
            klu[r] += klu_theta(m, &k, theta, i) / (double)turns;
        }
        one[r] = replay(m, theta, rows, 1, out) / (double)rows;
        two = fmin(two, replay(m, theta, rows, 2, out) / (double)rows);
    }
    klu_theta(m, &k, theta, 0);
    double difference = fabs(start_mean(m, &k) - out[0]) / out[0];
    double klu_time = bench_median(klu, ROUNDS), one_time = bench_median(one, ROUNDS);
    char name[64];
    int used = snprintf(name, sizeof name, "%s", model);
    for (size_t i = 0; i < n_args; i++) {
        used += snprintf(name + used, sizeof name - (size_t)used, " %lld", (long long)args[i]);
    }
    printf("%-24s %7u %6u %9.1f %9.2f %7.1fx %9.2f %6.2fx %9.1f %7.1f %9.1e\n", name, m->program.n,
           m->split.n_nontrivial, 1e6 * klu_time, 1e6 * one_time, klu_time / one_time, 1e6 * two, one_time / two,
           1e3 * record, record / klu_time, difference);
    fflush(stdout);
    klu_close(&k);
    free(theta);
    free(out);
    pm_model_free(m);
    pm_graph_free(graph);
}

int main(int argc, char **argv) {
    bench_print_machine();
    printf("%-24s %7s %6s %9s %9s %8s %9s %7s %9s %7s %9s\n", "model", "states", "SCCs", "KLU us", "1 thr us", "ratio",
           "2 thr us", "1thr/2", "record ms", "in KLU", "differ by");
    if (argc > 1) {
        int64_t args[8];
        size_t n = 0;
        for (int i = 2; i < argc && n < 8; i++) {
            args[n++] = strtoll(argv[i], NULL, 10);
        }
        run(argv[1], args, n, 1024);
        return 0;
    }
    run("islands", (int64_t[]){100}, 1, 1024);
    run("jsfs", (int64_t[]){6, 6}, 2, 1024);
    run("rabbits", (int64_t[]){300}, 1, 1024);
    run("random", (int64_t[]){2000, 50, 1, 1}, 4, 1024);
    run("random", (int64_t[]){2000, 50, 3, 1}, 4, 256);
    run("tandem", (int64_t[]){30, 30}, 2, 1024);
    run("tandem", (int64_t[]){100, 100}, 2, 64);
    return 0;
}
