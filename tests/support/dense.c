#include "dense.h"

#include <string.h>

#include "base/mem.h"

static void *checked(void *memory) {
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static quad weight_of(const pm_graph *g, uint32_t w, const double *theta) {
    const double *coef = g->weights + w * (1 + (size_t)g->n_params);
    quad sum = coef[0];
    for (uint32_t k = 0; k < g->n_params; k++) {
        sum += (quad)coef[1 + k] * theta[k];
    }
    return sum;
}

/* number[v]: 0 for rows not reached, 1 for rows reached. */
static void mark_reached(const pm_graph *g, const quad *value, uint32_t *number) {
    for (size_t s = 0; s < g->n_starts; s++) {
        if (value[g->start_weight[s]] > 0) {
            number[g->start_to[s]] = 1;
        }
    }
    for (bool again = true; again;) {
        again = false;
        for (size_t e = 0; e < g->n_edges; e++) {
            if (number[g->from[e]] != 0 && number[g->to[e]] == 0 && value[g->weight[e]] > 0) {
                number[g->to[e]] = 1;
                again = true;
            }
        }
    }
}

/* Numbers the states of the chain; all other rows become PM_NONE. */
static void number_states(const pm_graph *g, const quad *value, uint32_t *number, dense_chain *c) {
    bool *left = checked(pmi_calloc(g->n_vertices, sizeof *left));
    for (size_t e = 0; e < g->n_edges; e++) {
        left[g->from[e]] |= g->from[e] != g->to[e] && value[g->weight[e]] > 0;
    }
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        if (number[v] != 0 && left[v]) {
            c->row_of[c->n] = v;
            number[v] = c->n++;
        } else {
            number[v] = PM_NONE;
        }
    }
    free(left);
}

static void fill_chain(const pm_graph *g, const quad *value, const uint32_t *number, dense_chain *c) {
    for (size_t e = 0; e < g->n_edges; e++) {
        uint32_t from = number[g->from[e]], to = number[g->to[e]];
        if (from == PM_NONE || g->from[e] == g->to[e]) {
            continue;
        }
        if (to == PM_NONE) {
            c->exit[from] += value[g->weight[e]];
        } else {
            c->weight[from * c->n + to] += value[g->weight[e]];
        }
    }
    quad sum = 0;
    for (size_t s = 0; s < g->n_starts; s++) {
        sum += value[g->start_weight[s]];
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        if (number[g->start_to[s]] != PM_NONE) {
            c->start[number[g->start_to[s]]] += value[g->start_weight[s]] / sum;
        }
    }
}

dense_chain dense_chain_of(const pm_graph *graph, const double *theta) {
    size_t n = graph->n_vertices;
    quad *value = checked(pmi_malloc(graph->n_weights, sizeof *value));
    uint32_t *number = checked(pmi_calloc(n, sizeof *number));
    for (size_t w = 0; w < graph->n_weights; w++) {
        value[w] = weight_of(graph, (uint32_t)w, theta);
    }
    dense_chain c = {.n_rows = graph->n_vertices,
                     .is_discrete = graph->is_discrete,
                     .row_of = checked(pmi_malloc(n, sizeof *c.row_of)),
                     .weight = checked(pmi_calloc(n * n, sizeof *c.weight)),
                     .exit = checked(pmi_calloc(n, sizeof *c.exit)),
                     .start = checked(pmi_calloc(n, sizeof *c.start))};
    mark_reached(graph, value, number);
    number_states(graph, value, number, &c);
    fill_chain(graph, value, number, &c);
    free(value);
    free(number);
    return c;
}

void dense_chain_free(dense_chain *chain) {
    free(chain->row_of);
    free(chain->weight);
    free(chain->exit);
    free(chain->start);
    *chain = (dense_chain){0};
}

static quad outflow(const dense_chain *c, uint32_t i) {
    quad sum = c->exit[i];
    for (uint32_t j = 0; j < c->n; j++) {
        sum += c->weight[i * c->n + j];
    }
    return sum;
}

static quad magnitude(quad x) {
    return x < 0 ? -x : x;
}

static void exchange(quad *a, quad *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        quad old = a[i];
        a[i] = b[i];
        b[i] = old;
    }
}

