#include "model/defective.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/moments.h"
#include "graph/build.h"
#include "graph/exact.h"
#include "graph/weights.h"

/* A probability of absorption whose equation does not hold to this is refused. */
#define RESIDUAL_TOLERANCE 1e-11

/* ---- the graph --------------------------------------------------------------------------------------------- */

/* Rows of the restricted graph: the start vertex, the states, the gate, the sink; a label is the row in the original.
 */
static pm_status add_states(const pm_graph *g, const pm_split *s, const bool *absorbed, pm_builder *b,
                            pm_restriction *out, pm_error *err) {
    int32_t label = 0;
    pm_status st = pmi_builder_state(b, &label, NULL, err);
    for (uint32_t v = 0; st == PM_OK && v < g->n_vertices; v++) {
        out->row[v] = PM_NONE;
        if (absorbed[v] && s->row[v] < s->row[v + 1]) {
            label = (int32_t)v;
            st = pmi_builder_state(b, &label, &out->row[v], err);
        }
    }
    label = -1;
    PM_TRY(st);
    PM_TRY(pmi_builder_state(b, &label, &out->gate, err));
    return pmi_builder_state(b, &label, NULL, err);
}

static pm_status add_edges(const pm_graph *g, const bool *is_there, const bool *absorbed, pm_builder *b,
                           pm_restriction *out, pm_error *err) {
    const double one = 1;
    uint32_t sink = out->gate + 1;
    bool lacks = g->is_discrete && !g->normalizes_rows; /* what a row lacks to one stays, its self-loops included */
    size_t n = 0;
    pm_status st = PM_OK;
    for (size_t e = 0; st == PM_OK && e < g->n_edges; e++) {
        uint32_t from = out->row[g->from[e]], to = g->to[e], w = g->weight[e];
        if (from != PM_NONE && !(lacks && g->from[e] == to) && is_there[w]) {
            uint32_t target = out->row[to] != PM_NONE ? out->row[to] : absorbed[to] ? out->gate : sink;
            out->edge[n++] = e;
            st = pmi_builder_edge(b, PM_EDGE_PLAIN, from, target, &one, err);
        }
    }
    for (uint32_t v = 0; st == PM_OK && lacks && v < g->n_vertices; v++) {
        if (out->row[v] != PM_NONE) {
            out->edge[n++] = g->n_edges + v;
            st = pmi_builder_edge(b, PM_EDGE_PLAIN, out->row[v], out->row[v], &one, err);
        }
    }
    if (st == PM_OK && n > 0) {
        st = pmi_builder_edge(b, PM_EDGE_PLAIN, out->gate, sink, &one, err);
    }
    n = 0;
    for (size_t i = 0; st == PM_OK && i < g->n_starts; i++) {
        uint32_t v = g->start_to[i];
        if (absorbed[v]) {
            out->start[n++] = i;
            st = pmi_builder_start(b, false, out->row[v] != PM_NONE ? out->row[v] : sink, &one, err);
        }
    }
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        out->row[v] = out->row[v] != PM_NONE ? out->row[v] : absorbed[v] ? sink : PM_NONE;
    }
    return st;
}

/* Every edge gets a weight of its own, whose value is given instead of computed: edges first, then the start. */
static void take_values(pm_graph *g) {
    for (size_t e = 0; e < g->n_edges; e++) {
        g->weight[e] = (uint32_t)e;
    }
    for (size_t s = 0; s < g->n_starts; s++) {
        g->start_weight[s] = (uint32_t)(g->n_edges + s);
    }
    g->n_weights = g->n_edges + g->n_starts;
    g->n_params = (uint32_t)g->n_weights;
    g->takes_values = true;
    free(g->weights);
    g->weights = NULL;
}

/* Whether anything that can be absorbed moves at all. */
static bool has_moving_start(const pm_graph *g, const pm_restriction *r) {
    for (size_t i = 0; i < g->n_starts; i++) {
        if (r->row[g->start_to[i]] < r->gate) {
            return true;
        }
    }
    return false;
}

static pm_status build(const pm_graph *g, const pm_split *s, const bool *is_there, const bool *absorbed,
                       pm_restriction *out, pm_error *err) {
    pm_builder *b = NULL;
    if (g->n_edges + g->n_vertices + g->n_starts >= PM_NONE - 1 || g->n_vertices > INT32_MAX) {
        return pmi_fail(err, PM_EDATA, "%zu edges; expected less than %u of a chain that is not surely absorbed",
                        g->n_edges, PM_NONE);
    }
    pm_status st = pmi_builder_new(1, 0, g->is_discrete, &b, err);
    PM_THEN(st, add_states(g, s, absorbed, b, out, err));
    PM_THEN(st, add_edges(g, is_there, absorbed, b, out, err));
    if (st == PM_OK && has_moving_start(g, out)) {
        st = pmi_builder_finish(b, &out->graph, err);
    }
    if (out->graph != NULL) {
        take_values(out->graph);
    }
    pmi_builder_free(b);
    return st;
}

