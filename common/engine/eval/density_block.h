/* One block of theta rows on its way through the steps; private to eval/density*.c.
 *
 * With v_k the distribution over transient states after k steps of the uniformized chain (rate lambda), per lane:
 *     a_k = probability of absorption in step k+1, c_k = probability of absorption within k steps (atom included),
 *     s_k = sum of v_k,
 *     pdf(t) = lambda sum_k Pois(k; lambda t) a_k, cdf(t) = sum_k Pois(k; lambda t) c_k, survival(t) the same of s_k.
 * A discrete chain takes its own steps: pmf(k) = a_{k-1}, cdf(k) = c_k, survival(k) = s_k. Nothing is subtracted.
 *
 * Whatever is decided for a lane depends on that lane alone, and is decided at steps that do not depend on the others:
 * its results are the same bits in every block. */
#ifndef PM_EVAL_DENSITY_BLOCK_H
#define PM_EVAL_DENSITY_BLOCK_H

#include <omp.h>

#include "eval/poisson.h"
#include "eval/step.h"
#include "graph/weights.h"

/* Lanes lie so far apart in what is kept: not by a power of two, which would put them all in one set of a cache. */
#define PM_CHUNK_STRIDE (PM_CHUNK + 8)

/* Steps of at least so many multiply-adds are worth sharing among threads. */
#define PM_SHARED_STEP_WORK 50000

/* About how many multiply-adds a second has, and how many a row may take where the request does not say. */
#define PM_WORK_PER_SECOND 1e9
#define PM_MOST_WORK 1e12
static inline double pmi_most_work(const pm_request *r) {
    return r->row_seconds > 0 ? r->row_seconds * PM_WORK_PER_SECOND : PM_MOST_WORK;
}

/* exp(-745) is below the smallest denormal number. */
#define PM_FULL_EXPONENT 745.0

/* What stands for probability one in vectors and their sums: values of 1e-290 times rates below 1e-120 stay normal. */
#define PM_UNIT 0x1p600
#define PM_UNIT_EXPONENT 600

/* A chain of more states is not worth a dense matrix. */
#define PM_SQUARING_STATES 512

/* Twice the precision: lambda this much above the largest rate, so that staying has few digits to lose. */
#define PM_EXTENDED_LAMBDA 1.125

/* Windows may cut off as much as this part of the tolerance is, on either side; those of vectors to begin anew from
 * exp(-PM_RESTART_EXPONENT) of that. */
#define PM_CUT_SHARE (1.0 / 64)
#define PM_RESTART_EXPONENT 14.0

/* Half a unit in the last place of one: what one operation may round off, relatively. */
#define PM_ROUNDING 0x1p-53

/* Second-order terms of bounds. */
#define PM_HIGHER_ORDER 1.01

/* Multiply-adds in double precision that one in twice the precision takes. */
#define PM_EXTENDED_WORK 6.0

/* Windows may cut off PM_CUT_SHARE of the tolerance where the pdf is this part of its peak; below it the pdf is not
 * resolved unless tails are asked for. */
#define PM_SMALL_PART 1e-6

/* Times in ascending order: time[j] is number order[j] of the request. */
typedef struct pm_times {
    double *time;
    size_t *order;
} pm_times;

typedef enum pm_method {
    PM_METHOD_CONTOUR,  /* contours of the Laplace transform */
    PM_METHOD_STEPS,    /* in double precision */
    PM_METHOD_EXTENDED, /* steps in twice the precision */
    PM_METHOD_SQUARING, /* powers of a dense matrix in twice the precision */
    PM_METHOD_NONE      /* done */
} pm_method;

/* What is known of a row of theta before its steps. */
typedef struct pm_row {
    double lambda;    /* at least the largest rate out of a state that is reached; 1 when discrete */
    double predicted; /* steps to the last time */
    bool partial;     /* some weights are zero that are not so in general: there may be states that are not reached */
    pm_method method; /* the next to take */
    bool is_inverted; /* contours have been tried */
} pm_row;

typedef struct pm_progress {
    const pm_log *log;
    double started, reported; /* seconds */
    uint64_t rows_done, rows;
} pm_progress;

