/* What the benchmarks share: clocks, medians, the machine, and example models by name. */
#ifndef PM_BENCH_BENCH_H
#define PM_BENCH_BENCH_H

#include "graph/graph.h"
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

/* Ends the program with the error's text unless st is PM_OK. */
void bench_check(pm_status st, const pm_error *err);

#endif
