/* One block of a replay: up to 16 rows of theta side by side, all SCCs, all rewards, all orders. */
#ifndef PM_EVAL_REPLAY_H
#define PM_EVAL_REPLAY_H

#include "base/mem.h"
#include "base/wide.h"
#include "trace/program.h"

typedef struct pm_moments_context {
    const pm_graph *graph;
    const pm_split *split;
    const pm_program *program;
    pm_isa isa;
    size_t memory; /* bytes for the working arrays of all threads */
    const pm_log *log;
} pm_moments_context;

/* Reward vectors by position; a vector with negative entries has two parts, plus and minus, both non-negative. */
typedef struct pm_rewards {
    size_t n_vectors;   /* F */
    size_t n_parts;     /* F, and one more for each signed vector */
    size_t *first_part; /* F + 1 */
    double *value;      /* F x n, signed, by position */
} pm_rewards;

/* From the request's vectors (by row of the graph), or of all ones. Free with pmi_rewards_free. */
pm_status pmi_rewards_new(const pm_program *program, const pm_request *request, size_t n_vertices, pm_rewards *out,
                          pm_error *err);
void pmi_rewards_free(pm_rewards *rewards);

/* What does not change between blocks. */
typedef struct pm_replay_setup {
    const pm_moments_context *context;
    const pm_request *request;
    const pm_rewards *rewards;
    const pm_kernels *kernels;
    size_t order;           /* K that is solved for: at least 1 */
    bool keep_l;            /* more than one solve with the same factors */
    bool shares;            /* factor classes are factored once for a block: pmi_replay_share comes first */
    pm_number_kind kind;    /* of the kernels; they may not be known yet */
    size_t first_parameter; /* dual: all lanes are one row of theta, and lane l has the derivative by parameter
                             * first_parameter + l, the last one in the lanes behind */
    bool covariance;        /* expected sojourn times are wanted */
} pm_replay_setup;

/* A thread's own arrays for one SCC at a time. */
typedef struct pm_replay_scratch {
    pm_factors factors;
    pm_factors shared;           /* those of a factor class, in the block */
    uint32_t factored;           /* the component whose rows `factors` is of, PM_NONE at first */
    double *plus, *minus, *limb; /* coefficients of each state of the SCC */
    double *next;                /* discrete: P m_l of each part and order, for the SCC */
    pm_pool pool;
} pm_replay_scratch;

/* The arrays of a block; [position][lane], or as trace/kernel.h says for wide kernels. */
typedef struct pm_replay_block {
    double *values; /* of the distinct weights */
    double *x;      /* moments: part by part, order by order */
    double *stay;   /* discrete: probability of staying; else NULL */
    double *excess; /* discrete: 1, or the sum of a row that exceeds it by rounding, which divides it; else NULL */
    double *exact_values; /* discrete, kernels not wide: the values in wide numbers, for `stay`; else NULL */
    double *exact_sums;   /* the same for the sums of what leaves */
    double *terms;        /* discrete: room for exact sums; else NULL */
    double *z;            /* expected sojourn times, for covariances; else NULL */
    pm_factors classes;   /* of all factor classes, where they are shared: u, l, leave, inverse */
    pm_pool pool;
} pm_replay_block;

/* One number of a wide array. */
pm_wide pmi_replay_get(const double *array, const pm_kernels *kernels, size_t slot, size_t lane);
void pmi_replay_put(double *array, const pm_kernels *kernels, size_t slot, size_t lane, pm_wide value);

/* The derivative beside one number of a dual array. */
pm_wide pmi_replay_get_derivative(const double *array, const pm_kernels *kernels, size_t slot, size_t lane);
void pmi_replay_put_derivative(double *array, const pm_kernels *kernels, size_t slot, size_t lane, pm_wide value);

/* Free with pmi_pool_free of the pool, also after a failure. */
pm_status pmi_replay_scratch_new(const pm_replay_setup *setup, pm_replay_scratch *out, pm_error *err);
pm_status pmi_replay_block_new(const pm_replay_setup *setup, pm_replay_block *out, pm_error *err);

/* Bytes of one lane of scratch and block together, and of the part that does not grow with lanes. */
size_t pmi_replay_lane_bytes(const pm_replay_setup *setup);

/* Moments of order k (1..K) of a part, those of a continuous graph divided by k!: n slots. */
double *pmi_replay_moments(const pm_replay_setup *setup, const pm_replay_block *block, size_t part, size_t k);

/* Fills block->values (and stay) for theta rows first..first+count-1. */
pm_status pmi_replay_weights(const pm_replay_setup *setup, pm_replay_block *block, size_t first, size_t count,
                             pm_error *err);

/* The factors of the l-th moment in the right-hand side of the k-th for states of these rewards: scratch->plus and
 * minus (and limb, of wide numbers) for n states. */
void pmi_replay_coefficients(const pm_replay_setup *setup, const double *reward, size_t n, size_t k, size_t l,
                             pm_replay_scratch *scratch);

/* Factors one factor class for all of its SCCs. */
void pmi_replay_share(const pm_replay_setup *setup, const pm_replay_block *block, pm_replay_scratch *scratch,
                      uint32_t factor_class);

/* Factors that are those of a component: shared ones, or factored now unless they are there. The scratch keeps them
 * until those of another component are asked for. */
const pm_factors *pmi_replay_factors(const pm_replay_setup *setup, const pm_replay_block *block,
                                     pm_replay_scratch *scratch, uint32_t component);

/* Solves all moments of one component; those of smaller level have been solved. */
void pmi_replay_component(const pm_replay_setup *setup, const pm_replay_block *block, pm_replay_scratch *scratch,
                          uint32_t component);

/* Turns block->z, which holds the start distribution by position, into expected sojourn times. `scratch` is the one
 * that the components of this block were solved with. */
void pmi_replay_sojourn(const pm_replay_setup *setup, const pm_replay_block *block, pm_replay_scratch *scratch);

#endif
