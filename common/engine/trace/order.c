#include "trace/order.h"

#include <amd.h>
#include <stdio.h>
#include <string.h>
/* needs stdio.h */
#include <scotch.h>

/* ---- libraries ---- */

/* How much larger than half of its graph a side of a separator may be. */
#define IMBALANCE 0.2

static pm_status too_large(const pm_topology *t, const char *what, pm_error *err) {
    return pmi_fail(err, PM_EDATA,
                    "an SCC of %u states and %zu inner edges is too large for %s: at most 2^31 - 1 edges", t->n,
                    t->row[t->n], what);
}

static pm_status amd_result(int status, const pm_topology *t, pm_error *err) {
    if (status == AMD_OK) {
        return PM_OK;
    }
    if (status == AMD_OUT_OF_MEMORY) {
        return pmi_fail_memory(err, "AMD's ordering", t->row[t->n] * 2 * sizeof(int));
    }
    return pmi_fail(err, PM_ESOFTWARE, "AMD refused an SCC of %u states with status %d; please report this", t->n,
                    status);
}

pm_status pmi_order_amd(const pm_topology *topology, const uint32_t *names, uint32_t *pivot, double *fill_bound,
                        pm_error *err) {
    if (topology->row[topology->n] > INT32_MAX / 4) {
        return too_large(topology, "AMD", err);
    }
    pm_topology renamed = {0};
    if (names != NULL) {
        PM_TRY(pmi_topology_rename(topology, names, &renamed, err));
    }
    const pm_topology *t = names != NULL ? &renamed : topology;
    size_t n = t->n, edges = t->row[n];
    pm_pool pool = {0};
    int *row = pmi_pool_array(&pool, n + 1, sizeof *row), *col = pmi_pool_array(&pool, edges, sizeof *col);
    int *order = pmi_pool_array(&pool, n, sizeof *order);
    uint32_t *original = pmi_pool_array(&pool, n, sizeof *original);
    pm_status st = pmi_pool_check(&pool, err, "AMD's ordering", edges * sizeof *col);
    if (st != PM_OK) {
        goto out;
    }
    for (size_t v = 0; v <= n; v++) {
        row[v] = (int)t->row[v];
    }
    for (size_t e = 0; e < edges; e++) {
        col[e] = (int)t->col[e];
    }
    for (uint32_t v = 0; v < n; v++) {
        original[names != NULL ? names[v] : v] = v;
    }
    double info[AMD_INFO];
    st = amd_result(amd_order((int)n, row, col, order, NULL, info), t, err);
    if (st == PM_OK) {
        for (size_t p = 0; p < n; p++) {
            pivot[p] = original[order[p]];
        }
        if (fill_bound != NULL) {
            *fill_bound = 2 * info[AMD_LNZ];
        }
    }
out:
    pmi_pool_free(&pool);
    pmi_topology_free(&renamed);
    return st;
}

/* The undirected pattern without loops, row[n + 1], col. */
static pm_status symmetric_pattern(const pm_topology *t, pm_pool *pool, SCOTCH_Num **row_out, SCOTCH_Num **col_out,
                                   pm_error *err) {
    size_t n = t->n, edges = t->row[n];
    SCOTCH_Num *row = pmi_pool_zeros(pool, n + 2, sizeof *row), *col = pmi_pool_array(pool, 2 * edges, sizeof *col);
    uint32_t *mark = pmi_pool_array(pool, n, sizeof *mark);
    PM_TRY(pmi_pool_check(pool, err, "the undirected pattern of an SCC", 2 * edges * sizeof *col));
    for (uint32_t v = 0; v < n; v++) {
        for (size_t e = t->row[v]; e < t->row[v + 1]; e++) {
            row[v + 2]++;
            row[t->col[e] + 2]++;
        }
    }
    for (size_t v = 0; v < n; v++) {
        row[v + 2] += row[v + 1];
    }
    for (uint32_t v = 0; v < n; v++) {
        for (size_t e = t->row[v]; e < t->row[v + 1]; e++) {
            col[row[v + 1]++] = (SCOTCH_Num)t->col[e];
            col[row[t->col[e] + 1]++] = (SCOTCH_Num)v;
        }
    }
    memset(mark, 0xff, n * sizeof *mark);
    SCOTCH_Num kept = 0, begin = 0;
    for (uint32_t v = 0; v < n; v++) {
        SCOTCH_Num end = row[v + 1];
        for (SCOTCH_Num e = begin; e < end; e++) {
            if (mark[col[e]] != v) {
                mark[col[e]] = v;
                col[kept++] = col[e];
            }
        }
        begin = end;
        row[v + 1] = kept;
    }
    *row_out = row;
    *col_out = col;
    return PM_OK;
}

