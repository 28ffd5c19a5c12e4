/* phasemill: moments and densities of phase-type distributions, by elimination traces recorded once and
 * replayed for batches of theta.
 *
 * Load or build a graph, make a model of it (this records or fetches the traces), evaluate batches:
 *
 *     pm_graph_load -> pm_model_new -> pm_evaluate (any number of times, from any number of threads)
 *
 * Words: a *state* is a row of the graph; *theta* is a row of P parameters, in which every rate is linear;
 * B rows of theta are a batch. Arrays are row-major, `double` unless said otherwise.
 *
 * Ownership: what a function returns through `out` belongs to the caller, who frees it with the function named
 * beside it; every free function accepts NULL. Errors: a function that can fail returns PM_OK or the sysexits
 * code of the error and, where `err` is not NULL, writes what failed, why, with which values, and what to do. */
#ifndef PHASEMILL_H
#define PHASEMILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define PM_VERSION "0.1.0"

/* ---- errors and log lines ---------------------------------------------------------------------------- */

/* The values are those of sysexits.h: a program may exit with them as they are. */
typedef enum pm_status {
    PM_OK = 0,
    PM_EUSAGE = 64,       /* a wrong request: option, shape or combination */
    PM_EDATA = 65,        /* wrong input: a graph, theta, times, rewards, a trace */
    PM_ENOINPUT = 66,     /* an input that cannot be opened */
    PM_EUNAVAILABLE = 69, /* something needed is not there */
    PM_ESOFTWARE = 70,    /* our bug: an internal check failed */
    PM_EOSERR = 71,       /* memory, threads or time of the system ran out */
    PM_ECANTCREAT = 73,   /* an output that cannot be made */
    PM_EIO = 74,          /* reading or writing failed */
    PM_ETEMPORARY = 75,   /* a time limit, or a server that refuses for now: the same again may work */
    PM_EPERMISSION = 77,  /* a server refused who we are, or what we may do */
    PM_ECONFIG = 78       /* a setting, here or of a server, that is not valid */
} pm_status;

#define PM_ERROR_TEXT 1024

typedef struct pm_error {
    pm_status code;
    char text[PM_ERROR_TEXT];
} pm_error;

typedef enum pm_log_level { PM_LOG_DEBUG, PM_LOG_INFO, PM_LOG_WARNING, PM_LOG_ERROR } pm_log_level;

/* What a log line is about, for machines: `text`, or a number when that is NULL. */
typedef struct pm_log_field {
    const char *name;
    const char *text;
    double number;
} pm_log_field;

/* Where log lines and progress go. The library calls it from the thread that called the library only, or in a forked
 * child from one that this thread waits for.
 * A NULL pm_log or function is silence. */
typedef struct pm_log {
    void *ctx;
    void (*line)(void *ctx, pm_log_level level, const char *text);
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
    /* a line with fields; NULL: `line` gets the text with " name=value" for each field behind it */
    void (*event)(void *ctx, pm_log_level level, const char *text, const pm_log_field *fields, size_t n_fields);
} pm_log;

/* The library's version and those of the libraries it stands on, one "name version" a line, as static text
 * written into `text` (at most n bytes with the final zero). */
void pm_versions(char *text, size_t n);

/* ---- graphs ------------------------------------------------------------------------------------------ */

typedef struct pm_graph pm_graph;

typedef enum pm_graph_format {
    PM_FORMAT_PHASIC,    /* phasic 0.22 and later: param_edges have 2+P columns */
    PM_FORMAT_PHASIC_021 /* phasic 0.21 and earlier: 3+P columns, the third a base weight */
} pm_graph_format;

/* What the weights of a graph are: rates, or probabilities of a step. */
typedef enum pm_graph_kind {
    PM_KIND_AS_GIVEN, /* as the file says; continuous where it does not say (pm_graph_may_be_discrete) */
    PM_KIND_CONTINUOUS,
    PM_KIND_DISCRETE
} pm_graph_kind;

/* Reads a graph from a file, or from standard input when path is "-": JSON or MessagePack, told apart by the
 * first byte. Validated whole (docs/formats.md). Errors: PM_EUSAGE where the file says another kind. Free with
 * pm_graph_free. */
