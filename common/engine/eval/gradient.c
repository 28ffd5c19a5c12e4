#include "eval/gradient.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "graph/weights.h"

/* An allowance for what rounding leaves of a derivative in doubles, relative to the sum of its absolute terms: more
 * than a hundred roundings of a product. */
#define ROUNDING 0x1p-46

/* A derivative in doubles is good when that is at most this part of it. */
#define GOOD 9e-11

static bool is_discrete(const pm_replay_setup *s) {
    return s->context->graph->is_discrete;
}

static size_t solved_slots(const pm_replay_setup *s) {
    return is_discrete(s) ? 2 * s->order * s->context->program->largest : 0;
}

static size_t joined_slots(const pm_replay_setup *s) {
    return is_discrete(s) ? 4 * (size_t)s->context->program->largest : 0;
}

size_t pmi_gradient_lane_bytes(const pm_replay_setup *s) {
    size_t slots = (2 * s->order + 1) * s->context->program->n + solved_slots(s) + joined_slots(s);
    return sizeof(double) * (slots + 2 * s->context->graph->n_weights);
}

pm_status pmi_gradient_room_new(const pm_replay_setup *s, pm_gradient_room *out, pm_error *err) {
    const pm_graph *g = s->context->graph;
    size_t slot = s->kernels->lanes * sizeof(double), multipliers = 0;
    bool fits = pmi_mul(2 * s->order, s->context->program->n, &multipliers);
    *out = (pm_gradient_room){0};
    out->multiplier = pmi_pool_aligned(&out->pool, fits ? multipliers : SIZE_MAX, slot);
    out->solved = pmi_pool_aligned(&out->pool, solved_slots(s), slot);
    out->joined = pmi_pool_aligned(&out->pool, joined_slots(s), slot);
    out->sum = pmi_pool_aligned(&out->pool, g->n_weights, slot);
    out->size = pmi_pool_aligned(&out->pool, g->n_weights, slot);
    out->product = pmi_pool_aligned(&out->pool, s->context->program->n, slot);
    out->by_start = pmi_pool_array(&out->pool, g->n_starts, sizeof *out->by_start);
    out->size_by_start = pmi_pool_array(&out->pool, g->n_starts, sizeof *out->size_by_start);
    return pmi_pool_check(&out->pool, err, "the derivatives of a block of theta", multipliers * slot);
}

/* One target at work: the derivative of moment k of reward vector f. */
typedef struct target {
    const pm_evaluation *e;
    const pm_replay_setup *s;
    const pm_replay_block *b;
    pm_replay_scratch *scratch;
    pm_gradient_room *room;
    size_t f, k, parts, first, count;
} target;

static void clear(const pm_replay_setup *s, size_t n, double *x) {
    memset(x, 0, n * s->kernels->lanes * sizeof *x);
}

/* ---- multipliers ---- */

static double *multiplier(const target *t, size_t l, size_t part) {
    return t->room->multiplier + ((l - 1) * 2 + part) * t->s->context->program->n * t->s->kernels->lanes;
}

static double *solved(const target *t, size_t l, size_t part) {
    return t->room->solved + ((l - 1) * 2 + part) * t->s->context->program->largest * t->s->kernels->lanes;
}

/* What the later right-hand sides take of order l, and the same times the probability of staying. */
static double *joined(const target *t, size_t part) {
    return t->room->joined + part * t->s->context->program->largest * t->s->kernels->lanes;
}

static double *staying(const target *t, size_t part) {
    return joined(t, 2 + part);
}

static void set_starts(const target *t, double *z) {
    const pm_graph *g = t->e->context->graph;
    const uint32_t *position = t->e->context->program->position;
    unsigned lanes = t->s->kernels->lanes;
    for (size_t lane = 0; lane < lanes; lane++) {
        size_t row = t->first + (lane < t->count ? lane : t->count - 1);
        for (size_t i = 0; i < g->n_starts; i++) {
            uint32_t at = position[g->start_to[i]];
            if (at != PM_NONE) {
                z[(size_t)at * lanes + lane] += t->e->start->value[row * g->n_starts + i];
            }
        }
    }
}

