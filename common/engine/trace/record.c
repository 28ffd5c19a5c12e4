#include "trace/record.h"

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "trace/order.h"

/* ---- symbolic elimination ---- */

typedef struct symbolic {
    const pm_topology *topology;
    pm_trace *trace;
    uint32_t *position; /* of each vertex in the order */
    uint32_t *mark;     /* last row (plus one) that reached this pivot */
    size_t *pruned_end; /* of each row of U: entries behind it are reached through those before it */
    size_t l_capacity, u_capacity;
    pm_pool pool; /* of the three arrays */
} symbolic;

static pm_status symbolic_new(const pm_topology *t, const uint32_t *pivot, pm_trace *trace, symbolic *s,
                              pm_error *err) {
    size_t n = t->n;
    *s = (symbolic){.topology = t, .trace = trace};
    s->position = pmi_pool_array(&s->pool, n, sizeof *s->position);
    s->mark = pmi_pool_zeros(&s->pool, n, sizeof *s->mark);
    s->pruned_end = pmi_pool_zeros(&s->pool, n, sizeof *s->pruned_end);
    *trace = (pm_trace){.n = t->n,
                        .pivot = pmi_malloc(n, sizeof *trace->pivot),
                        .l_row = pmi_calloc(n + 1, sizeof *trace->l_row),
                        .u_row = pmi_calloc(n + 1, sizeof *trace->u_row),
                        .n_edges = t->row[n]};
    if (s->pool.is_short || trace->pivot == NULL || trace->l_row == NULL || trace->u_row == NULL) {
        return pmi_fail_memory(err, "a symbolic elimination", n * 40);
    }
    memcpy(trace->pivot, pivot, n * sizeof *pivot);
    for (uint32_t j = 0; j < t->n; j++) {
        s->position[pivot[j]] = j;
    }
    return PM_OK;
}

/* Notes that row j reaches pivot k, in L or U by its side of j. Room is there (reserve_row). */
static void reach(symbolic *s, uint32_t j, uint32_t k) {
    if (k == j || s->mark[k] == j + 1) {
        return;
    }
    s->mark[k] = j + 1;
    pm_trace *t = s->trace;
    if (k < j) {
        t->l[t->l_row[j + 1]++] = k;
    } else {
        t->u[t->u_row[j + 1]++] = k;
    }
}

static bool reserve_row(symbolic *s, uint32_t j) {
    pm_trace *t = s->trace;
    return pmi_reserve((void **)&t->l, &s->l_capacity, t->l_row[j] + j, sizeof *t->l) &&
           pmi_reserve((void **)&t->u, &s->u_capacity, t->u_row[j] + (t->n - j), sizeof *t->u);
}

static void eliminate_row(symbolic *s, uint32_t j) {
    pm_trace *t = s->trace;
    const pm_topology *g = s->topology;
    uint32_t v = t->pivot[j];
    t->l_row[j + 1] = t->l_row[j];
    t->u_row[j + 1] = t->u_row[j];
    for (size_t e = g->row[v]; e < g->row[v + 1]; e++) {
        reach(s, j, s->position[g->col[e]]);
    }
    for (size_t at = t->l_row[j]; at < t->l_row[j + 1]; at++) {
        uint32_t i = t->l[at];
        for (size_t k = t->u_row[i]; k < s->pruned_end[i]; k++) {
            reach(s, j, t->u[k]);
        }
    }
    s->pruned_end[j] = t->u_row[j + 1];
}

/* Where row i leads to j and row j came from i, j's row holds all that i leads to beyond j. */
static void prune(symbolic *s, uint32_t j) {
    pm_trace *t = s->trace;
    for (size_t at = t->l_row[j]; at < t->l_row[j + 1]; at++) {
        uint32_t i = t->l[at];
        size_t begin = t->u_row[i], end = t->u_row[i + 1];
        if (s->pruned_end[i] != end) {
            continue;
        }
        bool leads_back = false;
        for (size_t k = begin; k < end && !leads_back; k++) {
            leads_back = t->u[k] == j;
        }
        if (!leads_back) {
            continue;
        }
        size_t kept = begin;
        for (size_t k = begin; k < end; k++) {
            if (t->u[k] <= j) {
                uint32_t low = t->u[k];
                t->u[k] = t->u[kept];
                t->u[kept++] = low;
            }
        }
        s->pruned_end[i] = kept;
    }
}

