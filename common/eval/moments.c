#include "eval/moments.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/machine.h"
#include "base/mem.h"
#include "eval/absorption.h"
#include "eval/replay.h"

/* Work of one level of SCCs below which waking the other threads costs more than it saves. */
#define LEVEL_FLOPS 200000
/* Values of U beyond which fewer lanes run side by side: on a 100 x 100 tandem queue 8 lanes took 6 % less time for
 * each theta than 16, and 4 lanes 15 % more than 8. */
#define CACHED_BYTES ((size_t)24 << 20)

typedef struct evaluation {
    pm_replay_setup setup;
    pm_rewards rewards;
    const pm_request *request;
    const double *start;
    pm_result *result;
    unsigned threads;
    size_t n_blocks;
} evaluation;

static unsigned lanes_for(size_t rows) {
    if (rows <= 1) {
        return 1;
    }
    return rows <= 4 ? 4 : rows <= 8 ? 8 : 16;
}

static unsigned fewer(unsigned lanes) {
    return lanes > 4 ? lanes / 2 : 1;
}

unsigned pm_moments_lanes(const pm_moments_context *context, const pm_request *request, unsigned threads) {
    if (request->lanes != 0) {
        return request->lanes;
    }
    size_t rows = (request->n_theta + threads - 1) / threads;
    unsigned lanes = lanes_for(rows);
    while (lanes > 4 && context->program->largest_u > CACHED_BYTES / (lanes * sizeof(double))) {
        lanes = fewer(lanes);
    }
    return lanes;
}

static pm_replay_setup make_setup(const pm_moments_context *context, const pm_request *request,
                                  const pm_rewards *rewards) {
    size_t order = request->n_moments == 0 ? 1 : request->n_moments;
    return (pm_replay_setup){.context = context,
                             .request = request,
                             .rewards = rewards,
                             .order = order,
                             .keep_l = order > 1 || rewards->n_parts > 1 || request->covariance};
}

size_t pm_moments_lane_bytes(const pm_moments_context *context, const pm_request *request) {
    size_t vectors = request->n_rewards == 0 ? 1 : request->n_rewards;
    pm_rewards unsigned_vectors = {.n_vectors = vectors, .n_parts = vectors};
    pm_replay_setup setup = make_setup(context, request, &unsigned_vectors);
    return pm_replay_lane_bytes(&setup);
}

/* Fewer lanes, then fewer threads, until the arrays fit the memory. */
static pm_status choose_size(evaluation *e, pm_error *err) {
    const pm_moments_context *context = e->setup.context;
    e->threads = e->request->threads == 0 ? pm_processors() : e->request->threads;
    unsigned lanes = pm_moments_lanes(context, e->request, e->threads);
    double lane_bytes = (double)pm_replay_lane_bytes(&e->setup), memory = (double)context->memory;
    while (lanes > 1 && e->request->lanes == 0 && lane_bytes * lanes * e->threads > memory) {
        lanes = fewer(lanes);
    }
    while (e->threads > 1 && lane_bytes * lanes * e->threads > memory) {
        e->threads--;
    }
    if (lane_bytes * lanes > memory) {
        return pm_fail(
            err, PM_EOSERR,
            "the replay of %u states with %zu reward vectors and %zu moments takes %.3g bytes a lane, %u lanes, but "
            "--memory is %zu; give more memory or ask for fewer moments or rewards at once",
            context->program->n, e->rewards.n_vectors, e->setup.order, lane_bytes, lanes, context->memory);
    }
    e->setup.kernels = pm_kernels_get(context->isa, lanes);
    e->n_blocks = (e->request->n_theta + lanes - 1) / lanes;
    return PM_OK;
}

static size_t block_rows(const evaluation *e, size_t block) {
    size_t lanes = e->setup.kernels->lanes, first = block * lanes;
    return e->request->n_theta - first < lanes ? e->request->n_theta - first : lanes;
}

