#include "eval/adjoint_block.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "eval/theta.h"

PM_ISA_DECLARE(const pm_adjoint_kernels *, pmi_adjoint_kernels, (unsigned lanes));

const pm_adjoint_kernels *pmi_adjoint_kernels_get(pm_isa isa, unsigned lanes) {
    return PM_ISA_PICK(isa, pmi_adjoint_kernels)(lanes);
}

/* ---- what is computed side by side ---- */

/* Steps after which a Poisson weight is computed anew, and a sum over steps is put away. */
#define FRESH 64
#define TALLY 256

/* Poisson weights that matter to L by less than exp(-EXPONENT) are left out. */
#define EXPONENT 60.0

/* What is left below this is nothing. */
#define NOTHING 0x1p-1000

/* Vectors that are kept take so many bytes of a thread, which caches hold, or as many as let each of the others be
 * computed again once: that is faster than to write them to memory and to read them. */
#define KEPT_BYTES 524288.0
#define KEPT_FOR_ONE_PASS(steps) (2.0 * sqrt((double)(steps)) + 4.0)

/* The vector of step k. */
typedef struct kept {
    uint64_t k;
    pm_dual v;
    uint32_t low, high;                /* zero outside of states low..high-1 */
    uint32_t last;                     /* one past the last state that may hold anything */
    uint32_t level[PM_STEP_MAX_LANES]; /* the first that holds anything */
} kept;

struct pm_adjoint_block {
    const pm_adjoint_call *call;
    const pm_chain *chain;
    const pm_adjoint_kernels *kernels;
    pm_progress *progress;
    const pm_adjoint_item *items;
    size_t count;
    unsigned lanes;
    bool is_dual;
    uint64_t steps; /* K: v_0 .. v_{K-1}; at first the most that there is room for */
    double *theta;  /* lanes x P */
    int *unit;      /* lanes x P: exponents of powers of two near the parameters */
    double lambda[PM_STEP_MAX_LANES];
    pm_adjoint_step step;
    pm_dual z, before;       /* n + 1 slots */
    pm_dual slope;           /* a slot for each edge: what L takes of it in the last steps */
    pm_dual total;           /* n_weights slots: the same of all steps, by weight */
    double *absorbed, *mass; /* K slots: what L takes of absorption in step k + 1, and of the mass after k steps */
    uint64_t half[PM_STEP_MAX_LANES];  /* a step by which about half is absorbed, or UINT64_MAX */
    double by_atom[PM_STEP_MAX_LANES]; /* what L takes of what is absorbed at the start */
    double *sums[3];                   /* K: of pdf, cdf and survival, of the lane at work */
    double *inverse;                   /* K: 1 / k */
    kept *kept;
    size_t n_kept, most_kept;
    kept spare[2];     /* vectors on the way to one that is kept */
    pm_wide *start[3]; /* n_starts: first derivatives by two parameters, and the second */
    pm_pool pool;
};

typedef struct pm_adjoint_block block;

static pm_dual pool_dual(block *b, size_t slots) {
    size_t count = 0;
    bool fits = pmi_mul(slots, b->lanes, &count);
    pm_dual made = {.value = pmi_pool_aligned(&b->pool, fits ? count : SIZE_MAX, sizeof(double))};
    if (b->is_dual) {
        made.dot = pmi_pool_aligned(&b->pool, fits ? count : SIZE_MAX, sizeof(double));
    }
    return made;
}

/* Slots first..last-1, where there are any. */
static void clear(const block *b, pm_dual x, size_t first, size_t last) {
    size_t bytes = first < last ? (last - first) * b->lanes * sizeof(double) : 0;
    memset(x.value + first * b->lanes, 0, bytes);
    if (x.dot != NULL) {
        memset(x.dot + first * b->lanes, 0, bytes);
    }
}

static size_t vector_bytes(const pm_chain *c, unsigned lanes, bool is_dual) {
    return ((size_t)c->n + 1) * lanes * (is_dual ? 2 : 1) * sizeof(double);
}