pm_status pmi_restriction_new(const pm_analysis *analysis, const double *value, const pm_model_options *options,
                              pm_restriction *out, pm_model_report *report, pm_error *err) {
    const pm_graph *graph = analysis->graph;
    *out = (pm_restriction){0};
    out->row = pmi_pool_array(&out->pool, graph->n_vertices, sizeof *out->row);
    out->edge = pmi_pool_array(&out->pool, graph->n_edges + graph->n_vertices, sizeof *out->edge);
    out->start = pmi_pool_array(&out->pool, graph->n_starts, sizeof *out->start);
    bool *absorbed = pmi_pool_zeros(&out->pool, graph->n_vertices, sizeof *absorbed);
    bool *is_there = pmi_pool_array(&out->pool, graph->n_weights, sizeof *is_there);
    pm_status st =
        pmi_pool_check(&out->pool, err, "the states that can be absorbed", graph->n_edges * sizeof *out->edge);
    for (size_t w = 0; st == PM_OK && w < graph->n_weights; w++) {
        is_there[w] = !pmi_graph_weight_is_zero(graph, (uint32_t)w) && (value == NULL || value[w] > 0);
    }
    PM_THEN(st, pmi_absorbable_rows(graph, &analysis->split, is_there, absorbed, err));
    PM_THEN(st, build(graph, &analysis->split, is_there, absorbed, out, err));
    if (st == PM_OK && out->graph != NULL) {
        pm_model_options o = *options;
        o.defective = false;
        o.densities_only = false; /* the probability of absorption is a moment of the restricted graph */
        o.normalize_start = true;
        st = pm_model_new(out->graph, &o, &out->model, report, err);
    }
    return st;
}

void pmi_restriction_free(pm_restriction *r) {
    pm_model_free(r->model);
    pm_graph_free(r->graph);
    pmi_pool_free(&r->pool);
    *r = (pm_restriction){0};
}

/* ---- the probabilities of absorption ---------------------------------------------------------------------- */

/* An evaluation: rows of values of the restricted graph's weights, and of h by its rows. */
typedef struct conditional {
    const pm_restriction *r;
    const pm_model *original;
    const pm_request *request;
    size_t first_row; /* of theta, for messages */
    const double *start;
    double *values; /* (B, n_weights) */
    pm_wide *h;     /* (B, n_vertices) */
} conditional;

/* What stays in a vertex of a discrete chain. */
static double stay_in(const conditional *c, const double *theta, uint32_t v, pm_terms *terms) {
    const pm_split *s = &c->original->analysis.split;
    terms->n = 0;
    terms->coef[0] = 1;
    pmi_terms_subtract(terms, c->original->analysis.graph, theta, s->weight + s->row[v], s->row[v + 1] - s->row[v]);
    return fmax(0, pmi_wide_double(pmi_exact_dot_wide(terms->coef, terms->n, terms->x)));
}

static pm_status fill_values(const conditional *c, double *weight, pm_terms *terms, pm_error *err) {
    const pm_graph *g = c->original->analysis.graph, *to = c->r->graph;
    for (size_t b = 0; b < c->request->n_theta; b++) {
        double *values = c->values + b * to->n_weights;
        const double *theta = c->request->theta + b * g->n_params;
        PM_TRY(pmi_weights_fill(g, c->request->theta, b, 1, 1, weight, err));
        for (size_t e = 0; e + 1 < to->n_edges; e++) {
            size_t own = c->r->edge[e];
            values[e] =
                own < g->n_edges ? weight[g->weight[own]] : stay_in(c, theta, (uint32_t)(own - g->n_edges), terms);
        }
        values[to->n_edges - 1] = 1;
        for (size_t s = 0; s < to->n_starts; s++) {
            values[to->n_edges + s] = c->start[b * g->n_starts + c->r->start[s]];
        }
    }
    return PM_OK;
}

static void keep_h(const conditional *c, const double *x, size_t first, size_t count, const pm_kernels *kernels) {
    const pm_program *p = &c->r->model->program;
    size_t n = c->r->graph->n_vertices;
    for (size_t lane = 0; lane < count; lane++) {
        pm_wide *h = c->h + (first + lane) * n;
        for (size_t v = 0; v < n; v++) {
            h[v] = pmi_wide_of(0);
        }
        for (uint32_t i = 0; i < p->n; i++) {
            h[p->vertex[i]] = pmi_replay_get(x, kernels, i, lane);
        }
    }
}

