#include "eval/contour.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- what is the same for all rows ---- */

static const double sectors[PM_HYPERBOLAS] = {0.1, 0.8, 1.2, 1.4};

/* Last over first time of a window. */
#define HYPERBOLA_RATIO 30.0
#define PARABOLA_RATIO 3.2

/* A contour's error is exp(-DIGITS): doubles have no more. */
#define DIGITS 33.0

/* Roundings of a node beside those of the elimination, and of the exponent's for each unit of s t. */
#define NODE_ROUNDINGS 32.0
#define EXPONENT_ROUNDINGS 2.0

/* Steps from zero to the first window. */
#define FIRST_STEPS 8.0

/* Multiply-adds that one operation of a replay at a complex node takes the time of, and one weight of a time. */
#define NODE_OPERATION 2.5
#define NODE_STATE 8.0
#define TIME_WEIGHT 100.0

/* lambda t beyond which squares of numbers leave the doubles. */
#define MOST_LAMBDA_TIME 1e40

static double program_steps(const pm_program *p) {
    return (double)(p->inner_row[p->n] + p->exit_row[p->n] + p->absorb_row[p->n]) + 2.0 * (double)p->n;
}

pm_status pmi_contours_new(const pm_program *program, pm_isa isa, pm_contours *out, pm_error *err) {
    *out = (pm_contours){.program = program,
                         .kernels = pmi_complex_kernels_get(isa),
                         .rounding = PM_ROUNDING * (NODE_ROUNDINGS + program->roundings),
                         .step_work = program_steps(program)};
    out->node_work = NODE_OPERATION * (double)program->flops + NODE_STATE * (double)program->n;
    for (size_t i = 0; i < PM_HYPERBOLAS; i++) {
        PM_TRY(pmi_contour_hyperbola(sectors[i], HYPERBOLA_RATIO, DIGITS, &out->hyperbola[i], err));
    }
    double slots = (double)program->n + (double)program->largest_u + 2.0 * program->largest;
    out->bytes = (size_t)fmin(8.0 * (slots * PM_COMPLEX_SLOT + program->n * (PM_NODE_SUMS + 6.0)), 1e18);
    return PM_OK;
}

void pmi_contours_free(pm_contours *contours) {
    for (size_t i = 0; i < PM_HYPERBOLAS; i++) {
        pmi_pool_free(&contours->hyperbola[i].pool);
    }
}

double pmi_contour_work(const pm_density_job *job, size_t row) {
    const pm_contours *c = job->contours;
    double steps = job->rows[row].predicted;
    if (c == NULL || job->rows[row].is_inverted || !(steps >= c->fewest_steps && steps <= MOST_LAMBDA_TIME)) {
        return HUGE_VAL;
    }
    double windows = steps > FIRST_STEPS ? ceil(log(steps / FIRST_STEPS) / log(HYPERBOLA_RATIO)) : 0.0;
    double nodes = windows * (double)c->hyperbola[0].n;
    return nodes * c->node_work + FIRST_STEPS * c->step_work +
           TIME_WEIGHT * (double)c->hyperbola[0].n * (double)job->request->n_times;
}

/* ---- one row ---- */

/* The columns of the sums over nodes: densities at the start of a window and at its end, distribution functions at
 * these, and one start after and before the end; and what the first may be off by, over the rounding of a node. */
enum { DENSITY_FIRST, FIRST, DENSITY_LAST, LAST, AFTER, BEFORE, SIZE };

/* The density from state i at tau is off by part f_i + per_absorption P_i + rest at most, where P_i is the probability
 * to be absorbed within ratio tau. From there to a time u later, exp(Qu) makes of these: the same part of the density
 * then, the probability of absorption between u and u + ratio tau, and rest at most. */
typedef struct density_bound {
    double part, per_absorption, rest;
} density_bound;

