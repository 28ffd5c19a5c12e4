#include "eval/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/theta.h"
#include "graph/exact.h"
#include "graph/weights.h"

/* What stays in each state of a discrete graph, in wide numbers whatever the kernels are: where nearly all leave, the
 * rounding of a sum would be all that stays. */

/* Staying with less probability is summed without rounding: wide numbers would know it to less than 19 digits. */
#define SMALL_STAY 0x1p-40

static bool is_wide(const pm_replay_setup *s) {
    return s->kind != PM_NUMBER_DOUBLE;
}

/* The row of theta at one lane; the last row also fills the lanes behind. */
static size_t row_of_lane(const pm_replay_setup *s, size_t first, size_t count, size_t lane) {
    return s->kind == PM_NUMBER_DUAL ? first : first + (lane < count ? lane : count - 1);
}

static size_t degree(const pm_program *p, uint32_t i) {
    return p->inner_row[i + 1] - p->inner_row[i] + p->exit_row[i + 1] - p->exit_row[i] + p->absorb_row[i + 1] -
           p->absorb_row[i];
}

/* The pairs of doubles that block->terms has room for. */
static size_t stay_terms(const pm_replay_setup *setup) {
    const pm_program *p = setup->context->program;
    size_t most = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        most = degree(p, i) > most ? degree(p, i) : most;
    }
    return 1 + most * (1 + (size_t)setup->context->graph->n_params);
}

/* The row of theta at one lane, and room for the terms of an exact sum. */
typedef struct place {
    size_t row, lane;
    const double *theta;
    pm_terms terms;
    bool *reachable; /* rows of the graph at this theta; NULL until somebody asks */
} place;

/* What staying is computed from, in wide or dual numbers. */
typedef struct stay_arrays {
    const pm_kernels *kernels;
    const double *values; /* of the weights */
    double *sums;         /* of what leaves */
} stay_arrays;

static const pm_kernels *exact_kernels(const pm_replay_setup *s) {
    return is_wide(s) ? s->kernels : pmi_kernels_get(s->context->isa, s->kernels->lanes, PM_NUMBER_WIDE);
}

/* One minus the sum of all ways out of position i. */
static pm_wide exact_stay(const pm_replay_setup *s, place *at, uint32_t i) {
    const pm_program *p = s->context->program;
    const pm_graph *g = s->context->graph;
    pm_terms *t = &at->terms;
    t->n = 0;
    t->coef[0] = 1;
    pmi_terms_subtract(t, g, at->theta, p->inner_weight + p->inner_row[i], p->inner_row[i + 1] - p->inner_row[i]);
    pmi_terms_subtract(t, g, at->theta, p->exit_weight + p->exit_row[i], p->exit_row[i + 1] - p->exit_row[i]);
    pmi_terms_subtract(t, g, at->theta, p->absorb_weight + p->absorb_row[i], p->absorb_row[i + 1] - p->absorb_row[i]);
    return pmi_exact_dot_wide(t->coef, t->n, t->x);
}

/* A row that exceeds one is an error if this theta lets it be reached. */
static pm_status check_excess(const pm_replay_setup *s, place *at, uint32_t vertex, double sum, pm_error *err) {
    const pm_moments_context *c = s->context;
    if (at->reachable == NULL) {
        PM_TRY(pmi_reachable_rows(c->graph, c->split, at->theta, &at->reachable, err));
    }
    if (at->reachable[vertex]) {
        char text[200];
        pmi_graph_describe(c->graph, vertex, text, sizeof text);
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: the probabilities out of %s add up to %.17g (self-loops included), expected "
                        "at most 1",
                        at->row, text, sum);
    }
    return PM_OK;
}

/* stay = 1 - `out`, the sum of all ways out; self-loops are part of staying and only have to leave room for the rest.
 * Where values are given for weights, rounded ones, that of the self-loop says what stays. A row that is normalized
 * lacks nothing to one: it stays by its self-loops alone, or wholly where it has no weight. Others that exceed one, by
 * rounding or where this theta never leads, are divided by their sum, so that nothing stays. */
