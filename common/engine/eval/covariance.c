/* Covariances of rewards, in wide numbers, by one of two sums.
 *
 * With means m, expected sojourn times z (visits, when discrete) and start distribution a:
 *
 * Plain: E[Y_f Y_g] - E[Y_f] E[Y_g], where E[Y_f Y_g] = sum_i z_i (r_f m_g + r_g m_f), less z_i r_f r_g when discrete.
 * Its error is 31 digits below E[Y_f] E[Y_g]. A continuous distribution of n states has a variance of at least mean^2 /
 * n (Aldous and Shepp 1987), so that this is plenty for it unless rewards are signed.
 *
 * Centred: the covariance of the increments of the martingale E[Y | path so far], which are not correlated:
 *     cov_a(m_f, m_g) + sum_i z_i sum_j w_ij (m_f,j - m_f,i) (m_g,j - m_g,i)                       (continuous)
 *     cov_a(m_f, m_g) + sum_i z_i cov_p(i)(m_f, m_g)                                               (discrete)
 * with m = 0 where absorbed and p(i) the distribution after one step, staying included (the law of total covariance,
 * applied at every step). A variance is a sum of squares. Its error is 31 digits below mean sd sqrt(jumps). It is
 * exactly zero where every step is sure, and the better one for distributions that nearly are.
 *
 * The sum whose error is the smaller one is taken. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/moments.h"

/* A variance above this part of the squared mean is right in the plain form. */
#define PLAIN_ENOUGH 0x1p-40

typedef struct covariance_lane {
    const pm_evaluation *e;
    const pm_replay_setup *s;
    const pm_replay_block *b;
    size_t row, lane, vectors;
    const double *plain; /* F x F wide slots of sum_i z_i r_f m_g */
    const double *paid;  /* the same of sum_i z_i r_f r_g, when discrete; else NULL */
    pm_wide *start;      /* n_starts */
    pm_wide *mean;       /* F: E[Y_f] */
    pm_wide *size;       /* F: E of the reward |r_f| */
    pm_wide *centred;    /* F: centred variances, or zero where not needed */
    bool *delicate;      /* F: the plain variance may not do */
    double log2_jumps;   /* of the expected number of jumps */
} covariance_lane;

static pm_wide wide(double value) {
    return pmi_wide_of(value);
}

static pm_wide times(pm_wide a, pm_wide b) {
    return pmi_wide_multiply(a, b);
}

static double log2_of(pm_wide a) {
    return a.hi == 0 ? -HUGE_VAL : log2(fabs(a.hi)) + 512 * a.limb;
}

static pm_wide get(const covariance_lane *c, const double *array, size_t slot) {
    return pmi_replay_get(array, c->s->kernels, slot, c->lane);
}

/* The mean reward to come at a position, signed; zero where absorbed. */
static pm_wide mean_at(const covariance_lane *c, size_t f, uint32_t at) {
    if (at == PM_NONE) {
        return wide(0);
    }
    size_t part = c->e->rewards.first_part[f];
    pm_wide plus = get(c, pmi_replay_moments(c->s, c->b, part, 1), at);
    if (c->e->rewards.first_part[f + 1] - part == 1) {
        return plus;
    }
    return pmi_wide_difference(plus, get(c, pmi_replay_moments(c->s, c->b, part + 1, 1), at));
}

/* A distribution over positions, added up to a covariance of m_f and m_g in two passes: targets relative to the first,
 * then relative to their mean. */
typedef struct spread {
    const covariance_lane *c;
    size_t f, g;
    uint32_t first; /* the target that the others are relative to */
    bool centring;  /* second pass */
    pm_wide mass, mean_f, mean_g, sum;
} spread;

static void spread_add(spread *s, pm_wide p, uint32_t to) {
    pm_wide df = pmi_wide_difference(mean_at(s->c, s->f, to), mean_at(s->c, s->f, s->first));
    pm_wide dg = s->g == s->f ? df : pmi_wide_difference(mean_at(s->c, s->g, to), mean_at(s->c, s->g, s->first));
    if (!s->centring) {
        s->mass = pmi_wide_add(s->mass, p);
        s->mean_f = pmi_wide_sum(s->mean_f, times(p, df));
        s->mean_g = pmi_wide_sum(s->mean_g, times(p, dg));
        return;
    }
    df = pmi_wide_difference(df, s->mean_f);
    dg = s->g == s->f ? df : pmi_wide_difference(dg, s->mean_g);
    s->sum = pmi_wide_sum(s->sum, times(p, times(df, dg)));
}

static void spread_centre(spread *s) {
    pm_wide inverse = pmi_wide_invert(s->mass);
    s->mean_f = times(s->mean_f, inverse);
    s->mean_g = times(s->mean_g, inverse);
    s->centring = true;
}