/* SCOTCH's objects of one call. Its random numbers belong to the context, so that an order depends on the graph and
 * the seed alone, and calls from several threads at once do not meet. */
typedef struct dissection {
    SCOTCH_Context context;
    SCOTCH_Graph plain, bound;
    SCOTCH_Strat strategy;
} dissection;

/* The context is there already; dissection_free is due after a failure too. */
static bool dissection_begin(dissection *d, int seed, SCOTCH_Num n, SCOTCH_Num *row, SCOTCH_Num *col) {
    SCOTCH_graphInit(&d->plain);
    SCOTCH_graphInit(&d->bound);
    SCOTCH_stratInit(&d->strategy);
    if (SCOTCH_contextRandomClone(&d->context) != 0) {
        return false;
    }
    SCOTCH_contextRandomSeed(&d->context, seed);
    return SCOTCH_contextThreadSpawn(&d->context, 1, NULL) == 0 &&
           SCOTCH_contextOptionSetNum(&d->context, SCOTCH_OPTIONNUMDETERMINISTIC, 1) == 0 &&
           SCOTCH_contextOptionSetNum(&d->context, SCOTCH_OPTIONNUMRANDOMFIXEDSEED, 1) == 0 &&
           SCOTCH_graphBuild(&d->plain, 0, n, row, row + 1, NULL, NULL, row[n], col, NULL) == 0 &&
           SCOTCH_contextBindGraph(&d->context, &d->plain, &d->bound) == 0 &&
           SCOTCH_stratGraphOrderBuild(&d->strategy, SCOTCH_STRATSPEED, 0, IMBALANCE) == 0;
}

static void dissection_free(dissection *d) {
    SCOTCH_stratExit(&d->strategy);
    SCOTCH_graphExit(&d->bound);
    SCOTCH_graphExit(&d->plain);
    SCOTCH_contextExit(&d->context);
}

static pm_status dissect(const pm_topology *t, int seed, SCOTCH_Num *row, SCOTCH_Num *col, SCOTCH_Num *order,
                         pm_error *err) {
    dissection d;
    SCOTCH_Num *inverse = pmi_malloc(t->n, sizeof *inverse);
    pm_status st = PM_OK;
    if (inverse == NULL || SCOTCH_contextInit(&d.context) != 0) {
        free(inverse);
        return pmi_fail_memory(err, "SCOTCH's ordering", t->n * sizeof *inverse);
    }
    if (!dissection_begin(&d, seed, (SCOTCH_Num)t->n, row, col)) {
        st = pmi_fail_memory(err, "SCOTCH's ordering", t->row[t->n] * 2 * sizeof *col);
    } else if (SCOTCH_graphOrder(&d.bound, &d.strategy, inverse, order, NULL, NULL, NULL) != 0) {
        st = pmi_fail(err, PM_ESOFTWARE,
                      "SCOTCH found no order for an SCC of %u states: memory, or a fault; if it is "
                      "not memory, please report this",
                      t->n);
    }
    dissection_free(&d);
    free(inverse);
    return st;
}

pm_status pmi_order_dissection(const pm_topology *topology, int seed, uint32_t *pivot, pm_error *err) {
    if (topology->row[topology->n] > INT32_MAX / 4) {
        return too_large(topology, "SCOTCH", err);
    }
    size_t n = topology->n;
    pm_pool pool = {0};
    SCOTCH_Num *row = NULL, *col = NULL, *order = pmi_pool_array(&pool, n, sizeof *order);
    pm_status st = pmi_pool_check(&pool, err, "SCOTCH's ordering", n * sizeof *order);
    PM_THEN(st, symmetric_pattern(topology, &pool, &row, &col, err));
    PM_THEN(st, dissect(topology, seed, row, col, order, err));
    for (size_t p = 0; st == PM_OK && p < n; p++) {
        pivot[p] = (uint32_t)order[p];
    }
    pmi_pool_free(&pool);
    return st;
}

