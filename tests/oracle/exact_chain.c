/* The chain of a graph at one theta, with exact weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "exact.h"

/* A sum of products of doubles is exact in so many bits: exponents from -2148 to 2048, and carries. */
#define EXACT_BITS 4400

typedef struct plan {
    const exact_input *in;
    mpfr_t *weight, *start;
    int64_t *begin; /* n + 1, of the edges in order of `from` */
    int64_t *order;
    bool *reached, *leaves, *absorbed;
    int32_t *number; /* of the transient states, else -1 */
} plan;

void *exact_room(int64_t count, size_t size) {
    void *p = calloc(count > 0 ? (size_t)count : 1, size);
    if (p == NULL) {
        fprintf(stderr, "oracle: out of memory\n");
        abort();
    }
    return p;
}

mpfr_t *exact_numbers(int64_t count, mpfr_prec_t bits) {
    mpfr_t *x = exact_room(count, sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        mpfr_init2(x[i], bits);
        mpfr_set_zero(x[i], 1);
    }
    return x;
}

void exact_numbers_free(mpfr_t *x, int64_t count) {
    for (int64_t i = 0; x != NULL && i < count; i++) {
        mpfr_clear(x[i]);
    }
    free(x);
}

void exact_write(char *text, int64_t place, const mpfr_t value) {
    mpfr_snprintf(text + place * EXACT_TEXT, EXACT_TEXT, "%.39Re", value);
}

/* sum_k coefs[k] theta[k], rounded once, to the bits of `sum`. */
static void weigh(mpfr_t sum, const double *coefs, const double *theta, int64_t params) {
    mpfr_t exact, a;
    mpfr_init2(exact, EXACT_BITS);
    mpfr_init2(a, 106);
    mpfr_set_zero(exact, 1);
    for (int64_t k = 0; k < params; k++) {
        mpfr_set_d(a, coefs[k], MPFR_RNDN);
        mpfr_mul_d(a, a, theta[k], MPFR_RNDN);
        mpfr_add(exact, exact, a, MPFR_RNDN);
    }
    mpfr_set(sum, exact, MPFR_RNDN);
    mpfr_clear(exact);
    mpfr_clear(a);
}

static void sort_edges(plan *p) {
    const exact_input *in = p->in;
    for (int64_t e = 0; e < in->edges; e++) {
        p->begin[in->from[e] + 1]++;
    }
    for (int64_t i = 0; i < in->n; i++) {
        p->begin[i + 1] += p->begin[i];
    }
    int64_t *next = exact_room(in->n, sizeof *next);
    for (int64_t e = 0; e < in->edges; e++) {
        int32_t from = in->from[e];
        p->order[p->begin[from] + next[from]++] = e;
    }
    free(next);
}

/* An edge whose weight is zero at every theta. */
static bool is_nothing(const exact_input *in, int64_t e) {
    for (int64_t k = 0; k < in->params; k++) {
        if (in->coefs[e * in->params + k] != 0) {
            return false;
        }
    }
    return true;
}

/* Marks what the start distribution reaches by edges that are not zero at this theta, and which of that has edges. */
static void reach(plan *p) {
    const exact_input *in = p->in;
    int32_t *stack = exact_room(in->n, sizeof *stack);
    int64_t held = 0;
    for (int64_t s = 0; s < in->starts; s++) {
        int32_t to = in->start_to[s];
        if (!mpfr_zero_p(p->start[s]) && !p->reached[to]) {
            p->reached[to] = true;
            stack[held++] = to;
        }
    }
    while (held > 0) {
        int32_t from = stack[--held];
        for (int64_t k = p->begin[from]; k < p->begin[from + 1]; k++) {
            int64_t e = p->order[k];
            int32_t to = in->to[e];
            if (to == from || is_nothing(in, e)) {
                continue;
            }
            p->leaves[from] = true;
            if (!mpfr_zero_p(p->weight[e]) && !p->reached[to]) {
                p->reached[to] = true;
                stack[held++] = to;
            }
        }
    }
    free(stack);
}