static pm_wide start_covariance(const covariance_lane *c, size_t f, size_t g) {
    const pm_graph *graph = c->e->context->graph;
    const uint32_t *position = c->e->context->program->position;
    spread s = {.c = c, .f = f, .g = g, .mass = wide(0), .mean_f = wide(0), .mean_g = wide(0), .sum = wide(0)};
    size_t heaviest = 0;
    for (size_t i = 1; i < graph->n_starts; i++) {
        heaviest = pmi_wide_smaller(c->start[heaviest], c->start[i]) ? i : heaviest;
    }
    s.first = position[graph->start_to[heaviest]];
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < graph->n_starts; i++) {
            spread_add(&s, c->start[i], position[graph->start_to[i]]);
        }
        spread_centre(&s);
    }
    return s.sum;
}

/* The ways out of a position: inner edges, exits, absorption. */
typedef struct ways {
    const covariance_lane *c;
    size_t inner, inner_end, exit, exit_end, absorb, absorb_end;
    uint32_t first;
} ways;

static ways ways_of(const covariance_lane *c, const pm_component *component, uint32_t at) {
    const pm_program *p = c->e->context->program;
    return (ways){.c = c,
                  .inner = p->inner_row[at],
                  .inner_end = p->inner_row[at + 1],
                  .exit = p->exit_row[at],
                  .exit_end = p->exit_row[at + 1],
                  .absorb = p->absorb_row[at],
                  .absorb_end = p->absorb_row[at + 1],
                  .first = component->first};
}

static bool next_way(ways *w, pm_wide *weight, uint32_t *to) {
    const pm_program *p = w->c->e->context->program;
    uint32_t number;
    if (w->inner < w->inner_end) {
        *to = w->first + p->inner_col[w->inner];
        number = p->inner_weight[w->inner++];
    } else if (w->exit < w->exit_end) {
        *to = p->exit_to[w->exit];
        number = p->exit_weight[w->exit++];
    } else if (w->absorb < w->absorb_end) {
        *to = PM_NONE;
        number = p->absorb_weight[w->absorb++];
    } else {
        return false;
    }
    *weight = get(w->c, w->c->b->values, number);
    return true;
}

static pm_wide jump_covariance(const covariance_lane *c, const pm_component *component, uint32_t at, size_t f,
                               size_t g) {
    ways w = ways_of(c, component, at);
    pm_wide weight, sum = wide(0), mf = mean_at(c, f, at), mg = mean_at(c, g, at);
    uint32_t to;
    while (next_way(&w, &weight, &to)) {
        pm_wide df = pmi_wide_difference(mean_at(c, f, to), mf);
        pm_wide dg = g == f ? df : pmi_wide_difference(mean_at(c, g, to), mg);
        sum = pmi_wide_sum(sum, times(weight, times(df, dg)));
    }
    return sum;
}

static pm_wide step_covariance(const covariance_lane *c, const pm_component *component, uint32_t at, size_t f,
                               size_t g) {
    pm_wide stay = get(c, c->b->stay, at), heaviest = stay, weight;
    spread s = {.c = c, .f = f, .g = g, .mass = wide(0), .mean_f = wide(0), .mean_g = wide(0), .sum = wide(0)};
    uint32_t to;
    s.first = at;
    ways w = ways_of(c, component, at);
    while (next_way(&w, &weight, &to)) {
        if (pmi_wide_smaller(heaviest, weight)) {
            heaviest = weight;
            s.first = to;
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        w = ways_of(c, component, at);
        while (next_way(&w, &weight, &to)) {
            spread_add(&s, weight, to);
        }
        spread_add(&s, stay, at);
        spread_centre(&s);
    }
    return times(s.sum, pmi_wide_invert(s.mass)); /* a row may exceed one by rounding */
}

static pm_wide centred(const covariance_lane *c, size_t f, size_t g) {
    const pm_program *p = c->e->context->program;
    pm_wide sum = start_covariance(c, f, g);
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *component = &p->components[i];
        for (uint32_t at = component->first; at < component->first + component->n; at++) {
            pm_wide z = get(c, c->b->z, at);
            if (z.hi != 0) {
                pm_wide here = c->b->stay != NULL ? step_covariance(c, component, at, f, g)
                                                  : jump_covariance(c, component, at, f, g);
                sum = pmi_wide_sum(sum, times(z, here));
            }
        }
    }
    return sum;
}

static double log2_jumps(const covariance_lane *c) {
    const pm_program *p = c->e->context->program;
    pm_wide sum = wide(1), weight;
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *component = &p->components[i];
        for (uint32_t at = component->first; at < component->first + component->n; at++) {
            ways w = ways_of(c, component, at);
            uint32_t to;
            while (next_way(&w, &weight, &to)) {
                sum = pmi_wide_multiply_add(sum, weight, get(c, c->b->z, at));
            }
        }
    }
    return log2_of(sum);
}

