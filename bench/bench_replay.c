/* Replay of moments against SuiteSparse KLU (values, numeric refactorisation and solves; peer_klu.h), both in one
 * process, in turn.
 *
 * Usage: bench_replay [--rounds N] [--moments K] [--theta B] [MODEL ARGS...]
 * Without a model, those of docs/benchmarks.md.
 *
 * Times of one thread are medians over the rounds of this thread's processor time, in microseconds for each theta;
 * those of two threads are the best wall time, so that another process on the machine does not count. Recording is
 * the best of three, without a cache, on one core. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "peer_klu.h"

#define MAX_ROUNDS 101
#define MAX_MOMENTS 16
#define KLU_TURNS 8

static const char usage[] = "bench_replay [--rounds N] [--moments K] [--theta B] [MODEL ARGS...]";

typedef struct settings {
    size_t rounds, moments, theta; /* theta == 0: as the model's row of the table says */
} settings;

typedef struct figures {
    double klu, one, two; /* seconds for each theta */
    double difference;    /* of the moments, relative */
} figures;

/* Seconds of one batch: processor time for one thread, wall time for two. */
static double replay(const pm_model *m, const settings *s, const double *theta, unsigned threads, double *out) {
    pm_request request = {.n_theta = s->theta, .theta = theta, .n_moments = s->moments, .threads = threads};
    pm_result result = {.moments = out};
    pm_error err;
    double begin = threads == 1 ? pmi_thread_seconds() : pmi_seconds();
    bench_check(pm_evaluate(m, &request, &result, &err), &err);
    return (threads == 1 ? pmi_thread_seconds() : pmi_seconds()) - begin;
}

/* Until the system has spread the two threads over two cores. */
static void warm_up(const pm_model *m, const settings *s, const double *theta, double *out) {
    double begin = pmi_seconds();
    while (pmi_seconds() - begin < 0.3) {
        replay(m, s, theta, 2, out);
    }
}

static void measure(const pm_model *m, const settings *s, const double *theta, bench_klu *k, double *out, figures *f) {
    double klu[MAX_ROUNDS] = {0}, one[MAX_ROUNDS], moments[MAX_MOMENTS];
    size_t turns = s->theta < KLU_TURNS ? s->theta : KLU_TURNS;
    *f = (figures){.two = 1e300};
    warm_up(m, s, theta, out);
    for (size_t r = 0; r < s->rounds; r++) {
        for (size_t i = 0; i < turns; i++) {
            klu[r] += bench_klu_theta(k, theta + i * m->analysis.graph->n_params, s->moments, moments) / (double)turns;
        }
        one[r] = replay(m, s, theta, 1, out) / (double)s->theta;
        f->two = fmin(f->two, replay(m, s, theta, 2, out) / (double)s->theta);
    }
    f->klu = bench_median(klu, s->rounds);
    f->one = bench_median(one, s->rounds);
    bench_klu_theta(k, theta, s->moments, moments);
    for (size_t i = 0; i < s->moments; i++) {
        f->difference = fmax(f->difference, fabs(moments[i] - out[i]) / out[i]);
    }
}

/* The model, made three times: the best seconds of each step are in `report`. */
static pm_model *record(const pm_graph *graph, pm_model_report *report) {
    pm_model *m = NULL;
    for (int i = 0; i < 3; i++) {
        pm_model_report again;
        pm_model_free(m);
        m = bench_model(graph, PM_EFFORT_BALANCED, 1, &again);
        if (i == 0) {
            *report = again;
        }
        report->seconds_record = fmin(report->seconds_record, again.seconds_record);
        report->seconds_split = fmin(report->seconds_split, again.seconds_split);
        report->seconds_stitch = fmin(report->seconds_stitch, again.seconds_stitch);
    }
    return m;
}

static void run(const bench_case *bench, const settings *s) {
    pm_graph *graph = bench_graph(bench);
    pm_model_report report;
    pm_model *m = record(graph, &report);
    double *theta = bench_theta(graph, s->theta < 3 ? 3 : s->theta);
    double *out = malloc((s->theta * s->moments + 1) * sizeof *out);
    if (theta == NULL || out == NULL) {
        fprintf(stderr, "no memory for %zu theta\n", s->theta);
        exit(PM_EOSERR);
    }
    bench_klu *k = bench_klu_open(m, theta);
    figures f;
    measure(m, s, theta, k, out, &f);
    char name[BENCH_NAME], ordering[32];
    bench_name(bench, name);
    snprintf(ordering, sizeof ordering, "%s/%s", bench_klu_ordering(k), bench_klu_numbering(k));
    printf("%-22s %7u %6u %-15s %9.1f %9.2f %6.1fx %9.2f %5.2fx %8.1f %8.1f %8.1f %7.1f %8.1e\n", name, m->program.n,
           m->analysis.split.n_nontrivial, ordering, 1e6 * f.klu, 1e6 * f.one, f.klu / f.one, 1e6 * f.two,
           f.one / f.two, 1e3 * report.seconds_split, 1e3 * report.seconds_record, 1e3 * report.seconds_stitch,
           report.seconds_record / f.klu, f.difference);
    fflush(stdout);
    bench_klu_close(k);
    free(theta);
    free(out);
    pm_model_free(m);
    pm_graph_free(graph);
}

static void run_all(const settings *given) {
    static const bench_case rows[] = {{"islands", {100}, 1},           {"jsfs", {6, 6}, 2},
                                      {"rabbits", {300, 1}, 2},        {"random", {2000, 50, 1, 1}, 4},
                                      {"random", {2000, 50, 3, 1}, 4}, {"tandem", {30, 30}, 2},
                                      {"tandem", {100, 100}, 2}};
    static const size_t theta[] = {1024, 1024, 1024, 1024, 1024, 1024, 256};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        settings s = *given;
        s.theta = s.theta == 0 ? theta[i] : s.theta;
        run(&rows[i], &s);
    }
}

static void read_settings(int argc, char **argv, int *next, settings *s) {
    *s = (settings){.rounds = 7, .moments = 1};
    for (; *next + 1 < argc && strncmp(argv[*next], "--", 2) == 0; *next += 2) {
        const char *option = argv[*next], *value = argv[*next + 1];
        if (strcmp(option, "--rounds") == 0) {
            s->rounds = (size_t)bench_integer(option, value, 1, MAX_ROUNDS);
        } else if (strcmp(option, "--moments") == 0) {
            s->moments = (size_t)bench_integer(option, value, 1, MAX_MOMENTS);
        } else if (strcmp(option, "--theta") == 0) {
            s->theta = (size_t)bench_integer(option, value, 1, 1000000);
        } else {
            bench_usage(usage);
        }
    }
}

int main(int argc, char **argv) {
    settings s;
    int next = 1;
    read_settings(argc, argv, &next, &s);
    bench_print_machine();
    printf("moments: %zu, rounds: %zu\n", s.moments, s.rounds);
    printf("%-22s %7s %6s %-15s %9s %9s %7s %9s %6s %8s %8s %8s %7s %8s\n", "model", "states", "SCCs",
           "KLU: order/rows", "KLU us", "1 thr us", "ratio", "2 thr us", "1/2", "split ms", "record", "stitch",
           "in KLU", "differ");
    if (next == argc) {
        run_all(&s);
        return 0;
    }
    if (argv[next][0] == '-') {
        bench_usage(usage);
    }
    const bench_case named = bench_read_case(argv + next, (size_t)(argc - next));
    s.theta = s.theta == 0 ? 1024 : s.theta;
    run(&named, &s);
    return 0;
}