typedef struct inversion {
    const pm_density_job *job;
    const pm_contours *shared;
    size_t row;
    int exponent;  /* rates here are those of theta times 2^-exponent, so that lambda is about 1 */
    double lambda; /* the largest rate of any state */
    double *rate;  /* n_weights */
    double *leave; /* n: out of each state, over lambda */
    double *x;     /* n slots: transforms of the nodes at work */
    pm_complex_factors factors;
    double *sums;                   /* n x PM_NODE_SUMS: of the window at work, the columns below */
    double *density, *distribution; /* n each: at the start of the window, from the one before */
    double *carried; /* n: what densities there are off by for what they were off by at the window's start before */
    double *step, *next_step;         /* n each */
    double *start_re, *start_im;      /* of each node: the transform from the start distribution */
    size_t capacity;                  /* of these two */
    pm_point *points;                 /* T; pdf and cdf, in units of this time */
    pm_point_error *errors;           /* T */
    size_t next;                      /* the first time that has no point */
    double tau;                       /* the start of this window */
    double distribution_error;        /* of any state at tau */
    density_bound off;                /* of densities at tau */
    double step_error, impulse_error; /* of the contour of the window before */
    double seen;                      /* the largest density so far */
    size_t kind;                      /* of contour that passed in the window before */
    double off_before;                /* the largest difference at its start */
    double work, most_work;
    bool is_over; /* more work than allowed, or no contour passes */
    pm_inverted *out;
    pm_pool pool;
} inversion;

/* Times in the unit of the row: rates times 2^-exponent. */
static double time_of(const inversion *v, size_t j) {
    return ldexp(pmi_row_times(v->job, v->row).time[j], v->exponent);
}

static double from_start(const inversion *v, const double *by_position, size_t stride) {
    const pm_graph *g = v->job->chain->graph;
    const pm_program *p = v->shared->program;
    const double *mass = v->job->start + v->row * g->n_starts;
    double sum = 0.0;
    for (size_t s = 0; s < g->n_starts; s++) {
        uint32_t at = p->position[g->start_to[s]];
        sum += at != PM_NONE ? mass[s] * by_position[at * stride] : 0.0;
    }
    return sum;
}

static double atom_of(const inversion *v) {
    const pm_chain *c = v->job->chain;
    double sum = 0.0;
    for (size_t s = 0; s < c->graph->n_starts; s++) {
        sum += c->start_state[s] == PM_START_ABSORBED ? v->job->start[v->row * c->graph->n_starts + s] : 0.0;
    }
    return sum;
}

static pm_status inversion_new(inversion *v, pm_error *err) {
    const pm_program *p = v->shared->program;
    size_t n = p->n, times = v->job->request->n_times;
    v->capacity = v->shared->hyperbola[PM_HYPERBOLAS - 1].n;
    v->rate = pmi_pool_array(&v->pool, v->job->chain->graph->n_weights, sizeof(double));
    v->leave = pmi_pool_zeros(&v->pool, n, sizeof(double));
    v->x = pmi_pool_aligned(&v->pool, n * PM_COMPLEX_SLOT, sizeof(double));
    v->factors.u = pmi_pool_aligned(&v->pool, p->largest_u * PM_COMPLEX_SLOT, sizeof(double));
    v->factors.leave = pmi_pool_aligned(&v->pool, (size_t)p->largest * PM_COMPLEX_SLOT, sizeof(double));
    v->factors.work = pmi_pool_aligned(&v->pool, (size_t)p->largest * PM_COMPLEX_SLOT, sizeof(double));
    v->sums = pmi_pool_array(&v->pool, n * PM_NODE_SUMS, sizeof(double));
    v->density = pmi_pool_zeros(&v->pool, n, sizeof(double));
    v->distribution = pmi_pool_zeros(&v->pool, n, sizeof(double));
    v->carried = pmi_pool_zeros(&v->pool, n, sizeof(double));
    v->step = pmi_pool_zeros(&v->pool, n, sizeof(double));
    v->next_step = pmi_pool_array(&v->pool, n, sizeof(double));
    v->points = pmi_pool_zeros(&v->pool, times, sizeof *v->points);
    v->errors = pmi_pool_zeros(&v->pool, times, sizeof *v->errors);
    return pmi_pool_check(&v->pool, err, "the inversion of a Laplace transform", v->shared->bytes);
}