/* Without the vectors that are kept. */
static double fixed_bytes(const pm_adjoint_call *call, unsigned lanes, bool is_dual, uint64_t steps) {
    const pm_chain *c = call->chain;
    double edges = (double)call->out->first[c->n];
    double slots = 2.0 * (double)c->graph->n_weights + edges + 7.0 * c->n + c->graph->n_params;
    return 8.0 * ((is_dual ? 2.0 : 1.0) * slots * lanes + (double)steps * (2.0 * lanes + 4.0));
}

static pm_status make_room(block *b, size_t memory, pm_error *err) {
    const pm_chain *c = b->chain;
    const pm_graph *g = c->graph;
    size_t n = c->n, steps = (size_t)b->steps, bytes = vector_bytes(c, b->lanes, b->is_dual);
    double left = ((double)memory - fixed_bytes(b->call, b->lanes, b->is_dual, b->steps)) / (double)bytes;
    double wanted = fmax(KEPT_BYTES / (double)bytes, KEPT_FOR_ONE_PASS(b->steps));
    b->most_kept = (size_t)fmax(fmin(left, wanted), PM_FEWEST_KEPT);
    b->most_kept = b->most_kept < steps ? b->most_kept : steps;
    b->theta = pmi_pool_array(&b->pool, b->lanes * (size_t)g->n_params, sizeof *b->theta);
    b->unit = pmi_pool_array(&b->pool, b->lanes * (size_t)g->n_params, sizeof *b->unit);
    b->step = (pm_adjoint_step){.chain = c, .out = b->call->out, .stays_by_edges = g->normalizes_rows};
    b->step.table = pool_dual(b, g->n_weights);
    b->step.keep = pool_dual(b, n);
    b->step.keep_back = g->normalizes_rows ? pool_dual(b, n) : b->step.keep;
    b->z = pool_dual(b, n + 1);
    b->before = pool_dual(b, n + 1);
    b->slope = pool_dual(b, b->step.out->first[n]);
    b->total = pool_dual(b, g->n_weights);
    b->spare[0] = (kept){.v = pool_dual(b, n)};
    b->spare[1] = (kept){.v = pool_dual(b, n)};
    b->absorbed = pmi_pool_aligned(&b->pool, steps * b->lanes, sizeof *b->absorbed);
    b->mass = pmi_pool_aligned(&b->pool, steps * b->lanes, sizeof *b->mass);
    b->inverse = pmi_pool_array(&b->pool, steps, sizeof *b->inverse);
    b->kept = pmi_pool_array(&b->pool, b->most_kept, sizeof *b->kept);
    for (size_t i = 0; i < 3; i++) {
        b->sums[i] = pmi_pool_array(&b->pool, steps, sizeof *b->sums[i]);
        b->start[i] = pmi_pool_array(&b->pool, g->n_starts, sizeof *b->start[i]);
    }
    PM_TRY(pmi_pool_check(&b->pool, err, "the derivatives of densities", bytes * b->most_kept));
    for (size_t i = 0; i < b->most_kept; i++) {
        b->kept[i] = (kept){.v = pool_dual(b, n)};
    }
    PM_TRY(pmi_pool_check(&b->pool, err, "the derivatives of densities", bytes * b->most_kept));
    for (size_t i = 0; i < b->most_kept; i++) {
        clear(b, b->kept[i].v, 0, n);
    }
    clear(b, b->spare[0].v, 0, n);
    clear(b, b->spare[1].v, 0, n);
    return PM_OK;
}

pm_status pmi_adjoint_block_new(const pm_adjoint_call *call, unsigned lanes, uint64_t steps, size_t memory,
                                pm_progress *progress, block **out, pm_error *err) {
    block *b = *out = pmi_calloc(1, sizeof *b);
    if (b == NULL) {
        return pmi_fail_memory(err, "the derivatives of densities", sizeof *b);
    }
    b->call = call;
    b->chain = call->chain;
    b->kernels = pmi_adjoint_kernels_get(call->isa, lanes);
    b->progress = progress;
    b->lanes = lanes;
    b->is_dual = call->hessian != NULL;
    b->steps = steps;
    pm_status st = make_room(b, memory, err);
    if (st != PM_OK) {
        pmi_adjoint_block_free(b);
        *out = NULL;
    }
    return st;
}

