#include "eval/moments.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/float_env.h"
#include "base/machine.h"
#include "base/mem.h"
#include "eval/gradient.h"

/* The fewest lanes that hold so many rows, 16 for more than that. */
static unsigned lanes_for(size_t rows) {
    if (rows <= 1) {
        return 1;
    }
    return rows <= 4 ? 4 : rows <= 8 ? 8 : 16;
}

static unsigned fewer_lanes(unsigned lanes) {
    return lanes > 4 ? lanes / 2 : 1;
}

static size_t fast_bytes(const pm_replay_setup *s) {
    return pmi_replay_lane_bytes(s) + (s->request->gradient ? pmi_gradient_lane_bytes(s) : 0);
}

/* ---- rows in wide numbers ---- */

/* What rows first..first+count-1 are evaluated for in wide numbers. */
typedef struct wide_task {
    size_t first, count;
    bool moments, covariance;
} wide_task;

static pm_replay_setup wide_setup(const pm_evaluation *e, const wide_task *task) {
    bool moments = task->moments && e->request->n_moments > 0;
    return (pm_replay_setup){.context = e->context,
                             .request = e->request,
                             .rewards = &e->rewards,
                             .order = moments ? e->request->n_moments : 1,
                             .keep_l = true,
                             .kind = PM_NUMBER_WIDE,
                             .covariance = task->covariance};
}

void pmi_wide_start(const pm_evaluation *e, size_t row, pm_wide *value) {
    const pm_graph *g = e->context->graph;
    pmi_start_wide(g, e->request->theta + row * g->n_params, value);
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
            sum = pmi_wide_multiply_add(sum, start[i], pmi_replay_get(x, s->kernels, at, lane));
        }
    }
    return sum;
}