/* Ascending entries in every row, in linear time: through the columns and back. */
static pm_status sort_rows(uint32_t n, const size_t *row, uint32_t *entry, pm_error *err) {
    size_t count = row[n];
    pm_pool pool = {0};
    size_t *column = pmi_pool_zeros(&pool, (size_t)n + 1, sizeof *column);
    size_t *at = pmi_pool_array(&pool, n, sizeof *at);
    uint32_t *owner = pmi_pool_array(&pool, count, sizeof *owner);
    if (pool.is_short) {
        pmi_pool_free(&pool);
        return pmi_fail_memory(err, "sorting a pattern", count * sizeof *owner);
    }
    for (size_t e = 0; e < count; e++) {
        column[entry[e] + 1]++;
    }
    for (uint32_t k = 0; k < n; k++) {
        column[k + 1] += column[k];
        at[k] = column[k];
    }
    for (uint32_t j = 0; j < n; j++) {
        for (size_t e = row[j]; e < row[j + 1]; e++) {
            owner[at[entry[e]]++] = j;
        }
    }
    memcpy(at, row, n * sizeof *at);
    for (uint32_t k = 0; k < n; k++) {
        for (size_t e = column[k]; e < column[k + 1]; e++) {
            entry[at[owner[e]]++] = k;
        }
    }
    pmi_pool_free(&pool);
    return PM_OK;
}

/* For each substitution of i into j: one multiply-add for each entry of U(i), the exit and the right-hand side. For
 * each row: its sum, its scaling, its reciprocal and its back substitution. */
static void count_flops(pm_trace *t) {
    t->flops = 0;
    for (size_t at = 0; at < t->l_row[t->n]; at++) {
        uint32_t i = t->l[at];
        t->flops += 2 * (t->u_row[i + 1] - t->u_row[i]) + 4;
    }
    t->flops += 4 * t->u_row[t->n] + 3 * (uint64_t)t->n;
}

static void shrink(uint32_t **array, size_t used) {
    uint32_t *exact = realloc(*array, used == 0 ? 1 : used * sizeof **array);
    *array = exact != NULL ? exact : *array;
}

pm_status pmi_symbolic(const pm_topology *topology, const uint32_t *pivot, size_t max_fill, pm_trace *out, bool *fits,
                       pm_error *err) {
    symbolic s;
    *fits = true;
    pm_status st = symbolic_new(topology, pivot, out, &s, err);
    for (uint32_t j = 0; st == PM_OK && *fits && j < topology->n; j++) {
        if (!reserve_row(&s, j)) {
            st = pmi_fail_memory(err, "the pattern of a trace", (out->l_row[j] + out->u_row[j]) * sizeof *out->l);
            break;
        }
        eliminate_row(&s, j);
        prune(&s, j);
        *fits = out->l_row[j + 1] + out->u_row[j + 1] <= max_fill;
    }
    pmi_pool_free(&s.pool);
    PM_THEN(st, *fits ? sort_rows(out->n, out->l_row, out->l, err) : PM_OK);
    PM_THEN(st, *fits ? sort_rows(out->n, out->u_row, out->u, err) : PM_OK);
    if (st != PM_OK || !*fits) {
        pmi_trace_free(out);
        return st;
    }
    shrink(&out->l, out->l_row[out->n]);
    shrink(&out->u, out->u_row[out->n]);
    count_flops(out);
    return PM_OK;
}

/* ---- the check ---- */

/* The self-check of a trace: replayed at random positive rates, its solution must satisfy the equations. */