/* ---- from the solutions to the results ---- */

/* Sum over the start distribution of a solution at one lane; absorbing states have moment zero. */
static double at_start(const evaluation *e, const double *x, size_t row, size_t lane) {
    const pm_graph *g = e->setup.context->graph;
    const uint32_t *position = e->setup.context->program->position;
    double sum = 0;
    for (size_t s = 0; s < g->n_starts; s++) {
        uint32_t at = position[g->start_to[s]];
        if (at != PM_NONE) {
            sum += e->start[row * g->n_starts + s] * x[(size_t)at * e->setup.kernels->lanes + lane];
        }
    }
    return sum;
}

static pm_status check_range(double size, bool positive, size_t row, size_t f, size_t k, pm_error *err) {
    if (!(size <= DBL_MAX)) {
        return pm_fail(
            err, PM_EDATA,
            "theta row %zu: moment %zu of reward vector %zu overflows double precision; rescale theta or the "
            "rewards, or ask for fewer moments",
            row, k, f);
    }
    if (positive && size < DBL_MIN) {
        return pm_fail(
            err, PM_EDATA,
            "theta row %zu: moment %zu of reward vector %zu underflows double precision (below 2.2e-308); rescale "
            "theta or the rewards, or ask for fewer moments",
            row, k, f);
    }
    return PM_OK;
}

/* A mean of exactly zero is right when no state with a reward is reached, and an underflow otherwise. */
static pm_status check_zero_mean(const evaluation *e, size_t row, size_t f, pm_error *err) {
    const pm_moments_context *c = e->setup.context;
    const pm_program *p = c->program;
    const double *reward = e->rewards.value + f * p->n;
    size_t i = 0;
    while (i < p->n && reward[i] == 0) {
        i++;
    }
    if (i == p->n) {
        return PM_OK;
    }
    bool *reachable;
    pm_status st = pm_reachable_rows(c->graph, c->split, e->request->theta + row * c->graph->n_params, &reachable, err);
    for (; st == PM_OK && i < p->n; i++) {
        if (reward[i] != 0 && reachable[p->vertex[i]]) {
            st = check_range(0, true, row, f, 1, err);
        }
    }
    free(reachable);
    return st;
}

static pm_status write_moments(const evaluation *e, const pm_replay_block *b, size_t row, size_t lane, pm_error *err) {
    size_t order = e->setup.order;
    for (size_t f = 0; f < e->rewards.n_vectors; f++) {
        bool positive = false;
        double scale = 1; /* k! where the replay leaves it out */
        for (size_t k = 1; k <= order; k++) {
            size_t part = e->rewards.first_part[f];
            double plus = at_start(e, pm_replay_moments(&e->setup, b, part, k), row, lane), minus = 0;
            if (e->rewards.first_part[f + 1] - part == 2) {
                minus = at_start(e, pm_replay_moments(&e->setup, b, part + 1, k), row, lane);
            }
            positive = k == 1 ? plus + minus > 0 : positive && !e->request->factorial;
            pm_status st = check_range(plus + minus, positive, row, f, k, err);
            scale *= e->setup.context->graph->is_discrete ? 1 : (double)k;
            if (st == PM_OK) {
                st = check_range((plus + minus) * scale, positive, row, f, k, err);
            }
            if (st == PM_OK && k == 1 && !positive) {
                st = check_zero_mean(e, row, f, err);
            }
            if (st != PM_OK) {
                return st;
            }
            if (e->request->n_moments > 0 && e->result->moments != NULL) {
                e->result->moments[(row * e->rewards.n_vectors + f) * order + k - 1] = (plus - minus) * scale;
            }
        }
    }
    return PM_OK;
}

/* The mean reward to come from each position, or its expectation after one more step: signed, one lane. */
static double mean_at(const evaluation *e, double *const *parts, size_t f, size_t slot) {
    size_t first = e->rewards.first_part[f];
    double value = parts[first][slot];
    return e->rewards.first_part[f + 1] - first == 2 ? value - parts[first + 1][slot] : value;
}