static pm_status fill_stay_of(const pm_replay_setup *s, const pm_replay_block *b, const stay_arrays *a, place *at,
                              uint32_t i, pm_error *err) {
    const pm_program *p = s->context->program;
    size_t lane = at->lane;
    pm_wide out = pmi_replay_get(a->sums, a->kernels, i, lane), loops = pmi_wide_of(0), loops_derivative = loops;
    for (size_t e = p->loop_row[i]; e < p->loop_row[i + 1]; e++) {
        loops = pmi_wide_add(loops, pmi_replay_get(a->values, a->kernels, p->loop_weight[e], lane));
        if (s->kind == PM_NUMBER_DUAL) {
            loops_derivative = pmi_wide_sum(loops_derivative,
                                            pmi_replay_get_derivative(a->values, a->kernels, p->loop_weight[e], lane));
        }
    }
    double sum = pmi_wide_double(pmi_wide_add(out, loops));
    PM_TRY(sum > 1 + PM_ROW_SUM_SLACK ? check_excess(s, at, p->vertex[i], sum, err) : PM_OK);
    pm_wide stay = pmi_wide_difference(pmi_wide_of(1), out), excess = pmi_wide_of(1);
    const pm_graph *g = s->context->graph;
    bool is_told = g->takes_values && (loops.hi > 0 || stay.hi > 0);
    bool by_loops = (g->normalizes_rows && out.hi > 0) || is_told;
    if (by_loops) {
        stay = loops;
    } else if (fabs(pmi_wide_double(stay)) < SMALL_STAY) {
        stay = exact_stay(s, at, i);
    }
    if (stay.hi < 0) {
        stay = pmi_wide_of(0);
        excess = out;
    }
    if (is_wide(s)) {
        if (s->kind == PM_NUMBER_DUAL) {
            pm_wide leaving = pmi_replay_get_derivative(a->sums, a->kernels, i, lane);
            pm_wide derivative = by_loops ? loops_derivative : pmi_wide_difference(pmi_wide_of(0), leaving);
            pmi_replay_put_derivative(b->stay, a->kernels, i, lane, derivative);
            pmi_replay_put_derivative(b->excess, a->kernels, i, lane, pmi_wide_of(0));
        }
        pmi_replay_put(b->stay, a->kernels, i, lane, stay);
        pmi_replay_put(b->excess, a->kernels, i, lane, excess);
    } else {
        b->stay[(size_t)i * s->kernels->lanes + lane] = pmi_wide_double(stay);
        b->excess[(size_t)i * s->kernels->lanes + lane] = pmi_wide_double(excess);
    }
    return PM_OK;
}

/* Of a discrete graph: fills block->stay and block->excess from the values at theta rows first..first+count-1. Errors:
 * PM_EDATA for probabilities that add up to more than one, naming the row of theta and the state. */
static pm_status fill_stay(const pm_replay_setup *s, const pm_replay_block *b, size_t first, size_t count,
                           pm_error *err) {
    const pm_program *p = s->context->program;
    const stay_arrays a = {.kernels = exact_kernels(s),
                           .values = is_wide(s) ? b->values : b->exact_values,
                           .sums = is_wide(s) ? b->stay : b->exact_sums};
    const pm_kernels *kernels = a.kernels;
    const double *values = a.values;
    double *sums = a.sums;
    kernels->clear(p->n, sums);
    kernels->add_weights(p->n, p->inner_row, p->inner_weight, values, sums);
    kernels->add_weights(p->n, p->exit_row, p->exit_weight, values, sums);
    kernels->add_weights(p->n, p->absorb_row, p->absorb_weight, values, sums);
    place at = {.terms = {.coef = b->terms, .x = b->terms + stay_terms(s)}};
    pm_status st = PM_OK;
    for (; st == PM_OK && at.lane < kernels->lanes; at.lane++) {
        at.row = row_of_lane(s, first, count, at.lane);
        at.theta = s->request->theta + at.row * s->context->graph->n_params;
        for (uint32_t i = 0; st == PM_OK && i < p->n; i++) {
            st = fill_stay_of(s, b, &a, &at, i, err);
        }
        free(at.reachable);
        at.reachable = NULL;
    }
    return st;
}

/* ---- blocks ---- */

