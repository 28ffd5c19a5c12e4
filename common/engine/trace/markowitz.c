#include <string.h>

#include "base/mem.h"
#include "trace/order.h"

/* The digraph that is left, as two bit matrices: successors and predecessors of each vertex. */
typedef struct remaining {
    size_t n, words;
    uint64_t *out, *in; /* n x words each */
    uint32_t *n_out, *n_in;
} remaining;

static void remaining_free(remaining *r) {
    free(r->out);
    free(r->in);
    free(r->n_out);
    free(r->n_in);
}

static void set_bit(uint64_t *row, size_t at) {
    row[at / 64] |= UINT64_C(1) << (at % 64);
}

static void clear_bit(uint64_t *row, size_t at) {
    row[at / 64] &= ~(UINT64_C(1) << (at % 64));
}

static pm_status remaining_new(const pm_topology *t, remaining *r, pm_error *err) {
    size_t n = t->n, words = (n + 63) / 64, size;
    *r = (remaining){.n = n, .words = words};
    if (pmi_mul(n, words, &size)) {
        r->out = pmi_calloc(size, sizeof *r->out);
        r->in = pmi_calloc(size, sizeof *r->in);
        r->n_out = pmi_calloc(n, sizeof *r->n_out);
        r->n_in = pmi_calloc(n, sizeof *r->n_in);
    }
    if (r->out == NULL || r->in == NULL || r->n_out == NULL || r->n_in == NULL) {
        remaining_free(r);
        return pmi_fail_memory(err, "a Markowitz ordering", n * words * 16);
    }
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
    if (st != PM_OK) {
        return st;
    }
    uint32_t *left = pmi_malloc(r.n, sizeof *left);
    if (left == NULL) {
        remaining_free(&r);
        return pmi_fail_memory(err, "a Markowitz ordering", r.n * sizeof *left);
    }
    for (uint32_t v = 0; v < r.n; v++) {
        left[names != NULL ? names[v] : v] = v;
    }
    for (size_t p = 0; p < r.n; p++) {
        uint32_t v = take_cheapest(&r, left, r.n - p);
        pivot[p] = v;
        bypass(&r, v, r.in, r.out, r.n_out);
        bypass(&r, v, r.out, r.in, r.n_in);
    }
    free(left);
    remaining_free(&r);
    return PM_OK;
}