static void write_covariance(const evaluation *e, const pm_replay_block *b, double *const *means, size_t row,
                             size_t lane) {
    const pm_program *p = e->setup.context->program;
    size_t vectors = e->rewards.n_vectors, lanes = e->setup.kernels->lanes;
    double *out = e->result->covariance + row * vectors * vectors;
    for (size_t f = 0; f < vectors; f++) {
        for (size_t g = f; g < vectors; g++) {
            const double *rf = e->rewards.value + f * p->n, *rg = e->rewards.value + g * p->n;
            double sum = 0;
            for (size_t i = 0; i < p->n; i++) {
                size_t slot = i * lanes + lane;
                double pair = rf[i] * mean_at(e, means, g, slot) + rg[i] * mean_at(e, means, f, slot);
                sum += b->z[slot] * (b->stay != NULL ? pair + rf[i] * rg[i] : pair);
            }
            out[f * vectors + g] = out[g * vectors + f] = sum;
        }
    }
}

static double signed_mean(const evaluation *e, const pm_replay_block *b, size_t f, size_t row, size_t lane) {
    size_t part = e->rewards.first_part[f];
    double mean = at_start(e, pm_replay_moments(&e->setup, b, part, 1), row, lane);
    if (e->rewards.first_part[f + 1] - part == 2) {
        mean -= at_start(e, pm_replay_moments(&e->setup, b, part + 1, 1), row, lane);
    }
    return mean;
}

/* E[Y_f Y_g] becomes the covariance. */
static pm_status subtract_means(const evaluation *e, const pm_replay_block *b, size_t row, size_t lane, pm_error *err) {
    size_t vectors = e->rewards.n_vectors;
    double *out = e->result->covariance + row * vectors * vectors;
    for (size_t f = 0; f < vectors; f++) {
        double mf = signed_mean(e, b, f, row, lane);
        for (size_t g = 0; g < vectors; g++) {
            double *c = &out[f * vectors + g];
            *c = fma(-mf, signed_mean(e, b, g, row, lane), *c);
            if (!(fabs(*c) <= DBL_MAX)) {
                return pm_fail(
                    err, PM_EDATA,
                    "theta row %zu: the covariance of reward vectors %zu and %zu overflows double precision; "
                    "rescale theta or the rewards",
                    row, f, g);
            }
        }
    }
    return PM_OK;
}

static void fill_start_positions(const evaluation *e, pm_replay_block *b, size_t first, size_t count) {
    const pm_graph *g = e->setup.context->graph;
    const pm_program *p = e->setup.context->program;
    size_t lanes = e->setup.kernels->lanes;
    memset(b->z, 0, (size_t)p->n * lanes * sizeof *b->z);
    for (size_t s = 0; s < g->n_starts; s++) {
        uint32_t at = p->position[g->start_to[s]];
        for (size_t lane = 0; at != PM_NONE && lane < lanes; lane++) {
            size_t row = first + (lane < count ? lane : count - 1);
            b->z[(size_t)at * lanes + lane] += e->start[row * g->n_starts + s];
        }
    }
}

static pm_status covariances(const evaluation *e, pm_replay_block *b, pm_replay_scratch *scratch, size_t first,
                             size_t count, pm_error *err) {
    const pm_program *p = e->setup.context->program;
    size_t parts = e->rewards.n_parts, width = (size_t)p->n * e->setup.kernels->lanes;
    double **means = pm_calloc(parts, sizeof *means);
    double *stepped = b->stay != NULL ? pm_malloc_aligned(parts * width, sizeof *stepped) : NULL;
    pm_status st = PM_OK;
    if (means == NULL || (b->stay != NULL && stepped == NULL)) {
        st = pm_fail_memory(err, "the covariances", parts * width * sizeof(double));
        goto out;
    }
    for (size_t part = 0; part < parts; part++) {
        means[part] = pm_replay_moments(&e->setup, b, part, 1);
        if (stepped != NULL) {
            pm_replay_step(&e->setup, b, means[part], stepped + part * width);
            means[part] = stepped + part * width;
        }
    }
    fill_start_positions(e, b, first, count);
    pm_replay_sojourn(&e->setup, b, scratch);
    for (size_t lane = 0; st == PM_OK && lane < count; lane++) {
        write_covariance(e, b, means, first + lane, lane);
        st = subtract_means(e, b, first + lane, lane, err);
    }
out:
    free(means);
    free(stepped);
    return st;
}

