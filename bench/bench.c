#include "bench.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t n) {
    qsort(values, n, sizeof *values, ascending);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void bench_check(pm_status st, const pm_error *err) {
    if (st != PM_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit((int)st);
    }
}

static void print_processor(void) {
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "model name", 10) == 0) {
            printf("%s", line);
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

void bench_print_machine(void) {
    pm_error err;
    pm_isa isa;
    char versions[1024];
    print_processor();
    bench_check(pmi_isa_choose(getenv("PHASEMILL_ISA"), &isa, &err), &err);
    pm_versions(versions, sizeof versions);
    printf("cores: %ld, instruction set: %s\ncompiler: %s\n%s\n", sysconf(_SC_NPROCESSORS_ONLN), pmi_isa_name(isa),
           __VERSION__, versions);
}

static const pm_model_info *find_model(const char *model) {
    const pm_model_info *info = pmi_model_find(model);
    if (info == NULL) {
        fprintf(stderr, "there is no model \"%s\"; see phasemill generate --list\n", model);
        exit(PM_EUSAGE);
    }
    return info;
}

pm_graph *bench_graph(const bench_case *c) {
    const pm_model_info *info = find_model(c->model);
    int64_t all[PM_MODEL_MAX_ARGS] = {0};
    for (size_t i = 0; i < PM_MODEL_MAX_ARGS && info->args[i].name != NULL; i++) {
        all[i] = i < c->n_args ? c->args[i] : info->args[i].default_value;
    }
    pm_graph *graph;
    pm_error err;
    bench_check(pmi_model_make(info, all, &graph, &err), &err);
    return graph;
}

double *bench_theta(const pm_graph *graph, size_t rows) {
    size_t n = rows * graph->n_params;
    double *theta = malloc((n + 1) * sizeof *theta);
    for (size_t i = 0; theta != NULL && i < n; i++) {
        theta[i] = 0.9 + 0.2 * (double)(i * 7919 % 1009) / 1009;
    }
    return theta;
}

pm_model *bench_model(const pm_graph *graph, pm_effort effort, unsigned threads, pm_model_report *report) {
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    options.effort = effort;
    options.threads = threads;
    options.isa = getenv("PHASEMILL_ISA");
    pm_model *m;
    pm_error err;
    bench_check(pm_model_new(graph, &options, &m, report, &err), &err);
    return m;
}

const char *bench_name(const bench_case *c, char text[BENCH_NAME]) {
    int used = snprintf(text, BENCH_NAME, "%s", c->model);
    for (size_t i = 0; i < c->n_args && used >= 0 && used < BENCH_NAME; i++) {
        used += snprintf(text + used, BENCH_NAME - (size_t)used, " %" PRId64, c->args[i]);
    }
    return text;
}

const char *const bench_efforts[] = {"fast", "balanced", "best"};

void bench_make_folder(char folder[BENCH_PATH]) {
    const char *parent = getenv("TMPDIR");
    int used = snprintf(folder, BENCH_PATH, "%s/bench.XXXXXX", parent == NULL ? "/tmp" : parent);
    if (used < 0 || used >= BENCH_PATH || mkdtemp(folder) == NULL) {
        perror("a temporary folder");
        exit(PM_ECANTCREAT);
    }
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

void bench_remove_folder(const char *folder) {
    if (nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0) {
        perror(folder);
    }
}

int64_t bench_integer(const char *option, const char *text, int64_t minimum, int64_t maximum) {
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != 0 || value < minimum || value > maximum) {
        fprintf(stderr, "%s: expected an integer from %" PRId64 " to %" PRId64 ", found \"%s\"\n", option, minimum,
                maximum, text);
        exit(PM_EUSAGE);
    }
    return value;
}

bench_case bench_read_case(char **words, size_t n_words) {
    bench_case c = {.model = words[0], .n_args = n_words - 1};
    const pm_model_info *info = find_model(c.model);
    for (size_t i = 0; i < c.n_args; i++) {
        if (i == PM_MODEL_MAX_ARGS || info->args[i].name == NULL) {
            fprintf(stderr, "%s has %zu arguments, found %zu\n", c.model, i, c.n_args);
            exit(PM_EUSAGE);
        }
        c.args[i] = bench_integer(info->args[i].name, words[1 + i], info->args[i].minimum, info->args[i].maximum);
    }
    return c;
}

void bench_usage(const char *text) {
    fprintf(stderr, "usage: %s\n", text);
    exit(PM_EUSAGE);
}
