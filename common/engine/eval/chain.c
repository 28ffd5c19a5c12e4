#include "eval/chain.h"

#include <string.h>

#include "base/mem.h"
#include "graph/exact.h"
#include "graph/weights.h"

/* Work beside the multiply-adds of states: sums, recording, mixing. */
#define STEP_OVERHEAD 32.0

double pmi_step_work(const pm_chain *c, uint32_t first, uint32_t last) {
    return STEP_OVERHEAD + (double)(c->in_first[last] - c->in_first[first]) + (double)(last - first);
}

static bool is_absorbing(const pm_split *split, uint32_t row) {
    return split->row[row] == split->row[row + 1];
}

/* Levels of SCCs: edges lead to smaller SCC numbers, so the largest number comes first. */
static void find_levels(const pm_split *split, uint32_t *level) {
    for (uint32_t scc = split->n_sccs; scc-- > 0;) {
        for (uint32_t m = split->scc_first[scc]; m < split->scc_first[scc + 1]; m++) {
            uint32_t v = split->member[m];
            for (size_t e = split->row[v]; e < split->row[v + 1]; e++) {
                uint32_t to = split->scc_of[split->to[e]];
                if (to != PM_NONE && to != scc && level[to] <= level[scc]) {
                    level[to] = level[scc] + 1;
                }
            }
        }
    }
}

/* Sorts by level, counting. state_of[row]: the state's number, or PM_NONE. */
static void number_states(const pm_graph *graph, const pm_split *split, const uint32_t *level, pm_chain *c,
                          uint32_t *state_of) {
    for (uint32_t m = 0; m < split->n_transient; m++) {
        uint32_t at = level[split->scc_of[split->member[m]]];
        c->level_first[at + 1]++;
        c->n_levels = at + 1 > c->n_levels ? at + 1 : c->n_levels;
    }
    for (uint32_t i = 0; i < c->n_levels; i++) {
        c->level_first[i + 1] += c->level_first[i];
    }
    for (uint32_t v = 0; v < graph->n_vertices; v++) {
        state_of[v] = PM_NONE;
        if (split->scc_of[v] != PM_NONE) {
            state_of[v] = c->level_first[level[split->scc_of[v]]]++;
            c->row_of[state_of[v]] = v;
        }
    }
    /* each level_first[i] now ends its level */
    memmove(c->level_first + 1, c->level_first, c->n_levels * sizeof *c->level_first);
    c->level_first[0] = 0;
    c->n = split->n_transient;
}

static pm_status lay_out_states(const pm_graph *graph, const pm_split *split, pm_chain *c, uint32_t *state_of,
                                pm_error *err) {
    uint32_t *level = pmi_pool_zeros(&c->pool, split->n_sccs, sizeof *level);
    c->row_of = pmi_pool_array(&c->pool, split->n_transient, sizeof *c->row_of);
    c->level_first = pmi_pool_zeros(&c->pool, (size_t)split->n_sccs + 1, sizeof *c->level_first);
    PM_TRY(pmi_pool_check(&c->pool, err, "the chain's states", (split->n_transient + 2 * (size_t)split->n_sccs) * 4));
    find_levels(split, level);
    number_states(graph, split, level, c, state_of);
    return PM_OK;
}

static void count_edges(const pm_split *split, const uint32_t *state_of, pm_chain *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t v = c->row_of[i];
        for (size_t e = split->row[v]; e < split->row[v + 1]; e++) {
            uint32_t to = state_of[split->to[e]];
            if (to == PM_NONE) {
                c->n_exits++;
            } else {
                c->in_first[to + 1]++;
            }
        }
    }
    for (uint32_t i = 0; i < c->n; i++) {
        c->in_first[i + 1] += c->in_first[i];
    }
}

static void fill_edges(const pm_split *split, const uint32_t *state_of, pm_chain *c) {
    size_t exit = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (i % PM_CHAIN_BLOCK == 0) {
            c->exit_first[i / PM_CHAIN_BLOCK] = exit;
        }
        uint32_t v = c->row_of[i];
        for (size_t e = split->row[v]; e < split->row[v + 1]; e++) {
            uint32_t to = state_of[split->to[e]];
            if (to == PM_NONE) {
                c->exit_state[exit] = i;
                c->exit_weight[exit++] = split->weight[e];
            } else {
                size_t at = c->in_first[to]++;
                c->in_source[at] = i;
                c->in_weight[at] = split->weight[e];
            }
        }
    }
    c->exit_first[c->n_blocks] = exit;
    /* each in_first[to] now ends its row: it is the first edge of the next one */
    memmove(c->in_first + 1, c->in_first, c->n * sizeof *c->in_first);
    c->in_first[0] = 0;
}