pm_status pmi_moments_check_pivots(const pm_evaluation *e, const pm_replay_scratch *scratch, size_t first, size_t count,
                                   pm_error *err) {
    const pm_moments_context *c = e->context;
    for (size_t lane = 0; lane < count; lane++) {
        if (scratch->factors.lost_pivot[lane] != 0) {
            const double *theta = e->request->theta + (first + lane) * c->graph->n_params;
            pm_status st = pmi_absorption_check(c->graph, c->split, theta, first + lane, err);
            if (st != PM_OK) {
                return st;
            }
            if (e->request->gradient) {
                return pmi_fail(err, PM_EDATA,
                                "theta row %zu: no derivative is defined here: some states that no weight leads to at "
                                "this theta cannot reach absorption either; take a theta at which no weight is zero",
                                first + lane);
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

static pm_status write_wide_moments(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b,
                                    size_t first, size_t count, pm_error *err) {
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

/* The lanes for so many rows, of `bytes` each, that fit the memory of a thread; 0 when not even one does. */
static unsigned choose_wide_lanes(const pm_evaluation *e, size_t bytes, size_t rows) {
    double memory = (double)e->context->memory / e->threads;
    if (e->fast.kernels != NULL) {
        memory -= (double)fast_bytes(&e->fast) * e->fast.kernels->lanes;
    }
    unsigned lanes = lanes_for(rows);
    while (lanes > 1 && (double)bytes * lanes > memory) {
        lanes = fewer_lanes(lanes);
    }
    return (double)bytes * lanes > memory ? 0 : lanes;
}

static void run_components(const pm_replay_setup *s, const pm_replay_block *block, pm_replay_scratch *scratch) {
    const pm_program *p = s->context->program;
    for (uint32_t i = 0; s->shares && i < p->n_classes; i++) {
        pmi_replay_share(s, block, scratch, i);
    }
    for (uint32_t c = 0; c < p->n_components; c++) {
        pmi_replay_component(s, block, scratch, c);
    }
}

static pm_status run_chunk(const pm_evaluation *e, const pm_replay_setup *s, const wide_task *task, pm_error *err) {
    pm_replay_scratch scratch = {0};
    pm_replay_block block = {0};
    pm_status st = pmi_replay_scratch_new(s, &scratch, err);
    PM_THEN(st, pmi_replay_block_new(s, &block, err));
    PM_THEN(st, pmi_replay_weights(s, &block, task->first, task->count, err));
    if (st == PM_OK) {
        run_components(s, &block, &scratch);
    }
    PM_THEN(st, pmi_moments_check_pivots(e, &scratch, task->first, task->count, err));
    if (st == PM_OK && task->moments) {
        st = write_wide_moments(e, s, &block, task->first, task->count, err);
    }
    if (st == PM_OK && task->covariance) {
        st = pmi_covariances(e, s, &block, &scratch, task->first, task->count, err);
    }
    pmi_pool_free(&scratch.pool);
    pmi_pool_free(&block.pool);
    return st;
}

/* Writes moments, their derivatives and covariances of the rows, lane by lane right to the last digit or refused.
 * Errors: PM_EDATA naming row, moment and reward vector; PM_EOSERR when the memory of a thread does not hold one lane.
 */
static pm_status wide_rows(const pm_evaluation *e, const wide_task *task, pm_error *err) {
    pm_replay_setup s = wide_setup(e, task);
    size_t bytes = pmi_replay_lane_bytes(&s);
    unsigned lanes = choose_wide_lanes(e, bytes, task->count);
    if (lanes == 0) {
        return pmi_fail(err, PM_EOSERR,
                        "theta row %zu: the replay in extended precision of %u states with %zu reward vectors and %zu "
                        "moments takes %.3g bytes, but --memory leaves a thread less; give more memory, use fewer "
                        "threads, or ask for fewer moments or rewards at once",
                        task->first, e->context->program->n, e->rewards.n_vectors, s.order, (double)bytes);
    }
    s.kernels = pmi_kernels_get(e->context->isa, lanes, PM_NUMBER_WIDE);
    for (size_t done = 0; done < task->count; done += lanes) {
        wide_task chunk = *task;
        chunk.first += done;
        chunk.count = task->count - done < lanes ? task->count - done : lanes;
        PM_TRY(run_chunk(e, &s, &chunk, err));
        for (size_t i = 0; task->moments && e->request->gradient && i < chunk.count; i++) {
            PM_TRY(pmi_gradient_precise(e, chunk.first + i, err));
        }
    }
    return PM_OK;
}

/* ---- rows in doubles, and threads ---- */

/* Work of one level of SCCs below which waking the other threads costs more than it saves. */
#define LEVEL_FLOPS 200000
/* Values of U beyond which fewer lanes run side by side: on a 100 x 100 tandem queue 8 lanes took 6 % less time for
 * each theta than 16, and 4 lanes 15 % more than 8. */
#define CACHED_BYTES ((size_t)24 << 20)

/* Whether moments are wanted that doubles are good for. */
static bool is_fast(const pm_moments_context *context, const pm_request *request) {
    return request->n_moments > 0 && !context->program->is_long;
}

unsigned pmi_moments_lanes(const pm_moments_context *context, const pm_request *request, unsigned threads) {
    if (request->lanes != 0) {
        return request->lanes;
    }
    size_t rows = (request->n_theta + threads - 1) / threads;
    size_t bytes = is_fast(context, request) ? sizeof(double) : 3 * sizeof(double);
    unsigned lanes = lanes_for(rows);
    while (lanes > 4 && context->program->largest_u > CACHED_BYTES / (lanes * bytes)) {
        lanes = fewer_lanes(lanes);
    }
    return lanes;
}

/* What a block needs in wide numbers from the beginning. */
static wide_task wide_from_start(const pm_evaluation *e, size_t first, size_t count) {
    bool moments = e->request->n_moments > 0 && !is_fast(e->context, e->request);
    return (wide_task){.first = first, .count = count, .moments = moments, .covariance = e->request->covariance};
}

static pm_replay_setup fast_setup(const pm_moments_context *context, const pm_request *request,
                                  const pm_rewards *rewards) {
    return (pm_replay_setup){.context = context,
                             .request = request,
                             .rewards = rewards,
                             .order = request->n_moments,
                             .shares = context->program->n_classes > 0,
                             .keep_l = request->n_moments > 1 || rewards->n_parts > 1 || request->gradient};
}

/* Of the arrays that a request surely takes, whatever its values are. */
static size_t lane_bytes(const pm_evaluation *e, bool shares) {
    bool fast = is_fast(e->context, e->request);
    pm_replay_setup setup = fast_setup(e->context, e->request, &e->rewards);
    setup.shares = setup.shares && shares;
    wide_task task = wide_from_start(e, 0, 0);
    pm_replay_setup wide = wide_setup(e, &task);
    return (fast ? fast_bytes(&setup) : 0) + (task.moments || task.covariance ? pmi_replay_lane_bytes(&wide) : 0);
}

size_t pmi_moments_lane_bytes(const pm_moments_context *context, const pm_request *request) {
    size_t vectors = request->n_rewards == 0 ? 1 : request->n_rewards;
    pm_evaluation e = {.context = context, .request = request, .rewards = {.n_vectors = vectors, .n_parts = vectors}};
    return lane_bytes(&e, true);
}

/* Sharing the factors of classes saves more than lanes beyond the fourth do. */
#define SHARING_LANES 4

/* Fewer lanes, then fewer threads, until the arrays fit the memory; factor classes are shared where that leaves lanes
 * enough. */
static pm_status choose_size(pm_evaluation *e, pm_error *err) {
    const pm_moments_context *context = e->context;
    e->threads = e->request->threads == 0 ? pmi_processors() : e->request->threads;
    unsigned lanes = pmi_moments_lanes(context, e->request, e->threads);
    double memory = (double)context->memory;
    unsigned least = e->request->lanes != 0 || lanes < SHARING_LANES ? lanes : SHARING_LANES;
    bool shares = (double)lane_bytes(e, true) * least * e->threads <= memory;
    double bytes = (double)lane_bytes(e, shares);
    while (lanes > 1 && e->request->lanes == 0 && bytes * lanes * e->threads > memory) {
        lanes = fewer_lanes(lanes);
    }
    while (e->threads > 1 && bytes * lanes * e->threads > memory) {
        e->threads--;
    }
    if (bytes * lanes > memory) {
        return pmi_fail(
            err, PM_EOSERR,
            "the replay of %u states with %zu reward vectors and %zu moments takes %.3g bytes a lane, %u lanes, but "
            "--memory is %zu; give more memory or ask for fewer moments or rewards at once",
            context->program->n, e->rewards.n_vectors, e->request->n_moments, bytes, lanes, context->memory);
    }
    e->lanes = lanes;
    if (is_fast(context, e->request)) {
        e->fast = fast_setup(context, e->request, &e->rewards);
        e->fast.shares = e->fast.shares && shares;
        e->fast.kernels = pmi_kernels_get(context->isa, lanes, PM_NUMBER_DOUBLE);
    }
    e->n_blocks = (e->request->n_theta + lanes - 1) / lanes;
    return PM_OK;
}

static size_t block_rows(const pm_evaluation *e, size_t block) {
    size_t first = block * e->lanes;
    return e->request->n_theta - first < e->lanes ? e->request->n_theta - first : e->lanes;
}

/* ---- from the solutions to the results ---- */

/* Sum over the start distribution of a solution at one lane; absorbing states have moment zero. The rounding of each
 * sum is added in the end (Knuth's TwoSum): many states may start. */
static inline double at_start(const pm_evaluation *e, const double *x, size_t row, size_t lane, unsigned lanes) {
    const pm_graph *g = e->context->graph;
    const uint32_t *position = e->context->program->position;
    const double *start = e->start->value + row * g->n_starts;
    double sum = 0, error = 0;
    for (size_t s = 0; s < g->n_starts; s++) {
        uint32_t at = position[g->start_to[s]];
        if (at != PM_NONE) {
            double term = start[s] * x[(size_t)at * lanes + lane];
            double total = sum + term, part = total - sum;
            error += (sum - (total - part)) + (term - part);
            sum = total;
        }
    }
    return sum + error;
}

/* Writes the moments of one row; false where one of them is denormal: then wide numbers judge. */
static bool write_moments(const pm_evaluation *e, const pm_replay_setup *s, const pm_replay_block *b, size_t row,
                          size_t lane) {
    bool fits = true, is_discrete = e->context->graph->is_discrete;
    unsigned lanes = s->kernels->lanes;
    double *out = e->result->moments + row * e->rewards.n_vectors * s->order;
    for (size_t f = 0; f < e->rewards.n_vectors; f++) {
        double scale = 1; /* k! where the replay leaves it out */
        size_t part = e->rewards.first_part[f];
        for (size_t k = 1; k <= s->order; k++) {
            scale *= is_discrete ? 1 : (double)k;
            double value = at_start(e, pmi_replay_moments(s, b, part, k), row, lane, lanes);
            if (e->rewards.first_part[f + 1] - part == 2) {
                value -= at_start(e, pmi_replay_moments(s, b, part + 1, k), row, lane, lanes);
            }
            value *= scale;
            fits &= value == 0 || fabs(value) >= DBL_MIN;
            *out++ = value;
        }
    }
    return fits;
}

/* ---- rows that leave the range of doubles ---- */

/* One thread's arrays. */
typedef struct worker {
    pm_replay_scratch scratch;
    pm_replay_block block;
    pm_gradient_room gradient;
    pm_status status;
    pm_error error;
    size_t failed_block;
    bool raised; /* in the share of a level */
} worker;

/* Evaluates one row by itself, with the same bits as in a block. *rough: it left the range of doubles somewhere, or was
 * refused in them, so that neither its values nor its error count. *imprecise: its derivatives do not. */
static pm_status run_alone(const pm_evaluation *e, size_t row, bool *rough, bool *imprecise, pm_error *err) {
    pm_replay_setup s = e->fast;
    s.kernels = pmi_kernels_get(e->context->isa, 1, PM_NUMBER_DOUBLE);
    pm_replay_scratch scratch = {0};
    pm_replay_block block = {0};
    pm_gradient_room room = {0};
    bool fits = true;
    pm_status st = pmi_replay_scratch_new(&s, &scratch, err);
    PM_THEN(st, pmi_replay_block_new(&s, &block, err));
    if (e->request->gradient) {
        PM_THEN(st, pmi_gradient_room_new(&s, &room, err));
    }
    if (st == PM_OK) {
        pmi_float_clear();
        st = pmi_replay_weights(&s, &block, row, 1, err);
        if (st == PM_OK) {
            run_components(&s, &block, &scratch);
        }
        fits = st != PM_OK || write_moments(e, &s, &block, row, 0);
        if (st == PM_OK && e->request->gradient) {
            pmi_gradient_write(e, &s, &block, &scratch, &room, row, 1, imprecise);
        }
        *rough = (st == PM_OK && (pmi_float_raised() || !fits)) || st == PM_EDATA;
    }
    if (st == PM_OK && !*rough) {
        st = pmi_moments_check_pivots(e, &scratch, row, 1, err);
    }
    pmi_pool_free(&room.pool);
    pmi_pool_free(&scratch.pool);
    pmi_pool_free(&block.pool);
    return *rough ? PM_OK : st;
}

/* A block in which something left the range: which rows did is found one by one, so that the result of a row does not
 * depend on its neighbours. The first row at fault is the one that is reported. */
static pm_status settle_rows(const pm_evaluation *e, size_t first, size_t count, pm_error *err) {
    pm_status st = PM_OK;
    size_t run = 0; /* rough rows before `row` that wait */
    for (size_t row = first; st == PM_OK && row < first + count; row++) {
        bool rough = e->start->rough[row], imprecise = false;
        pm_error own;
        pm_status alone = rough ? PM_OK : run_alone(e, row, &rough, &imprecise, &own);
        run += rough ? 1 : 0;
        if (run > 0 && (!rough || row + 1 == first + count)) {
            size_t end = rough ? row + 1 : row;
            wide_task task = {.first = end - run, .count = run, .moments = true};
            st = wide_rows(e, &task, err);
            run = 0;
        }
        if (st == PM_OK && alone != PM_OK) {
            st = pmi_fail(err, alone, "%s", own.text);
        }
        if (st == PM_OK && !rough && imprecise) {
            st = pmi_gradient_precise(e, row, err);
        }
    }
    return st;
}

static bool start_is_rough(const pm_evaluation *e, size_t first, size_t count) {
    for (size_t row = first; row < first + count; row++) {
        if (e->start->rough[row]) {
            return true;
        }
    }
    return false;
}

/* After the components of a block have been solved, or its weights were refused with `st`. */
static pm_status finish_fast(const pm_evaluation *e, worker *w, size_t first, size_t count, bool raised, pm_status st) {
    bool fits = true, imprecise[16] = {false};
    for (size_t lane = 0; st == PM_OK && lane < count; lane++) {
        fits &= write_moments(e, &e->fast, &w->block, first + lane, lane);
    }
    if (st == PM_OK && e->request->gradient) {
        pmi_gradient_write(e, &e->fast, &w->block, &w->scratch, &w->gradient, first, count, imprecise);
    }
    raised |= pmi_float_raised();
    if (st != PM_OK && st != PM_EDATA) {
        return st;
    }
    if (raised || !fits || start_is_rough(e, first, count)) {
        return settle_rows(e, first, count, &w->error);
    }
    PM_TRY(st);
    PM_TRY(pmi_moments_check_pivots(e, &w->scratch, first, count, &w->error));
    for (size_t lane = 0; lane < count; lane++) {
        if (imprecise[lane]) {
            PM_TRY(pmi_gradient_precise(e, first + lane, &w->error));
        }
    }
    return PM_OK;
}

static pm_status run_wide(const pm_evaluation *e, size_t first, size_t count, pm_error *err) {
    wide_task task = wide_from_start(e, first, count);
    return task.moments || task.covariance ? wide_rows(e, &task, err) : PM_OK;
}

/* What a scratch holds of another block: factors of other theta, and pivots that were lost in them. */
static void forget_block(pm_replay_scratch *scratch) {
    scratch->factored = PM_NONE;
    memset(scratch->factors.lost_pivot, 0, sizeof scratch->factors.lost_pivot);
}

/* ---- threads over blocks ---- */

static void run_block(const pm_evaluation *e, worker *w, size_t block) {
    size_t first = block * e->lanes, count = block_rows(e, block);
    w->status = PM_OK;
    w->failed_block = block;
    if (e->fast.kernels != NULL) {
        pmi_float_clear();
        forget_block(&w->scratch);
        pm_status st = pmi_replay_weights(&e->fast, &w->block, first, count, &w->error);
        if (st == PM_OK) {
            run_components(&e->fast, &w->block, &w->scratch);
        }
        w->status = finish_fast(e, w, first, count, false, st);
    }
    if (w->status == PM_OK) {
        w->status = run_wide(e, first, count, &w->error);
    }
}

/* Blocks are taken in ascending order, so the lowest failing one is always among those that ran. */
static void run_blocks(const pm_evaluation *e, worker *workers, int threads) {
    size_t next = 0;
    bool failed = false;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        worker *w = &workers[omp_get_thread_num()];
        pm_float_env before = pmi_float_enter();
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
                pmi_log_progress(e->context->log, "moments", block + 1, e->n_blocks);
            }
        }
        pmi_float_leave(before);
    }
}

static pm_status first_failure(const worker *workers, int n, pm_error *err) {
    const worker *first = NULL;
    for (int i = 0; i < n; i++) {
        if (workers[i].status != PM_OK && (first == NULL || workers[i].failed_block < first->failed_block)) {
            first = &workers[i];
        }
    }
    return first == NULL ? PM_OK : pmi_fail(err, first->status, "%s", first->error.text);
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

/* Factor classes depend on nothing but theta: all threads take theirs before the first level. */
static void share_classes(const pm_evaluation *e, worker *workers, int threads) {
    uint32_t n = e->fast.shares ? e->context->program->n_classes : 0;
#pragma omp parallel num_threads(threads) if (threads > 1 && n > 1)
    {
        worker *w = &workers[omp_get_thread_num()];
        pm_float_env before = pmi_float_enter();
#pragma omp for schedule(dynamic, 1)
        for (uint32_t i = 0; i < n; i++) {
            pmi_replay_share(&e->fast, &workers[0].block, &w->scratch, i);
        }
        w->raised |= pmi_float_raised();
        pmi_float_leave(before);
    }
}

static void run_level(const pm_evaluation *e, worker *workers, int threads, uint32_t level) {
    const pm_program *p = e->context->program;
    uint32_t begin = p->level_first[level], end = p->level_first[level + 1];
    if (threads == 1 || end - begin == 1 || level_flops(p, level) * e->lanes < LEVEL_FLOPS) {
        for (uint32_t i = begin; i < end; i++) {
            pmi_replay_component(&e->fast, &workers[0].block, &workers[0].scratch, p->by_level[i]);
        }
        workers[0].raised |= pmi_float_raised();
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        worker *w = &workers[omp_get_thread_num()];
        pm_float_env before = pmi_float_enter();
#pragma omp for schedule(dynamic, 1)
        for (uint32_t i = begin; i < end; i++) {
            pmi_replay_component(&e->fast, &workers[0].block, &w->scratch, p->by_level[i]);
        }
        w->raised |= pmi_float_raised();
        pmi_float_leave(before);
    }
}

/* What the shares of a block left: whether one of them left the range; lost pivots are gathered in the first. */
static bool gather(worker *workers, int threads) {
    bool raised = workers[0].raised;
    for (int t = 1; t < threads; t++) {
        raised |= workers[t].raised;
        for (int lane = 0; lane < 16; lane++) {
            workers[0].scratch.factors.lost_pivot[lane] |= workers[t].scratch.factors.lost_pivot[lane];
        }
    }
    return raised;
}

static void run_levels(const pm_evaluation *e, worker *workers, int threads) {
    worker *w = &workers[0];
    for (size_t block = 0; w->status == PM_OK && block < e->n_blocks; block++) {
        size_t first = block * e->lanes, count = block_rows(e, block);
        for (int t = 0; t < threads; t++) {
            forget_block(&workers[t].scratch);
            workers[t].raised = false;
        }
        pmi_float_clear();
        pm_status st = pmi_replay_weights(&e->fast, &w->block, first, count, &w->error);
        w->raised = pmi_float_raised(); /* clang's OpenMP clears the flags where a parallel region ends */
        if (st == PM_OK) {
            share_classes(e, workers, threads);
        }
        for (uint32_t level = 0; st == PM_OK && level < e->context->program->n_levels; level++) {
            run_level(e, workers, threads, level);
        }
        w->scratch.factored = PM_NONE; /* another thread may have taken the last component */
        w->status = finish_fast(e, w, first, count, gather(workers, threads), st);
        if (w->status == PM_OK) {
            w->status = run_wide(e, first, count, &w->error);
        }
    }
}

static pm_status run(const pm_evaluation *e, pm_error *err) {
    bool by_level = e->n_blocks < e->threads && e->fast.kernels != NULL;
    worker *workers = pmi_calloc(e->threads, sizeof *workers);
    pm_status st = workers == NULL ? pmi_fail_memory(err, "the threads", e->threads * sizeof *workers) : PM_OK;
    for (unsigned t = 0; st == PM_OK && e->fast.kernels != NULL && t < e->threads; t++) {
        st = pmi_replay_scratch_new(&e->fast, &workers[t].scratch, err);
        if (st == PM_OK && (t == 0 || !by_level)) {
            st = pmi_replay_block_new(&e->fast, &workers[t].block, err);
            if (e->request->gradient) {
                PM_THEN(st, pmi_gradient_room_new(&e->fast, &workers[t].gradient, err));
            }
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
        pmi_pool_free(&workers[t].scratch.pool);
        pmi_pool_free(&workers[t].block.pool);
        pmi_pool_free(&workers[t].gradient.pool);
    }
    free(workers);
    return st;
}

pm_status pmi_moments_evaluate(const pm_moments_context *context, const pm_request *request, const pm_start *start,
                               pm_result *result, pm_error *err) {
    if (request->n_theta == 0) {
        return PM_OK;
    }
    pm_evaluation e = {.context = context, .request = request, .start = start, .result = result};
    pm_status st = pmi_rewards_new(context->program, request, context->graph->n_vertices, &e.rewards, err);
    PM_THEN(st, choose_size(&e, err));
    PM_THEN(st, run(&e, err));
    pmi_rewards_free(&e.rewards);
    return st;
}