pm_status pm_graph_load(const char *path, pm_graph_format format, pm_graph_kind kind, pm_graph **out, pm_error *err);

/* The same from memory. */
pm_status pm_graph_parse(const void *bytes, size_t n, pm_graph_format format, pm_graph_kind kind, pm_graph **out,
                         pm_error *err);

/* A graph as arrays in memory, shapes as in the file format; an array of zero rows may be NULL. */
typedef struct pm_graph_arrays {
    size_t n_vertices, state_length, n_params; /* n, L, P */
    bool is_discrete;
    bool normalize_rows;   /* discrete: the weights out of each row are divided by their sum, at every theta */
    const int32_t *states; /* (n, L) */
    size_t n_edges;
    const uint32_t *edge_from, *edge_to; /* (n_edges) */
    const double *edge_weight;           /* (n_edges) */
    size_t n_param_edges;
    const uint32_t *param_from, *param_to; /* (n_param_edges) */
    const double *param_coef;              /* (n_param_edges, P) */
    size_t n_starts;
    const uint32_t *start_to;   /* (n_starts) */
    const double *start_weight; /* (n_starts) */
} pm_graph_arrays;

/* Copies and validates the arrays. Free with pm_graph_free. */
pm_status pm_graph_from_arrays(const pm_graph_arrays *arrays, pm_graph **out, pm_error *err);

void pm_graph_free(pm_graph *graph);

size_t pm_graph_n_vertices(const pm_graph *graph); /* n: rows, the start vertex included */
size_t pm_graph_n_params(const pm_graph *graph);   /* P */
bool pm_graph_is_discrete(const pm_graph *graph);

/* Whether a graph that is taken as continuous because nobody said what it is may be a discrete one: at each of the
 * n_theta rows of theta (n_theta, P) the weights out of every state add up to at most one. False while the weights
 * depend on theta and none is given. theta may be NULL when P or n_theta is 0. */
bool pm_graph_may_be_discrete(const pm_graph *graph, const double *theta, size_t n_theta);

/* ---- models ------------------------------------------------------------------------------------------ */

typedef struct pm_model pm_model;

typedef enum pm_effort { PM_EFFORT_FAST, PM_EFFORT_BALANCED, PM_EFFORT_BEST } pm_effort;

/* *: at most what its control groups (those of a container), OMP_NUM_THREADS and its resource limits allow this
 * process; looked up when the model is made. */
typedef struct pm_model_options {
    pm_effort effort;      /* how widely to search pivot orders */
    unsigned threads;      /* recording threads; 0: one for each processor*, 1: sequential */
    size_t min_size;       /* a graph with fewer states is recorded by the calling thread alone */
    size_t memory;         /* bytes that traces and replay may take; 0: most of the machine's* */
    bool use_cache;        /* keep traces on disk */
    const char *cache_dir; /* NULL: $XDG_CACHE_HOME/phasemill or $HOME/.cache/phasemill */
    size_t cache_limit;    /* bytes on disk; 0: 1 GiB */
    bool strict_cache;     /* a damaged cache entry fails the call instead of being recorded again */
    bool normalize_start;  /* rescale a start distribution that does not sum to one */
    bool defective;        /* states that cannot be absorbed are allowed: see pm_result.absorption */
    bool densities_only;   /* record nothing: the model evaluates pdf and cdf, and refuses moments and covariances */
    const char *isa;       /* NULL: the best of this processor; else "x86-64-v2", "-v3", "-v4", "arm64" */
    const pm_log *log;     /* NULL: silence; must outlive the model */
} pm_model_options;

void pm_model_options_default(pm_model_options *options);

/* What making a model took. */
typedef struct pm_model_report {
    size_t sccs_total, sccs_nontrivial, sccs_distinct, sccs_recorded, sccs_cached;
    double seconds_split, seconds_record, seconds_stitch;
} pm_model_report;

/* Splits the graph, records the traces that the cache does not hold, and stitches the program (neither with
 * densities_only: densities are computed from the graph itself; the probability of absorption of a defective graph
 * still needs traces). The model keeps what it needs of the graph alive by itself: the graph may be freed afterwards.
 * Immutable: any number of threads may evaluate it at once. Free with pm_model_free. `report` may be NULL. */