/* One step from states 0..i leads to states below reach[i]. */
static void find_reach(pm_chain *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        c->reach[i] = i + 1;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        for (size_t e = c->in_first[i]; e < c->in_first[i + 1]; e++) {
            uint32_t *reach = &c->reach[c->in_source[e]];
            *reach = *reach > i + 1 ? *reach : i + 1;
        }
    }
    for (uint32_t i = 1; i < c->n; i++) {
        c->reach[i] = c->reach[i] > c->reach[i - 1] ? c->reach[i] : c->reach[i - 1];
    }
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static pm_status lay_out_edges(const pm_split *split, const uint32_t *state_of, pm_chain *c, pm_error *err) {
    c->n_blocks = ((size_t)c->n + PM_CHAIN_BLOCK - 1) / PM_CHAIN_BLOCK;
    c->in_first = pmi_pool_zeros(&c->pool, (size_t)c->n + 1, sizeof *c->in_first);
    c->exit_first = pmi_pool_zeros(&c->pool, c->n_blocks + 1, sizeof *c->exit_first);
    PM_TRY(pmi_pool_check(&c->pool, err, "the chain's states", ((size_t)c->n + c->n_blocks) * sizeof(size_t)));
    count_edges(split, state_of, c);
    size_t n_in = c->in_first[c->n];
    c->in_source = pmi_pool_array(&c->pool, n_in, sizeof *c->in_source);
    c->in_weight = pmi_pool_array(&c->pool, n_in, sizeof *c->in_weight);
    c->exit_state = pmi_pool_array(&c->pool, c->n_exits, sizeof *c->exit_state);
    c->exit_weight = pmi_pool_array(&c->pool, c->n_exits, sizeof *c->exit_weight);
    c->reach = pmi_pool_array(&c->pool, c->n, sizeof *c->reach);
    PM_TRY(pmi_pool_check(&c->pool, err, "the chain's edges", (n_in + c->n_exits) * 8));
    fill_edges(split, state_of, c);
    find_reach(c);
    return PM_OK;
}

static pm_status lay_out_starts(const pm_graph *graph, const pm_split *split, const uint32_t *state_of, pm_chain *c,
                                pm_error *err) {
    c->start_state = pmi_pool_array(&c->pool, graph->n_starts, sizeof *c->start_state);
    PM_TRY(pmi_pool_check(&c->pool, err, "the start distribution", graph->n_starts * sizeof *c->start_state));
    for (size_t s = 0; s < graph->n_starts; s++) {
        uint32_t v = graph->start_to[s];
        c->start_state[s] = state_of[v];
        if (state_of[v] == PM_NONE) {
            c->start_state[s] = is_absorbing(split, v) ? PM_START_ABSORBED : PM_START_UNREACHABLE;
        }
    }
    return PM_OK;
}

static bool is_loop(const pm_graph *graph, const uint32_t *state_of, size_t e) {
    return graph->from[e] == graph->to[e] && state_of[graph->from[e]] != PM_NONE;
}

static pm_status lay_out_loops(const pm_graph *graph, const uint32_t *state_of, pm_chain *c, pm_error *err) {
    size_t n = 0;
    for (size_t e = 0; e < graph->n_edges; e++) {
        n += is_loop(graph, state_of, e) ? 1 : 0;
    }
    c->loop_state = pmi_pool_array(&c->pool, n, sizeof *c->loop_state);
    c->loop_weight = pmi_pool_array(&c->pool, n, sizeof *c->loop_weight);
    PM_TRY(pmi_pool_check(&c->pool, err, "the self-loops", n * 8));
    for (size_t e = 0; e < graph->n_edges; e++) {
        if (is_loop(graph, state_of, e)) {
            c->loop_state[c->n_loops] = state_of[graph->from[e]];
            c->loop_weight[c->n_loops++] = graph->weight[e];
        }
    }
    return PM_OK;
}

static void count_most(const pm_graph *graph, const pm_split *split, pm_chain *c, uint32_t *count) {
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t v = c->row_of[i];
        c->most_in = larger(c->most_in, c->in_first[i + 1] - c->in_first[i]);
        c->most_out = larger(c->most_out, split->row[v + 1] - split->row[v]);
    }
    for (size_t i = 0; i < c->n_blocks; i++) {
        c->most_exits = larger(c->most_exits, c->exit_first[i + 1] - c->exit_first[i]);
    }
    for (uint32_t i = 0; i < c->n_levels; i++) {
        double work = pmi_step_work(c, c->level_first[i], c->level_first[i + 1]);
        c->level_work = c->level_work > work ? c->level_work : work;
    }
    memset(count, 0, graph->n_vertices * sizeof *count);
    size_t absorbed = 0;
    for (size_t s = 0; s < graph->n_starts; s++) {
        uint32_t state = c->start_state[s];
        size_t own = state == PM_START_ABSORBED ? ++absorbed : state == PM_START_UNREACHABLE ? 0 : ++count[state];
        c->most_starts = larger(c->most_starts, own);
    }
    c->constant_weights = true;
    for (uint32_t w = 0; w < graph->n_weights; w++) {
        c->constant_weights = c->constant_weights && pmi_weight_is_constant(graph, w);
    }
}