static pm_status replay_h(const conditional *c, const pm_replay_setup *setup, pm_error *err) {
    pm_replay_block block = {0};
    pm_replay_scratch scratch = {0};
    unsigned lanes = setup->kernels->lanes;
    pm_status st = pmi_replay_block_new(setup, &block, err);
    PM_THEN(st, pmi_replay_scratch_new(setup, &scratch, err));
    for (size_t first = 0; st == PM_OK && first < c->request->n_theta; first += lanes) {
        size_t count = c->request->n_theta - first < lanes ? c->request->n_theta - first : lanes;
        st = pmi_replay_weights(setup, &block, first, count, err);
        for (uint32_t i = 0; st == PM_OK && i < c->r->model->program.n_components; i++) {
            pmi_replay_component(setup, &block, &scratch, i);
        }
        if (st == PM_OK) {
            keep_h(c, pmi_replay_moments(setup, &block, 0, 1), first, count, setup->kernels);
        }
    }
    pmi_pool_free(&scratch.pool);
    pmi_pool_free(&block.pool);
    return st;
}

/* h solves sum_j w_ij (h_j - h_i) = 0: what leaves a state, weighed by h, against h of the state itself. */
static pm_status check_h(const conditional *c, size_t b, pm_wide *flow, pm_wide *out, pm_error *err) {
    const pm_graph *g = c->r->graph;
    const pm_wide *h = c->h + b * g->n_vertices;
    const double *value = c->values + b * g->n_weights;
    for (uint32_t v = 0; v < g->n_vertices; v++) {
        flow[v] = out[v] = pmi_wide_of(0);
    }
    for (size_t e = 0; e + 1 < g->n_edges; e++) {
        if (g->from[e] != g->to[e]) {
            pm_wide w = pmi_wide_of(value[e]);
            flow[g->from[e]] = pmi_wide_multiply_add(flow[g->from[e]], w, h[g->to[e]]);
            out[g->from[e]] = pmi_wide_multiply_add(out[g->from[e]], w, h[g->from[e]]);
        }
    }
    for (uint32_t v = 1; v < c->r->gate; v++) {
        pm_wide most = pmi_wide_multiply(out[v], pmi_wide_of(RESIDUAL_TOLERANCE));
        bool holds = !pmi_wide_smaller(most, pmi_wide_difference(flow[v], out[v]));
        if (c->r->model->program.position[v] != PM_NONE && (!holds || pmi_wide_double(h[v]) > 1 + 1e-9)) {
            return pmi_fail(err, PM_EDATA,
                            "theta row %zu: the probability of absorption from row %u cannot be computed in double "
                            "precision; bring the rates closer to each other",
                            c->first_row + b, (unsigned)g->states[v]);
        }
    }
    return PM_OK;
}

static pm_status find_h(const conditional *c, pm_error *err) {
    const pm_model *m = c->r->model;
    size_t n = m->analysis.graph->n_vertices;
    pm_pool pool = {0};
    double *visits = pmi_pool_zeros(&pool, n, sizeof *visits);
    pm_wide *flow = pmi_pool_array(&pool, n, sizeof *flow), *out = pmi_pool_array(&pool, n, sizeof *out);
    pm_rewards rewards = {0};
    pm_status st = pmi_pool_check(&pool, err, "the probabilities of absorption", 2 * n * sizeof *flow);
    if (st == PM_OK) {
        visits[c->r->gate] = 1;
        pm_request request = {.n_theta = c->request->n_theta,
                              .theta = c->values,
                              .n_moments = 1,
                              .n_rewards = 1,
                              .rewards = visits,
                              .lanes = c->request->lanes,
                              .threads = 1};
        pm_moments_context context = {.graph = m->analysis.graph,
                                      .split = &m->analysis.split,
                                      .program = &m->program,
                                      .isa = m->isa,
                                      .memory = m->memory,
                                      .log = m->log};
        pm_replay_setup setup = {.context = &context,
                                 .request = &request,
                                 .rewards = &rewards,
                                 .order = 1,
                                 .keep_l = true,
                                 .kind = PM_NUMBER_WIDE};
        setup.kernels = pmi_kernels_get(m->isa, pmi_moments_lanes(&context, &request, 1), PM_NUMBER_WIDE);
        st = pmi_rewards_new(&m->program, &request, n, &rewards, err);
        PM_THEN(st, replay_h(c, &setup, err));
    }
    for (size_t b = 0; st == PM_OK && b < c->request->n_theta; b++) {
        st = check_h(c, b, flow, out, err);
    }
    pmi_rewards_free(&rewards);
    pmi_pool_free(&pool);
    return st;
}