pm_status pmi_rewards_new(const pm_program *program, const pm_request *request, size_t n_vertices, pm_rewards *out,
                          pm_error *err) {
    size_t vectors = request->n_rewards == 0 ? 1 : request->n_rewards;
    size_t slots;
    *out = (pm_rewards){.n_vectors = vectors, .first_part = pmi_calloc(vectors + 1, sizeof *out->first_part)};
    if (pmi_mul(vectors, program->n, &slots)) {
        out->value = pmi_malloc(slots, sizeof *out->value);
    }
    if (out->first_part == NULL || out->value == NULL) {
        pmi_rewards_free(out);
        return pmi_fail_memory(err, "the rewards", vectors * program->n * sizeof(double));
    }
    for (size_t f = 0; f < vectors; f++) {
        bool is_signed = false;
        for (size_t i = 0; i < program->n; i++) {
            double r = request->n_rewards == 0 ? 1 : request->rewards[f * n_vertices + program->vertex[i]];
            out->value[f * program->n + i] = r;
            is_signed |= r < 0;
        }
        out->first_part[f + 1] = out->first_part[f] + (is_signed ? 2 : 1);
    }
    out->n_parts = out->first_part[vectors];
    return PM_OK;
}

void pmi_rewards_free(pm_rewards *rewards) {
    free(rewards->first_part);
    free(rewards->value);
    *rewards = (pm_rewards){0};
}

static bool is_discrete(const pm_replay_setup *s) {
    return s->context->graph->is_discrete;
}

static double *slots(pm_pool *pool, size_t n, unsigned stride) {
    return pmi_pool_aligned(pool, n, stride * sizeof(double));
}

/* Whether SCCs have the factors of others: wide numbers are not that fast. */
static bool has_classes(const pm_replay_setup *s) {
    return !is_wide(s) && s->context->program->n_classes > 0;
}

/* SCCs of a factor class are solved apart from factoring, shared or not. */
static bool keeps_l(const pm_replay_setup *s) {
    return s->keep_l || has_classes(s);
}

static size_t next_slots(const pm_replay_setup *s) {
    return is_discrete(s) ? 2 * s->order * s->context->program->largest : 0;
}

size_t pmi_replay_lane_bytes(const pm_replay_setup *setup) {
    const pm_program *p = setup->context->program;
    double n_weights = (double)setup->context->graph->n_weights;
    double slots = (double)p->largest_u + (keeps_l(setup) ? (double)p->largest_l : 0) + 4.0 * p->largest +
                   (double)next_slots(setup) + n_weights +
                   (setup->shares ? (double)p->class_u + (double)p->class_l + 2.0 * (double)p->class_rows : 0) +
                   (double)setup->rewards->n_parts * (double)setup->order * p->n +
                   (is_discrete(setup) ? 2.0 * p->n : 0) + (setup->covariance ? 2.0 * p->n : 0);
    double number = setup->kind == PM_NUMBER_DUAL ? 48 : is_wide(setup) ? 24 : 8;
    double bytes = number * slots + (is_discrete(setup) && !is_wide(setup) ? 24 * (n_weights + p->n) : 0) +
                   (is_discrete(setup) ? 16 * (double)stay_terms(setup) : 0);
    return bytes < 9e18 ? (size_t)bytes : SIZE_MAX;
}

pm_status pmi_replay_scratch_new(const pm_replay_setup *setup, pm_replay_scratch *out, pm_error *err) {
    const pm_program *p = setup->context->program;
    unsigned stride = setup->kernels->stride;
    *out = (pm_replay_scratch){.factored = PM_NONE};
    out->factors.u = slots(&out->pool, p->largest_u, stride);
    out->factors.l = keeps_l(setup) ? slots(&out->pool, p->largest_l, stride) : NULL;
    out->factors.leave = slots(&out->pool, p->largest, stride);
    out->factors.inverse = slots(&out->pool, p->largest, stride);
    out->factors.work = slots(&out->pool, 2 * (size_t)p->largest, stride);
    out->plus = pmi_pool_array(&out->pool, p->largest, sizeof(double));
    out->minus = pmi_pool_array(&out->pool, p->largest, sizeof(double));
    out->limb = pmi_pool_array(&out->pool, p->largest, sizeof(double));
    out->next = slots(&out->pool, next_slots(setup), stride);
    PM_TRY(pmi_pool_check(&out->pool, err, "the factors of an SCC",
                          (p->largest_u + p->largest_l) * stride * sizeof(double)));
    /* a row adds its own self-loops to its slot, which nothing reads: it must only be memory that was written */
    memset(out->factors.work, 0, 2 * (size_t)p->largest * stride * sizeof(double));
    return PM_OK;
}