void pmi_adjoint_block_free(block *b) {
    if (b != NULL) {
        pmi_pool_free(&b->pool);
        free(b);
    }
}

size_t pmi_adjoint_bytes(const pm_adjoint_call *call, unsigned lanes, uint64_t steps) {
    bool is_dual = call->hessian != NULL;
    double bytes = fixed_bytes(call, lanes, is_dual, steps);
    return (size_t)fmin(bytes + PM_FEWEST_KEPT * (double)vector_bytes(call->chain, lanes, is_dual), 9e18);
}

/* ---- rates ---- */

/* The exponent of each parameter; of one that is zero that of the largest. */
static void set_units(const block *b, size_t l) {
    size_t n = b->chain->graph->n_params;
    const double *theta = b->theta + l * n;
    int largest = INT_MIN;
    for (size_t p = 0; p < n; p++) {
        if (theta[p] != 0.0 && ilogb(theta[p]) > largest) {
            largest = ilogb(theta[p]);
        }
    }
    for (size_t p = 0; p < n; p++) {
        b->unit[l * n + p] = theta[p] != 0.0 ? ilogb(theta[p]) : largest > INT_MIN ? largest : 0;
    }
}

static int unit_of(const block *b, size_t l, size_t p) {
    return b->unit[l * b->chain->graph->n_params + p];
}

/* The sum of a row whose weights are normalized, before it is divided by it, and its derivative by parameter p. */
static void sum_row(const block *b, size_t l, uint32_t s, size_t p, long double *sum, long double *change) {
    const pm_graph *g = b->chain->graph;
    *sum = *change = 0;
    for (uint32_t w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
        *sum += (long double)g->times[w] * pmi_graph_weight(g, w, b->theta + l * g->n_params);
        *change += (long double)g->times[w] * pmi_graph_coefficient(g, w, p);
    }
}

/* The derivative of a weight by parameter p: of q = x / sum it is (x' - q sum') / sum. */
static long double change_of(const block *b, size_t l, size_t w, size_t p, long double sum, long double change) {
    const pm_graph *g = b->chain->graph;
    long double own = pmi_graph_coefficient(g, w, p);
    return sum > 0 ? (own - b->step.table.value[w * b->lanes + l] * change) / sum : own / (long double)b->lambda[l];
}

/* Calls `visit` for each weight with the sum of its row and that sum's derivative by p; zeros where it is not
 * normalized. */
typedef struct weight_visit {
    const block *block;
    size_t lane, p;
    void (*visit)(void *ctx, size_t w, long double sum, long double change);
    void *ctx;
} weight_visit;

static void visit_weights(const weight_visit *v) {
    const pm_graph *g = v->block->chain->graph;
    size_t w = 0, plain = g->normalizes_rows ? g->sum_first[0] : g->n_weights;
    for (; w < plain; w++) {
        v->visit(v->ctx, w, 0, 0);
    }
    for (uint32_t s = 0; g->normalizes_rows && s < g->n_sums; s++) {
        long double sum, change;
        sum_row(v->block, v->lane, s, v->p, &sum, &change);
        for (w = g->sum_first[s]; w < g->sum_first[s + 1]; w++) {
            v->visit(v->ctx, w, sum, change);
        }
    }
}

typedef struct lane_at_work {
    const block *block;
    size_t lane, p;
    long double sum;
    const double *sums; /* n_weights slots: see contract */
} lane_at_work;

static void set_dot(void *ctx, size_t w, long double sum, long double change) {
    const lane_at_work *at = ctx;
    const block *b = at->block;
    double dot = (double)ldexpl(change_of(b, at->lane, w, at->p, sum, change), unit_of(b, at->lane, at->p));
    b->step.table.dot[w * b->lanes + at->lane] = dot;
}