/* ---- the transformed chain ---------------------------------------------------------------------------------- */

/* The probability to start by edge s and be absorbed. */
static pm_wide start_mass(const conditional *c, size_t b, size_t s) {
    const pm_graph *g = c->r->graph;
    pm_wide start = pmi_wide_of(c->values[b * g->n_weights + g->n_edges + s]);
    bool is_absorbed = g->start_to[s] == c->r->gate + 1;
    return is_absorbed ? start : pmi_wide_multiply(start, c->h[b * g->n_vertices + g->start_to[s]]);
}

/* A weight that is not zero would become zero, or lose digits. */
static bool is_lost(pm_wide exact, double value) {
    return exact.hi > 0 && value < DBL_MIN;
}

static pm_status weight_is_lost(const conditional *c, size_t b, uint32_t from, uint32_t to, pm_error *err) {
    return pmi_fail(
        err, PM_EDATA,
        "theta row %zu: given absorption, the weight from row %d to row %d is below the smallest double "
        "(2.2e-308), as the one state is absorbed so much less often than the other; bring the rates closer "
        "to each other",
        c->first_row + b, (int)c->r->graph->states[from], (int)c->r->graph->states[to]);
}

/* Weights of row b become those of the transformed chain; *mass is the probability of absorption from the start. In
 * wide numbers: h may be of any size. */
static pm_status transform(const conditional *c, size_t b, pm_wide *mass, pm_error *err) {
    const pm_graph *g = c->r->graph;
    double *value = c->values + b * g->n_weights;
    const pm_wide *h = c->h + b * g->n_vertices;
    for (size_t e = 0; e + 1 < g->n_edges; e++) {
        pm_wide from = h[g->from[e]];
        if (from.hi > 0 && g->from[e] != g->to[e]) { /* else nothing that is absorbed comes here: any chain will do */
            pm_wide ratio = pmi_wide_multiply(h[g->to[e]], pmi_wide_invert(from));
            pm_wide exact = pmi_wide_multiply(pmi_wide_of(value[e]), ratio);
            double before = value[e];
            value[e] = pmi_wide_double(exact);
            if (is_lost(exact, value[e]) && value[e] < before) {
                return weight_is_lost(c, b, g->from[e], g->to[e], err);
            }
        }
    }
    *mass = pmi_wide_of(0);
    for (size_t s = 0; s < g->n_starts; s++) {
        *mass = pmi_wide_add(*mass, start_mass(c, b, s));
    }
    pm_wide inverse = pmi_wide_invert(*mass);
    for (size_t s = 0; s < g->n_starts; s++) {
        pm_wide exact = pmi_wide_multiply(start_mass(c, b, s), inverse);
        value[g->n_edges + s] = pmi_wide_double(exact);
        if (is_lost(exact, value[g->n_edges + s])) {
            return pmi_fail(err, PM_EDATA,
                            "theta row %zu: given absorption, row %d has a start probability below the smallest double "
                            "(2.2e-308); leave it out of the start",
                            c->first_row + b, (int)g->states[g->start_to[s]]);
        }
    }
    return PM_OK;
}

/* The request's rewards by rows of the restricted graph; none at the gate. */
static double *move_rewards(const conditional *c, pm_error *err) {
    const pm_request *q = c->request;
    const pm_graph *g = c->original->analysis.graph;
    size_t n = c->r->graph->n_vertices, vectors = q->n_rewards == 0 ? 1 : q->n_rewards, count = 0;
    double *out = pmi_mul(n, vectors, &count) ? pmi_calloc(count, sizeof *out) : NULL;
    if (out == NULL) {
        pmi_fail_memory(err, "the rewards", vectors * n * sizeof *out);
        return NULL;
    }
    for (size_t f = 0; f < vectors; f++) {
        for (uint32_t v = 0; v < g->n_vertices; v++) {
            if (c->r->row[v] != PM_NONE && c->r->row[v] < c->r->gate) {
                out[f * n + c->r->row[v]] = q->n_rewards == 0 ? 1 : q->rewards[f * g->n_vertices + v];
            }
        }
    }
    return out;
}

static pm_status mass_is_zero(const conditional *c, size_t b, pm_error *err) {
    return pmi_fail(err, PM_EDATA,
                    "theta row %zu: absorption has probability 0, so that there are no moments given absorption; ask "
                    "for --pdf or --cdf alone, or start elsewhere",
                    c->first_row + b);
}