pm_status pmi_replay_block_new(const pm_replay_setup *setup, pm_replay_block *out, pm_error *err) {
    const pm_program *p = setup->context->program;
    unsigned stride = setup->kernels->stride, wide = 3 * setup->kernels->lanes;
    size_t moments = 0, n_weights = setup->context->graph->n_weights;
    *out = (pm_replay_block){0};
    bool fits = pmi_mul(setup->rewards->n_parts, setup->order, &moments) && pmi_mul(moments, p->n, &moments);
    out->x = slots(&out->pool, fits ? moments : SIZE_MAX, stride);
    out->values = slots(&out->pool, n_weights, stride);
    out->z = setup->covariance ? slots(&out->pool, p->n, stride) : NULL;
    if (setup->shares) {
        out->classes.u = slots(&out->pool, p->class_u, stride);
        out->classes.l = slots(&out->pool, p->class_l, stride);
        out->classes.leave = slots(&out->pool, p->class_rows, stride);
        out->classes.inverse = slots(&out->pool, p->class_rows, stride);
    }
    if (is_discrete(setup)) {
        out->stay = slots(&out->pool, p->n, stride);
        out->excess = slots(&out->pool, p->n, stride);
        out->exact_values = is_wide(setup) ? NULL : slots(&out->pool, n_weights, wide);
        out->exact_sums = is_wide(setup) ? NULL : slots(&out->pool, p->n, wide);
        out->terms = pmi_pool_array(&out->pool, stay_terms(setup), 2 * sizeof(double));
    }
    return pmi_pool_check(&out->pool, err, "the moments of a block of theta", moments * stride * sizeof(double));
}

double *pmi_replay_moments(const pm_replay_setup *setup, const pm_replay_block *block, size_t part, size_t k) {
    return block->x + (part * setup->order + k - 1) * setup->context->program->n * setup->kernels->stride;
}

pm_wide pmi_replay_get(const double *array, const pm_kernels *kernels, size_t slot, size_t lane) {
    const double *at = array + slot * kernels->stride + lane;
    size_t lanes = kernels->lanes;
    return (pm_wide){.hi = at[0], .lo = at[lanes], .limb = at[2 * lanes]};
}

void pmi_replay_put(double *array, const pm_kernels *kernels, size_t slot, size_t lane, pm_wide value) {
    double *at = array + slot * kernels->stride + lane;
    size_t lanes = kernels->lanes;
    at[0] = value.hi;
    at[lanes] = value.lo;
    at[2 * lanes] = value.limb;
}

pm_wide pmi_replay_get_derivative(const double *array, const pm_kernels *kernels, size_t slot, size_t lane) {
    return pmi_replay_get(array + 3 * (size_t)kernels->lanes, kernels, slot, lane);
}

void pmi_replay_put_derivative(double *array, const pm_kernels *kernels, size_t slot, size_t lane, pm_wide value) {
    pmi_replay_put(array + 3 * (size_t)kernels->lanes, kernels, slot, lane, value);
}

/* Where wide or dual values of the weights go. */
typedef struct value_array {
    double *values;
    const pm_kernels *kernels;
    bool dual;
} value_array;

/* Divides the weights of each row by its sum, at one lane; a row without any keeps none. A quotient q = w / sum changes
 * by (w' - q sum') / sum. */