/* ---- Markowitz ---- */

/* The digraph that is left, as two bit matrices: successors and predecessors of each vertex. */
typedef struct remaining {
    size_t n, words;
    uint64_t *out, *in; /* n x words each */
    uint32_t *n_out, *n_in;
    pm_pool pool;
} remaining;

static void set_bit(uint64_t *row, size_t at) {
    row[at / 64] |= UINT64_C(1) << (at % 64);
}

static void clear_bit(uint64_t *row, size_t at) {
    row[at / 64] &= ~(UINT64_C(1) << (at % 64));
}

static pm_status remaining_new(const pm_topology *t, remaining *r, pm_error *err) {
    size_t n = t->n, words = (n + 63) / 64;
    *r = (remaining){.n = n, .words = words};
    r->out = pmi_pool_zeros(&r->pool, n, words * sizeof *r->out);
    r->in = pmi_pool_zeros(&r->pool, n, words * sizeof *r->in);
    r->n_out = pmi_pool_zeros(&r->pool, n, sizeof *r->n_out);
    r->n_in = pmi_pool_zeros(&r->pool, n, sizeof *r->n_in);
    PM_TRY(pmi_pool_check(&r->pool, err, "a Markowitz ordering", n * words * 16));
    for (size_t v = 0; v < n; v++) {
        for (size_t e = t->row[v]; e < t->row[v + 1]; e++) {
            set_bit(r->out + v * words, t->col[e]);
            set_bit(r->in + t->col[e] * words, v);
            r->n_out[v]++;
            r->n_in[t->col[e]]++;
        }
    }
    return PM_OK;
}

static uint32_t count_bits(const uint64_t *row, size_t words) {
    uint32_t count = 0;
    for (size_t w = 0; w < words; w++) {
        count += (uint32_t)__builtin_popcountll(row[w]);
    }
    return count;
}

/* For every neighbour p in `side[v]`: p gains all of other[v], and loses v and itself. */
static void bypass(const remaining *r, size_t v, const uint64_t *side, uint64_t *other, uint32_t *n_other) {
    const uint64_t *mine = other + v * r->words;
    for (size_t w = 0; w < r->words; w++) {
        for (uint64_t bits = side[v * r->words + w]; bits != 0; bits &= bits - 1) {
            size_t p = w * 64 + (size_t)__builtin_ctzll(bits);
            uint64_t *row = other + p * r->words;
            for (size_t i = 0; i < r->words; i++) {
                row[i] |= mine[i];
            }
            clear_bit(row, v);
            clear_bit(row, p);
            n_other[p] = count_bits(row, r->words);
        }
    }
}

/* Takes the cheapest vertex out of `left`, which keeps its order. Nothing in an SCC costs less than one way in and out.
 */
static uint32_t take_cheapest(const remaining *r, uint32_t *left, size_t n_left) {
    size_t best = 0;
    uint64_t best_cost = UINT64_MAX;
    for (size_t i = 0; i < n_left && best_cost > 1; i++) {
        uint64_t cost = (uint64_t)r->n_in[left[i]] * r->n_out[left[i]];
        if (cost < best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    uint32_t v = left[best];
    memmove(left + best, left + best + 1, (n_left - best - 1) * sizeof *left);
    return v;
}

pm_status pmi_order_markowitz(const pm_topology *topology, const uint32_t *names, uint32_t *pivot, pm_error *err) {
    remaining r;
    pm_status st = remaining_new(topology, &r, err);
    uint32_t *left = pmi_pool_array(&r.pool, r.n, sizeof *left);
    PM_THEN(st, pmi_pool_check(&r.pool, err, "a Markowitz ordering", r.n * sizeof *left));
    for (uint32_t v = 0; st == PM_OK && v < r.n; v++) {
        left[names != NULL ? names[v] : v] = v;
    }
    for (size_t p = 0; st == PM_OK && p < r.n; p++) {
        uint32_t v = take_cheapest(&r, left, r.n - p);
        pivot[p] = v;
        bypass(&r, v, r.in, r.out, r.n_out);
        bypass(&r, v, r.out, r.in, r.n_in);
    }
    pmi_pool_free(&r.pool);
    return st;
}