static void set_keep(const block *b) {
    const pm_chain *c = b->chain;
    const pm_out_edges *out = b->step.out;
    for (size_t d = 0; d < (b->is_dual ? 2 : 1); d++) {
        const double *table = d == 0 ? b->step.table.value : b->step.table.dot;
        double *keep = d == 0 ? b->step.keep.value : b->step.keep.dot;
        double *back = d == 0 ? b->step.keep_back.value : b->step.keep_back.dot;
        for (size_t i = 0; i < (size_t)c->n * b->lanes; i++) {
            size_t state = i / b->lanes, l = i % b->lanes;
            double leaves = 0, loops = 0;
            for (size_t e = out->first[state]; e < out->first[state + 1]; e++) {
                *(out->target[e] == state ? &loops : &leaves) += table[out->weight[e] * b->lanes + l];
            }
            keep[i] = (d == 0 ? 1 : 0) - leaves;
            back[i] = keep[i];
            if (c->graph->normalizes_rows) {
                keep[i] = d == 0 && leaves + loops == 0 ? 1 : loops;
                back[i] = d == 0 && leaves + loops == 0 ? 1 : 0;
            }
        }
    }
}

static pm_status set_rates(block *b, pm_error *err) {
    const pm_graph *g = b->chain->graph;
    size_t n_params = g->n_params;
    for (size_t l = 0; l < b->lanes; l++) {
        const pm_adjoint_item *it = &b->items[l < b->count ? l : b->count - 1];
        b->lambda[l] = it->lambda;
        memcpy(b->theta + l * n_params, b->call->request->theta + it->row * n_params, n_params * sizeof *b->theta);
        set_units(b, l);
    }
    PM_TRY(pmi_weights_fill(g, b->theta, 0, b->lanes, b->lanes, b->step.table.value, err));
    for (size_t i = 0; i < g->n_weights * b->lanes; i++) {
        b->step.table.value[i] /= b->lambda[i % b->lanes];
    }
    for (size_t l = 0; b->is_dual && l < b->lanes; l++) {
        lane_at_work at = {.block = b, .lane = l, .p = b->items[l < b->count ? l : b->count - 1].direction};
        visit_weights(&(weight_visit){.block = b, .lane = l, .p = at.p, .visit = set_dot, .ctx = &at});
    }
    set_keep(b);
    return PM_OK;
}

/* ---- what L takes of each step ---- */

void pmi_adjoint_window(const pm_adjoint_call *call, size_t row, size_t t, double lambda, uint64_t *begin,
                        uint64_t *end) {
    const pm_cotangents *c = &call->cotangents;
    double size = lambda * fabs(pmi_adjoint_cotangent(call->request, c->pdf, row, t));
    size = fmax(size, fabs(pmi_adjoint_cotangent(call->request, c->cdf, row, t)));
    size = fmax(size, fabs(pmi_adjoint_cotangent(call->request, c->survival, row, t)));
    double exponent = fmin(EXPONENT + log(fmax(size, 1.0)), PM_FULL_EXPONENT);
    pmi_poisson_window(lambda * pmi_adjoint_time(call->request, row, t), exponent, begin, end);
}

/* cdf and survival change by as much, and the smaller one knows it best: its cotangent stands for both. */
static void choose_side(const block *b, size_t l, double x, double *cdf, double *survival) {
    double both = *cdf - *survival;
    bool is_late = x >= (double)b->half[l];
    *cdf = is_late ? 0 : both;
    *survival = is_late ? -both : 0;
}

/* Adds a time's weights to the sums of the lane. */
static void mix(const block *b, const pm_adjoint_item *it, size_t l, size_t t) {
    const pm_request *r = b->call->request;
    double x = it->lambda * pmi_adjoint_time(r, it->row, t), weight = 0;
    double pdf = it->lambda * pmi_adjoint_cotangent(r, b->call->cotangents.pdf, it->row, t);
    double cdf = pmi_adjoint_cotangent(r, b->call->cotangents.cdf, it->row, t);
    double survival = pmi_adjoint_cotangent(r, b->call->cotangents.survival, it->row, t);
    uint64_t begin, end;
    choose_side(b, l, x, &cdf, &survival);
    pmi_adjoint_window(b->call, it->row, t, it->lambda, &begin, &end);
    for (uint64_t k = begin; k < end; k++) {
        bool is_fresh = k == begin || k % FRESH == 0 || weight < DBL_MIN;
        weight = is_fresh ? pmi_poisson(k, x) : weight * (x * b->inverse[k]);
        b->sums[0][k] += pdf * weight;
        b->sums[1][k] += cdf * weight;
        b->sums[2][k] += survival * weight;
    }
}

