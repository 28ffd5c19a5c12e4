#include "eval/chain.h"

#include <string.h>

#include "base/mem.h"

static bool is_absorbing(const pm_split *split, uint32_t row) {
    return split->row[row] == split->row[row + 1];
}

/* state_of[row]: the state's number, or PM_NONE. */
static void number_states(const pm_graph *graph, const pm_split *split, pm_chain *c, uint32_t *state_of) {
    for (uint32_t v = 0; v < graph->n_vertices; v++) {
        state_of[v] = PM_NONE;
        if (split->scc_of[v] != PM_NONE) {
            c->row_of[c->n] = v;
            state_of[v] = c->n++;
        }
    }
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

static pm_status lay_out_edges(const pm_split *split, const uint32_t *state_of, pm_chain *c, pm_error *err) {
    c->n_blocks = ((size_t)c->n + PM_CHAIN_BLOCK - 1) / PM_CHAIN_BLOCK;
    c->in_first = pm_calloc((size_t)c->n + 1, sizeof *c->in_first);
    c->exit_first = pm_calloc(c->n_blocks + 1, sizeof *c->exit_first);
    if (c->in_first == NULL || c->exit_first == NULL) {
        return pm_fail_memory(err, "the chain's states", ((size_t)c->n + c->n_blocks) * sizeof(size_t));
    }
    count_edges(split, state_of, c);
    size_t n_in = c->in_first[c->n];
    c->in_source = pm_malloc(n_in, sizeof *c->in_source);
    c->in_weight = pm_malloc(n_in, sizeof *c->in_weight);
    c->exit_state = pm_malloc(c->n_exits, sizeof *c->exit_state);
    c->exit_weight = pm_malloc(c->n_exits, sizeof *c->exit_weight);
    if (c->in_source == NULL || c->in_weight == NULL || c->exit_state == NULL || c->exit_weight == NULL) {
        return pm_fail_memory(err, "the chain's edges", (n_in + c->n_exits) * 8);
    }
    fill_edges(split, state_of, c);
    return PM_OK;
}

static pm_status lay_out_starts(const pm_graph *graph, const pm_split *split, const uint32_t *state_of, pm_chain *c,
                                pm_error *err) {
    c->start_state = pm_malloc(graph->n_starts, sizeof *c->start_state);
    if (c->start_state == NULL) {
        return pm_fail_memory(err, "the start distribution", graph->n_starts * sizeof *c->start_state);
    }
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
    c->loop_state = pm_malloc(n, sizeof *c->loop_state);
    c->loop_weight = pm_malloc(n, sizeof *c->loop_weight);
    if (c->loop_state == NULL || c->loop_weight == NULL) {
        return pm_fail_memory(err, "the self-loops", n * 8);
    }
    for (size_t e = 0; e < graph->n_edges; e++) {
        if (is_loop(graph, state_of, e)) {
            c->loop_state[c->n_loops] = state_of[graph->from[e]];
            c->loop_weight[c->n_loops++] = graph->weight[e];
        }
    }
    return PM_OK;
}

pm_status pm_chain_new(const pm_graph *graph, const pm_split *split, pm_chain **out, pm_error *err) {
    *out = NULL;
    pm_chain *c = pm_calloc(1, sizeof *c);
    uint32_t *state_of = pm_malloc(graph->n_vertices, sizeof *state_of);
    pm_status st = PM_OK;
    if (c == NULL || state_of == NULL) {
        st = pm_fail_memory(err, "the chain", graph->n_vertices * sizeof *state_of);
        goto out;
    }
    c->graph = graph;
    c->row_of = pm_malloc(split->n_transient, sizeof *c->row_of);
    if (c->row_of == NULL) {
        st = pm_fail_memory(err, "the chain's rows", split->n_transient * sizeof *c->row_of);
        goto out;
    }
    number_states(graph, split, c, state_of);
    st = lay_out_edges(split, state_of, c, err);
    if (st == PM_OK) {
        st = lay_out_starts(graph, split, state_of, c, err);
    }
    if (st == PM_OK) {
        st = lay_out_loops(graph, state_of, c, err);
    }
    if (st == PM_OK) {
        *out = c;
        c = NULL;
    }
out:
    free(state_of);
    pm_chain_free(c);
    return st;
}

void pm_chain_free(pm_chain *chain) {
    if (chain == NULL) {
        return;
    }
    free(chain->row_of);
    free(chain->in_first);
    free(chain->in_source);
    free(chain->in_weight);
    free(chain->exit_state);
    free(chain->exit_weight);
    free(chain->exit_first);
    free(chain->start_state);
    free(chain->loop_state);
    free(chain->loop_weight);
    free(chain);
}