static void normalize_wide(const pm_graph *g, const value_array *a, size_t lane) {
    for (uint32_t s = 0; s < g->n_sums; s++) {
        pm_wide sum = pmi_wide_of(0), change = sum;
        for (uint32_t w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
            pm_wide times = pmi_wide_of(g->times[w]);
            sum = pmi_wide_multiply_add(sum, times, pmi_replay_get(a->values, a->kernels, w, lane));
            if (a->dual) {
                pm_wide own = pmi_replay_get_derivative(a->values, a->kernels, w, lane);
                change = pmi_wide_sum(change, pmi_wide_multiply(times, own));
            }
        }
        pm_wide inverse = pmi_wide_invert(sum);
        for (uint32_t w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
            pm_wide quotient = pmi_wide_multiply(pmi_replay_get(a->values, a->kernels, w, lane), inverse);
            pmi_replay_put(a->values, a->kernels, w, lane, quotient);
            if (a->dual) {
                pm_wide own = pmi_replay_get_derivative(a->values, a->kernels, w, lane);
                own = pmi_wide_difference(own, pmi_wide_multiply(quotient, change));
                pmi_replay_put_derivative(a->values, a->kernels, w, lane, pmi_wide_multiply(own, inverse));
            }
        }
    }
}

static double derivative_of_weight(const pm_replay_setup *s, size_t w, size_t lane) {
    const pm_graph *g = s->context->graph;
    size_t p = s->first_parameter + lane < g->n_params ? s->first_parameter + lane : g->n_params - 1;
    return pmi_graph_coefficient(g, w, p);
}

/* Wide or dual values of the weights at theta rows first..first+count-1. */
static pm_status fill_wide(const pm_replay_setup *s, size_t first, size_t count, double *values, pm_error *err) {
    const pm_graph *g = s->context->graph;
    const value_array a = {.values = values, .kernels = exact_kernels(s), .dual = s->kind == PM_NUMBER_DUAL};
    for (size_t lane = 0; lane < s->kernels->lanes; lane++) {
        size_t row = row_of_lane(s, first, count, lane);
        for (uint32_t w = 0; w < g->n_weights; w++) {
            pm_wide value = pmi_graph_weight_wide(g, w, s->request->theta + row * g->n_params);
            if (value.hi < 0) {
                return pmi_weight_refuse(g, w, s->request->theta + row * g->n_params, row, err);
            }
            pmi_replay_put(values, a.kernels, w, lane, value);
            if (a.dual) {
                pmi_replay_put_derivative(values, a.kernels, w, lane, pmi_wide_of(derivative_of_weight(s, w, lane)));
            }
        }
        if (g->normalizes_rows) {
            normalize_wide(g, &a, lane);
        }
    }
    return PM_OK;
}

pm_status pmi_replay_weights(const pm_replay_setup *setup, pm_replay_block *block, size_t first, size_t count,
                             pm_error *err) {
    pm_status st;
    if (is_wide(setup)) {
        st = fill_wide(setup, first, count, block->values, err);
    } else {
        st = pmi_weights_fill(setup->context->graph, setup->request->theta, first, count, setup->kernels->lanes,
                              block->values, err);
        if (st == PM_OK && is_discrete(setup)) {
            st = fill_wide(setup, first, count, block->exact_values, err);
        }
    }
    return st == PM_OK && is_discrete(setup) ? fill_stay(setup, block, first, count, err) : st;
}

/* The factor of the l-th moment in the right-hand side of the k-th, for a state of reward r. Continuous moments are
 * kept divided by k!, so that theirs is the reward itself. */
static double coefficient(const pm_replay_setup *s, size_t k, size_t l, double r) {
    if (!is_discrete(s)) {
        return r;
    }
    double c = 1;
    for (size_t i = 0; i < k - l; i++) {
        double choose = (double)(k - i) / (double)(i + 1);
        c = c * choose * (s->request->factorial ? r - (double)i : r);
    }
    return c;
}

static pm_wide wide_coefficient(const pm_replay_setup *s, size_t k, size_t l, double r) {
    pm_wide c = pmi_wide_of(is_discrete(s) ? 1 : r);
    for (size_t i = 0; is_discrete(s) && i < k - l; i++) {
        c = pmi_wide_multiply(pmi_wide_multiply(c, pmi_wide_of((double)(k - i))),
                              pmi_wide_invert(pmi_wide_of((double)(i + 1))));
        c = pmi_wide_multiply(c, pmi_wide_of(s->request->factorial ? r - (double)i : r));
    }
    return c;
}

