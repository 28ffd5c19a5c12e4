/* A chain laid out for stepping: reachable transient states with their in-edges, absorption edges, start edges. */
#ifndef PM_EVAL_CHAIN_H
#define PM_EVAL_CHAIN_H

#include "base/mem.h"
#include "eval/extended.h"
#include "scc/split.h"

/* Sums over states are taken block by block, then over the blocks: the same order for every number of threads. */
#define PM_CHAIN_BLOCK 512

/* In-edges that are added up one after the other; more are so in groups (eval/step.h). */
#define PM_CHAIN_PLAIN 16
#define PM_CHAIN_GROUP 64

/* Where a start edge leads, beside a state's number. */
#define PM_START_ABSORBED PM_NONE
#define PM_START_UNREACHABLE (PM_NONE - 1)

/* States 0..n-1 are the reachable transient rows of the graph, by level, then by row. The level of an SCC is the
 * longest way to it in the condensation, so nothing flows from a level to an earlier one. */
typedef struct pm_chain {
    const pm_graph *graph;
    const pm_split *split;
    uint32_t n;
    uint32_t *row_of; /* n: row of the graph */
    uint32_t n_levels;
    uint32_t *level_first; /* n_levels + 1: the first state of each level */
    /* in-edges of each state, by ascending source state, then order of the file */
    size_t *in_first;                /* n + 1 */
    uint32_t *in_source, *in_weight; /* in_first[n] */
    uint32_t *reach;                 /* n: one past the largest state that states 0..i lead to in one step, or are */
    /* edges to absorbing states, by ascending state */
    size_t n_exits;
    uint32_t *exit_state, *exit_weight;
    size_t n_blocks;       /* of PM_CHAIN_BLOCK states */
    size_t *exit_first;    /* n_blocks + 1: the exits of each block of states */
    uint32_t *start_state; /* graph->n_starts: state, PM_START_ABSORBED or PM_START_UNREACHABLE */
    /* self-loops of a discrete graph, for the check of row sums */
    size_t n_loops;
    uint32_t *loop_state, *loop_weight;
    /* for the bounds of rounding: the most in-edges of a state, out-edges of a state, exits of a block, start edges to
     * one state; whether weights are single constants */
    size_t most_in, most_out, most_exits, most_starts;
    bool constant_weights;
    double level_work; /* multiply-adds of a step over the largest level */
    pm_pool pool;      /* of all arrays */
} pm_chain;

/* Immutable; shared by threads. It borrows `graph` and `split`, which must outlive it. Free with pmi_chain_free. */
pm_status pmi_chain_new(const pm_graph *graph, const pm_split *split, pm_chain **out, pm_error *err);
void pmi_chain_free(pm_chain *chain);

/* Edges by the state that they leave, those into absorption included: their target is the state `n`. Self-loops are
 * among them where rows are normalized. */
typedef struct pm_out_edges {
    size_t *first;    /* n + 1 */
    uint32_t *target; /* first[n] */
    uint32_t *weight;
    pm_pool pool; /* of all arrays */
} pm_out_edges;

/* The edges of a chain by the state that they leave. Free with pmi_out_edges_free. */
pm_status pmi_out_edges_new(const pm_chain *chain, pm_out_edges **out, pm_error *err);
void pmi_out_edges_free(pm_out_edges *out);

/* Multiply-adds of a step over states first..last-1, about. */
double pmi_step_work(const pm_chain *chain, uint32_t first, uint32_t last);

/* Staying with this probability, or less, is summed without rounding: sums of pairs would know it to few digits. */
#define PM_SMALL_STAY 0x1p-20

/* For one state at a time: a term for each coefficient of each out-edge. */
typedef struct pm_stay_room {
    double *coef, *x;
    pm_pool pool; /* of both: freed by the caller, also after a failure */
} pm_stay_room;

pm_status pmi_stay_room_new(const pm_chain *chain, pm_stay_room *room, pm_error *err);

/* What stays in a state of a discrete chain where its row adds up to one but for a rounding: one minus the
 * probabilities of leaving `state` at theta, rounded once (graph/exact.h); below zero where these exceed one. */
pm_pair pmi_exact_stay(const pm_chain *chain, const double *theta, uint32_t state, pm_stay_room *room);

#endif