/* Discrete: a step alone; its probability is what was absorbed in the step before. */
static void pick(block *b, const pm_adjoint_item *it, size_t l, size_t t) {
    const pm_request *r = b->call->request;
    uint64_t k = pmi_step_of(pmi_adjoint_time(r, it->row, t));
    *(k == 0 ? &b->by_atom[l] : &b->sums[0][k - 1]) += pmi_adjoint_cotangent(r, b->call->cotangents.pdf, it->row, t);
    double cdf = pmi_adjoint_cotangent(r, b->call->cotangents.cdf, it->row, t);
    double survival = pmi_adjoint_cotangent(r, b->call->cotangents.survival, it->row, t);
    choose_side(b, l, (double)k, &cdf, &survival);
    b->sums[1][k] += cdf;
    b->sums[2][k] += survival;
}

static void weigh_lane(block *b, size_t l) {
    const pm_adjoint_item *it = &b->items[l];
    const double *atom = b->call->cotangents.atom;
    size_t steps = (size_t)b->steps;
    for (size_t i = 0; i < 3; i++) {
        memset(b->sums[i], 0, steps * sizeof *b->sums[i]);
    }
    b->by_atom[l] = atom == NULL ? 0 : atom[it->row];
    for (size_t t = 0; t < b->call->request->n_times; t++) {
        if (b->chain->graph->is_discrete) {
            pick(b, it, l, t);
        } else {
            mix(b, it, l, t);
        }
    }
    double later = 0;
    for (size_t k = steps; k-- > 0; later += b->sums[1][k]) {
        b->absorbed[k * b->lanes + l] = b->sums[0][k] + later;
        b->mass[k * b->lanes + l] = b->sums[2][k];
    }
    b->by_atom[l] += later;
}

static void weigh_steps(block *b) {
    size_t bytes = (size_t)b->steps * b->lanes * sizeof(double);
    memset(b->absorbed, 0, bytes);
    memset(b->mass, 0, bytes);
    for (size_t k = 1; k < b->steps; k++) {
        b->inverse[k] = 1.0 / (double)k;
    }
    for (size_t l = 0; l < b->count; l++) {
        weigh_lane(b, l);
    }
}

/* ---- forwards ---- */

static void add_start(const block *b, double *v, size_t l, size_t s, double value, uint32_t *last) {
    uint32_t state = b->chain->start_state[s];
    if (state < b->chain->n) {
        v[state * b->lanes + l] += value;
        *last = state + 1 > *last ? state + 1 : *last;
    }
}

static void find_half(block *b, const kept *at) {
    for (size_t l = 0; l < b->lanes; l++) {
        double mass = 0;
        for (uint32_t i = at->low; b->half[l] == UINT64_MAX && i < at->high; i++) {
            mass += at->v.value[i * (size_t)b->lanes + l];
        }
        b->half[l] = b->half[l] == UINT64_MAX && mass < 0.5 ? at->k : b->half[l];
    }
}

