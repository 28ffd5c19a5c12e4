/* What the benchmarks share: clocks, medians, the machine, and example models by name. */
#ifndef PM_BENCH_BENCH_H
#define PM_BENCH_BENCH_H

#include "base/clock.h"
#include "examples/models.h"
#include "model/model.h"

/* The median of n values, which it sorts. */
double bench_median(double *values, size_t n);

/* Processor, cores, compiler and library versions, one line each, to standard output. */
void bench_print_machine(void);

/* A model by name, with its arguments in order. */
typedef struct bench_case {
    const char *model;
    int64_t args[PM_MODEL_MAX_ARGS];
    size_t n_args;
} bench_case;

/* Its graph; ends the program with a message on failure. */
pm_graph *bench_graph(const bench_case *c);

/* rows x P values between 0.9 and 1.1, always the same. Caller frees. */
double *bench_theta(const pm_graph *graph, size_t rows);

/* A model of the graph, recorded by so many threads without a cache, for the instruction set of PHASEMILL_ISA. */
pm_model *bench_model(const pm_graph *graph, pm_effort effort, unsigned threads, pm_model_report *report);

/* "jsfs 6 6" */
#define BENCH_NAME 64
const char *bench_name(const bench_case *c, char text[BENCH_NAME]);

extern const char *const bench_efforts[]; /* names */

/* A new folder in $TMPDIR or /tmp, whose name becomes `folder`; and away with it and all in it. */
#define BENCH_PATH 512
void bench_make_folder(char folder[BENCH_PATH]);
void bench_remove_folder(const char *folder);

/* An option's value as an integer in a range; a model's name and its arguments. Each ends the program with a message
 * when there is something else. */
int64_t bench_integer(const char *option, const char *text, int64_t minimum, int64_t maximum);
bench_case bench_read_case(char **words, size_t n_words);

/* Ends the program with "usage: TEXT". */
void bench_usage(const char *text);

/* Ends the program with the error's text unless st is PM_OK. */
void bench_check(pm_status st, const pm_error *err);

#endif