/* A missing entry of a pattern leaves a residual of the order of the rates, rounding one of 1e-15 for each operation.
 */
#define RESIDUAL_LIMIT 1e-10

typedef struct check {
    const pm_plan *plan;
    const pm_topology *topology;
    size_t *inner_row, *no_row, *absorb_row;
    uint32_t *inner_col, *weight; /* weight i is rates[i] */
    double *rates;                /* of each edge of the topology, then of each state's exit */
    double *x;
    uint32_t *position;
    pm_factors factors;
    pm_pool pool;
} check;

static pm_status check_new(const pm_plan *plan, const pm_topology *t, check *c, pm_error *err) {
    size_t n = t->n, edges = t->row[n], entries = plan->trace.u_row[n];
    *c = (check){.plan = plan, .topology = t};
    c->inner_row = pmi_pool_array(&c->pool, n + 1, sizeof *c->inner_row);
    c->no_row = pmi_pool_zeros(&c->pool, n + 1, sizeof *c->no_row);
    c->absorb_row = pmi_pool_array(&c->pool, n + 1, sizeof *c->absorb_row);
    c->inner_col = pmi_pool_array(&c->pool, edges, sizeof *c->inner_col);
    c->weight = pmi_pool_array(&c->pool, edges + n, sizeof *c->weight);
    c->rates = pmi_pool_aligned(&c->pool, edges + n, sizeof *c->rates);
    c->x = pmi_pool_aligned(&c->pool, n, sizeof *c->x);
    c->position = pmi_pool_array(&c->pool, n, sizeof *c->position);
    c->factors.u = pmi_pool_aligned(&c->pool, entries, sizeof(double));
    c->factors.leave = pmi_pool_aligned(&c->pool, n, sizeof(double));
    c->factors.inverse = pmi_pool_aligned(&c->pool, n, sizeof(double));
    c->factors.work = pmi_pool_zeros(&c->pool, 2 * n, sizeof(double));
    return pmi_pool_check(&c->pool, err, "the check of a trace", (edges + entries) * 8);
}

static void draw(check *c) {
    const pm_trace *t = &c->plan->trace;
    pm_random random;
    pmi_random_seed(&random, t->digest);
    size_t edges = 0;
    for (uint32_t j = 0; j < t->n; j++) {
        c->position[t->pivot[j]] = j;
    }
    for (uint32_t j = 0; j < t->n; j++) {
        uint32_t v = t->pivot[j];
        c->inner_row[j] = edges;
        for (size_t e = c->topology->row[v]; e < c->topology->row[v + 1]; e++) {
            c->inner_col[edges++] = c->position[c->topology->col[e]];
        }
        c->absorb_row[j] = j;
        c->x[j] = 1;
    }
    c->inner_row[t->n] = edges;
    c->absorb_row[t->n] = t->n;
    for (size_t i = 0; i < edges + t->n; i++) {
        c->weight[i] = (uint32_t)i;
        c->rates[i] = pmi_random_rate(&random);
    }
}

/* The largest |Lambda x - W x - 1| of a row, relative to its Lambda x; infinite where x is not positive. */
static double residual(const check *c) {
    double worst = 0;
    size_t edges = c->topology->row[c->topology->n];
    for (uint32_t j = 0; j < c->topology->n; j++) {
        double out = c->rates[edges + j] * c->x[j], in = 1;
        for (size_t e = c->inner_row[j]; e < c->inner_row[j + 1]; e++) {
            out += c->rates[e] * c->x[j];
            in += c->rates[e] * c->x[c->inner_col[e]];
        }
        double relative = c->x[j] > 0 ? fabs(out - in) / out : HUGE_VAL;
        worst = relative > worst ? relative : worst;
    }
    return worst;
}

