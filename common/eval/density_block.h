/* One block of theta rows on its way through the steps; private to eval/density*.c.
 *
 * With v_k the distribution over transient states after k steps of the uniformized chain (rate lambda), per lane:
 *     a_k = probability of absorption in step k+1, c_k = probability of absorption within k steps (atom included),
 *     s_k = sum of v_k,
 *     pdf(t) = lambda sum_k Pois(k; lambda t) a_k, cdf(t) = sum_k Pois(k; lambda t) c_k, survival(t) the same of s_k.
 * A discrete chain takes its own steps: pmf(k) = a_{k-1}, cdf(k) = c_k, survival(k) = s_k. Nothing is subtracted. */
#ifndef PM_EVAL_DENSITY_BLOCK_H
#define PM_EVAL_DENSITY_BLOCK_H

#include "eval/step.h"

/* Steps that are kept before they are mixed, at most. */
#define PM_CHUNK 512

/* exp(-745) is below the smallest denormal number. */
#define PM_FULL_EXPONENT 745.0

/* Times in ascending order: time[j] is number order[j] of the request. */
typedef struct pm_times {
    double *time;
    size_t *order;
} pm_times;

/* What is the same for all blocks of a call. */
typedef struct pm_density_job {
    const pm_chain *chain;
    const pm_request *request;
    const double *start; /* (B, S) */
    pm_result *result;   /* the buffers to write; steps and error_bound are not touched */
    pm_isa isa;
    pm_mix_function mix;
    bool is_discrete;
    bool wants_pdf, wants_cdf;
    double tolerance;      /* what no error bound may exceed */
    pm_times times;        /* T, or B x T with times_per_theta */
    unsigned step_threads; /* threads inside one step */
    struct pm_density_progress *progress;
} pm_density_job;

typedef struct pm_lane {
    size_t theta_row;
    double lambda;    /* 1 when discrete */
    double exit_rate; /* the largest rate of absorption of a state */
    double drift;     /* the most by which the sum of a row, as it is used, differs from one */
    double atom;
    pm_times times;
    double *sums;    /* T x 3: of a_k, c_k, s_k, in the order of `times` */
    double exponent; /* of the windows (pm_poisson_window) */
    double cut;      /* the Poisson mass that windows cut off on either side, first setting of `exponent` */
    uint64_t limit;  /* steps that the windows ask for */
    size_t pending;  /* the first time whose window is not finished */

    uint64_t at;         /* steps taken into account */
    double cum, cum_low; /* c_at = cum + cum_low */
    double carry;        /* discrete: absorbed in step `at` */
    uint64_t idle;       /* steps since anything was absorbed */
    double mass;         /* s_at */
    double most;         /* max a_k */
    double peak;         /* a lower bound of the pdf's peak */
    double asked;        /* the largest pdf so far at the times asked for */
    uint32_t level;      /* the first level that holds anything */
    double dropped;      /* the mass that was taken out of earlier levels */
    double may_drop;     /* the most it may come to */
    bool cut_short;      /* stopped before the windows' end, as what is left does not matter */
    bool done;
} pm_lane;

typedef struct pm_block {
    const pm_density_job *job;
    size_t first, count; /* rows of theta */
    unsigned lanes;
    const pm_step_kernels *kernels;
    pm_step step;
    double *table;             /* n_weights slots */
    double *keep;              /* n slots */
    double *now, *next;        /* n slots each */
    double *partial;           /* n_blocks x 2 slots: mass, absorbed */
    double *mass, *absorbed;   /* a slot each: s_k and a_k of `now` */
    uint64_t chunk;            /* first step of the chunk */
    double *chunk_a, *chunk_s; /* [lane][PM_CHUNK] */
    double *chunk_c;           /* [PM_CHUNK] of the lane at work */
    double *inverse;           /* [PM_CHUNK + 8]: 1 / step */
    double *ratio;             /* [PM_CHUNK]: k! / (k+8)! */
    double *mode;              /* [PM_CHUNK]: a lower bound of Pois(k; k) */
    double *sums;              /* lanes x T x 3 */
    pm_lane lane[PM_STEP_MAX_LANES];
} pm_block;

/* Evaluates rows first..first+count-1 of theta. *steps and *bound are the largest of any row. */
pm_status pm_density_block(const pm_density_job *job, size_t first, size_t count, unsigned lanes, uint64_t *steps,
                           double *bound, pm_error *err);

/* density_setup.c: the table of probabilities, `keep`, the lanes' rates and the vector v_0. */
pm_status pm_block_setup(pm_block *b, pm_error *err);

/* density_mix.c: takes the steps lane->at .. end-1 of the chunk into account. */
void pm_lane_take(pm_block *b, unsigned lane, uint64_t end);
/* Sets the windows for the times of the lane. */
void pm_lane_open(pm_block *b, unsigned lane);
/* At a chunk's end or at the lane's limit: decides whether the lane is done. Errors: PM_EDATA when the tolerance is out
 * of reach. */
pm_status pm_lane_judge(const pm_block *b, pm_lane *lane, pm_error *err);

/* density_drain.c: empties the first levels, which nothing flows into any more, where what they still hold does not
 * matter, and leaves states that no lane needs out of later steps. */
void pm_block_drain(pm_block *b);

/* density_finish.c: writes the results of one lane, returns its error bound. Errors: PM_EDATA when that exceeds the
 * tolerance; PM_ESOFTWARE when a distribution function decreases by more than it. */
pm_status pm_lane_finish(const pm_block *b, pm_lane *lane, double *bound, pm_error *err);

/* The relative rounding error of a sum of non-negative terms after so many steps. */
double pm_lane_rounding(const pm_lane *lane, uint64_t steps);
/* What pdf errors are relative to: the largest value at the times asked for, or a millionth of the peak. */
double pm_lane_scale(const pm_lane *lane);
/* The error for a tolerance out of reach. */
pm_status pm_lane_refuse(const pm_block *b, const pm_lane *lane, double bound, pm_error *err);

/* density_progress.c */
typedef struct pm_density_progress {
    const pm_log *log;
    double started, reported; /* seconds */
    uint64_t rows_done, rows;
} pm_density_progress;
void pm_density_progress_start(pm_density_progress *p, const pm_log *log, size_t rows);
/* Called by any thread: `rows` rows are done. */
void pm_density_progress_add(pm_density_progress *p, size_t rows);
/* Reports when a second has passed and the caller is the calling thread of the evaluation. `fraction` of `rows` more
 * is done in this thread. */
void pm_density_progress_tell(pm_density_progress *p, double fraction, size_t rows);

#endif