/* What mixing takes of the steps k, k + 1, ... of a chunk. */
typedef struct pm_step_table {
    double ratio[PM_CHUNK]; /* k! / (k+8)! */
    double mode[PM_CHUNK];  /* a lower bound of Pois(k; k) */
} pm_step_table;

/* What is the same for all blocks of a call. */
typedef struct pm_density_job {
    const pm_chain *chain;
    const pm_request *request;
    const double *start; /* (B, S) */
    pm_result *result;   /* the buffers to write; steps and error_bound are not touched */
    pm_isa isa;
    const pm_mixing *mixing;
    pmi_dense_row dense_row;
    bool is_discrete;
    bool wants_pdf, wants_cdf;          /* the latter with the survival */
    double tolerance;                   /* what no error bound may exceed */
    pm_times times;                     /* T, or B x T with times_per_theta */
    pm_row *rows;                       /* B */
    unsigned step_threads;              /* threads inside one step */
    pm_step_table early;                /* of the first PM_CHUNK steps, which most blocks end within */
    const struct pm_contours *contours; /* NULL: none can be taken */
    pm_progress *progress;
} pm_density_job;

/* One time of a lane. Neighbours in a group are mixed together, by the weights of its last one, the leader. */
typedef struct pm_mixture {
    double sums[3];  /* of a_k, c_k, s_k, times 2^shift: multiples of 1 / PM_UNIT */
    double x, x_low; /* lambda t = x + x_low */
    double base,
        ratio;     /* in a group: its weight at step k is ratio base^(k - next) times the leader's, of whose `next` */
    size_t leader; /* the number of the group's last time, or its own */
    /* of a leader, and for its group */
    bool is_group;         /* of several times */
    double least;          /* the smallest x */
    double x8;             /* the eighth power of x + x_low */
    double start_rounding; /* the most that a weight which a sum over steps started from may be off by, in 2^-53 */
    double weight;         /* of step `next`, which the sums have come to */
    uint64_t first, last;  /* its window */
    uint64_t next;
    unsigned starts; /* of recurrences, one after the other */
} pm_mixture;

/* Where the steps of a lane begin anew: from the vector at a later time, a mixture of the vectors of these steps. */
typedef struct pm_goal {
    bool is_set;
    double time;
    pm_mixture mixture;
    double weight; /* of the step at hand */
} pm_goal;

/* What a point may be off by. With tail_accuracy relative, and all in `pdf` and `cdf`; otherwise that of the cdf is
 * absolute, those of the pdf are multiples of 1 / PM_UNIT over lambda. */
typedef struct pm_point_error {
    double pdf, cdf;
    double beyond; /* of the pdf: what the steps beyond the last one that was taken add */
} pm_point_error;

typedef struct pm_lane {
    size_t theta_row;
    double from;          /* the time that steps are counted from */
    double lambda;        /* 1 when discrete */
    double exit_part;     /* the largest rate of absorption of a state, over lambda */
    double keep_rounding; /* discrete: the most that rounding may change a probability of staying, relatively */
    double excess;        /* discrete: the most that the probabilities of a row exceed one by */
    double atom;
    pm_times times;
    pm_mixture *mixtures; /* T, in the order of `times` */
    int shift;            /* tails of large rates: Poisson weights are kept as multiples of 2^-shift */
    double exponent;      /* of the windows (pmi_poisson_window) */
    double cut;           /* the Poisson mass that windows cut off on either side, first setting of `exponent` */
    uint64_t ends;        /* steps that the windows ask for */
    uint64_t limit;       /* the same, or where the goal's window ends */
    size_t pending;       /* the first time whose window is not finished */
    size_t settled;       /* times whose points are known */

    bool may_restart, knows_rates;
    bool waits; /* to begin anew from the goal, for the other lanes */
    pm_goal goal;
    pm_point_error error; /* the largest of the times that are settled */
    /* from before the lane last began anew: steps, relative rounding; and how often it did */
    uint64_t steps;
    double rounding;
    unsigned restarts;

    uint64_t at; /* steps taken into account */
    /* since the lane last began anew; probabilities, as multiples of 1 / PM_UNIT */
    double cum, cum_low;           /* c_at = cum + cum_low */
    double carry;                  /* discrete: absorbed in step `at` */
    double mass;                   /* s_at */
    double most;                   /* max a_k */
    double peak;                   /* a lower bound of the pdf's peak, over lambda */
    double asked;                  /* the largest pdf so far at the times asked for, over lambda */
    double dropped, dropped_ahead; /* the mass that was taken out of drained levels, and ahead of the front */
    double may_drop;               /* the most both may come to */
    double mass_before;            /* s_k at the judgement before, and its step */
    uint64_t at_before;
    uint32_t level; /* the first level that holds anything */
    uint32_t last;  /* one past the last state that holds anything */
    double work;    /* multiply-adds so far */
    bool cut_short; /* stopped before the windows' end, as what is left does not matter */
    bool done;
    pm_method next; /* of a lane that is done: how to do it again, or PM_METHOD_NONE */
} pm_lane;

