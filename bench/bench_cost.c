/* What recording an SCC costs, beside what pmi_record_cost says: how units are cut and placed.
 *
 * Usage: bench_cost [MODEL ARGS...]
 * For each model and effort: microseconds of processor time to record its distinct SCCs, what the estimate for effort
 * `balanced` adds up to, and the quotient; then the least and the largest quotient of one SCC over the median one, of
 * those that took 100 us or more: a spread that the estimate does not see. `each` prints every SCC instead. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "wire/units.h"

/* SCCs below this are summed, but are too small to be timed one by one. */
#define TIMED_LEAST 1e-4

typedef struct sums {
    double seconds, estimate;
    double *quotients;
    size_t n;
} sums;

static double record(const pm_canon *canon, pm_effort effort) {
    const pm_record_options options = {.effort = effort, .memory = (size_t)4 << 30, .isa = PM_ISA_X86_64_V2};
    pm_plan plan;
    pm_error err;
    double begin = pmi_thread_seconds();
    bench_check(pmi_record(canon, &options, &plan, &err), &err);
    double seconds = pmi_thread_seconds() - begin;
    pmi_plan_free(&plan);
    return seconds;
}

static void add(sums *s, double seconds, double estimate) {
    s->seconds += seconds;
    s->estimate += estimate;
    if (seconds >= TIMED_LEAST) {
        s->quotients[s->n++] = seconds / estimate;
    }
}

static void run(const bench_case *bench, bool each) {
    pm_graph *graph = bench_graph(bench);
    pm_split split;
    pm_error err;
    char name[BENCH_NAME];
    bench_name(bench, name);
    bench_check(pmi_split_graph(graph, NULL, &split, &err), &err);
    for (pm_effort effort = PM_EFFORT_FAST; effort <= PM_EFFORT_BEST; effort++) {
        pm_classes classes;
        bench_check(pmi_classes_find(graph, &split, effort, 1, NULL, &classes, &err), &err);
        sums s = {.quotients = calloc(classes.n_classes + 1, sizeof(double))};
        if (s.quotients == NULL) {
            exit(PM_EOSERR);
        }
        for (uint32_t c = 0; c < classes.n_classes; c++) {
            const pm_topology *t = &classes.canon[c].topology;
            double seconds = record(&classes.canon[c], effort);
            double estimate = 1e-6 * (double)pmi_record_cost(t->n, t->row[t->n]);
            add(&s, seconds, estimate);
            if (each) {
                printf("%s %s %u %zu %.1f %.1f\n", name, bench_efforts[effort], t->n, t->row[t->n], 1e6 * seconds,
                       1e6 * estimate);
            }
        }
        double median = s.n == 0 ? NAN : bench_median(s.quotients, s.n);
        if (!each) {
            printf("%-22s %-9s %8u %12.0f %12.0f %8.2f %8.2f %8.2f\n", name, bench_efforts[effort], classes.n_classes,
                   1e6 * s.seconds, 1e6 * s.estimate, s.seconds / s.estimate, s.n == 0 ? NAN : s.quotients[0] / median,
                   s.n == 0 ? NAN : s.quotients[s.n - 1] / median);
            fflush(stdout);
        }
        free(s.quotients);
        pmi_classes_free(&classes);
    }
    pmi_split_free(&split);
    pm_graph_free(graph);
}

int main(int argc, char **argv) {
    static const bench_case rows[] = {{"islands", {100}, 1},
                                      {"jsfs", {5, 5}, 2},
                                      {"jsfs", {6, 6}, 2},
                                      {"rabbits", {100}, 1},
                                      {"rabbits", {300}, 1},
                                      {"random", {500, 4, 1, 1}, 4},
                                      {"random", {500, 10, 2, 1}, 4},
                                      {"random", {500, 50, 1, 1}, 4},
                                      {"random", {200, 50, 3, 1}, 4},
                                      {"random", {50, 200, 1, 1}, 4},
                                      {"random", {20, 1000, 1, 1}, 4},
                                      {"random", {5, 1000, 3, 1}, 4},
                                      {"tandem", {30, 30}, 2},
                                      {"tandem", {100, 100}, 2},
                                      {"two-locus-arg", {6}, 1},
                                      {"two-locus-arg", {7}, 1},
                                      {"two-locus-arg", {8}, 1}};
    bool each = argc > 1 && strcmp(argv[1], "each") == 0;
    int next = each ? 2 : 1;
    if (next < argc) {
        const bench_case named = bench_read_case(argv + next, (size_t)(argc - next));
        run(&named, each);
        return 0;
    }
    if (!each) {
        bench_print_machine();
        printf("%-22s %-9s %8s %12s %12s %8s %8s %8s\n", "model", "effort", "distinct", "us", "estimate", "quotient",
               "least", "largest");
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run(&rows[i], each);
    }
    return 0;
}