static pm_wide plain(const covariance_lane *c, size_t f, size_t g) {
    size_t fg = f * c->vectors + g, gf = g * c->vectors + f;
    pm_wide both = pmi_wide_sum(get(c, c->plain, fg), get(c, c->plain, gf));
    if (c->paid != NULL) {
        both = pmi_wide_difference(both, get(c, c->paid, fg));
    }
    return pmi_wide_difference(both, times(c->mean[f], c->mean[g]));
}

static void fill_means(covariance_lane *c) {
    for (size_t f = 0; f < c->vectors; f++) {
        size_t part = c->e->rewards.first_part[f];
        c->mean[f] = c->size[f] = pmi_wide_at_start(c->e, c->s, c->b, c->start, part, 1, c->lane);
        if (c->e->rewards.first_part[f + 1] - part == 2) {
            pm_wide minus = pmi_wide_at_start(c->e, c->s, c->b, c->start, part + 1, 1, c->lane);
            c->mean[f] = pmi_wide_difference(c->mean[f], minus);
            c->size[f] = pmi_wide_add(c->size[f], minus);
        }
    }
}

/* Probabilities that have been rounded, and what stays beside them (model/defective.h): means squared would show it. */
static bool is_rounded(const covariance_lane *c) {
    return c->e->context->graph->takes_values && c->e->context->graph->is_discrete;
}

/* Of the two sums for a pair the one of smaller error; a variance is never the plain one where that is not positive. */
static pm_wide choose(const covariance_lane *c, size_t f, size_t g, pm_wide plain_sum) {
    pm_wide centred_sum = f == g ? c->centred[f] : centred(c, f, g);
    double sd_f = 0.5 * log2_of(c->centred[f]), sd_g = 0.5 * log2_of(c->centred[g]);
    double size_f = log2_of(c->size[f]), size_g = log2_of(c->size[g]);
    double spread_f = size_f + sd_g, spread_g = size_g + sd_f;
    double centred_error = 0.5 * c->log2_jumps + (spread_f > spread_g ? spread_f : spread_g) + 1;
    bool is_centred = is_rounded(c) || centred_error <= size_f + size_g || (f == g && !(plain_sum.hi > 0));
    return is_centred ? centred_sum : plain_sum;
}

static void find_delicate(covariance_lane *c) {
    bool any = false;
    for (size_t f = 0; f < c->vectors; f++) {
        pm_wide least = times(times(c->size[f], c->size[f]), wide(PLAIN_ENOUGH)), v = plain(c, f, f);
        c->delicate[f] = c->size[f].hi != 0 && (is_rounded(c) || v.hi <= 0 || pmi_wide_smaller(v, least));
        any |= c->delicate[f];
    }
    c->log2_jumps = any ? log2_jumps(c) : 0;
    for (size_t f = 0; f < c->vectors; f++) {
        c->centred[f] = c->delicate[f] ? centred(c, f, f) : plain(c, f, f);
    }
}

static pm_status write_pair(const covariance_lane *c, size_t f, size_t g, pm_error *err) {
    pm_wide value = plain(c, f, g);
    if (c->delicate[f] || c->delicate[g]) {
        value = choose(c, f, g, value);
    }
    int range = pmi_wide_range(value);
    pm_wide scale = times(c->centred[f], c->centred[g]); /* the square of what a covariance is relative to */
    if (range > 0 || (range < 0 && pmi_wide_smaller(scale, times(wide(0x1p-960), wide(0x1p-960))))) {
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: the covariance of reward vectors %zu and %zu %s double precision; rescale "
                        "theta or the rewards",
                        c->row, f, g, range > 0 ? "overflows" : "underflows");
    }
    double *out = c->e->result->covariance + c->row * c->vectors * c->vectors;
    out[f * c->vectors + g] = out[g * c->vectors + f] = pmi_wide_double(value);
    return PM_OK;
}

static pm_status write_lane(covariance_lane *c, pm_error *err) {
    pmi_wide_start(c->e, c->row, c->start);
    fill_means(c);
    find_delicate(c);
    for (size_t f = 0; f < c->vectors; f++) {
        for (size_t g = f; g < c->vectors; g++) {
            PM_TRY(write_pair(c, f, g, err));
        }
    }
    return PM_OK;
}