pm_status pmi_plan_check(const pm_plan *plan, const pm_topology *topology, pm_isa isa, pm_error *err) {
    check c;
    pm_status st = check_new(plan, topology, &c, err);
    if (st == PM_OK) {
        draw(&c);
        pm_scc_view view = {.n = topology->n,
                            .trace = &plan->trace,
                            .chain_end = plan->chain_end,
                            .fill_row = plan->fill_row,
                            .fill = plan->fill,
                            .inner_row = c.inner_row,
                            .inner_again = c.inner_row + 1,
                            .inner_col = c.inner_col,
                            .inner_weight = c.weight,
                            .exit_row = c.no_row,
                            .absorb_row = c.absorb_row,
                            .absorb_weight = c.weight + topology->row[topology->n]};
        pmi_kernels_get(isa, 1, PM_NUMBER_DOUBLE)->factor_solve(&view, c.rates, &c.factors, c.x);
        double worst = residual(&c);
        if (!(worst <= RESIDUAL_LIMIT)) {
            st = pmi_fail(
                err, PM_ESOFTWARE,
                "the trace of an SCC of %u states fails its check: relative residual %.3g, at most %.0g expected; "
                "please report this",
                topology->n, worst, RESIDUAL_LIMIT);
        }
    }
    pmi_pool_free(&c.pool);
    return st;
}

/* ---- the search ---- */

/* Where each kind of order pays. In a small SCC a Markowitz order is as good as the best of the
 * others, and found in a fraction of the time. */
#define MARKOWITZ_ALONE_STATES 64
#define MARKOWITZ_STATES 2000
#define MARKOWITZ_STATES_BEST 4000
#define DISSECTION_STATES 2000
#define DISSECTION_STATES_BEST 200

typedef struct search {
    const pm_topology *topology;
    size_t max_fill;
    uint32_t *pivot, *names;
    pm_trace best; /* empty until an order fits */
    double smallest_bound;
    pm_random random;
} search;

static size_t fill_of(const pm_trace *t) {
    return t->l_row[t->n] + t->u_row[t->n];
}

/* Without fill-in no order does better. */
static bool is_perfect(const search *s) {
    return s->best.n > 0 && fill_of(&s->best) == s->best.n_edges;
}

static pm_status try_order(search *s, pm_error *err) {
    pm_trace trace;
    bool fits;
    PM_TRY(pmi_symbolic(s->topology, s->pivot, s->max_fill, &trace, &fits, err));
    if (!fits) {
        return PM_OK;
    }
    if (s->best.n == 0 || trace.flops < s->best.flops) {
        pmi_trace_free(&s->best);
        s->best = trace;
    } else {
        pmi_trace_free(&trace);
    }
    return PM_OK;
}

static pm_status try_amd(search *s, const uint32_t *names, pm_error *err) {
    double bound;
    PM_TRY(pmi_order_amd(s->topology, names, s->pivot, &bound, err));
    s->smallest_bound = bound < s->smallest_bound ? bound : s->smallest_bound;
    return bound > 4.0 * (double)s->max_fill ? PM_OK : try_order(s, err);
}

static void shuffle(search *s) {
    for (uint32_t i = s->topology->n; i-- > 1;) {
        uint32_t other = (uint32_t)(pmi_random_next(&s->random) % (i + 1));
        uint32_t name = s->names[i];
        s->names[i] = s->names[other];
        s->names[other] = name;
    }
}

static void reverse(search *s) {
    for (uint32_t i = 0; i < s->topology->n; i++) {
        s->names[i] = s->topology->n - 1 - i;
    }
}

static pm_status try_markowitz(search *s, const uint32_t *names, pm_error *err) {
    PM_TRY(pmi_order_markowitz(s->topology, names, s->pivot, err));
    return try_order(s, err);
}

static pm_status try_dissection(search *s, int seed, pm_error *err) {
    PM_TRY(pmi_order_dissection(s->topology, seed, s->pivot, err));
    return try_order(s, err);
}