/* to += the coefficient of moment l in the right-hand side of moment q, times `from`, of both parts. */
static void add_later(const target *t, const pm_component *c, size_t q, size_t l, double *const from[2],
                      double *const to[2]) {
    const pm_program *p = t->s->context->program;
    const double *reward = t->s->rewards->value + t->f * p->n + c->first;
    pm_replay_scratch *scratch = t->scratch;
    pmi_replay_coefficients(t->s, reward, c->n, q, l, scratch);
    for (size_t part = 0; part < t->parts; part++) {
        t->s->kernels->add_scaled(c->n, scratch->plus, scratch->limb, from[part], to[part]);
        if (t->parts == 2) {
            t->s->kernels->add_scaled(c->n, scratch->minus, scratch->limb, from[part], to[1 - part]);
        }
    }
}

static double *own(const target *t, const pm_component *c, double *all) {
    return all + (size_t)c->first * t->s->kernels->lanes;
}

/* Continuous: the right-hand side of order l is r times the multiplier of order l + 1. */
static void add_rhs_continuous(const target *t, const pm_component *c, size_t l) {
    double *from[2], *to[2];
    for (size_t part = 0; part < 2; part++) {
        from[part] = own(t, c, multiplier(t, l + 1, part));
        to[part] = own(t, c, multiplier(t, l, part));
    }
    add_later(t, c, l + 1, l, from, to);
}

/* Discrete: P' times the sum over later orders q; flows that leave the SCC are pushed once it is solved. */
static void add_rhs_discrete(const target *t, const pm_component *c, size_t l) {
    const pm_replay_setup *s = t->s;
    const pm_program *p = s->context->program;
    double *to[2] = {joined(t, 0), joined(t, 1)};
    size_t slot = s->kernels->lanes * sizeof(double);
    clear(s, c->n, to[0]);
    clear(s, c->n, to[1]);
    for (size_t q = l + 1; q <= t->k; q++) {
        double *from[2] = {solved(t, q, 0), solved(t, q, 1)};
        add_later(t, c, q, l, from, to);
    }
    for (size_t i = 0; i < c->n; i++) {
        t->scratch->plus[i] = 1;
    }
    for (size_t part = 0; part < t->parts; part++) {
        double *rhs = own(t, c, multiplier(t, l, part));
        memcpy(staying(t, part), to[part], c->n * slot);
        s->kernels->scale(c->n, t->b->stay + (size_t)c->first * s->kernels->lanes, staying(t, part));
        s->kernels->add_scaled(c->n, t->scratch->plus, NULL, staying(t, part), rhs);
        s->kernels->push_flows(c->n, p->inner_row + c->first, p->inner_col, p->inner_weight, t->b->values, to[part],
                               rhs);
    }
}

/* The multipliers of order l in one SCC, once those of the SCCs that lead to it are known. */
static void solve_order(const target *t, const pm_component *c, const pm_scc_view *view, const pm_factors *factors,
                        size_t l) {
    const pm_replay_setup *s = t->s;
    const pm_program *p = s->context->program;
    size_t slot = s->kernels->lanes * sizeof(double);
    if (l < t->k) {
        (is_discrete(s) ? add_rhs_discrete : add_rhs_continuous)(t, c, l);
    }
    for (size_t part = 0; part < t->parts; part++) {
        double *all = multiplier(t, l, part), *here = own(t, c, all);
        s->kernels->solve_transposed(view, factors, all);
        if (is_discrete(s)) {
            memcpy(solved(t, l, part), here, c->n * slot);
            if (l < t->k) {
                s->kernels->add_scaled(c->n, t->scratch->plus, NULL, joined(t, part), here);
            }
        }
        s->kernels->push_flows(c->n, view->exit_row, p->exit_to, p->exit_weight, t->b->values, here, all);
    }
}

static void solve_multipliers(const target *t) {
    const pm_program *p = t->s->context->program;
    for (size_t l = 1; l <= t->k; l++) {
        clear(t->s, p->n, multiplier(t, l, 0));
        clear(t->s, p->n, multiplier(t, l, 1));
    }
    set_starts(t, multiplier(t, t->k, 0));
    for (uint32_t i = p->n_components; i-- > 0;) {
        pm_scc_view view = pmi_program_view(p, i);
        const pm_factors *factors = pmi_replay_factors(t->s, t->b, t->scratch, i);
        for (size_t l = t->k; l > 0; l--) {
            solve_order(t, &p->components[i], &view, factors, l);
        }
    }
}