/* Solves a x = b in place; a is lost. */
static void eliminate(uint32_t n, quad *a, quad *x) {
    for (uint32_t p = 0; p < n; p++) {
        uint32_t best = p;
        for (uint32_t i = p + 1; i < n; i++) {
            best = magnitude(a[i * n + p]) > magnitude(a[best * n + p]) ? i : best;
        }
        if (best != p) {
            exchange(a + p * n, a + best * n, n);
            exchange(x + p, x + best, 1);
        }
        for (uint32_t i = p + 1; i < n; i++) {
            quad factor = a[i * n + p] / a[p * n + p];
            for (uint32_t j = p; j < n && factor != 0; j++) {
                a[i * n + j] -= factor * a[p * n + j];
            }
            x[i] -= factor * x[p];
        }
    }
    for (uint32_t i = n; i-- > 0;) {
        for (uint32_t j = i + 1; j < n; j++) {
            x[i] -= a[i * n + j] * x[j];
        }
        x[i] /= a[i * n + i];
    }
}

void dense_solve(const dense_chain *chain, quad *x) {
    uint32_t n = chain->n;
    quad *a = checked(pmi_malloc((size_t)n * n, sizeof *a));
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++) {
            a[i * n + j] = i == j ? outflow(chain, i) : -chain->weight[i * n + j];
        }
    }
    eliminate(n, a, x);
    free(a);
}

void dense_solve_transposed(const dense_chain *chain, const double *rhs, const uint32_t *position, quad *z) {
    uint32_t n = chain->n;
    quad *a = checked(pmi_malloc((size_t)n * n, sizeof *a));
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++) {
            quad entry = i == j ? outflow(chain, i) : -chain->weight[i * n + j];
            a[position[chain->row_of[j]] * n + position[chain->row_of[i]]] = entry;
        }
        z[i] = rhs[i];
    }
    eliminate(n, a, z);
    free(a);
}

void dense_solve_stiff(const dense_chain *chain, quad *x) {
    uint32_t n = chain->n;
    quad *w = checked(pmi_malloc((size_t)n * n, sizeof *w)), *exit = checked(pmi_malloc(n, sizeof *exit));
    quad *out = checked(pmi_malloc(n, sizeof *out));
    memcpy(w, chain->weight, (size_t)n * n * sizeof *w);
    memcpy(exit, chain->exit, n * sizeof *exit);
    for (uint32_t p = n; p-- > 0;) {
        out[p] = exit[p];
        for (uint32_t j = 0; j < p; j++) {
            out[p] += w[p * n + j];
        }
        for (uint32_t i = 0; i < p; i++) {
            quad part = w[i * n + p] / out[p];
            for (uint32_t j = 0; j < p; j++) {
                w[i * n + j] += i == j ? 0 : part * w[p * n + j];
            }
            exit[i] += part * exit[p];
            x[i] += part * x[p];
        }
    }
    for (uint32_t p = 0; p < n; p++) {
        for (uint32_t j = 0; j < p; j++) {
            x[p] += w[p * n + j] * x[j];
        }
        x[p] /= out[p];
    }
    free(w);
    free(exit);
    free(out);
}

static quad reward_at(const dense_chain *c, const double *reward, uint32_t i) {
    return reward == NULL ? 1 : reward[c->row_of[i]];
}

static quad from_start(const dense_chain *c, const quad *x) {
    quad sum = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        sum += c->start[i] * x[i];
    }
    return sum;
}

void dense_moments(const dense_chain *chain, dense_solver solve, const double *reward, uint32_t order, quad *out) {
    quad *x = checked(pmi_malloc(chain->n, sizeof *x));
    for (uint32_t i = 0; i < chain->n; i++) {
        x[i] = 1;
    }
    for (uint32_t k = 1; k <= order; k++) {
        for (uint32_t i = 0; i < chain->n; i++) {
            x[i] *= k * reward_at(chain, reward, i);
        }
        solve(chain, x);
        out[k - 1] = from_start(chain, x);
    }
    free(x);
}

quad dense_covariance(const dense_chain *chain, dense_solver solve, const double *f, const double *g) {
    uint32_t n = chain->n;
    quad *x = checked(pmi_malloc(3 * (size_t)n, sizeof *x)), *y = x + n, *z = y + n;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = reward_at(chain, f, i);
        y[i] = reward_at(chain, g, i);
    }
    solve(chain, x);
    solve(chain, y);
    for (uint32_t i = 0; i < n; i++) {
        z[i] = reward_at(chain, f, i) * y[i] + reward_at(chain, g, i) * x[i];
    }
    solve(chain, z);
    quad covariance = from_start(chain, z) - from_start(chain, x) * from_start(chain, y);
    free(x);
    return covariance;
}