static void fill_starts(const pm_evaluation *e, const pm_replay_setup *s, pm_replay_block *b, pm_wide *start,
                        size_t first, size_t count) {
    const pm_graph *g = e->context->graph;
    const pm_program *p = e->context->program;
    s->kernels->clear(p->n, b->z);
    for (size_t lane = 0; lane < s->kernels->lanes; lane++) {
        pmi_wide_start(e, first + (lane < count ? lane : count - 1), start);
        for (size_t i = 0; i < g->n_starts; i++) {
            uint32_t at = p->position[g->start_to[i]];
            if (at != PM_NONE) {
                pm_wide z = pmi_replay_get(b->z, s->kernels, at, lane);
                pmi_replay_put(b->z, s->kernels, at, lane, pmi_wide_add(z, start[i]));
            }
        }
    }
}

/* Arrays of one block. */
typedef struct products {
    double *weighted; /* n slots: z r_f */
    double *reward;   /* n slots: r_g */
    double *plain, *paid, *minus;
    pm_wide *start, *mean, *size, *centred;
    bool *delicate;
    pm_pool pool;
} products;

static pm_status products_new(const pm_evaluation *e, const pm_replay_setup *s, products *p, pm_error *err) {
    size_t n = e->context->program->n, vectors = e->rewards.n_vectors, stride = s->kernels->stride;
    bool is_discrete = e->context->graph->is_discrete;
    *p = (products){0};
    p->weighted = pmi_pool_aligned(&p->pool, n * stride, sizeof(double));
    p->reward = is_discrete ? pmi_pool_aligned(&p->pool, n * stride, sizeof(double)) : NULL;
    p->plain = pmi_pool_aligned(&p->pool, vectors * vectors * stride, sizeof(double));
    p->paid = is_discrete ? pmi_pool_aligned(&p->pool, vectors * vectors * stride, sizeof(double)) : NULL;
    p->minus = pmi_pool_aligned(&p->pool, stride, sizeof(double));
    p->start = pmi_pool_array(&p->pool, e->context->graph->n_starts, sizeof(pm_wide));
    p->mean = pmi_pool_array(&p->pool, vectors, sizeof(pm_wide));
    p->size = pmi_pool_array(&p->pool, vectors, sizeof(pm_wide));
    p->centred = pmi_pool_array(&p->pool, vectors, sizeof(pm_wide));
    p->delicate = pmi_pool_array(&p->pool, vectors, sizeof(bool));
    return pmi_pool_check(&p->pool, err, "the covariances", (n + vectors * vectors) * stride * sizeof(double));
}

/* sum_i z_i r_f m_g, and r_g for m_g where discrete, of all pairs and lanes. */
static void fill_products(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b, products *p) {
    size_t n = e->context->program->n, vectors = e->rewards.n_vectors;
    unsigned lanes = s->kernels->lanes;
    for (size_t f = 0; f < vectors; f++) {
        s->kernels->set_scaled(n, e->rewards.value + f * n, NULL, b->z, p->weighted);
        for (size_t g = 0; g < vectors; g++) {
            size_t part = e->rewards.first_part[g];
            double *out = p->plain + (f * vectors + g) * s->kernels->stride;
            s->kernels->dot(n, p->weighted, pmi_replay_moments(s, b, part, 1), out);
            if (e->rewards.first_part[g + 1] - part == 2) {
                s->kernels->dot(n, p->weighted, pmi_replay_moments(s, b, part + 1, 1), p->minus);
                for (size_t lane = 0; lane < lanes; lane++) {
                    pmi_replay_put(out, s->kernels, 0, lane,
                                   pmi_wide_difference(pmi_replay_get(out, s->kernels, 0, lane),
                                                       pmi_replay_get(p->minus, s->kernels, 0, lane)));
                }
            }
            if (p->paid != NULL) {
                s->kernels->set_scaled(n, e->rewards.value + g * n, NULL, NULL, p->reward);
                s->kernels->dot(n, p->weighted, p->reward, p->paid + (f * vectors + g) * s->kernels->stride);
            }
        }
    }
}

pm_status pmi_covariances(const pm_evaluation *e, const pm_replay_setup *s, pm_replay_block *b,
                          pm_replay_scratch *scratch, size_t first, size_t count, pm_error *err) {
    products p;
    pm_status st = products_new(e, s, &p, err);
    if (st == PM_OK) {
        fill_starts(e, s, b, p.start, first, count);
        pmi_replay_sojourn(s, b, scratch);
        fill_products(e, s, b, &p);
    }
    for (size_t lane = 0; st == PM_OK && lane < count; lane++) {
        covariance_lane c = {.e = e,
                             .s = s,
                             .b = b,
                             .row = first + lane,
                             .lane = lane,
                             .vectors = e->rewards.n_vectors,
                             .plain = p.plain,
                             .paid = p.paid,
                             .start = p.start,
                             .mean = p.mean,
                             .size = p.size,
                             .centred = p.centred,
                             .delicate = p.delicate};
        st = write_lane(&c, err);
    }
    pmi_pool_free(&p.pool);
    return st;
}