static pm_status check_pivots(const evaluation *e, const pm_replay_scratch *scratch, size_t first, size_t count,
                              pm_error *err) {
    const pm_moments_context *c = e->setup.context;
    for (size_t lane = 0; lane < count; lane++) {
        if (scratch->factors.lost_pivot[lane] != 0) {
            const double *theta = e->request->theta + (first + lane) * c->graph->n_params;
            pm_status st = pm_absorption_check(c->graph, c->split, theta, first + lane, err);
            if (st != PM_OK) {
                return st;
            }
        }
    }
    return PM_OK;
}

static void forget_pivots(pm_replay_scratch *scratch) {
    memset(scratch->factors.lost_pivot, 0, sizeof scratch->factors.lost_pivot);
}

static pm_status finish_block(const evaluation *e, pm_replay_block *b, pm_replay_scratch *scratch, size_t block,
                              pm_error *err) {
    size_t first = block * e->setup.kernels->lanes, count = block_rows(e, block);
    pm_status st = check_pivots(e, scratch, first, count, err);
    for (size_t lane = 0; st == PM_OK && lane < count; lane++) {
        st = write_moments(e, b, first + lane, lane, err);
    }
    if (st == PM_OK && e->request->covariance && e->result->covariance != NULL) {
        st = covariances(e, b, scratch, first, count, err);
    }
    return st;
}

/* ---- threads over blocks of theta ---- */

typedef struct worker {
    pm_replay_block block;
    pm_replay_scratch scratch;
    pm_status status;
    pm_error error;
    size_t failed_block;
} worker;

static void run_block(const evaluation *e, worker *w, size_t block) {
    forget_pivots(&w->scratch);
    w->status =
        pm_replay_weights(&e->setup, &w->block, block * e->setup.kernels->lanes, block_rows(e, block), &w->error);
    for (uint32_t c = 0; w->status == PM_OK && c < e->setup.context->program->n_components; c++) {
        pm_replay_component(&e->setup, &w->block, &w->scratch, c);
    }
    if (w->status == PM_OK) {
        w->status = finish_block(e, &w->block, &w->scratch, block, &w->error);
    }
    w->failed_block = block;
}

/* Blocks are taken in ascending order, so the lowest failing one is always among those that ran. */
static void run_blocks(const evaluation *e, worker *workers, int threads) {
    size_t next = 0;
    bool failed = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        worker *w = &workers[omp_get_thread_num()];
        for (;;) {
            size_t block;
            bool stop;
#pragma omp atomic read
            stop = failed;
#pragma omp atomic capture
            block = next++;
            if (stop || block >= e->n_blocks) {
                break;
            }
            run_block(e, w, block);
            if (w->status != PM_OK) {
#pragma omp atomic write
                failed = true;
                break;
            }
            if (omp_get_thread_num() == 0) {
                pm_log_progress(e->setup.context->log, "moments", block + 1, e->n_blocks);
            }
        }
    }
}

static pm_status first_failure(const worker *workers, int n, pm_error *err) {
    const worker *first = NULL;
    for (int i = 0; i < n; i++) {
        if (workers[i].status != PM_OK && (first == NULL || workers[i].failed_block < first->failed_block)) {
            first = &workers[i];
        }
    }
    return first == NULL ? PM_OK : pm_fail(err, first->status, "%s", first->error.text);
}