static void set_start(block *b) {
    const pm_graph *g = b->chain->graph;
    kept *k = &b->kept[0];
    k->k = 0;
    k->last = 0;
    memset(k->level, 0, sizeof k->level);
    clear(b, k->v, k->low, k->high);
    for (size_t l = 0; l < b->lanes; l++) {
        const pm_adjoint_item *it = &b->items[l < b->count ? l : b->count - 1];
        const double *theta = b->theta + l * g->n_params;
        for (size_t s = 0; s < g->n_starts; s++) {
            add_start(b, k->v.value, l, s, b->call->start[it->row * g->n_starts + s], &k->last);
        }
        if (b->is_dual) {
            pm_wide unit = pmi_wide_of(ldexp(1.0, unit_of(b, l, it->direction)));
            pmi_start_derivative(g, theta, it->direction, b->start[0]);
            for (size_t s = 0; s < g->n_starts; s++) {
                add_start(b, k->v.dot, l, s, pmi_wide_double(pmi_wide_multiply(b->start[0][s], unit)), &k->last);
            }
        }
    }
    k->low = 0;
    k->high = k->last;
    b->n_kept = 1;
    for (size_t l = 0; l < b->lanes; l++) {
        b->half[l] = UINT64_MAX;
    }
    find_half(b, k);
}

static bool is_nothing(double x) {
    return x <= NOTHING && x >= -NOTHING;
}

/* Whether a lane holds nothing in any state of a level; then it is emptied there. Nothing flows back to a level. */
static bool drain(const block *b, pm_dual v, uint32_t first, uint32_t last, size_t l) {
    for (uint32_t i = first; i < last; i++) {
        size_t at = i * (size_t)b->lanes + l;
        if (!is_nothing(v.value[at]) || (v.dot != NULL && !is_nothing(v.dot[at]))) {
            return false;
        }
    }
    for (uint32_t i = first; i < last; i++) {
        size_t at = i * (size_t)b->lanes + l;
        v.value[at] = 0;
        if (v.dot != NULL) {
            v.dot[at] = 0;
        }
    }
    return true;
}

static uint32_t level_end(const pm_chain *c, uint32_t level, uint32_t last) {
    return c->level_first[level + 1] < last ? c->level_first[level + 1] : last;
}

/* The first state that any lane holds. */
static uint32_t first_of(const block *b, const kept *k) {
    uint32_t least = b->chain->n_levels;
    for (size_t l = 0; l < b->count; l++) {
        least = k->level[l] < least ? k->level[l] : least;
    }
    return b->chain->level_first[least];
}

static void narrow(const block *b, kept *k) {
    const pm_chain *c = b->chain;
    for (size_t l = 0; l < b->lanes; l++) {
        while (k->level[l] < c->n_levels && c->level_first[k->level[l]] < k->last &&
               drain(b, k->v, c->level_first[k->level[l]], level_end(c, k->level[l], k->last), l)) {
            k->level[l]++;
        }
    }
}

/* Steps whose mass is looked at: powers of two, and those at which others than these fall behind. */
static bool is_looked_at(uint64_t k) {
    return k % FRESH == 0 || (k & (k - 1)) == 0;
}

/* From one vector to the next. */
static void advance(const block *b, const kept *from, kept *to) {
    uint32_t first = first_of(b, from), last = from->last > 0 ? b->chain->reach[from->last - 1] : 0;
    first = first < last ? first : last;
    memcpy(to->level, from->level, sizeof to->level);
    to->k = from->k + 1;
    to->last = last;
    clear(b, to->v, to->low, to->high < first ? to->high : first);
    clear(b, to->v, to->low > last ? to->low : last, to->high);
    to->low = first;
    to->high = last;
    (b->is_dual ? b->kernels->forward_dual : b->kernels->forward)(&b->step, from->v, to->v, first, last);
    narrow(b, to);
}

/* Keeps v_k on top, and on the way to it as many as half of the room that is left has. */
static void keep_up_to(block *b, uint64_t k, bool is_first) {
    while (b->kept[b->n_kept - 1].k > k) {
        b->n_kept--;
    }
    uint64_t from = b->kept[b->n_kept - 1].k, gap = k - from, room = b->most_kept - b->n_kept;
    uint64_t spacing = gap <= room ? 1 : gap / (room / 2 + 1) + 1;
    const kept *at = &b->kept[b->n_kept - 1];
    while (at->k < k) {
        bool is_kept = at->k + 1 == k || (at->k + 1 - from) % spacing == 0;
        kept *to = is_kept ? &b->kept[b->n_kept++] : at == &b->spare[0] ? &b->spare[1] : &b->spare[0];
        advance(b, at, to);
        if (is_first && is_looked_at(to->k)) {
            find_half(b, to);
        }
        at = to;
    }
}