/* ---- rates ---- */

/* Scales them by a power of two, which rounds nothing; whether they fit. */
static bool scale_rates(inversion *v) {
    const pm_program *p = v->shared->program;
    double most = 0.0;
    for (uint32_t i = 0; i < p->n; i++) {
        for (size_t e = p->inner_row[i]; e < p->inner_row[i + 1]; e++) {
            v->leave[i] += v->rate[p->inner_weight[e]];
        }
        for (size_t e = p->exit_row[i]; e < p->exit_row[i + 1]; e++) {
            v->leave[i] += v->rate[p->exit_weight[e]];
        }
        for (size_t e = p->absorb_row[i]; e < p->absorb_row[i + 1]; e++) {
            v->leave[i] += v->rate[p->absorb_weight[e]];
        }
        most = fmax(most, v->leave[i]);
    }
    if (!(most > 0.0 && most <= 0.25 * DBL_MAX)) {
        return false;
    }
    frexp(most, &v->exponent);
    v->lambda = ldexp(most, -v->exponent) * (1.0 + 4.0 * DBL_EPSILON);
    for (size_t w = 0; w < v->job->chain->graph->n_weights; w++) {
        v->rate[w] = ldexp(v->rate[w], -v->exponent);
    }
    for (uint32_t i = 0; i < p->n; i++) {
        v->leave[i] = ldexp(v->leave[i], -v->exponent) / v->lambda;
    }
    return time_of(v, v->job->request->n_times - 1) <= MOST_LAMBDA_TIME;
}

/* ---- from zero to the first window ---- */

/* The first steps of uniformization, from every state: with y_0 the rates of absorption over lambda and y_{k+1} = P
 * y_k, densities are lambda sum_k Pois(k) y_k and distribution functions sum_k P(N > k) y_k, sums of non-negative
 * terms. */

typedef struct poisson_table {
    double *weight, *beyond; /* of step k; of steps after it */
    size_t n;
} poisson_table;

static void set_poisson(poisson_table *t, double x) {
    size_t mode = (size_t)x < t->n ? (size_t)x : t->n - 1;
    t->weight[mode] = pmi_poisson(mode, x);
    for (size_t k = mode; k-- > 0;) {
        t->weight[k] = t->weight[k + 1] * ((double)(k + 1) / x);
    }
    for (size_t k = mode + 1; k < t->n; k++) {
        t->weight[k] = t->weight[k - 1] * (x / (double)k);
    }
    double sum = 0.0;
    for (size_t k = t->n; k-- > 0;) {
        t->beyond[k] = sum;
        sum += t->weight[k];
    }
}

static void take_step(inversion *v) {
    const pm_program *p = v->shared->program;
    double scale = 1.0 / v->lambda;
    for (uint32_t c = 0; c < p->n_components; c++) {
        uint32_t first = p->components[c].first, end = first + p->components[c].n;
        for (uint32_t i = first; i < end; i++) {
            double sum = 0.0, own = v->step[i], leave = v->leave[i];
            for (size_t e = p->inner_row[i]; e < p->inner_row[i + 1]; e++) {
                sum += v->rate[p->inner_weight[e]] * v->step[first + p->inner_col[e]];
            }
            for (size_t e = p->exit_row[i]; e < p->exit_row[i + 1]; e++) {
                sum += v->rate[p->exit_weight[e]] * v->step[p->exit_to[e]];
            }
            double keep = leave < 0.5 ? own - leave * own : (leave < 1.0 ? 1.0 - leave : 0.0) * own;
            v->next_step[i] = keep + sum * scale;
        }
    }
    double *done = v->step;
    v->step = v->next_step;
    v->next_step = done;
}