/* ---- threads over the SCCs of a level ---- */

static double level_flops(const pm_program *p, uint32_t level) {
    double flops = 0;
    for (uint32_t i = p->level_first[level]; i < p->level_first[level + 1]; i++) {
        const pm_component *c = &p->components[p->by_level[i]];
        flops += c->plan == NULL ? 3 : (double)c->plan->trace.flops;
    }
    return flops;
}

static void run_level(const evaluation *e, worker *workers, int threads, uint32_t level) {
    const pm_program *p = e->setup.context->program;
    bool parallel = threads > 1 && p->level_first[level + 1] - p->level_first[level] > 1 &&
                    level_flops(p, level) * e->setup.kernels->lanes >= LEVEL_FLOPS;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (parallel)
    for (uint32_t i = p->level_first[level]; i < p->level_first[level + 1]; i++) {
        pm_replay_component(&e->setup, &workers[0].block, &workers[omp_get_thread_num()].scratch, p->by_level[i]);
    }
}

static void gather_pivots(worker *workers, int threads) {
    for (int t = 1; t < threads; t++) {
        for (int lane = 0; lane < 16; lane++) {
            workers[0].scratch.factors.lost_pivot[lane] |= workers[t].scratch.factors.lost_pivot[lane];
        }
    }
}

static void run_levels(const evaluation *e, worker *workers, int threads) {
    worker *w = &workers[0];
    for (size_t block = 0; w->status == PM_OK && block < e->n_blocks; block++) {
        for (int t = 0; t < threads; t++) {
            forget_pivots(&workers[t].scratch);
        }
        w->status =
            pm_replay_weights(&e->setup, &w->block, block * e->setup.kernels->lanes, block_rows(e, block), &w->error);
        for (uint32_t level = 0; w->status == PM_OK && level < e->setup.context->program->n_levels; level++) {
            run_level(e, workers, threads, level);
        }
        gather_pivots(workers, threads);
        if (w->status == PM_OK) {
            w->status = finish_block(e, &w->block, &w->scratch, block, &w->error);
        }
    }
}

static pm_status run(const evaluation *e, pm_error *err) {
    bool by_level = e->n_blocks < e->threads;
    worker *workers = pm_calloc(e->threads, sizeof *workers);
    pm_status st = workers == NULL ? pm_fail_memory(err, "the threads", e->threads * sizeof *workers) : PM_OK;
    for (unsigned t = 0; st == PM_OK && t < e->threads; t++) {
        st = pm_replay_scratch_new(&e->setup, &workers[t].scratch, err);
        if (st == PM_OK && (t == 0 || !by_level)) {
            st = pm_replay_block_new(&e->setup, &workers[t].block, err);
        }
    }
    if (st == PM_OK) {
        if (by_level) {
            run_levels(e, workers, (int)e->threads);
        } else {
            run_blocks(e, workers, (int)e->threads);
        }
        st = first_failure(workers, (int)e->threads, err);
    }
    for (unsigned t = 0; workers != NULL && t < e->threads; t++) {
        pm_replay_scratch_free(&workers[t].scratch);
        pm_replay_block_free(&workers[t].block);
    }
    free(workers);
    return st;
}

pm_status pm_moments_evaluate(const pm_moments_context *context, const pm_request *request, const double *start,
                              pm_result *result, pm_error *err) {
    if (request->n_theta == 0) {
        return PM_OK;
    }
    evaluation e = {.request = request, .start = start, .result = result};
    pm_status st = pm_rewards_new(context->program, request, context->graph->n_vertices, &e.rewards, err);
    if (st == PM_OK) {
        e.setup = make_setup(context, request, &e.rewards);
        st = choose_size(&e, err);
    }
    if (st == PM_OK) {
        st = run(&e, err);
    }
    pm_rewards_free(&e.rewards);
    return st;
}