void pmi_replay_coefficients(const pm_replay_setup *s, const double *reward, size_t n, size_t k, size_t l,
                             pm_replay_scratch *scratch) {
    for (size_t i = 0; i < n; i++) {
        pm_wide wide =
            is_wide(s) ? wide_coefficient(s, k, l, reward[i]) : (pm_wide){.hi = coefficient(s, k, l, reward[i])};
        scratch->plus[i] = wide.hi > 0 ? wide.hi : 0;
        scratch->minus[i] = wide.hi < 0 ? -wide.hi : 0;
        scratch->limb[i] = wide.limb;
    }
}

/* One component at work: its slots in the arrays of the block. */
typedef struct task {
    const pm_replay_setup *setup;
    const pm_replay_block *block;
    pm_replay_scratch *scratch;
    pm_component component;
    pm_scc_view view;
    const pm_factors *factors; /* once `factored` */
    bool factored;
} task;

static double *own_slots(const task *t, double *all) {
    return all + (size_t)t->component.first * t->setup->kernels->stride;
}

static double *next_of(const task *t, size_t which, size_t l) {
    size_t width = (size_t)t->setup->context->program->largest * t->setup->kernels->stride;
    return t->scratch->next + (which * t->setup->order + l - 1) * width;
}

/* What the l-th moment contributes: itself (continuous) or after one more step (discrete). Order 0 is one, kept as NULL
 * where continuous. Of a row that exceeds one both sides of the equation are times its sum. */
static const double *base_of(const task *t, size_t part, size_t which, size_t l) {
    if (l == 0) {
        return is_discrete(t->setup) ? own_slots(t, t->block->excess) : NULL;
    }
    return is_discrete(t->setup) ? next_of(t, which, l) : own_slots(t, pmi_replay_moments(t->setup, t->block, part, l));
}

/* rhs of order k for both parts of a reward vector (or its only part). */
static void fill_rhs(const task *t, size_t f, size_t k) {
    const pm_replay_setup *s = t->setup;
    const pm_kernels *kernels = s->kernels;
    size_t n = t->component.n, first_part = s->rewards->first_part[f];
    size_t parts = s->rewards->first_part[f + 1] - first_part;
    const double *reward = s->rewards->value + f * s->context->program->n + t->component.first;
    double *x[2];
    for (size_t w = 0; w < parts; w++) {
        x[w] = own_slots(t, pmi_replay_moments(s, t->block, first_part + w, k));
    }
    if (!is_discrete(s) && parts == 1) {
        kernels->set_scaled(n, reward, NULL, base_of(t, first_part, 0, k - 1), x[0]);
        return;
    }
    size_t first_order = is_discrete(s) ? 0 : k - 1;
    for (size_t l = first_order; l < k; l++) {
        pmi_replay_coefficients(s, reward, n, k, l, t->scratch);
        /* the plus part of moment l comes first and so sets what the rest adds to; moment 0 is 1 - 0, without a minus
         * part */
        for (size_t w = 0; w < (l == 0 ? 1 : parts); w++) {
            const double *base = base_of(t, first_part + w, w, l);
            bool sets = l == first_order && w == 0;
            (sets ? kernels->set_scaled : kernels->add_scaled)(n, t->scratch->plus, t->scratch->limb, base, x[w]);
            if (parts == 2) {
                (sets ? kernels->set_scaled : kernels->add_scaled)(n, t->scratch->minus, t->scratch->limb, base,
                                                                   x[1 - w]);
            }
        }
    }
}

static void solve_part(task *t, size_t part, size_t k) {
    const pm_kernels *kernels = t->setup->kernels;
    double *all = pmi_replay_moments(t->setup, t->block, part, k);
    if (t->factored) {
        kernels->solve(&t->view, t->block->values, t->factors, all);
    } else {
        kernels->factor_solve(&t->view, t->block->values, &t->scratch->factors, all);
        t->factors = &t->scratch->factors;
        t->factored = true;
    }
}

static void step_component(const task *t, const double *all, const double *stay, double *to) {
    const pm_replay_setup *s = t->setup;
    const pm_program *p = s->context->program;
    size_t first = t->component.first, n = t->component.n, offset = first * s->kernels->stride;
    memcpy(to, all + offset, n * s->kernels->stride * sizeof *to);
    s->kernels->scale(n, stay + offset, to);
    s->kernels->add_flows(n, p->inner_row + first, p->inner_col, p->inner_weight, t->block->values, all + offset, to);
    s->kernels->add_flows(n, p->exit_row + first, p->exit_to, p->exit_weight, t->block->values, all, to);
}