/* ---- derivatives by weight ---- */

static const double *moment(const target *t, size_t l, size_t part) {
    return pmi_replay_moments(t->s, t->b, t->s->rewards->first_part[t->f] + part, l);
}

static void sum_edges(const target *t, const double *u, const double *x, double sign) {
    const pm_program *p = t->s->context->program;
    const pm_kernels *kernels = t->s->kernels;
    size_t lanes = kernels->lanes;
    double *sum = t->room->sum, *size = t->room->size;
    kernels->edge_terms(p->n, p->exit_row, p->exit_to, p->exit_weight, u, x, sign, sum, size);
    memcpy(t->room->product, u, p->n * lanes * sizeof *u);
    kernels->scale(p->n, x, t->room->product);
    kernels->spread(p->n, p->absorb_row, p->absorb_weight, -sign, t->room->product, sum);
    kernels->spread(p->n, p->absorb_row, p->absorb_weight, 1, t->room->product, size);
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *c = &p->components[i];
        size_t offset = c->first * lanes;
        if (c->n > 1) {
            kernels->edge_terms(c->n, p->inner_row + c->first, p->inner_col, p->inner_weight, u + offset, x + offset,
                                sign, sum, size);
        }
    }
}

/* The multiplier that belongs to moment l: continuous ones, solved for the highest moment, serve all lower ones. */
static size_t multiplier_of(const target *t, size_t l) {
    return is_discrete(t->s) ? l : l + t->s->order - t->k;
}

static void sum_weights(const target *t) {
    const pm_graph *g = t->s->context->graph;
    clear(t->s, g->n_weights, t->room->sum);
    clear(t->s, g->n_weights, t->room->size);
    for (size_t l = 1; l <= t->k; l++) {
        for (size_t a = 0; a < t->parts; a++) {
            for (size_t b = 0; b < t->parts; b++) {
                sum_edges(t, multiplier(t, multiplier_of(t, l), a), moment(t, l, b), a == b ? 1 : -1);
            }
        }
    }
}

/* ---- from weights to theta ---- */

/* The derivatives by weight of the start distribution, a_s / sum a: (x_s - a x) / sum a. */
static void fill_starts(const target *t, size_t lane) {
    const pm_graph *g = t->s->context->graph;
    size_t row = t->first + lane;
    const double *theta = t->e->request->theta + row * g->n_params, *start = t->e->start->value + row * g->n_starts;
    double *by = t->room->by_start, *size = t->room->size_by_start, mean = 0, mean_size = 0, total = 0;
    for (size_t i = 0; i < g->n_starts; i++) {
        uint32_t at = t->s->context->program->position[g->start_to[i]];
        by[i] = size[i] = 0;
        for (size_t part = 0; at != PM_NONE && part < t->parts; part++) {
            double x = moment(t, t->k, part)[(size_t)at * t->s->kernels->lanes + lane];
            by[i] += part == 0 ? x : -x;
            size[i] += x;
        }
        mean += start[i] * by[i];
        mean_size += start[i] * size[i];
        total += pmi_graph_weight(g, g->start_weight[i], theta);
    }
    for (size_t i = 0; i < g->n_starts; i++) {
        by[i] = (by[i] - mean) / total;
        size[i] = (size[i] + mean_size) / total;
    }
}

static double factorial(bool is_discrete, size_t k) {
    double product = 1;
    for (size_t i = 2; !is_discrete && i <= k; i++) {
        product *= (double)i;
    }
    return product;
}

