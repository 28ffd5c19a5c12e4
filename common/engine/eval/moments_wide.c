#include <string.h>

#include "base/mem.h"
#include "eval/absorption.h"
#include "eval/moments_impl.h"

pm_replay_setup pmi_wide_setup(const pm_evaluation *e, bool moments, bool covariance) {
    return (pm_replay_setup){.context = e->context,
                             .request = e->request,
                             .rewards = &e->rewards,
                             .order = moments && e->request->n_moments > 0 ? e->request->n_moments : 1,
                             .keep_l = true,
                             .wide = true,
                             .covariance = covariance};
}

void pmi_wide_start(const pm_evaluation *e, size_t row, pm_wide *value) {
    const pm_graph *g = e->context->graph;
    const double *theta = e->request->theta + row * g->n_params;
    pm_wide sum = pmi_wide_of(0);
    for (size_t s = 0; s < g->n_starts; s++) {
        value[s] = pmi_graph_weight_wide(g, g->start_weight[s], theta);
        sum = pmi_wide_add(sum, value[s]);
    }
    pm_wide inverse = pmi_wide_invert(sum);
    for (size_t s = 0; s < g->n_starts; s++) {
        value[s] = pmi_wide_multiply(value[s], inverse);
    }
}

pm_wide pmi_wide_at_start(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b,
                          const pm_wide *start, size_t part, size_t k, size_t lane) {
    const pm_graph *g = e->context->graph;
    const uint32_t *position = e->context->program->position;
    const double *x = pmi_replay_moments(s, b, part, k);
    pm_wide sum = pmi_wide_of(0);
    for (size_t i = 0; i < g->n_starts; i++) {
        uint32_t at = position[g->start_to[i]];
        if (at != PM_NONE) {
            sum = pmi_wide_multiply_add(sum, start[i], pmi_replay_get(x, s->kernels->lanes, at, lane));
        }
    }
    return sum;
}

pm_status pmi_check_pivots(const pm_evaluation *e, const pm_replay_scratch *scratch, size_t first, size_t count,
                           pm_error *err) {
    const pm_moments_context *c = e->context;
    for (size_t lane = 0; lane < count; lane++) {
        if (scratch->factors.lost_pivot[lane] != 0) {
            const double *theta = e->request->theta + (first + lane) * c->graph->n_params;
            pm_status st = pmi_absorption_check(c->graph, c->split, theta, first + lane, err);
            if (st != PM_OK) {
                return st;
            }
        }
    }
    return PM_OK;
}

/* A signed moment is right relative to that of |r|, `size`: below the range it is rounded only where that is far above.
 */
static pm_status check_range(pm_wide value, pm_wide size, size_t row, size_t f, size_t k, pm_error *err) {
    int range = pmi_wide_range(value);
    if (range > 0) {
        return pmi_fail(
            err, PM_EDATA,
            "theta row %zu: moment %zu of reward vector %zu overflows double precision; rescale theta or the "
            "rewards, or ask for fewer moments",
            row, k, f);
    }
    if (range < 0 && pmi_wide_smaller(size, pmi_wide_of(0x1p-960))) {
        return pmi_fail(
            err, PM_EDATA,
            "theta row %zu: moment %zu of reward vector %zu underflows double precision (below 2.2e-308); rescale "
            "theta or the rewards, or ask for fewer moments",
            row, k, f);
    }
    return PM_OK;
}

static pm_status write_vector(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b,
                              const pm_wide *start, size_t row, size_t lane, size_t f, pm_error *err) {
    size_t part = e->rewards.first_part[f];
    bool is_signed = e->rewards.first_part[f + 1] - part == 2;
    pm_wide scale = pmi_wide_of(1); /* k! where the replay leaves it out */
    for (size_t k = 1; k <= s->order; k++) {
        scale = pmi_wide_multiply(scale, pmi_wide_of(e->context->graph->is_discrete ? 1 : (double)k));
        pm_wide plus = pmi_wide_multiply(pmi_wide_at_start(e, s, b, start, part, k, lane), scale);
        pm_wide value = plus, size = plus;
        if (is_signed) {
            pm_wide minus = pmi_wide_multiply(pmi_wide_at_start(e, s, b, start, part + 1, k, lane), scale);
            value = pmi_wide_difference(plus, minus);
            size = pmi_wide_add(plus, minus);
        }
        pm_status st = check_range(value, size, row, f, k, err);
        if (st != PM_OK) {
            return st;
        }
        e->result->moments[(row * e->rewards.n_vectors + f) * s->order + k - 1] = pmi_wide_double(value);
    }
    return PM_OK;
}