/* ---- backwards ---- */

static void put_away(const block *b) {
    const pm_out_edges *out = b->step.out;
    size_t n = out->first[b->chain->n];
    for (size_t e = 0; e < n; e++) {
        for (size_t l = 0; l < b->lanes; l++) {
            b->total.value[out->weight[e] * b->lanes + l] += b->slope.value[e * b->lanes + l];
        }
        for (size_t l = 0; b->is_dual && l < b->lanes; l++) {
            b->total.dot[out->weight[e] * b->lanes + l] += b->slope.dot[e * b->lanes + l];
        }
    }
    clear(b, b->slope, 0, n);
}

/* Lanes that hold nothing of the first levels take nothing of them either, whatever the other lanes hold. */
static void forget(const block *b, pm_dual z, const kept *k, uint32_t first) {
    for (size_t l = 0; l < b->count; l++) {
        uint32_t end = b->chain->level_first[k->level[l]];
        for (uint32_t i = first; i < end && i < k->last; i++) {
            z.value[i * (size_t)b->lanes + l] = 0;
            if (z.dot != NULL) {
                z.dot[i * (size_t)b->lanes + l] = 0;
            }
        }
    }
}

static void step_back(block *b, uint64_t k) {
    keep_up_to(b, k, false);
    const kept *at = &b->kept[b->n_kept - 1];
    uint32_t n = b->chain->n, first = first_of(b, at);
    first = first < at->last ? first : at->last;
    memcpy(b->z.value + (size_t)n * b->lanes, b->absorbed + k * b->lanes, b->lanes * sizeof(double));
    (b->is_dual ? b->kernels->backward_dual : b->kernels->backward)(&b->step, at->v, b->z, b->mass + k * b->lanes,
                                                                    b->before, b->slope, first, at->last);
    forget(b, b->before, at, first);
    pm_dual now = b->before;
    b->before = b->z;
    b->z = now;
}

static void run_steps(block *b) {
    pm_float_mode mode = pmi_denormals_flush();
    set_start(b);
    keep_up_to(b, b->steps - 1, true);
    pmi_denormals_restore(mode);
    weigh_steps(b);
    mode = pmi_denormals_flush();
    for (uint64_t k = b->steps; k-- > 0;) {
        step_back(b, k);
        if (k % TALLY == 0) {
            put_away(b);
            pmi_progress_tell(b->progress, (double)(b->steps - k) / (double)b->steps, b->count);
        }
    }
    pmi_denormals_restore(mode);
}

/* ---- by parameter ---- */

static void add_weight(void *ctx, size_t w, long double sum, long double change) {
    lane_at_work *at = ctx;
    const block *b = at->block;
    at->sum += at->sums[w * b->lanes + at->lane] * change_of(b, at->lane, w, at->p, sum, change);
}

/* The sum over weights of `sums` times the derivative of the weight by parameter p. */
static long double contract(const block *b, size_t l, size_t p, const double *sums) {
    lane_at_work at = {.block = b, .lane = l, .p = p, .sums = sums};
    visit_weights(&(weight_visit){.block = b, .lane = l, .p = p, .visit = add_weight, .ctx = &at});
    return at.sum;
}

/* The sum over start edges of z of where they lead times what change[s] is. */
static long double contract_start(const block *b, size_t l, const double *z, double by_atom, const pm_wide *change) {
    const pm_chain *c = b->chain;
    long double sum = 0;
    for (size_t s = 0; s < c->graph->n_starts; s++) {
        uint32_t state = c->start_state[s];
        double of = state < c->n ? z[state * (size_t)b->lanes + l] : state == PM_START_ABSORBED ? by_atom : 0;
        if (of != 0) {
            sum += (long double)pmi_wide_double(pmi_wide_multiply(change[s], pmi_wide_of(of)));
        }
    }
    return sum;
}

