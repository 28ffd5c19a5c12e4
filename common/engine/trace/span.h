/* How much rounding a replay in doubles gathers, judged by the program's structure alone. */
#ifndef PM_TRACE_SPAN_H
#define PM_TRACE_SPAN_H

#include "trace/program.h"

/* Sets program->is_long: whether moments in doubles may miss 13 digits, so that wide numbers are to be used.
 *
 * Each pivot that a path of the eliminated chain meets multiplies its share of a moment by one more rounded inverse,
 * and each sum adds roundings with its terms. Along a path the errors of equal rates are equal, those
 * of different rates are not related. So the error is about S / sqrt(W) units of 1.1e-16, with S the largest number of
 * roundings on a path, which takes the longest way out of a state by itself, and each way out of a pivot of an SCC
 * alike, those that absorb left out; and W the number of weights that are no multiples of each other by a power of two.
 * The limit keeps it below 1e-13, but where theta gives ways inside of a large SCC, or weights, no part in the result
 * (docs/moments.md). Large SCCs of few edges are told apart by themselves. */
pm_status pmi_program_judge(const pm_graph *graph, pm_program *program, pm_error *err);

#endif