pm_status pmi_chain_new(const pm_graph *graph, const pm_split *split, pm_chain **out, pm_error *err) {
    pm_chain *c = *out = pmi_calloc(1, sizeof *c);
    if (c == NULL) {
        return pmi_fail_memory(err, "the chain", graph->n_vertices * sizeof(uint32_t));
    }
    c->graph = graph;
    c->split = split;
    uint32_t *state_of = pmi_pool_array(&c->pool, graph->n_vertices, sizeof *state_of);
    pm_status st = pmi_pool_check(&c->pool, err, "the chain", graph->n_vertices * sizeof *state_of);
    PM_THEN(st, lay_out_states(graph, split, c, state_of, err));
    PM_THEN(st, lay_out_edges(split, state_of, c, err));
    PM_THEN(st, lay_out_starts(graph, split, state_of, c, err));
    PM_THEN(st, lay_out_loops(graph, state_of, c, err));
    if (st == PM_OK) {
        count_most(graph, split, c, state_of);
    } else {
        pmi_chain_free(c);
        *out = NULL;
    }
    return st;
}

void pmi_chain_free(pm_chain *chain) {
    if (chain != NULL) {
        pmi_pool_free(&chain->pool);
        free(chain);
    }
}

pm_status pmi_stay_room_new(const pm_chain *c, pm_stay_room *room, pm_error *err) {
    size_t terms = 0;
    bool fits = pmi_mul(c->most_out, 1 + c->graph->n_params, &terms) && terms < SIZE_MAX;
    room->coef = pmi_pool_array(&room->pool, fits ? terms + 1 : SIZE_MAX, sizeof *room->coef);
    room->x = pmi_pool_array(&room->pool, terms, sizeof *room->x);
    return pmi_pool_check(&room->pool, err, "the edges of a state", terms * 2 * sizeof(double));
}

pm_pair pmi_exact_stay(const pm_chain *c, const double *theta, uint32_t state, pm_stay_room *room) {
    const pm_graph *g = c->graph;
    const pm_split *split = c->split;
    uint32_t row = c->row_of[state];
    size_t n = 0;
    pm_pair stay;
    room->coef[0] = 1.0;
    for (size_t e = split->row[row]; e < split->row[row + 1]; e++) {
        uint32_t w = split->weight[e];
        const double *own = g->takes_values ? NULL : g->weights + (size_t)w * (1 + g->n_params);
        for (size_t k = 0; k <= g->n_params; k++) {
            double coef = own != NULL ? own[k] : k == 1 + (size_t)w ? 1.0 : 0.0;
            if (coef != 0.0) {
                room->x[n++] = k == 0 ? 1.0 : theta[k - 1];
                room->coef[n] = -coef;
            }
        }
    }
    pmi_exact_dot(room->coef, n, room->x, &stay.high, &stay.low);
    return stay;
}

/* ---- edges by the state that they leave ---- */

static void count_out(const pm_chain *c, bool with_loops, size_t *first) {
    for (size_t e = 0; e < c->in_first[c->n]; e++) {
        first[c->in_source[e] + 1]++;
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        first[c->exit_state[e] + 1]++;
    }
    for (size_t e = 0; with_loops && e < c->n_loops; e++) {
        first[c->loop_state[e] + 1]++;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        first[i + 1] += first[i];
    }
}

static void add_out(pm_out_edges *out, uint32_t from, uint32_t target, uint32_t weight) {
    size_t at = out->first[from]++;
    out->target[at] = target;
    out->weight[at] = weight;
}

static void fill_out(const pm_chain *c, bool with_loops, pm_out_edges *out) {
    for (uint32_t i = 0; i < c->n; i++) {
        for (size_t e = c->in_first[i]; e < c->in_first[i + 1]; e++) {
            add_out(out, c->in_source[e], i, c->in_weight[e]);
        }
    }
    for (size_t e = 0; e < c->n_exits; e++) {
        add_out(out, c->exit_state[e], c->n, c->exit_weight[e]);
    }
    for (size_t e = 0; with_loops && e < c->n_loops; e++) {
        add_out(out, c->loop_state[e], c->loop_state[e], c->loop_weight[e]);
    }
    /* each first[i] now ends its state */
    memmove(out->first + 1, out->first, c->n * sizeof *out->first);
    out->first[0] = 0;
}

pm_status pmi_out_edges_new(const pm_chain *c, pm_out_edges **out, pm_error *err) {
    bool with_loops = c->graph->normalizes_rows;
    size_t n = c->in_first[c->n] + c->n_exits + (with_loops ? c->n_loops : 0);
    pm_out_edges *made = *out = pmi_calloc(1, sizeof *made);
    if (made == NULL) {
        return pmi_fail_memory(err, "the edges", n * 8);
    }
    made->first = pmi_pool_zeros(&made->pool, (size_t)c->n + 1, sizeof *made->first);
    made->target = pmi_pool_array(&made->pool, n, sizeof *made->target);
    made->weight = pmi_pool_array(&made->pool, n, sizeof *made->weight);
    pm_status st = pmi_pool_check(&made->pool, err, "the edges", n * 8);
    if (st == PM_OK) {
        count_out(c, with_loops, made->first);
        fill_out(c, with_loops, made);
    } else {
        pmi_out_edges_free(made);
        *out = NULL;
    }
    return st;
}

void pmi_out_edges_free(pm_out_edges *out) {
    if (out != NULL) {
        pmi_pool_free(&out->pool);
        free(out);
    }
}