static pm_status try_balanced(search *s, pm_error *err) {
    uint32_t n = s->topology->n;
    if (n <= MARKOWITZ_ALONE_STATES) {
        PM_TRY(try_markowitz(s, NULL, err));
        /* where it does not fit, AMD has one more try, and the bound that the refusal names */
        return s->best.n == 0 ? try_amd(s, NULL, err) : PM_OK;
    }
    PM_TRY(try_amd(s, NULL, err));
    if (!is_perfect(s)) {
        reverse(s);
        PM_TRY(try_amd(s, s->names, err));
    }
    if (n <= MARKOWITZ_STATES && !is_perfect(s)) {
        PM_TRY(try_markowitz(s, NULL, err));
    }
    if (n >= DISSECTION_STATES && !is_perfect(s)) {
        PM_TRY(try_dissection(s, 1, err));
    }
    return PM_OK;
}

static pm_status try_best(search *s, pm_error *err) {
    uint32_t n = s->topology->n;
    if (n <= MARKOWITZ_ALONE_STATES) {
        PM_TRY(try_amd(s, NULL, err));
    } else if (n <= MARKOWITZ_STATES_BEST && n > MARKOWITZ_STATES) {
        PM_TRY(try_markowitz(s, NULL, err));
    }
    for (int turn = 0; turn < 8; turn++) {
        shuffle(s);
        PM_TRY(try_amd(s, s->names, err));
        PM_TRY(n <= MARKOWITZ_STATES_BEST && turn < 2 ? try_markowitz(s, s->names, err) : PM_OK);
        PM_TRY(n >= DISSECTION_STATES_BEST && turn < 4 ? try_dissection(s, turn + 2, err) : PM_OK);
    }
    return PM_OK;
}

/* One lane of a replay: both factors, and five values for each state. */
static double replay_bytes(double fill, uint32_t n) {
    return 8 * fill + 40.0 * n;
}

static pm_status does_not_fit(const search *s, size_t memory, pm_error *err) {
    uint32_t n = s->topology->n;
    double fill = s->smallest_bound;
    return pmi_fail(err, PM_EOSERR,
                    "an SCC of %u states and %zu inner edges does not fit the %zu bytes that --memory leaves to a "
                    "recording thread: its "
                    "elimination is predicted to fill in to %.3g entries, %.3g bytes of trace and %.3g bytes of replay "
                    "for each lane; give more memory, "
                    "or a model whose SCCs are smaller",
                    n, s->topology->row[n], memory, fill, 4 * fill, replay_bytes(fill, n));
}

pm_status pmi_record(const pm_canon *canon, const pm_record_options *options, pm_plan *out, pm_error *err) {
    const pm_topology *t = &canon->topology;
    *out = (pm_plan){0};
    search s = {.topology = t,
                .max_fill = options->memory / 12, /* 4 bytes of pattern and 8 of values for each entry */
                .smallest_bound = 1e300};
    pmi_random_seed(&s.random, canon->digest);
    pm_status st = PM_OK;
    PM_TRY(PM_NEW(&s.pivot, 2 * (size_t)t->n, "the search for pivot orders", err));
    s.names = s.pivot + t->n;
    for (uint32_t i = 0; i < t->n; i++) {
        s.names[i] = i;
    }
    st = options->effort == PM_EFFORT_FAST ? try_amd(&s, NULL, err) : try_balanced(&s, err);
    PM_THEN(st, options->effort == PM_EFFORT_BEST && !is_perfect(&s) ? try_best(&s, err) : PM_OK);
    PM_THEN(st, s.best.n == 0 ? does_not_fit(&s, options->memory, err) : PM_OK);
    if (st == PM_OK) {
        memcpy(s.best.digest, canon->digest, PM_DIGEST_BYTES);
        st = pmi_plan_new(&s.best, t, out, err);
    }
    PM_THEN(st, pmi_plan_check(out, t, options->isa, err));
    free(s.pivot);
    pmi_trace_free(&s.best);
    if (st != PM_OK) {
        pmi_plan_free(out);
    }
    return st;
}