/* One time of one row. */
typedef struct pm_point {
    double pdf, cdf, survival;
} pm_point;

typedef struct pm_block {
    const pm_density_job *job;
    const size_t *rows; /* count rows of theta */
    size_t count;
    unsigned lanes;
    bool extended;
    const pm_step_kernels *kernels;
    const pm_extended_kernels *extended_kernels;
    pm_step step;
    double *theta;              /* lanes x P */
    double *table, *table_low;  /* n_weights slots */
    double *keep, *keep_low;    /* n slots */
    double *now, *next;         /* n slots each */
    double *now_low, *next_low; /* the same, when extended */
    double *partial;            /* n_blocks x 2 slots: mass, absorbed */
    double *mass, *absorbed;    /* a slot each: s_k and a_k of `now` */
    uint64_t chunk, recorded;   /* first step of the chunk, and one past the last that is recorded */
    double *chunk_a, *chunk_s;  /* [lane][PM_CHUNK_STRIDE] */
    double *chunk_c;            /* [PM_CHUNK] of the lane at work */
    const double *ratio, *mode; /* of the chunk's steps, in job->early or in `later` */
    pm_step_table *later;       /* of a chunk past the first PM_CHUNK steps */
    pm_mixture *mixtures;       /* lanes x T */
    pm_point *points;           /* lanes x T */
    double *fastest;            /* n_levels slots: the largest rate of a state of this level or a later one */
    double *blend, *blend_low;  /* n slots: the vectors that lanes begin anew from */
    double *weight;             /* a slot: of the step at hand, for `blend` */
    bool may_restart, is_blending;
    bool records_all;                /* c_k and s_k are mixed as well as a_k */
    double once, per_step, per_jump; /* roundings of double precision (density_finish.c) */
    pm_pool pool;                    /* of all arrays */
    pm_lane lane[PM_STEP_MAX_LANES];
} pm_block;

/* Evaluates `count` rows of theta by steps. *steps and *bound are the largest of any row. A row that needs another
 * method has job->rows[row].method set to it, the others to PM_METHOD_NONE. */
pm_status pmi_density_block(const pm_density_job *job, const size_t *rows, size_t count, unsigned lanes, bool extended,
                            uint64_t *steps, double *bound, pm_error *err);

/* Fills the table from step `first` on. */
void pmi_step_table_set(pm_step_table *t, uint64_t first);
/* The table of probabilities and `keep`, for the lanes' lambda; writes over `next`, and `now` when discrete. */
pm_status pmi_block_set_rates(pm_block *b, pm_error *err);
/* Empties the first levels of one lane, which nothing flows into any more, where what they still hold does not matter.
 */
void pmi_lane_drain(const pm_block *b, pm_lane *lane, unsigned l);

/* density.c. Which states are reached at a row of theta: n flags, to be freed. */
pm_status pmi_reached_states(const pm_density_job *job, size_t row, bool **out, pm_error *err);
/* Multiply-adds of squaring for a row, HUGE_VAL when it cannot be done. */
double pmi_squaring_work(const pm_density_job *job, size_t row);
/* contour.c. Multiply-adds of inverting the Laplace transform of a row, HUGE_VAL when it cannot be done, or has been
 * tried. */
double pmi_contour_work(const pm_density_job *job, size_t row);
double pmi_last_time(const pm_density_job *job, size_t row);
pm_times pmi_row_times(const pm_density_job *job, size_t row);
/* lambda for rates of `most` at most: with room for the rounding of their sums. */
double pmi_rate_above(const pm_chain *chain, double most);

