/* What evaluations of small models cost, in microseconds of one thread's processor time for each row of theta.
 *
 * Usage: bench_small [--rounds N] [--theta B] [--times T] [--moments K] [--quantity pdf|cdf|both|none] [MODEL ARGS...]
 * The least of N rounds counts. T times lie evenly up to 5. Without a model, the cases of docs/benchmarks.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* A round takes at least about this long. */
#define ROUND_SECONDS 0.02

static const char usage[] =
    "bench_small [--rounds N] [--theta B] [--times T] [--moments K] [--quantity pdf|cdf|both|none] [MODEL ARGS...]";

typedef struct settings {
    size_t rounds, theta, times, moments;
    bool pdf, cdf;
} settings;

static pm_status evaluate(const pm_model *m, const settings *s, const double *theta, const double *times, double *out,
                          pm_result *result, pm_error *err) {
    size_t n = s->theta * s->times;
    pm_request request = {.n_theta = s->theta,
                          .theta = theta,
                          .n_moments = s->moments,
                          .times = times,
                          .n_times = s->times,
                          .pdf = s->pdf,
                          .cdf = s->cdf,
                          .threads = 1};
    *result = (pm_result){.pdf = out, .cdf = out + n, .survival = s->cdf ? out + 2 * n : NULL, .moments = out + 3 * n};
    return pm_evaluate(m, &request, result, err);
}

static double measure(const pm_model *m, const settings *s, const double *theta, const double *times, double *out,
                      pm_result *result) {
    pm_error err;
    double best = HUGE_VAL, begin = pmi_thread_seconds();
    bench_check(evaluate(m, s, theta, times, out, result, &err), &err);
    double once = fmax(pmi_thread_seconds() - begin, 1e-9);
    size_t calls = (size_t)fmax(1.0, ROUND_SECONDS / once);
    for (size_t r = 0; r < s->rounds; r++) {
        begin = pmi_thread_seconds();
        for (size_t i = 0; i < calls; i++) {
            bench_check(evaluate(m, s, theta, times, out, result, &err), &err);
        }
        best = fmin(best, (pmi_thread_seconds() - begin) / (double)calls);
    }
    return best / (double)s->theta;
}

static void run(const bench_case *bench, const settings *s) {
    char name[BENCH_NAME];
    pm_graph *graph = bench_graph(bench);
    pm_model *m = bench_model(graph, PM_EFFORT_BALANCED, 1, NULL);
    double *theta = bench_theta(graph, s->theta), *times = calloc(s->times + 1, sizeof *times);
    double *out = calloc(s->theta * (3 * s->times + s->moments) + 1, sizeof *out);
    if (theta == NULL || times == NULL || out == NULL) {
        fprintf(stderr, "no memory for %zu theta\n", s->theta);
        exit(PM_EOSERR);
    }
    for (size_t i = 0; i < s->times; i++) {
        times[i] = 5.0 * (double)(i + 1) / (double)s->times;
    }
    pm_result result;
    double seconds = measure(m, s, theta, times, out, &result);
    printf("%-20s %7u %6zu %6zu %8zu %4s %4s %11.3f %8llu %10.2e\n", bench_name(bench, name), graph->n_vertices,
           s->theta, s->times, s->moments, s->pdf ? "yes" : "", s->cdf ? "yes" : "", 1e6 * seconds,
           (unsigned long long)result.steps, result.error_bound);
    fflush(stdout);
    free(theta);
    free(times);
    free(out);
    pm_model_free(m);
    pm_graph_free(graph);
}

static void run_all(const settings *given) {
    static const bench_case kingman = {"kingman", {11}, 1}, arg = {"two-locus-arg", {5}, 1};
    static const struct {
        const bench_case *model;
        settings s;
    } rows[] = {{&kingman, {.theta = 256, .times = 100, .pdf = true}},
                {&kingman, {.theta = 1, .times = 100, .pdf = true}},
                {&kingman, {.theta = 256, .times = 100, .cdf = true}},
                {&kingman, {.theta = 256, .times = 100, .pdf = true, .cdf = true}},
                {&kingman, {.theta = 256, .times = 1, .pdf = true}},
                {&kingman, {.theta = 1, .moments = 2}},
                {&kingman, {.theta = 256, .moments = 2}},
                {&arg, {.theta = 256, .times = 1, .pdf = true}},
                {&arg, {.theta = 256, .times = 100, .pdf = true}},
                {&arg, {.theta = 16, .times = 10000, .pdf = true}}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        settings s = rows[i].s;
        s.rounds = given->rounds;
        run(rows[i].model, &s);
    }
}

static void read_quantity(const char *text, settings *s) {
    s->pdf = strcmp(text, "pdf") == 0 || strcmp(text, "both") == 0;
    s->cdf = strcmp(text, "cdf") == 0 || strcmp(text, "both") == 0;
    if (!s->pdf && !s->cdf && strcmp(text, "none") != 0) {
        bench_usage(usage);
    }
}

static void read_settings(int argc, char **argv, int *next, settings *s) {
    *s = (settings){.rounds = 9, .theta = 256, .times = 100, .pdf = true};
    for (; *next + 1 < argc && strncmp(argv[*next], "--", 2) == 0; *next += 2) {
        const char *option = argv[*next], *value = argv[*next + 1];
        if (strcmp(option, "--rounds") == 0) {
            s->rounds = (size_t)bench_integer(option, value, 1, 1000);
        } else if (strcmp(option, "--theta") == 0) {
            s->theta = (size_t)bench_integer(option, value, 1, 1000000);
        } else if (strcmp(option, "--times") == 0) {
            s->times = (size_t)bench_integer(option, value, 0, 1000000);
        } else if (strcmp(option, "--moments") == 0) {
            s->moments = (size_t)bench_integer(option, value, 0, 16);
        } else if (strcmp(option, "--quantity") == 0) {
            read_quantity(value, s);
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
    printf("%-20s %7s %6s %6s %8s %4s %4s %11s %8s %10s\n", "model", "states", "theta", "times", "moments", "pdf",
           "cdf", "us/theta", "steps", "bound");
    if (next == argc) {
        run_all(&s);
        return 0;
    }
    if (argv[next][0] == '-') {
        bench_usage(usage);
    }
    const bench_case named = bench_read_case(argv + next, (size_t)(argc - next));
    run(&named, &s);
    return 0;
}