/* Writes the derivatives of one lane; *imprecise is set where doubles do not know them to ten digits. */
static void write_lane(const target *t, size_t lane, bool has_starts, bool *imprecise) {
    const pm_graph *g = t->s->context->graph;
    const pm_gradient_room *room = t->room;
    size_t row = t->first + lane, lanes = t->s->kernels->lanes;
    double *out = t->e->result->moments_gradient +
                  ((row * t->e->rewards.n_vectors + t->f) * t->s->order + t->k - 1) * g->n_params;
    double scale = factorial(is_discrete(t->s), t->k);
    if (has_starts) {
        fill_starts(t, lane);
    }
    for (size_t p = 0; p < g->n_params; p++) {
        double value = 0, size = 0;
        for (size_t w = 0; w < g->n_weights; w++) {
            double c = pmi_graph_coefficient(g, w, p);
            value += c * room->sum[w * lanes + lane];
            size += fabs(c) * room->size[w * lanes + lane];
        }
        for (size_t i = 0; has_starts && i < g->n_starts; i++) {
            double c = pmi_graph_coefficient(g, g->start_weight[i], p);
            value += c * room->by_start[i];
            size += fabs(c) * room->size_by_start[i];
        }
        out[p] = scale * value;
        *imprecise |= size != 0 && !(size * ROUNDING <= GOOD * fabs(value) && fabs(out[p]) >= DBL_MIN);
    }
}

static bool starts_vary(const pm_graph *g) {
    for (size_t i = 0; i < g->n_starts; i++) {
        if (!pmi_weight_is_constant(g, g->start_weight[i])) {
            return true;
        }
    }
    return false;
}

void pmi_gradient_write(const pm_evaluation *e, const pm_replay_setup *setup, const pm_replay_block *block,
                        pm_replay_scratch *scratch, pm_gradient_room *room, size_t first, size_t count,
                        bool *imprecise) {
    target t = {.e = e, .s = setup, .b = block, .scratch = scratch, .room = room, .first = first, .count = count};
    bool has_starts = starts_vary(setup->context->graph);
    if (setup->context->graph->normalizes_rows) {
        memset(imprecise, true, count * sizeof *imprecise); /* quotients are differentiated in dual numbers only */
        return;
    }
    for (t.f = 0; t.f < setup->rewards->n_vectors; t.f++) {
        t.parts = setup->rewards->first_part[t.f + 1] - setup->rewards->first_part[t.f];
        for (t.k = setup->order; t.k > 0; t.k--) {
            if (is_discrete(setup) || t.k == setup->order) {
                solve_multipliers(&t);
            }
            sum_weights(&t);
            for (size_t lane = 0; lane < count; lane++) {
                write_lane(&t, lane, has_starts, &imprecise[lane]);
            }
        }
    }
}

/* ---- in dual numbers: the replay itself is differentiated ---- */

/* One row of theta, with a parameter in each lane. */
typedef struct dual_row {
    const pm_evaluation *e;
    pm_replay_setup setup;
    pm_replay_block block;
    pm_replay_scratch scratch;
    size_t row;
    pm_wide *start, *start_change; /* n_starts: the start distribution, and its derivative by one parameter */
    pm_pool pool;
} dual_row;

static pm_replay_setup dual_setup(const pm_evaluation *e) {
    return (pm_replay_setup){.context = e->context,
                             .request = e->request,
                             .rewards = &e->rewards,
                             .order = e->request->n_moments,
                             .keep_l = true,
                             .kind = PM_NUMBER_DUAL};
}

/* The change of a moment over k!, of one part, summed over the start distribution. */
static pm_wide change_at_start(const dual_row *d, size_t part, size_t k, size_t lane) {
    const pm_graph *g = d->e->context->graph;
    const double *x = pmi_replay_moments(&d->setup, &d->block, part, k);
    pm_wide sum = pmi_wide_of(0);
    for (size_t i = 0; i < g->n_starts; i++) {
        uint32_t at = d->e->context->program->position[g->start_to[i]];
        if (at != PM_NONE) {
            pm_wide value = pmi_replay_get(x, d->setup.kernels, at, lane);
            pm_wide change = pmi_replay_get_derivative(x, d->setup.kernels, at, lane);
            sum = pmi_wide_sum(sum, pmi_wide_multiply(d->start[i], change));
            sum = pmi_wide_sum(sum, pmi_wide_multiply(d->start_change[i], value));
        }
    }
    return sum;
}