static void start_task(const pm_replay_setup *s, const pm_replay_block *b, pm_replay_scratch *scratch, uint32_t c,
                       task *t) {
    const pm_program *p = s->context->program;
    *t = (task){
        .setup = s, .block = b, .scratch = scratch, .component = p->components[c], .view = pmi_program_view(p, c)};
}

static pm_factors class_factors(const pm_replay_setup *s, const pm_replay_block *b, uint32_t factor_class) {
    const pm_factor_class *c = &s->context->program->classes[factor_class];
    size_t stride = s->kernels->stride;
    return (pm_factors){.u = b->classes.u + c->u * stride,
                        .l = b->classes.l + c->l * stride,
                        .leave = b->classes.leave + c->row * stride,
                        .inverse = b->classes.inverse + c->row * stride};
}

void pmi_replay_share(const pm_replay_setup *setup, const pm_replay_block *block, pm_replay_scratch *scratch,
                      uint32_t factor_class) {
    const pm_program *p = setup->context->program;
    pm_scc_view view = pmi_program_view(p, p->classes[factor_class].component);
    pm_factors f = class_factors(setup, block, factor_class);
    f.work = scratch->factors.work;
    setup->kernels->factor(&view, block->values, &f);
    for (size_t lane = 0; lane < setup->kernels->lanes; lane++) {
        scratch->factors.lost_pivot[lane] |= f.lost_pivot[lane];
    }
}

const pm_factors *pmi_replay_factors(const pm_replay_setup *setup, const pm_replay_block *block,
                                     pm_replay_scratch *scratch, uint32_t component) {
    const pm_program *p = setup->context->program;
    uint32_t own = has_classes(setup) ? p->class_of[component] : PM_NONE;
    if (own != PM_NONE && setup->shares) {
        scratch->shared = class_factors(setup, block, own);
        return &scratch->shared;
    }
    uint32_t source = own != PM_NONE ? p->classes[own].component : component;
    if (scratch->factored != source) {
        pm_scc_view view = pmi_program_view(p, source);
        setup->kernels->factor(&view, block->values, &scratch->factors);
        scratch->factored = source;
    }
    return &scratch->factors;
}

void pmi_replay_component(const pm_replay_setup *setup, const pm_replay_block *block, pm_replay_scratch *scratch,
                          uint32_t component) {
    task t;
    start_task(setup, block, scratch, component, &t);
    if (has_classes(setup) && setup->context->program->class_of[component] != PM_NONE) {
        t.factors = pmi_replay_factors(setup, block, scratch, component);
        t.factored = true;
    } else {
        scratch->factored = component;
    }
    for (size_t f = 0; f < setup->rewards->n_vectors; f++) {
        size_t first_part = setup->rewards->first_part[f], end_part = setup->rewards->first_part[f + 1];
        for (size_t k = 1; k <= setup->order; k++) {
            fill_rhs(&t, f, k);
            for (size_t part = first_part; part < end_part; part++) {
                solve_part(&t, part, k);
                if (is_discrete(setup) && k < setup->order) {
                    step_component(&t, pmi_replay_moments(setup, block, part, k), block->stay,
                                   next_of(&t, part - first_part, k));
                }
            }
        }
    }
}

void pmi_replay_sojourn(const pm_replay_setup *setup, const pm_replay_block *block, pm_replay_scratch *scratch) {
    const pm_program *p = setup->context->program;
    for (uint32_t c = p->n_components; c-- > 0;) {
        task t;
        start_task(setup, block, scratch, c, &t);
        const pm_factors *factors =
            pmi_replay_factors(setup, block, scratch, c); /* those of the last component are left */
        setup->kernels->solve_transposed(&t.view, factors, block->z);
        setup->kernels->push_flows(t.component.n, t.view.exit_row, p->exit_to, p->exit_weight, block->values,
                                   own_slots(&t, block->z), block->z);
    }
    if (is_discrete(setup)) { /* visits, from those by the sum of what leaves a row */
        setup->kernels->scale(p->n, block->excess, block->z);
    }
}