static void add_step(inversion *v, const poisson_table *at_tau, size_t k) {
    double weight = v->lambda * at_tau->weight[k], beyond = at_tau->beyond[k];
    for (size_t i = 0; i < v->shared->program->n; i++) {
        v->density[i] += weight * v->step[i];
        v->distribution[i] += beyond * v->step[i];
    }
}

/* Of sums of non-negative terms: of a step, and of what the Poisson weights sum up. */
static double first_rounding(const inversion *v, size_t steps) {
    double edges = (double)v->job->chain->most_out + 4.0;
    return PM_HIGHER_ORDER * PM_ROUNDING * ((double)steps * (edges + 4.0) + 64.0);
}

static void settle_first(inversion *v, const double *absorbed, poisson_table *t) {
    double atom = atom_of(v);
    for (; v->next < v->job->request->n_times && time_of(v, v->next) <= v->tau; v->next++) {
        pm_point *p = &v->points[v->next];
        double x = v->lambda * time_of(v, v->next);
        if (x < DBL_MIN) {
            *p = (pm_point){.pdf = v->lambda * absorbed[0], .cdf = atom};
        } else {
            set_poisson(t, x);
            for (size_t k = 0; k < t->n; k++) {
                p->pdf += v->lambda * t->weight[k] * absorbed[k];
                p->cdf += t->beyond[k] * absorbed[k];
            }
            p->cdf += atom;
        }
        v->errors[v->next] = (pm_point_error){.pdf = v->off.part * p->pdf, .cdf = v->off.part};
        v->seen = fmax(v->seen, p->pdf);
    }
}

static pm_status begin(inversion *v, pm_error *err) {
    const pm_program *p = v->shared->program;
    double x = FIRST_STEPS;
    uint64_t first, last;
    pmi_poisson_window(x, 38.0, &first, &last);
    poisson_table t = {.n = (size_t)last};
    t.weight = pmi_pool_array(&v->pool, t.n, sizeof(double));
    t.beyond = pmi_pool_array(&v->pool, t.n, sizeof(double));
    double *absorbed = pmi_pool_array(&v->pool, t.n, sizeof(double));
    PM_TRY(pmi_pool_check(&v->pool, err, "the first steps", t.n * 3 * sizeof(double)));
    for (uint32_t i = 0; i < p->n; i++) {
        for (size_t e = p->absorb_row[i]; e < p->absorb_row[i + 1]; e++) {
            v->step[i] += v->rate[p->absorb_weight[e]] / v->lambda;
        }
    }
    v->tau = x / v->lambda;
    set_poisson(&t, x);
    for (size_t k = 0; k < t.n; k++) {
        absorbed[k] = from_start(v, v->step, 1);
        add_step(v, &t, k);
        take_step(v);
    }
    v->off.part = v->distribution_error = first_rounding(v, t.n);
    v->work = (double)t.n * v->shared->step_work;
    settle_first(v, absorbed, &t);
    v->seen = fmax(v->seen, from_start(v, v->density, 1));
    return PM_OK;
}

/* ---- windows ---- */

/* Differences at the start of a window may be this part of the tolerance, or what rounding leaves, and what those at
 * the start of the window before have become. */
#define PASSING_SHARE 0x1p-11
#define PASSING_ROUNDING 0x1p-46
#define PASSING_BEFORE 4.0

/* Where several contours find the same difference, below this, it is that of the window before. */
#define SETTLED 1e-6

/* Of a density in each state; what is beyond that counts absolutely. */
#define RELATIVE_SHARE 0x1p-8

/* Roundings that a difference of two windows may show. */
#define ROUNDING_SEEN 4.0

/* The difference of two windows is that of two errors, each of which rounding may have hidden in part. */
#define HIDDEN 2.0

/* Absorption from a state counts for what densities may be off by where it is at least this part of the most probable
 * one; elsewhere what is left over counts absolutely. */
#define PROBABLE 0.1