/* Whether every reachable state reaches absorption: by sweeps, until nothing changes. */
static bool all_absorbed(plan *p) {
    const exact_input *in = p->in;
    for (int64_t i = 0; i < in->n; i++) {
        p->absorbed[i] = p->reached[i] && !p->leaves[i];
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (int64_t e = in->edges - 1; e >= 0; e--) {
            int32_t from = in->from[e], to = in->to[e];
            if (p->absorbed[to] && !p->absorbed[from] && p->reached[from] && !mpfr_zero_p(p->weight[e])) {
                p->absorbed[from] = changed = true;
            }
        }
    }
    for (int64_t i = 0; i < in->n; i++) {
        if (p->reached[i] && !p->absorbed[i]) {
            return false;
        }
    }
    return true;
}

static int64_t count_transient(plan *p) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->in->n; i++) {
        p->number[i] = -1;
        if (p->reached[i] && p->leaves[i]) {
            p->number[i] = (int32_t)n++;
        }
    }
    return n;
}

static exact_chain *chain_of(const plan *p, int64_t n) {
    const exact_input *in = p->in;
    exact_chain *c = exact_room(1, sizeof *c);
    *c = (exact_chain){.bits = in->bits, .discrete = in->discrete != 0, .n = n};
    c->row = exact_room(n, sizeof *c->row);
    c->first = exact_room(n + 1, sizeof *c->first);
    c->edges = exact_room(in->edges, sizeof *c->edges);
    c->total = exact_numbers(n, c->bits);
    c->start = exact_numbers(n, c->bits);
    mpfr_init2(c->atom, c->bits);
    mpfr_set_zero(c->atom, 1);
    int64_t held = 0;
    for (int32_t i = 0; i < in->n; i++) {
        int32_t a = p->number[i];
        if (a < 0) {
            continue;
        }
        c->row[a] = i;
        for (int64_t k = p->begin[i]; k < p->begin[i + 1]; k++) {
            int64_t e = p->order[k];
            if (in->to[e] != i && !mpfr_zero_p(p->weight[e])) {
                c->edges[held].to = p->number[in->to[e]];
                mpfr_init2(c->edges[held].weight, c->bits);
                mpfr_set(c->edges[held++].weight, p->weight[e], MPFR_RNDN);
                mpfr_add(c->total[a], c->total[a], p->weight[e], MPFR_RNDN);
            }
        }
        c->first[a + 1] = held;
    }
    return c;
}

/* A row of a discrete chain that exceeds one by rounding is divided by its sum: nothing stays. */
static void divide_excess(exact_chain *c) {
    for (int64_t a = 0; c->discrete && a < c->n; a++) {
        if (mpfr_cmp_ui(c->total[a], 1) > 0) {
            for (int64_t e = c->first[a]; e < c->first[a + 1]; e++) {
                mpfr_div(c->edges[e].weight, c->edges[e].weight, c->total[a], MPFR_RNDN);
            }
            mpfr_set_ui(c->total[a], 1, MPFR_RNDN);
        }
    }
}

/* Start probabilities, rescaled to sum to one. */
static int64_t begin_chain(const plan *p, exact_chain *c) {
    const exact_input *in = p->in;
    mpfr_t sum;
    mpfr_init2(sum, c->bits);
    mpfr_set_zero(sum, 1);
    for (int64_t s = 0; s < in->starts; s++) {
        mpfr_add(sum, sum, p->start[s], MPFR_RNDN);
    }
    for (int64_t s = 0; s < in->starts; s++) {
        int32_t a = p->number[in->start_to[s]];
        mpfr_ptr to = a < 0 ? c->atom : c->start[a];
        mpfr_div(p->start[s], p->start[s], sum, MPFR_RNDN);
        mpfr_add(to, to, p->start[s], MPFR_RNDN);
    }
    mpfr_sub_ui(sum, sum, 1, MPFR_RNDN);
    int64_t status = mpfr_cmpabs_ui(sum, 0) > 0 && fabs(mpfr_get_d(sum, MPFR_RNDN)) > 1e-9 ? EXACT_START : EXACT_OK;
    mpfr_clear(sum);
    return status;
}

