/* What the benchmarks share: clocks, medians, the machine, and example models by name. */
#ifndef PM_BENCH_BENCH_H
#define PM_BENCH_BENCH_H

#include "base/clock.h"
#include "examples/models.h"
#include "model/model.h"

/* Seconds of processor time of this thread. */
double bench_thread_seconds(void);

/* The median of n values, which it sorts. */
double bench_median(double *values, size_t n);

/* Processor, cores, compiler and library versions, one line each, to standard output. */
void bench_print_machine(void);

/* A generated graph, from the model's name and its arguments in order; ends the program with a message on failure. */
pm_graph *bench_graph(const char *model, const int64_t *args, size_t n_args);

/* rows x P values between 0.9 and 1.1, always the same. Caller frees. */
double *bench_theta(const pm_graph *graph, size_t rows);

/* A model of the graph, recorded by so many threads without a cache, for the instruction set of PHASEMILL_ISA. */
pm_model *bench_model(const pm_graph *graph, pm_effort effort, unsigned threads, pm_model_report *report);

/* "jsfs 6 6" */
void bench_name(const char *model, const int64_t *args, size_t n_args, char *text, size_t n);

/* An option's value as an integer in a range; the words after a model's name as its arguments, whose number is
 * returned. Each ends the program with a message when there is something else. */
int64_t bench_integer(const char *option, const char *text, int64_t minimum, int64_t maximum);
size_t bench_model_args(const char *model, char **words, size_t n_words, int64_t args[PM_MODEL_MAX_ARGS]);

/* Ends the program with "usage: TEXT". */
void bench_usage(const char *text);

/* Ends the program with the error's text unless st is PM_OK. */
void bench_check(pm_status st, const pm_error *err);

#endif