pm_status pm_model_new(const pm_graph *graph, const pm_model_options *options, pm_model **out, pm_model_report *report,
                       pm_error *err);
void pm_model_free(pm_model *model);

/* ---- evaluation -------------------------------------------------------------------------------------- */

/* What a function of the results takes of each of them: its derivatives by them, for vector-Jacobian products. Each
 * NULL for zeros. */
typedef struct pm_cotangents {
    const double *moments;              /* (B, F, K) */
    const double *pdf, *cdf, *survival; /* (B, T) */
    const double *atom;                 /* (B) */
} pm_cotangents;

/* How densities of continuous graphs are computed (docs/densities.md). A method that cannot keep the tolerance at a row
 * of theta is an error of that row, and so is a contour where there are no traces (densities_only, or states that no
 * theta lets be absorbed), of discrete graphs, and with tail_accuracy. */
typedef enum pm_density_method {
    PM_DENSITY_AUTO,           /* the one that is expected to take the least work, for each row of theta */
    PM_DENSITY_UNIFORMIZATION, /* steps, or squaring */
    PM_DENSITY_CONTOUR,        /* contours of the Laplace transform */
    PM_DENSITY_PARABOLA        /* of these, parabolas alone: a chain's oscillations cost nothing more there */
} pm_density_method;

/* What to evaluate. Zero-initialise, then fill in. */
typedef struct pm_request {
    size_t n_theta;      /* B; 0 is an empty batch */
    const double *theta; /* (B, P); may be NULL when P is 0 */

    size_t n_moments;      /* K: raw moments 1..K of the reward (of the time, without rewards) */
    bool factorial;        /* discrete graphs: factorial moments E[Y(Y-1)..(Y-k+1)] instead of raw ones */
    size_t n_rewards;      /* F; 0: one reward vector of all ones */
    const double *rewards; /* (F, n), a value for each row of the graph; that of the start vertex is not used */
    bool gradient;         /* the derivatives in theta of moments, pdf and cdf, too; of covariances there are none */
    const pm_cotangents *cotangents; /* for pm_result.vjp; what they are of need not be asked for otherwise */
    bool covariance;                 /* the covariance matrix of the rewards: about ten times the work of a moment */

    size_t n_times;      /* T */
    const double *times; /* (T) or, with times_per_theta, (B, T); discrete graphs: whole numbers */
    bool times_per_theta;
    bool pdf, cdf;      /* density (probability mass, when discrete) and distribution function of the time */
    double tolerance;   /* of pdf relative to its peak, and of cdf; 0: 1e-9 */
    double row_seconds; /* the most that the densities of a row may take, in predicted seconds of one processor: a row
                           of more is refused; 0: 1000 */
    bool tail_accuracy; /* relative accuracy 1e-10 in both tails, at the price of more steps */
    pm_density_method method;

    unsigned threads; /* 0: one for each processor, as of pm_model_options */
    unsigned lanes;   /* 0: chosen; 1, 4, 8 or 16 */
} pm_request;

/* Where the results go: caller's buffers, NULL for what is not wanted. */
typedef struct pm_result {
    double *moments;          /* (B, F, K), F = 1 without rewards */
    double *covariance;       /* (B, F, F) */
    double *moments_gradient; /* (B, F, K, P): d moment / d theta, each right to ten digits; docs/gradients.md */
    double *atom;             /* (B): the probability of being absorbed at time zero */
    double *absorption; /* (B): the probability of ever being absorbed: 1, but for models made with `defective`. There
                           cdf rises to it, and moments and covariances are those given absorption */
    double *pdf, *cdf;  /* (B, T) */
    double *survival;   /* (B, T): 1 - cdf, with relative accuracy of its own; wanted where it is not NULL */
    double *pdf_gradient, *cdf_gradient, *survival_gradient; /* (B, T, P): the derivatives in theta */
    double *vjp; /* (B, P): the sums of cotangents times derivatives in theta, at about four times the cost of the
                    values for any P; docs/gradients.md */
    double *vjp_hessian; /* (B, P, P): the second derivatives of the same sums of densities, cotangents held fixed */
    pm_status *status;   /* (B): PM_OK, or why the row cannot be evaluated; NULL: the first such row fails the call */
    /* with `status`, called for each such row by the calling thread, in ascending order; may be NULL */
    void (*invalid)(void *ctx, size_t row, const pm_error *error);
    void *invalid_ctx;
    uint64_t steps;     /* out: the most uniformization (or discrete) steps, or products of matrices, of any theta */
    double error_bound; /* out: a bound of the error of every pdf (relative to its peak) and cdf; docs/densities.md */
    size_t n_extended;  /* out: rows of theta whose steps were taken in twice the precision */
    size_t n_squared;   /* out: rows of theta done by squaring a matrix in twice the precision */
    size_t n_contour;   /* out: rows of theta done by contours of the Laplace transform */
    size_t n_parabola;  /* out: of these, rows that took a parabola */
    uint64_t nodes;     /* out: the most nodes of contours of any theta */
} pm_result;