/* More than distribution functions are off by where contours have passed, also for a window's length after its end. */
#define DISTRIBUTION_OFF 1e-10
#define DISTRIBUTION_OFF_SHARE 1e-3

/* The rate of the first parabola times the last time of its window, and of the next ones over that. */
#define FIRST_PARABOLA 100.0
#define NEXT_PARABOLA 4.0

typedef struct window {
    const pm_contour *contour;
    double distribution_off, density_off; /* the largest differences from the window before; of densities over the
                                           * probability of absorption per tau, and beyond rounding */
} window;

static void set_factor(double *slots, size_t k, size_t l, double re, double im) {
    slots[k * PM_COMPLEX_SLOT + l] = re;
    slots[k * PM_COMPLEX_SLOT + PM_NODES + l] = im;
}

/* (a + ib) / (c + id) */
static void divide(double a, double b, double c, double d, double *re, double *im) {
    double square = c * c + d * d;
    *re = (a * c + b * d) / square;
    *im = (b * c - a * d) / square;
}

/* For the nodes from `first` on: s, and what their transforms count with in the sums. */
static void set_nodes(const inversion *v, const pm_contour *c, size_t first, double *s, double *factor, double *size) {
    for (size_t l = 0; l < PM_NODES; l++) {
        size_t j = first + l;
        set_factor(s, 0, l, c->s_re[j] / v->tau, c->s_im[j] / v->tau);
        const double at[] = {1.0, c->ratio, 2.0 * c->ratio - 1.0, c->ratio - 1.0};
        static const size_t density[] = {DENSITY_FIRST, DENSITY_LAST}, distribution[] = {FIRST, LAST, AFTER, BEFORE};
        for (size_t k = 0; k < 4; k++) {
            double re, im, over_re, over_im;
            pmi_contour_weight(c, j, at[k], &re, &im);
            divide(re, im, c->s_re[j], c->s_im[j], &over_re, &over_im);
            set_factor(factor, distribution[k], l, over_re, over_im);
            if (k < 2) {
                set_factor(factor, density[k], l, re / v->tau, im / v->tau);
            }
            if (k == 0) {
                size[l] = hypot(re, im) / v->tau;
            }
        }
    }
}

static pm_status grow_nodes(inversion *v, size_t n, pm_error *err) {
    if (v->start_re != NULL && n <= v->capacity) {
        return PM_OK;
    }
    v->capacity = n > v->capacity ? n : v->capacity;
    v->start_re = pmi_pool_array(&v->pool, v->capacity, sizeof(double));
    v->start_im = pmi_pool_array(&v->pool, v->capacity, sizeof(double));
    return pmi_pool_check(&v->pool, err, "the nodes of a contour", v->capacity * 2 * sizeof(double));
}

static pm_status solve_nodes(inversion *v, const pm_contour *c, pm_error *err) {
    const pm_program *p = v->shared->program;
    _Alignas(64) double s[PM_COMPLEX_SLOT], factor[SIZE * PM_COMPLEX_SLOT], size[PM_NODES];
    PM_TRY(grow_nodes(v, c->n, err));
    memset(v->sums, 0, (size_t)p->n * PM_NODE_SUMS * sizeof *v->sums);
    for (size_t first = 0; first < c->n; first += PM_NODES) {
        set_nodes(v, c, first, s, factor, size);
        for (uint32_t i = 0; i < p->n_components; i++) {
            const pm_scc_view view = pmi_program_view(p, i);
            v->shared->kernels->solve(&view, v->rate, s, &v->factors, v->x);
        }
        v->shared->kernels->add_up(p->n, v->x, factor, size, v->sums);
        for (size_t l = 0; l < PM_NODES; l++) {
            v->start_re[first + l] = from_start(v, v->x + l, PM_COMPLEX_SLOT);
            v->start_im[first + l] = from_start(v, v->x + PM_NODES + l, PM_COMPLEX_SLOT);
        }
    }
    v->out->nodes += c->n;
    v->work += (double)c->n * v->shared->node_work;
    return PM_OK;
}