/* density_mix.c. Sets the windows for the times of the lane; again, for those that are not settled; for one. */
void pmi_lane_open(pm_block *b, unsigned lane);
void pmi_lane_set_windows(const pm_block *b, pm_lane *lane);
void pmi_lane_set_mixture(const pm_lane *lane, double time, double exponent, pm_mixture *m);
pm_poisson_law pmi_mixture_law(const pm_block *b, const pm_lane *lane, const pm_mixture *m);
/* Takes the steps lane->at .. end-1 of the chunk into account. */
void pmi_lane_take(pm_block *b, unsigned lane, uint64_t end);

/* density_lane.c. At a chunk's end or at the lane's limit decides whether the lane is done, or done better in another
 * way. Errors: PM_EDATA when all of them would take too long. */
pm_status pmi_lane_judge(const pm_block *b, pm_lane *lane, pm_error *err);
/* A plain lane with this bound needs more digits: sets lane->next. Errors: PM_EDATA when there are none to be had. */
pm_status pmi_lane_more_digits(const pm_block *b, pm_lane *lane, double bound, pm_error *err);
/* The larger of the pdf's largest value so far at the times asked for and of a small part of its peak, over lambda. */
double pmi_lane_scale(const pm_lane *lane);
/* Whether a row may begin anew, and the lane's part of it. */
bool pmi_row_may_restart(const pm_density_job *job, size_t row);
/* The weights of step k for the vectors to begin anew from; whether there are any. */
bool pmi_block_weigh(pm_block *b, uint64_t k);
/* Begins anew with the lanes that wait for it. *any: whether there are any. */
pm_status pmi_block_restart(pm_block *b, bool *any, pm_error *err);

/* density_finish.c: counts roundings, before any of the following. */
void pmi_count_roundings(pm_block *b);
/* Bounds of what rounding leaves, relative to a sum of non-negative terms.
 * Of the steps, after `steps` of them with `jumps` at most that rates lead to (steps + lambda t when continuous). */
double pmi_step_rounding(const pm_block *b, const pm_lane *lane, double steps, double jumps);
/* Of the Poisson weights of one time, or of a leader's group, and the sum over `window` steps, whose mean under the
 * terms is at most `mean`. */
double pmi_mixing_rounding(const pm_block *b, const pm_mixture *m, double mean, double window);
/* The points and their errors of the times before number `end`, which no later step changes. */
void pmi_lane_settle(const pm_block *b, pm_lane *lane, size_t end);
/* Settles all times and writes the results of the lane; *bound: their error. A bound above the tolerance: PM_OK and
 * nothing is written. Errors: as pmi_write_points. */
pm_status pmi_lane_finish(const pm_block *b, pm_lane *lane, double *bound, pm_error *err);
/* Puts the T points of a row, by ascending time, in order and writes them. Errors:
 * PM_ESOFTWARE when the distribution function decreases by more than the bound. */
pm_status pmi_write_points(const pm_density_job *job, size_t row, double bound, const pm_point *points, pm_error *err);
/* PM_EDATA: the row cannot be had within the tolerance, perhaps for what rows exceed one by. */
pm_status pmi_refuse_bound(const pm_density_job *job, size_t row, double steps, double excess, double bound,
                           pm_error *err);

/* density_squaring.c: the whole of one row. */
pm_status pmi_density_square(const pm_density_job *job, size_t row, uint64_t *steps, double *bound, pm_error *err);

/* Failures of rows that threads share: the first in the order of rows is the one reported, whatever the threads do. */
typedef struct pm_failure {
    omp_lock_t lock;
    size_t row;
    pm_error error;
} pm_failure;

void pmi_failure_start(pm_failure *f);
void pmi_failure_note(pm_failure *f, size_t row, const pm_error *err);
/* The status of what was noted, PM_OK for nothing; no other may be noted. */
pm_status pmi_failure_end(pm_failure *f, pm_error *err);

/* density.c */
void pmi_progress_start(pm_progress *p, const pm_log *log, size_t rows);
/* Called by any thread: `rows` rows are done. */
void pmi_progress_add(pm_progress *p, size_t rows);
/* Reports when a second has passed and the caller is the calling thread of the evaluation. `fraction` of `rows` more
 * is done in this thread. */
void pmi_progress_tell(pm_progress *p, double fraction, size_t rows);

#endif