static pm_status evaluate_transformed(const conditional *c, pm_result *result, pm_error *err) {
    const pm_request *q = c->request;
    bool wants_moments = q->n_moments > 0 || q->covariance;
    for (size_t b = 0; b < q->n_theta; b++) {
        pm_wide mass;
        pm_status st = transform(c, b, &mass, err);
        if (st != PM_OK) {
            return st;
        }
        double absorption = fmin(pmi_wide_double(mass), 1);
        if (is_lost(mass, absorption)) {
            return pmi_fail(err, PM_EDATA,
                            "theta row %zu: absorption has a probability below the smallest double (2.2e-308)",
                            c->first_row + b);
        }
        if (result->absorption != NULL) {
            result->absorption[b] = absorption;
        }
        if (wants_moments && mass.hi == 0) {
            return mass_is_zero(c, b, err);
        }
    }
    double *rewards = wants_moments ? move_rewards(c, err) : NULL;
    if (!wants_moments || rewards == NULL) {
        return wants_moments ? PM_EOSERR : PM_OK;
    }
    pm_request request = {.n_theta = q->n_theta,
                          .theta = c->values,
                          .n_moments = q->n_moments,
                          .factorial = q->factorial,
                          .covariance = q->covariance,
                          .n_rewards = q->n_rewards == 0 ? 1 : q->n_rewards,
                          .rewards = rewards,
                          .threads = q->threads,
                          .lanes = q->lanes};
    pm_result out = {.moments = result->moments, .covariance = result->covariance};
    pm_status st = pm_evaluate(c->r->model, &request, &out, err);
    free(rewards);
    return st == PM_OK ? PM_OK : pmi_fail_prefix(err, "given absorption, theta from row %zu on", c->first_row);
}

/* Nothing moves that can be absorbed: what is absorbed is so at time zero. */
static pm_status evaluate_atoms(const conditional *c, pm_result *result, pm_error *err) {
    const pm_request *q = c->request;
    size_t vectors = q->n_rewards == 0 ? 1 : q->n_rewards, n_starts = c->original->analysis.graph->n_starts;
    for (size_t b = 0; b < q->n_theta; b++) {
        double mass = 0;
        for (size_t s = 0; s < n_starts; s++) {
            mass += c->r->row[c->original->analysis.graph->start_to[s]] != PM_NONE ? c->start[b * n_starts + s] : 0;
        }
        if (!(mass > 0) && (q->n_moments > 0 || q->covariance)) {
            return mass_is_zero(c, b, err);
        }
        if (result->absorption != NULL) {
            result->absorption[b] = fmin(mass, 1);
        }
    }
    if (q->n_moments > 0) {
        memset(result->moments, 0, q->n_theta * vectors * q->n_moments * sizeof *result->moments);
    }
    if (q->covariance) {
        memset(result->covariance, 0, q->n_theta * vectors * vectors * sizeof *result->covariance);
    }
    return PM_OK;
}

pm_status pmi_restriction_evaluate(const pm_restriction *r, const pm_model *original, const pm_request *request,
                                   const double *start, size_t first_row, pm_result *result, pm_error *err) {
    conditional c = {.r = r, .original = original, .request = request, .first_row = first_row, .start = start};
    if (r->graph == NULL) {
        return evaluate_atoms(&c, result, err);
    }
    size_t n_values = 0, n_h = 0,
           n_terms = (1 + original->analysis.graph->n_edges) * (1 + (size_t)original->analysis.graph->n_params);
    pm_pool pool = {0};
    double *weight = pmi_pool_array(&pool, original->analysis.graph->n_weights, sizeof *weight);
    pm_terms terms = {.coef = pmi_pool_array(&pool, 1 + n_terms, sizeof(double)),
                      .x = pmi_pool_array(&pool, n_terms, sizeof(double))};
    bool fits = pmi_mul(request->n_theta, r->graph->n_weights, &n_values) &&
                pmi_mul(request->n_theta, r->graph->n_vertices, &n_h);
    c.values = pmi_pool_array(&pool, fits ? n_values : SIZE_MAX, sizeof *c.values);
    c.h = pmi_pool_zeros(&pool, fits ? n_h : SIZE_MAX, sizeof *c.h);
    pm_status st = pmi_pool_check(&pool, err, "the transformed chains", (n_values + n_h) * sizeof *c.values);
    PM_THEN(st, fill_values(&c, weight, &terms, err));
    PM_THEN(st, find_h(&c, err));
    PM_THEN(st, evaluate_transformed(&c, result, err));
    pmi_pool_free(&pool);
    return st;
}