/* ---- discrete ---- */

enum { STEPS = 400 };

typedef struct walk {
    const dense_chain *chain;
    const int *reward;
    uint32_t largest;       /* reward, in size */
    uint32_t offset, width; /* 2 offset + 1 */
    long double *weight, *exit, *stay;
    long double *now, *next; /* by state and reward so far */
} walk;

static void walk_new(const dense_chain *c, const int *reward, walk *w) {
    size_t n = c->n;
    *w = (walk){.chain = c, .reward = reward};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = (uint32_t)abs(reward[c->row_of[i]]);
        w->largest = size > w->largest ? size : w->largest;
    }
    w->offset = w->largest * STEPS;
    w->width = 2 * w->offset + 1;
    w->weight = checked(pmi_malloc(n * n, sizeof *w->weight));
    w->exit = checked(pmi_malloc(n, sizeof *w->exit));
    w->stay = checked(pmi_malloc(n, sizeof *w->stay));
    w->now = checked(pmi_calloc(n * w->width, sizeof *w->now));
    w->next = checked(pmi_calloc(n * w->width, sizeof *w->next));
    for (uint32_t i = 0; i < n; i++) {
        w->exit[i] = (long double)c->exit[i];
        w->stay[i] = (long double)(1 - outflow(c, i));
        for (uint32_t j = 0; j < n; j++) {
            w->weight[i * n + j] = (long double)c->weight[i * n + j];
        }
    }
}

static void walk_free(walk *w) {
    free(w->weight);
    free(w->exit);
    free(w->stay);
    free(w->now);
    free(w->next);
}

/* One step of all mass; what has been collected so far lies within `reach`. Returns what is not absorbed. */
static long double walk_step(walk *w, uint32_t reach, dense_mass *mass) {
    uint32_t n = w->chain->n;
    for (uint32_t i = 0; i < n; i++) {
        memset(w->next + i * w->width + w->offset - reach - w->largest, 0,
               (2 * (reach + w->largest) + 1) * sizeof *w->next);
    }
    for (uint32_t i = 0; i < n; i++) {
        int gain = w->reward[w->chain->row_of[i]];
        for (uint32_t y = w->offset - reach; y <= w->offset + reach; y++) {
            long double here = w->now[i * w->width + y];
            uint32_t after = (uint32_t)((int)y + gain);
            for (uint32_t j = 0; j < n && here > 0; j++) {
                w->next[j * w->width + after] += here * (i == j ? w->stay[i] : w->weight[i * n + j]);
            }
            mass->probability[after] += here * w->exit[i];
        }
    }
    long double left = 0, *old = w->now;
    w->now = w->next;
    w->next = old;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t y = w->offset - reach - w->largest; y <= w->offset + reach + w->largest; y++) {
            left += w->now[i * w->width + y];
        }
    }
    return left;
}

dense_mass dense_mass_of(const dense_chain *chain, const int *reward) {
    walk w;
    walk_new(chain, reward, &w);
    dense_mass mass = {.offset = w.offset, .probability = checked(pmi_calloc(w.width, sizeof *mass.probability))};
    long double left = 0;
    for (uint32_t i = 0; i < chain->n; i++) {
        w.now[i * w.width + w.offset] = (long double)chain->start[i];
        left += (long double)chain->start[i];
    }
    mass.probability[w.offset] = 1 - left;
    for (uint32_t step = 0; left > 1e-25L; step++) {
        if (step == STEPS) {
            abort();
        }
        left = walk_step(&w, w.largest * step, &mass);
    }
    walk_free(&w);
    return mass;
}

static quad weighted(const dense_mass *mass, uint32_t k, bool falling) {
    quad sum = 0;
    for (uint32_t at = 0; at <= 2 * mass->offset; at++) {
        quad y = (quad)at - (quad)mass->offset, power = 1;
        for (uint32_t i = 0; i < k; i++) {
            power *= falling ? y - i : y;
        }
        sum += mass->probability[at] == 0 ? 0 : power * mass->probability[at];
    }
    return sum;
}

quad dense_raw_moment(const dense_mass *mass, uint32_t k) {
    return weighted(mass, k, false);
}

quad dense_factorial_moment(const dense_mass *mass, uint32_t k) {
    return weighted(mass, k, true);
}

bool dense_near(double found, quad expected, quad scale, double tolerance) {
    return magnitude((quad)found - expected) <= tolerance * magnitude(scale);
}