static double density_difference(const inversion *v, size_t i) {
    return fabs(v->sums[i * PM_NODE_SUMS + DENSITY_FIRST] - v->density[i]);
}

static double density_rounding(const inversion *v, size_t i) {
    return v->shared->rounding * v->sums[i * PM_NODE_SUMS + SIZE];
}

/* What counts as a part of the density of state i. */
static double density_part(const inversion *v, size_t i) {
    return RELATIVE_SHARE * v->job->tolerance * fmax(v->density[i], 0.0);
}

/* The most probable absorption within the window, from any state. */
static double most_absorbed(const inversion *v) {
    double most = 0.0;
    for (size_t i = 0; i < v->shared->program->n; i++) {
        most = fmax(most, v->sums[i * PM_NODE_SUMS + LAST]);
    }
    return most;
}

static void compare(const inversion *v, window *w) {
    double least = PROBABLE * most_absorbed(v);
    w->distribution_off = w->density_off = 0.0;
    for (size_t i = 0; i < v->shared->program->n; i++) {
        double difference = fabs(v->sums[i * PM_NODE_SUMS + FIRST] - v->distribution[i]);
        double beyond = density_difference(v, i) - ROUNDING_SEEN * density_rounding(v, i) - density_part(v, i);
        double off = isfinite(beyond) ? beyond * v->tau / fmax(v->sums[i * PM_NODE_SUMS + LAST], least) : HUGE_VAL;
        w->density_off = fmax(w->density_off, off);
        w->distribution_off = fmax(w->distribution_off, isfinite(difference) ? difference : HUGE_VAL);
    }
}

static double largest_off(const inversion *v, const window *w) {
    return fmax(w->distribution_off, v->job->wants_pdf ? w->density_off : 0.0);
}

static bool passes(const inversion *v, double off) {
    return off <= fmax(PASSING_SHARE * v->job->tolerance, PASSING_ROUNDING) + PASSING_BEFORE * v->off_before;
}

/* From the start distribution at time r tau, and what rounding may leave of it. */
static pm_point invert_at(const inversion *v, const pm_contour *c, double r, pm_point_error *rounding) {
    pm_point p = {0};
    *rounding = (pm_point_error){0};
    for (size_t j = 0; j < c->n; j++) {
        double re, im, over_re, over_im, s = hypot(c->s_re[j], c->s_im[j]);
        pmi_contour_weight(c, j, r, &re, &im);
        divide(re, im, c->s_re[j], c->s_im[j], &over_re, &over_im);
        p.pdf += re * v->start_re[j] - im * v->start_im[j];
        p.cdf += over_re * v->start_re[j] - over_im * v->start_im[j];
        double size = hypot(re, im) * hypot(v->start_re[j], v->start_im[j]);
        size *= v->shared->rounding + EXPONENT_ROUNDINGS * PM_ROUNDING * s * r;
        rounding->pdf += size;
        rounding->cdf += size / s;
    }
    p.pdf /= v->tau;
    rounding->pdf /= v->tau;
    return p;
}

static double distribution_off(const inversion *v) {
    return DISTRIBUTION_OFF + DISTRIBUTION_OFF_SHARE * v->job->tolerance;
}

/* What the density of state i at the window's start may be off by, but for a part of it and `rest`: twice the
 * difference from the window before, and what that one may be off by. */
static double density_off(const inversion *v, size_t i) {
    double off = HIDDEN * density_difference(v, i) + density_rounding(v, i) + v->carried[i] - density_part(v, i);
    return fmax(off, 0.0);
}