/* Evaluates the whole batch. Without result->status it fails as a whole at the first row of theta that cannot be
 * evaluated; with it such a row has a code there and NaN in all results, and the call goes on. Results are the same
 * bits for every number of threads and lanes, and for every floating-point environment of the caller (which is
 * restored). Errors name the row of theta and the edge, state, time or moment at fault. */
pm_status pm_evaluate(const pm_model *model, const pm_request *request, pm_result *result, pm_error *err);

/* ---- likelihoods ------------------------------------------------------------------------------------- */

/* Observed times, made once and used for any number of theta. Immutable: any number of threads may use them at once. */
typedef struct pm_data pm_data;

typedef struct pm_observations {
    size_t n;
    const double *time;  /* (n): 0 or more; whole numbers for discrete graphs */
    const double *upper; /* (n), or NULL: all times are exact. Equal to `time`: that one is exact. Above it: the time is
                            in (time, upper], for a `time` of 0 in [0, upper]; infinite: it is above `time`
                            (right-censored) */
    const double *count; /* (n), or NULL for ones: how often it was observed, or its weight: 0 or more */
} pm_observations;

/* Copies the observations; equal ones are put together. Errors: PM_EDATA naming the observation. Free with
 * pm_data_free. */
pm_status pm_data_new(const pm_observations *observations, pm_data **out, pm_error *err);

/* The same from a .csv file: a header with the columns `time` and, where wanted, `upper` and `count`, in any order,
 * then a row for each observation. An empty `upper`, or `inf`, is an infinite one. Errors: PM_EDATA naming line and
 * column; PM_ENOINPUT. */
pm_status pm_data_load(const char *path, pm_data **out, pm_error *err);
void pm_data_free(pm_data *data);

size_t pm_data_n_observations(const pm_data *data); /* as they were given, those of count 0 included */

/* Zero-initialise, then fill in. */
typedef struct pm_loglik_request {
    size_t n_theta;      /* B */
    const double *theta; /* (B, P) */
    double row_seconds;  /* as in pm_request */
    unsigned threads;    /* 0: one for each processor */
} pm_loglik_request;

/* Caller's buffers, NULL for what is not wanted. */
typedef struct pm_loglik_result {
    double *loglik;      /* (B): sum over observations of count * log(probability, or density, of what was observed) */
    double *gradient;    /* (B, P): its derivatives in theta */
    double *hessian;     /* (B, P, P): its second derivatives; minus the observed information */
    double *information; /* (B, P, P): the sum of count * outer product of the derivatives of an observation's
                            logarithm, which estimates the Fisher information of all of them */
    pm_status *status;   /* (B): as in pm_result, with NaN in the results of such rows */
    void (*invalid)(void *ctx, size_t row, const pm_error *error);
    void *invalid_ctx;
} pm_loglik_result;

/* The log-likelihood of the data at each row of theta. Densities are taken with relative accuracy in both
 * tails (pm_request.tail_accuracy). An exact time of 0 has the probability of being absorbed at once, where some start
 * edge leads to absorption, else the density there. Errors: as pm_evaluate; a
 * row is also refused where an observation has a likelihood of 0, or below 1e-290, or where an interval is so narrow
 * that rounding leaves too little of its probability. */
pm_status pm_loglik(const pm_model *model, const pm_data *data, const pm_loglik_request *request,
                    pm_loglik_result *result, pm_error *err);

/* The instruction set whose kernels the model uses, as in pm_model_options.isa. */
const char *pm_model_isa(const pm_model *model);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