pm_status pmi_adjoint_write(size_t row, size_t p, long double value, double *to, pm_error *err) {
    *to = (double)value;
    return isfinite(*to) ? PM_OK
                         : pmi_fail(err, PM_EDATA,
                                    "theta row %zu: the derivatives of its densities in parameter %zu overflow double "
                                    "precision; rescale theta",
                                    row, p);
}

static pm_status write_gradient(const block *b, size_t l, pm_error *err) {
    const pm_adjoint_item *it = &b->items[l];
    const pm_graph *g = b->chain->graph;
    for (size_t p = 0; p < g->n_params; p++) {
        pmi_start_derivative(g, b->theta + l * g->n_params, p, b->start[0]);
        long double value = contract(b, l, p, b->total.value);
        value += contract_start(b, l, b->z.value, b->by_atom[l], b->start[0]);
        PM_TRY(pmi_adjoint_write(it->row, p, value, b->call->gradient + it->row * g->n_params + p, err));
    }
    return PM_OK;
}

/* What the derivatives of normalized weights change by in the item's direction:
 * -(q_d S_p + (x_p - q S_p) S_d / S) / S, with q_d = (x_d - q S_d) / S. */
static long double contract_normalized(const block *b, size_t l, size_t p, size_t d) {
    const pm_graph *g = b->chain->graph;
    long double total = 0;
    for (uint32_t s = 0; g->normalizes_rows && s < g->n_sums; s++) {
        long double sum, of_p, of_d;
        sum_row(b, l, s, p, &sum, &of_p);
        sum_row(b, l, s, d, &sum, &of_d);
        for (uint32_t w = g->sum_first[s]; sum > 0 && w < g->sum_first[s + 1]; w++) {
            long double by_p = change_of(b, l, w, p, sum, of_p), by_d = change_of(b, l, w, d, sum, of_d);
            total -= b->total.value[w * b->lanes + l] * (by_d * of_p + by_p * of_d) / sum;
        }
    }
    return total;
}

static pm_status write_hessian(const block *b, size_t l, pm_error *err) {
    const pm_adjoint_item *it = &b->items[l];
    const pm_graph *g = b->chain->graph;
    size_t n = g->n_params, d = it->direction;
    const double *theta = b->theta + l * n;
    int unit = unit_of(b, l, d);
    pmi_start_derivative(g, theta, d, b->start[1]);
    for (size_t p = 0; p < n; p++) {
        pmi_start_derivative(g, theta, p, b->start[0]);
        pmi_start_second(g, theta, p, d, b->start[0], b->start[1], b->start[2]);
        long double value = contract(b, l, p, b->total.dot);
        value += contract_start(b, l, b->z.dot, 0, b->start[0]);
        value = ldexpl(value, -unit) + contract_normalized(b, l, p, d);
        value += contract_start(b, l, b->z.value, b->by_atom[l], b->start[2]);
        PM_TRY(pmi_adjoint_write(it->row, p, value, b->call->hessian + (it->row * n + d) * n + p, err));
    }
    return PM_OK;
}

static pm_status write_item(const block *b, size_t l, pm_error *err) {
    if (b->items[l].direction == 0) {
        PM_TRY(write_gradient(b, l, err));
    }
    return b->is_dual ? write_hessian(b, l, err) : PM_OK;
}

pm_status pmi_adjoint_block_run(block *b, const pm_adjoint_item *items, size_t count, size_t *row, pm_error *err) {
    b->items = items;
    b->count = count;
    b->steps = items[0].steps;
    *row = items[0].row;
    PM_TRY(set_rates(b, err));
    clear(b, b->z, 0, (size_t)b->chain->n + 1);
    clear(b, b->before, 0, (size_t)b->chain->n + 1);
    clear(b, b->slope, 0, b->step.out->first[b->chain->n]);
    clear(b, b->total, 0, b->chain->graph->n_weights);
    run_steps(b);
    pm_status st = PM_OK;
    for (size_t l = 0; l < count; l++) {
        pm_error why;
        if (write_item(b, l, &why) != PM_OK && (st == PM_OK || items[l].row < *row)) {
            *row = items[l].row;
            st = pmi_fail(err, why.code, "%s", why.text);
        }
    }
    return st;
}