/* The rows of a discrete chain, self-loops included. */
static int64_t check_probabilities(const plan *p) {
    const exact_input *in = p->in;
    int64_t status = EXACT_OK;
    mpfr_t sum;
    mpfr_init2(sum, in->bits);
    for (int64_t i = 0; in->discrete && i < in->n && status == EXACT_OK; i++) {
        mpfr_set_zero(sum, 1);
        for (int64_t k = p->begin[i]; p->reached[i] && k < p->begin[i + 1]; k++) {
            mpfr_add(sum, sum, p->weight[p->order[k]], MPFR_RNDN);
        }
        status = mpfr_cmp_d(sum, 1 + 1e-12) > 0 ? EXACT_PROBABILITIES : EXACT_OK;
    }
    mpfr_clear(sum);
    return status;
}

static int64_t weigh_all(plan *p) {
    const exact_input *in = p->in;
    int64_t status = EXACT_OK;
    for (int64_t e = 0; e < in->edges; e++) {
        weigh(p->weight[e], in->coefs + e * in->params, in->theta, in->params);
        status = mpfr_sgn(p->weight[e]) < 0 ? EXACT_NEGATIVE : status;
    }
    for (int64_t s = 0; s < in->starts; s++) {
        weigh(p->start[s], in->start_coefs + s * in->params, in->theta, in->params);
        status = mpfr_sgn(p->start[s]) < 0 ? EXACT_NEGATIVE : status;
    }
    return status;
}

static exact_chain *chain_at(plan *p, int64_t *status) {
    *status = weigh_all(p);
    if (*status != EXACT_OK) {
        return NULL;
    }
    sort_edges(p);
    reach(p);
    if (!all_absorbed(p)) {
        *status = EXACT_TRAPPED;
        return NULL;
    }
    *status = check_probabilities(p);
    if (*status != EXACT_OK) {
        return NULL;
    }
    exact_chain *c = chain_of(p, count_transient(p));
    divide_excess(c);
    *status = begin_chain(p, c);
    return c;
}

exact_chain *exact_chain_new(const exact_input *in, int64_t *status) {
    mpfr_set_emin(mpfr_get_emin_min());
    mpfr_set_emax(mpfr_get_emax_max());
    plan p = {.in = in};
    p.weight = exact_numbers(in->edges, in->bits);
    p.start = exact_numbers(in->starts, in->bits);
    p.begin = exact_room(in->n + 1, sizeof *p.begin);
    p.order = exact_room(in->edges, sizeof *p.order);
    p.reached = exact_room(in->n, sizeof *p.reached);
    p.leaves = exact_room(in->n, sizeof *p.leaves);
    p.absorbed = exact_room(in->n, sizeof *p.absorbed);
    p.number = exact_room(in->n, sizeof *p.number);
    exact_chain *c = chain_at(&p, status);
    exact_numbers_free(p.weight, in->edges);
    exact_numbers_free(p.start, in->starts);
    free(p.begin);
    free(p.order);
    free(p.reached);
    free(p.leaves);
    free(p.absorbed);
    free(p.number);
    return c;
}

void exact_chain_free(exact_chain *c) {
    if (c == NULL) {
        return;
    }
    for (int64_t e = 0; e < c->first[c->n]; e++) {
        mpfr_clear(c->edges[e].weight);
    }
    for (int64_t i = 0; c->lower != NULL && i < c->n; i++) {
        exact_numbers_free(c->lower[i], c->n);
    }
    free(c->lower);
    exact_numbers_free(c->total, c->n);
    exact_numbers_free(c->start, c->n);
    mpfr_clear(c->atom);
    free(c->row);
    free(c->first);
    free(c->edges);
    free(c);
}

int64_t exact_chain_spread(const exact_chain *c) {
    mpfr_exp_t most = 0, least = 0;
    for (int64_t e = 0; e < c->first[c->n]; e++) {
        mpfr_exp_t own = mpfr_get_exp(c->edges[e].weight);
        most = e == 0 || own > most ? own : most;
        least = e == 0 || own < least ? own : least;
    }
    return most - least + 1;
}

double exact_chain_largest(const exact_chain *c) {
    double most = 0;
    for (int64_t i = 0; i < c->n; i++) {
        double total = mpfr_get_d(c->total[i], MPFR_RNDU);
        most = total > most ? total : most;
    }
    return most;
}