/* The bound of densities at the window's start, in terms of the absorption within it. */
static void bound_densities(inversion *v) {
    double least = PROBABLE * most_absorbed(v), slope = 0.0, rest = 0.0;
    for (size_t i = 0; i < v->shared->program->n; i++) {
        double absorbed = v->sums[i * PM_NODE_SUMS + LAST];
        slope = absorbed >= least ? fmax(slope, density_off(v, i) / absorbed) : slope;
    }
    for (size_t i = 0; i < v->shared->program->n; i++) {
        rest = fmax(rest, density_off(v, i) - slope * fmax(v->sums[i * PM_NODE_SUMS + LAST], 0.0));
    }
    v->off.part += RELATIVE_SHARE * v->job->tolerance;
    v->off.per_absorption = slope;
    v->off.rest += rest + slope * distribution_off(v);
}

static void enter_window(inversion *v, const window *w) {
    pm_point_error noise;
    invert_at(v, w->contour, 1.0, &noise);
    bound_densities(v);
    v->distribution_error += v->step_error + HIDDEN * (w->distribution_off + noise.cdf);
    v->step_error = w->contour->step_error;
    v->impulse_error = w->contour->impulse_error;
}

static void settle_window(inversion *v, const pm_contour *c) {
    double end = v->tau * c->ratio, atom = atom_of(v);
    double absorbed = fmax(from_start(v, v->sums + AFTER, PM_NODE_SUMS), 0.0) + distribution_off(v);
    for (; v->next < v->job->request->n_times && time_of(v, v->next) <= end; v->next++) {
        double r = time_of(v, v->next) / v->tau;
        pm_point_error error;
        pm_point p = invert_at(v, c, r, &error);
        error.pdf += v->off.part * fmax(p.pdf, 0.0) + v->off.rest +
                     (v->off.per_absorption + c->impulse_error / v->tau) * absorbed;
        error.cdf += v->distribution_error + c->step_error;
        bool is_number = isfinite(p.pdf) && isfinite(p.cdf) && isfinite(error.pdf) && isfinite(error.cdf);
        v->points[v->next] = (pm_point){.pdf = fmax(p.pdf, 0.0), .cdf = p.cdf + atom};
        v->errors[v->next] = is_number ? error : (pm_point_error){.pdf = HUGE_VAL, .cdf = HUGE_VAL};
        v->seen = fmax(v->seen, p.pdf);
    }
}

static void leave_window(inversion *v, const pm_contour *c) {
    for (size_t i = 0; i < v->shared->program->n; i++) {
        const double *sums = v->sums + i * PM_NODE_SUMS;
        v->density[i] = sums[DENSITY_LAST];
        v->distribution[i] = sums[LAST];
        v->carried[i] = v->off.per_absorption * fmax(sums[AFTER] - sums[BEFORE], 0.0) +
                        v->impulse_error / v->tau * fmax(sums[BEFORE], 0.0);
    }
    v->tau *= c->ratio;
    v->seen = fmax(v->seen, from_start(v, v->density, 1));
}

/* The rate of the parabola of this kind, per tau, at most that of the chain. */
static double parabola_rate(const inversion *v, size_t kind) {
    double rate = FIRST_PARABOLA / PARABOLA_RATIO * pow(NEXT_PARABOLA, (double)(kind - PM_HYPERBOLAS));
    return fmin(rate, v->lambda * v->tau);
}

static double nodes_of(const inversion *v, size_t kind) {
    const pm_contours *c = v->shared;
    return kind < PM_HYPERBOLAS ? (double)c->hyperbola[kind].n
                                : pmi_contour_parabola_nodes(parabola_rate(v, kind), PARABOLA_RATIO, DIGITS);
}

/* One contour in this window; whether it passed. */
static pm_status try_contour(inversion *v, size_t kind, bool *passed, double *off, pm_error *err) {
    pm_contour parabola = {0};
    window w = {.contour = kind < PM_HYPERBOLAS ? &v->shared->hyperbola[kind] : &parabola};
    pm_status st = PM_OK;
    if (kind >= PM_HYPERBOLAS) {
        st = pmi_contour_parabola(parabola_rate(v, kind), PARABOLA_RATIO, DIGITS, &parabola, err);
    }
    PM_THEN(st, solve_nodes(v, w.contour, err));
    if (st == PM_OK) {
        compare(v, &w);
        *off = largest_off(v, &w);
        *passed = passes(v, *off);
    }
    if (st == PM_OK && *passed) {
        v->out->parabola = v->out->parabola || kind >= PM_HYPERBOLAS;
        v->off_before = *off;
        enter_window(v, &w);
        settle_window(v, w.contour);
        leave_window(v, w.contour);
    }
    pmi_pool_free(&parabola.pool);
    return st;
}

