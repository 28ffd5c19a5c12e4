/* Recording: what the traces of a graph cost once, by effort, and what they weigh.
 *
 * Usage: bench_record [--rounds N] [MODEL ARGS...]
 *        bench_record --seen FILE...
 * Wall milliseconds, best of the rounds: splitting, recording with one thread and with two, fetching the same traces
 * from a warm cache on disk (in $TMPDIR or /tmp, removed afterwards), stitching. `Mflop` is one factorisation and
 * solve; `encoded` is the size of all traces as they are kept on disk.
 * With --seen, graph files are recorded twice with two threads and one new cache: wall seconds of recording, and
 * processor seconds of the whole model (splitting, recording, stitching), which other work on the machine leaves alone.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "trace/codec.h"

#define MAX_ROUNDS 101

typedef struct figures {
    double split, one, two, fetch, stitch; /* seconds */
    uint64_t flops;
    size_t fill, encoded; /* entries of L and U of the distinct traces; bytes */
    uint32_t n_distinct;
} figures;

static void weigh(const pm_model *m, figures *f) {
    pm_buffer encoded = {0};
    pm_error err;
    f->flops = m->program.flops;
    f->n_distinct = m->library.n_classes;
    for (uint32_t c = 0; c < m->library.n_classes; c++) {
        const pm_trace *trace = &m->library.classes[c].plan.trace;
        bench_check(pmi_trace_encode(trace, m->library.classes[c].key, &encoded, &err), &err);
        f->fill += trace->l_row[trace->n] + trace->u_row[trace->n];
    }
    f->encoded = encoded.size;
    pmi_buffer_free(&encoded);
}

static void record(const pm_graph *graph, pm_effort effort, size_t rounds, figures *f) {
    for (size_t i = 0; i < rounds; i++) {
        for (unsigned threads = 1; threads <= 2; threads++) {
            pm_model_report report;
            pm_model *m = bench_model(graph, effort, threads, &report);
            double *to = threads == 1 ? &f->one : &f->two;
            *to = fmin(*to, report.seconds_record);
            f->split = fmin(f->split, report.seconds_split);
            f->stitch = fmin(f->stitch, report.seconds_stitch);
            if (i == 0 && threads == 1) {
                weigh(m, f);
            }
            pm_model_free(m);
        }
    }
}

static pm_model_options cached_options(const char *folder, unsigned threads) {
    pm_model_options options;
    pm_model_options_default(&options);
    options.threads = threads;
    options.cache_dir = folder;
    options.isa = getenv("PHASEMILL_ISA");
    return options;
}

static void fetch(const pm_graph *graph, pm_effort effort, size_t rounds, figures *f) {
    char folder[BENCH_PATH];
    bench_make_folder(folder);
    pm_model_options options = cached_options(folder, 1);
    options.effort = effort;
    for (size_t i = 0; i <= rounds; i++) {
        pm_model *m;
        pm_model_report report;
        pm_error err;
        bench_check(pm_model_new(graph, &options, &m, &report, &err), &err);
        if (i > 0) {
            f->fetch = fmin(f->fetch, report.seconds_record);
        }
        pm_model_free(m);
    }
    bench_remove_folder(folder);
}

static double process_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void see_twice(const char *path) {
    char folder[BENCH_PATH];
    double wall[2], cpu[2];
    pm_graph *graph;
    pm_error err;
    bench_check(pm_graph_load(path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, &err), &err);
    bench_make_folder(folder);
    pm_model_options options = cached_options(folder, 2);
    for (int i = 0; i < 2; i++) {
        pm_model *m;
        pm_model_report report;
        double begin = process_seconds();
        bench_check(pm_model_new(graph, &options, &m, &report, &err), &err);
        cpu[i] = process_seconds() - begin;
        wall[i] = report.seconds_record;
        pm_model_free(m);
    }
    printf("%-40s %9.3f %9.3f %6.3f %9.3f %9.3f %6.3f\n", path, wall[0], wall[1], wall[1] / wall[0], cpu[0], cpu[1],
           cpu[1] / cpu[0]);
    fflush(stdout);
    pm_graph_free(graph);
    bench_remove_folder(folder);
}

static void run(const bench_case *bench, size_t rounds) {
    pm_graph *graph = bench_graph(bench);
    for (pm_effort effort = PM_EFFORT_FAST; effort <= PM_EFFORT_BEST; effort++) {
        figures f = {.split = 1e300, .one = 1e300, .two = 1e300, .fetch = 1e300, .stitch = 1e300};
        record(graph, effort, rounds, &f);
        fetch(graph, effort, rounds, &f);
        char name[BENCH_NAME];
        printf("%-22s %-9s %8u %8.1f %9.1f %9.1f %6.2fx %8.1f %8.1f %9.2f %9.3f %8.2f\n", bench_name(bench, name),
               bench_efforts[effort], f.n_distinct, 1e3 * f.split, 1e3 * f.one, 1e3 * f.two, f.one / f.two,
               1e3 * f.fetch, 1e3 * f.stitch, 1e-6 * (double)f.flops, 1e-6 * (double)f.encoded,
               (double)f.encoded / (double)(f.fill == 0 ? 1 : f.fill));
        fflush(stdout);
    }
    pm_graph_free(graph);
}

int main(int argc, char **argv) {
    static const bench_case rows[] = {{"islands", {100}, 1},           {"jsfs", {6, 6}, 2},
                                      {"rabbits", {300}, 1},           {"random", {2000, 50, 1, 1}, 4},
                                      {"random", {2000, 50, 3, 1}, 4}, {"tandem", {100, 100}, 2},
                                      {"two-locus-arg", {8}, 1}};
    size_t rounds = 3;
    int next = 1;
    if (argc > 2 && strcmp(argv[1], "--seen") == 0) {
        printf("%-40s %9s %9s %6s %9s %9s %6s\n", "file", "record 1", "2", "2/1", "CPU 1", "2", "2/1");
        for (next = 2; next < argc; next++) {
            see_twice(argv[next]);
        }
        return 0;
    }
    if (argc > 2 && argv[1][0] == '-') {
        rounds = (size_t)bench_integer(argv[1], argv[2], 1, MAX_ROUNDS);
        next = 3;
    }
    if (next < argc && argv[next][0] == '-') {
        bench_usage("bench_record [--rounds N] [MODEL ARGS...] | --seen FILE...");
    }
    bench_print_machine();
    printf("%-22s %-9s %8s %8s %9s %9s %7s %8s %8s %9s %9s %8s\n", "model", "effort", "distinct", "split ms",
           "record 1", "record 2", "1/2", "fetch", "stitch", "Mflop", "encod. MB", "B/entry");
    if (next < argc) {
        const bench_case named = bench_read_case(argv + next, (size_t)(argc - next));
        run(&named, rounds);
        return 0;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        run(&rows[i], rounds);
    }
    return 0;
}