static pm_status write_moments(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b, size_t first,
                               size_t count, pm_error *err) {
    pm_wide *start = pmi_malloc(e->context->graph->n_starts, sizeof *start);
    pm_status st = PM_OK;
    if (start == NULL) {
        return pmi_fail_memory(err, "the start distribution", e->context->graph->n_starts * sizeof *start);
    }
    for (size_t lane = 0; st == PM_OK && lane < count; lane++) {
        pmi_wide_start(e, first + lane, start);
        for (size_t f = 0; st == PM_OK && f < e->rewards.n_vectors; f++) {
            st = write_vector(e, s, b, start, first + lane, lane, f, err);
        }
    }
    free(start);
    return st;
}

/* The lanes for so many rows that fit the memory of a thread; 0 when not even one does. */
static unsigned choose_lanes(const pm_evaluation *e, const pm_replay_setup *s, size_t rows) {
    double memory = (double)e->context->memory / e->threads;
    if (e->fast.kernels != NULL) {
        memory -= (double)pmi_replay_lane_bytes(&e->fast) * e->fast.kernels->lanes;
    }
    unsigned lanes = pmi_lanes_for(rows);
    while (lanes > 1 && (double)pmi_replay_lane_bytes(s) * lanes > memory) {
        lanes = pmi_fewer_lanes(lanes);
    }
    return (double)pmi_replay_lane_bytes(s) * lanes > memory ? 0 : lanes;
}

static pm_status run_chunk(const pm_evaluation *e, const pm_replay_setup *s, const pm_wide_task *task, pm_error *err) {
    pm_replay_scratch scratch = {0};
    pm_replay_block block = {0};
    pm_status st = pmi_replay_scratch_new(s, &scratch, err);
    PM_THEN(st, pmi_replay_block_new(s, &block, err));
    PM_THEN(st, pmi_replay_weights(s, &block, task->first, task->count, err));
    for (uint32_t c = 0; st == PM_OK && c < e->context->program->n_components; c++) {
        pmi_replay_component(s, &block, &scratch, c);
    }
    PM_THEN(st, pmi_check_pivots(e, &scratch, task->first, task->count, err));
    if (st == PM_OK && task->moments) {
        st = write_moments(e, s, &block, task->first, task->count, err);
    }
    if (st == PM_OK && task->covariance) {
        st = pmi_covariances(e, s, &block, &scratch, task->first, task->count, err);
    }
    pmi_replay_scratch_free(&scratch);
    pmi_replay_block_free(&block);
    return st;
}

pm_status pmi_wide_rows(const pm_evaluation *e, const pm_wide_task *task, pm_error *err) {
    pm_replay_setup s = pmi_wide_setup(e, task->moments, task->covariance);
    unsigned lanes = choose_lanes(e, &s, task->count);
    if (lanes == 0) {
        return pmi_fail(err, PM_EOSERR,
                        "theta row %zu: the replay in extended precision of %u states with %zu reward vectors and %zu "
                        "moments takes %.3g bytes, but --memory leaves a thread less; give more memory, use fewer "
                        "threads, or ask for fewer moments or rewards at once",
                        task->first, e->context->program->n, e->rewards.n_vectors, s.order,
                        (double)pmi_replay_lane_bytes(&s));
    }
    s.kernels = pmi_kernels_get(e->context->isa, lanes, true);
    for (size_t done = 0; done < task->count; done += lanes) {
        pm_wide_task chunk = *task;
        chunk.first += done;
        chunk.count = task->count - done < lanes ? task->count - done : lanes;
        PM_TRY(run_chunk(e, &s, &chunk, err));
    }
    return PM_OK;
}
