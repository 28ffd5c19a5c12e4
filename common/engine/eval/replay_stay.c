/* What stays in each state of a discrete graph, in wide numbers whatever the kernels are: where nearly all leave, the
 * rounding of a sum would be all that stays. */
#include <math.h>
#include <stdlib.h>

#include "eval/absorption.h"
#include "eval/replay.h"
#include "eval/row_sums.h"
#include "graph/exact.h"
#include "graph/weights.h"

/* Staying with less probability is summed without rounding: wide numbers would know it to less than 19 digits. */
#define SMALL_STAY 0x1p-40

static bool is_wide(const pm_replay_setup *s) {
    return s->kernels->stride != s->kernels->lanes;
}

static size_t degree(const pm_program *p, uint32_t i) {
    return p->inner_row[i + 1] - p->inner_row[i] + p->exit_row[i + 1] - p->exit_row[i] + p->absorb_row[i + 1] -
           p->absorb_row[i];
}

size_t pmi_replay_stay_terms(const pm_replay_setup *setup) {
    const pm_program *p = setup->context->program;
    size_t most = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        most = degree(p, i) > most ? degree(p, i) : most;
    }
    return 1 + most * (1 + (size_t)setup->context->graph->n_params);
}

/* The row of theta at one lane, and room for the terms of an exact sum. */
typedef struct place {
    size_t row, lane;
    const double *theta;
    pm_terms terms;
    bool *reachable; /* rows of the graph at this theta; NULL until somebody asks */
} place;

/* One minus the sum of all ways out of position i. */
static pm_wide exact_stay(const pm_replay_setup *s, place *at, uint32_t i) {
    const pm_program *p = s->context->program;
    const pm_graph *g = s->context->graph;
    pm_terms *t = &at->terms;
    t->n = 0;
    t->coef[0] = 1;
    pmi_terms_subtract(t, g, at->theta, p->inner_weight + p->inner_row[i], p->inner_row[i + 1] - p->inner_row[i]);
    pmi_terms_subtract(t, g, at->theta, p->exit_weight + p->exit_row[i], p->exit_row[i + 1] - p->exit_row[i]);
    pmi_terms_subtract(t, g, at->theta, p->absorb_weight + p->absorb_row[i], p->absorb_row[i + 1] - p->absorb_row[i]);
    return pmi_exact_dot_wide(t->coef, t->n, t->x);
}

/* A row that exceeds one is an error if this theta lets it be reached. */
static pm_status check_excess(const pm_replay_setup *s, place *at, uint32_t vertex, double sum, pm_error *err) {
    const pm_moments_context *c = s->context;
    if (at->reachable == NULL) {
        PM_TRY(pmi_reachable_rows(c->graph, c->split, at->theta, &at->reachable, err));
    }
    if (at->reachable[vertex]) {
        char text[200];
        pmi_graph_describe(c->graph, vertex, text, sizeof text);
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: the probabilities out of %s add up to %.17g (self-loops included), expected "
                        "at most 1",
                        at->row, text, sum);
    }
    return PM_OK;
}

/* stay = 1 - `out`, the sum of all ways out; self-loops are part of staying and only have to leave room for the rest.
 * Where values are given for weights, rounded ones, that of the self-loop says what stays. A row that is normalized
 * lacks nothing to one: it stays by its self-loops alone, or wholly where it has no weight. Others that exceed one, by
 * rounding or where this theta never leads, are divided by their sum, so that nothing stays. */
static pm_status fill_stay_of(const pm_replay_setup *s, const pm_replay_block *b, place *at, uint32_t i,
                              pm_error *err) {
    const pm_program *p = s->context->program;
    unsigned lanes = s->kernels->lanes;
    size_t lane = at->lane;
    const double *values = is_wide(s) ? b->values : b->exact_values;
    pm_wide out = pmi_replay_get(is_wide(s) ? b->stay : b->exact_sums, lanes, i, lane), loops = pmi_wide_of(0);
    for (size_t e = p->loop_row[i]; e < p->loop_row[i + 1]; e++) {
        loops = pmi_wide_add(loops, pmi_replay_get(values, lanes, p->loop_weight[e], lane));
    }
    double sum = pmi_wide_double(pmi_wide_add(out, loops));
    pm_status st = sum > 1 + PM_ROW_SUM_SLACK ? check_excess(s, at, p->vertex[i], sum, err) : PM_OK;
    if (st != PM_OK) {
        return st;
    }
    pm_wide stay = pmi_wide_difference(pmi_wide_of(1), out), excess = pmi_wide_of(1);
    const pm_graph *g = s->context->graph;
    bool is_told = g->takes_values && (loops.hi > 0 || stay.hi > 0);
    if ((g->normalizes_rows && out.hi > 0) || is_told) {
        stay = loops;
    } else if (fabs(pmi_wide_double(stay)) < SMALL_STAY) {
        stay = exact_stay(s, at, i);
    }
    if (stay.hi < 0) {
        stay = pmi_wide_of(0);
        excess = out;
    }
    if (is_wide(s)) {
        pmi_replay_put(b->stay, lanes, i, lane, stay);
        pmi_replay_put(b->excess, lanes, i, lane, excess);
    } else {
        b->stay[(size_t)i * lanes + lane] = pmi_wide_double(stay);
        b->excess[(size_t)i * lanes + lane] = pmi_wide_double(excess);
    }
    return PM_OK;
}

pm_status pmi_replay_stay(const pm_replay_setup *s, const pm_replay_block *b, size_t first, size_t count,
                          pm_error *err) {
    const pm_program *p = s->context->program;
    const pm_kernels *kernels = pmi_kernels_get(s->context->isa, s->kernels->lanes, true);
    const double *values = is_wide(s) ? b->values : b->exact_values;
    double *sums = is_wide(s) ? b->stay : b->exact_sums;
    kernels->clear(p->n, sums);
    kernels->add_weights(p->n, p->inner_row, p->inner_weight, values, sums);
    kernels->add_weights(p->n, p->exit_row, p->exit_weight, values, sums);
    kernels->add_weights(p->n, p->absorb_row, p->absorb_weight, values, sums);
    place at = {.terms = {.coef = b->terms, .x = b->terms + pmi_replay_stay_terms(s)}};
    for (; at.lane < kernels->lanes; at.lane++) {
        at.row = first + (at.lane < count ? at.lane : count - 1);
        at.theta = s->request->theta + at.row * s->context->graph->n_params;
        for (uint32_t i = 0; i < p->n; i++) {
            PM_TRY(fill_stay_of(s, b, &at, i, err));
        }
        free(at.reachable);
        at.reachable = NULL;
    }
    return PM_OK;
}