static pm_status write_change(const dual_row *d, size_t f, size_t k, size_t lane, pm_error *err) {
    const pm_rewards *rewards = &d->e->rewards;
    size_t n_params = d->e->context->graph->n_params, p = d->setup.first_parameter + lane;
    size_t part = rewards->first_part[f];
    pm_wide change = change_at_start(d, part, k, lane);
    if (rewards->first_part[f + 1] - part == 2) {
        change = pmi_wide_difference(change, change_at_start(d, part + 1, k, lane));
    }
    change = pmi_wide_multiply(change, pmi_wide_of(factorial(is_discrete(&d->setup), k)));
    if (pmi_wide_range(change) > 0) {
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: the derivative of moment %zu of reward vector %zu in parameter %zu overflows "
                        "double precision; rescale theta or the rewards, or ask for fewer moments",
                        d->row, k, f, p);
    }
    size_t at = ((d->row * rewards->n_vectors + f) * d->setup.order + k - 1) * n_params + p;
    d->e->result->moments_gradient[at] = pmi_wide_double(change);
    return PM_OK;
}

static pm_status write_changes(const dual_row *d, size_t count, pm_error *err) {
    const pm_graph *g = d->e->context->graph;
    for (size_t lane = 0; lane < count; lane++) {
        pmi_start_derivative(g, d->e->request->theta + d->row * g->n_params, d->setup.first_parameter + lane,
                             d->start_change);
        for (size_t f = 0; f < d->e->rewards.n_vectors; f++) {
            for (size_t k = 1; k <= d->setup.order; k++) {
                PM_TRY(write_change(d, f, k, lane, err));
            }
        }
    }
    return PM_OK;
}

static pm_status run_dual(dual_row *d, pm_error *err) {
    const pm_graph *g = d->e->context->graph;
    const pm_program *p = d->e->context->program;
    size_t lanes = d->setup.kernels->lanes, n_params = g->n_params;
    pmi_wide_start(d->e, d->row, d->start);
    for (size_t first = 0; first < n_params; first += lanes) {
        size_t count = n_params - first < lanes ? n_params - first : lanes;
        d->setup.first_parameter = first;
        PM_TRY(pmi_replay_weights(&d->setup, &d->block, d->row, count, err));
        for (uint32_t c = 0; c < p->n_components; c++) {
            pmi_replay_component(&d->setup, &d->block, &d->scratch, c);
        }
        PM_TRY(pmi_moments_check_pivots(d->e, &d->scratch, d->row, 1, err));
        PM_TRY(write_changes(d, count, err));
    }
    return PM_OK;
}

pm_status pmi_gradient_precise(const pm_evaluation *e, size_t row, pm_error *err) {
    dual_row d = {.e = e, .row = row, .setup = dual_setup(e)};
    const pm_graph *g = e->context->graph;
    double memory = (double)e->context->memory / e->threads, bytes = (double)pmi_replay_lane_bytes(&d.setup);
    unsigned lanes = g->n_params == 1 || 4 * bytes > memory ? 1 : 4;
    if (bytes * lanes > memory) {
        return pmi_fail(err, PM_EOSERR,
                        "theta row %zu: derivatives in extended precision of %u states with %zu reward vectors and %zu "
                        "moments take %.3g bytes, but --memory leaves a thread %.3g; give more memory, use fewer "
                        "threads, or ask for fewer moments or rewards at once",
                        row, e->context->program->n, e->rewards.n_vectors, d.setup.order, bytes, memory);
    }
    d.setup.kernels = pmi_kernels_get(e->context->isa, lanes, PM_NUMBER_DUAL);
    d.start = pmi_pool_array(&d.pool, g->n_starts, sizeof *d.start);
    d.start_change = pmi_pool_array(&d.pool, g->n_starts, sizeof *d.start_change);
    pm_status st = pmi_pool_check(&d.pool, err, "the start distribution", 2 * g->n_starts * sizeof *d.start);
    PM_THEN(st, pmi_replay_scratch_new(&d.setup, &d.scratch, err));
    PM_THEN(st, pmi_replay_block_new(&d.setup, &d.block, err));
    PM_THEN(st, run_dual(&d, err));
    pmi_pool_free(&d.block.pool);
    pmi_pool_free(&d.scratch.pool);
    pmi_pool_free(&d.pool);
    return st;
}