/* Contours one after the other, until one passes or the last, which the whole disc lies inside of, does not. */
static pm_status run_window(inversion *v, pm_error *err) {
    size_t first = v->job->request->method == PM_DENSITY_PARABOLA ? PM_HYPERBOLAS : 0;
    bool passed = false;
    double off = HUGE_VAL;
    for (size_t kind = v->kind > first ? v->kind - 1 : first; !passed && !v->is_over; kind++) {
        double before = off;
        if (v->work + nodes_of(v, kind) * v->shared->node_work > v->most_work) {
            v->is_over = true;
            return PM_OK;
        }
        PM_TRY(try_contour(v, kind, &passed, &off, err));
        v->kind = kind;
        bool is_last = kind >= PM_HYPERBOLAS && parabola_rate(v, kind) >= v->lambda * v->tau;
        v->is_over = !passed && (is_last || (kind > PM_HYPERBOLAS && off <= SETTLED && off > 0.9 * before));
    }
    return PM_OK;
}

/* ---- results ---- */

static double bound_of(const inversion *v) {
    double asked = 0.0, pdf = 0.0, cdf = 0.0;
    for (size_t j = 0; j < v->job->request->n_times; j++) {
        asked = fmax(asked, v->points[j].pdf);
        pdf = fmax(pdf, v->errors[j].pdf);
        cdf = fmax(cdf, v->errors[j].cdf);
    }
    double scale = fmax(asked, PM_SMALL_PART * v->seen);
    double bound = v->job->wants_cdf ? cdf + PM_ROUNDING : 0.0;
    if (v->job->wants_pdf && pdf > 0.0) {
        bound = fmax(bound, pdf / scale);
    }
    return bound;
}

/* Within the bound, no probability is below 0 or above 1. */
static void finish_points(inversion *v) {
    for (size_t j = 0; j < v->job->request->n_times; j++) {
        pm_point *p = &v->points[j];
        p->pdf = ldexp(p->pdf, v->exponent);
        p->cdf = fmin(fmax(p->cdf, 0.0), 1.0);
        p->survival = 1.0 - p->cdf;
    }
}

static pm_status invert(inversion *v, pm_error *err) {
    const pm_density_job *job = v->job;
    PM_TRY(inversion_new(v, err));
    PM_TRY(pmi_weights_fill(job->chain->graph, job->request->theta, v->row, 1, 1, v->rate, err));
    if (!scale_rates(v)) {
        return PM_OK;
    }
    PM_TRY(begin(v, err));
    while (v->next < job->request->n_times && !v->is_over) {
        PM_TRY(run_window(v, err));
    }
    if (v->is_over) {
        return PM_OK;
    }
    v->out->bound = bound_of(v);
    if (!(v->out->bound <= job->tolerance)) {
        return PM_OK;
    }
    finish_points(v);
    v->out->is_done = true;
    return pmi_write_points(job, v->row, v->out->bound, v->points, err);
}

pm_status pmi_density_invert(const pm_density_job *job, size_t row, double most_work, pm_inverted *out, pm_error *err) {
    *out = (pm_inverted){.bound = HUGE_VAL};
    inversion v = {.job = job, .shared = job->contours, .row = row, .most_work = most_work, .out = out};
    pm_float_mode mode = pmi_denormals_flush();
    pm_status st = invert(&v, err);
    pmi_denormals_restore(mode);
    pmi_pool_free(&v.pool);
    return st;
}
