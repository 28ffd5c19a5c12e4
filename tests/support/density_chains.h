/* Chains for the tests of densities, and their evaluation. */
#ifndef PM_DENSITY_CHAINS_H
#define PM_DENSITY_CHAINS_H

#include "eval/density.h"
#include "graph/build.h"

typedef struct chain {
    pm_graph *graph;
    pm_split *split; /* on the heap: the chain borrows it */
    pm_chain *chain;
    double *start; /* (rows, S): for as many rows of theta as were asked for */
} chain;

/* Rows: the start vertex, then n transient states 1..n, then the absorbing state n + 1. One parameter scales all rates.
 */
pm_builder *new_chain(uint32_t n, bool is_discrete);
void edge(pm_builder *b, uint32_t from, uint32_t to, double rate);
void start_at(pm_builder *b, uint32_t to, double probability);
chain finish(pm_builder *b, size_t n_theta);
void drop(chain *c);

chain exponential(size_t n_theta); /* rate 2 */

/* The chains of density_reference.h. */
typedef struct named_chain {
    const char *name;
    chain (*make)(size_t n_theta);
} named_chain;
#define N_CHAINS 6
extern const named_chain chains[N_CHAINS];
chain chain_named(const char *name, size_t n_theta);

typedef struct values {
    double *pdf, *cdf, *survival; /* (B, T) */
    pm_result result;
} values;

pm_isa best_isa(void);
pm_status evaluate_on(const chain *c, pm_isa isa, pm_request request, values *v, pm_error *err);
/* On the best instruction set; must succeed. */
void evaluate(const chain *c, pm_request request, values *v);
void free_values(values *v);

/* Within 1e-10 of a value that is above 1e-290; as good as zero otherwise. */
void check_relative(const char *what, const char *name, double time, double found, double exact);

#endif
