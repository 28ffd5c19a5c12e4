#include "eval/density_block.h"

#include <math.h>
#include <string.h>

#include "base/float_env.h"
#include "base/mem.h"

/* Steps between two looks at what has drained. */
#define DRAIN_EVERY 32

static void block_free(pm_block *b) {
    double *arrays[] = {b->theta,   b->table,    b->table_low, b->keep,      b->keep_low, b->now,     b->next,
                        b->now_low, b->next_low, b->partial,   b->mass,      b->absorbed, b->chunk_a, b->chunk_s,
                        b->chunk_c, b->fastest,  b->blend,     b->blend_low, b->weight};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        free(arrays[i]);
    }
    free(b->mixtures);
    free(b->points);
    free(b->errors);
    free(b->later);
}

typedef struct array {
    double **values;
    size_t size;
    bool is_wanted;
} array;

static pm_status block_new(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes, state = (size_t)c->n * lanes, weights = c->graph->n_weights * lanes, n_mixtures = 0;
    if (!pmi_mul(b->job->request->n_times, lanes, &n_mixtures)) {
        return pmi_fail_memory(err, "the times", SIZE_MAX);
    }
    const array arrays[] = {{&b->theta, lanes * c->graph->n_params, true},
                            {&b->table, weights, true},
                            {&b->table_low, weights, true},
                            {&b->keep, state, true},
                            {&b->keep_low, state, b->extended},
                            {&b->now, state, true},
                            {&b->next, state, true},
                            {&b->now_low, state, b->extended},
                            {&b->next_low, state, b->extended},
                            {&b->partial, c->n_blocks * 2 * lanes, true},
                            {&b->mass, lanes, true},
                            {&b->absorbed, lanes, true},
                            {&b->chunk_a, lanes * PM_CHUNK_STRIDE, true},
                            {&b->chunk_s, lanes * PM_CHUNK_STRIDE, true},
                            {&b->chunk_c, PM_CHUNK, true},
                            {&b->fastest, c->n_levels * lanes, b->may_restart},
                            {&b->blend, state, b->may_restart},
                            {&b->blend_low, state, b->may_restart && b->extended},
                            {&b->weight, lanes, b->may_restart}};
    bool complete = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (arrays[i].is_wanted) {
            *arrays[i].values = pmi_malloc_aligned(arrays[i].size, sizeof(double));
            complete = complete && *arrays[i].values != NULL;
        }
    }
    b->mixtures = pmi_calloc(n_mixtures, sizeof *b->mixtures);
    b->points = pmi_malloc(n_mixtures, sizeof *b->points);
    b->errors = pmi_malloc(n_mixtures, sizeof *b->errors);
    b->later = pmi_malloc(1, sizeof *b->later);
    if (!complete || b->mixtures == NULL || b->points == NULL || b->errors == NULL || b->later == NULL) {
        size_t times = sizeof *b->mixtures + sizeof *b->points + sizeof *b->errors;
        return pmi_fail_memory(err, "densities", 3 * state * sizeof(double) + n_mixtures * times);
    }
    b->step =
        (pm_step){.chain = c, .table = b->table, .keep = b->keep, .table_low = b->table_low, .keep_low = b->keep_low};
    return PM_OK;
}

/* The sums of blocks, added up by Knuth's TwoSum. */
static void add_up(const pm_block *b, size_t offset, double *out) {
    size_t lanes = b->lanes, last = (b->step.last + PM_CHAIN_BLOCK - 1) / PM_CHAIN_BLOCK;
    double error[PM_STEP_MAX_LANES] = {0};
    memset(out, 0, lanes * sizeof *out);
    for (size_t i = b->step.first / PM_CHAIN_BLOCK; i < last; i++) {
        const double *p = b->partial + i * 2 * lanes + offset;
        for (size_t l = 0; l < lanes; l++) {
            double sum = out[l] + p[l], part = sum - out[l];
            error[l] += (out[l] - (sum - part)) + (p[l] - part);
            out[l] = sum;
        }
    }
    for (size_t l = 0; l < lanes; l++) {
        out[l] += error[l];
    }
}

static void add_up_partials(pm_block *b) {
    if (b->job->chain->n_blocks != 1) {
        add_up(b, 0, b->mass);
        add_up(b, b->lanes, b->absorbed);
    }
}

/* Where block i of the chain puts its mass and what it absorbs: where the sums are wanted, if there is no other. */
static double *mass_of(const pm_block *b, size_t i) {
    return b->job->chain->n_blocks != 1 ? b->partial + i * 2 * b->lanes : b->mass;
}

static double *absorbed_of(const pm_block *b, size_t i) {
    return b->job->chain->n_blocks != 1 ? b->partial + (i * 2 + 1) * b->lanes : b->absorbed;
}

static void measure_start(pm_block *b) {
    for (size_t i = 0; i < b->job->chain->n_blocks; i++) {
        double *mass = mass_of(b, i), *absorbed = absorbed_of(b, i);
        if (b->extended) {
            b->extended_kernels->measure(&b->step, i, b->now, b->now_low, mass, absorbed);
        } else {
            b->kernels->measure(&b->step, i, b->now, mass, absorbed);
        }
    }
    add_up_partials(b);
}

static void step_block(const pm_block *b, size_t i) {
    double *mass = mass_of(b, i), *absorbed = absorbed_of(b, i);
    if (b->is_blending && b->extended) {
        b->extended_kernels->blend(&b->step, i, b->now, b->now_low, b->weight, b->blend, b->blend_low);
    } else if (b->is_blending) {
        b->kernels->blend(&b->step, i, b->now, b->weight, b->blend);
    }
    if (b->extended) {
        b->extended_kernels->rows(&b->step, i, b->now, b->now_low, b->next, b->next_low, mass, absorbed);
    } else {
        b->kernels->rows(&b->step, i, b->now, b->next, mass, absorbed);
    }
}

static void exchange(double **a, double **b) {
    double *before = *a;
    *a = *b;
    *b = before;
}

/* Of the states that hold something now: few of a long chain. */
static double work_of_step(const pm_block *b) {
    return pmi_step_work(b->job->chain, (uint32_t)b->step.first, (uint32_t)b->step.last) * b->lanes;
}

static void take_step(pm_block *b) {
    if (b->step.last > b->step.first) {
        b->step.last = b->job->chain->reach[b->step.last - 1];
    }
    size_t first = b->step.first / PM_CHAIN_BLOCK, last = (b->step.last + PM_CHAIN_BLOCK - 1) / PM_CHAIN_BLOCK;
    if (last == 0 && b->job->chain->n_blocks == 1) {
        last = 1; /* nothing is left: the block finds a mass of zero */
    }
    bool is_shared = b->job->step_threads > 1 && work_of_step(b) >= PM_SHARED_STEP_WORK;
    if (!is_shared) {
        for (size_t i = first; i < last; i++) {
            step_block(b, i);
        }
    } else {
#pragma omp parallel num_threads(b->job->step_threads)
        {
            pm_float_env before = pmi_float_enter();
            pm_float_mode mode = pmi_denormals_flush();
#pragma omp for schedule(static)
            for (size_t i = first; i < last; i++) {
                step_block(b, i);
            }
            pmi_denormals_restore(mode);
            pmi_float_leave(before);
        }
    }
    exchange(&b->now, &b->next);
    exchange(&b->now_low, &b->next_low);
    add_up_partials(b);
}

/* Chunks end at 64, 128, 256, 512, and then at every 512: the same steps for every block. */
static uint64_t chunk_end(uint64_t k) {
    uint64_t end = 64;
    while (end <= k && end < PM_CHUNK) {
        end *= 2;
    }
    return end <= k ? (k / PM_CHUNK + 1) * PM_CHUNK : end;
}

/* Pois(k; k) is above 0.36 / sqrt(k). */
void pmi_step_table_set(pm_step_table *t, uint64_t first) {
    for (size_t j = 0; j < PM_CHUNK; j++) {
        double step = (double)(first + j);
        long double product = 1.0L; /* below 2^424, and the ratio is rounded to double but once */
        for (int i = 1; i <= 8; i++) {
            product *= (long double)(step + i);
        }
        t->ratio[j] = (double)(1.0L / product);
        t->mode[j] = step > 0.0 ? 0.36 / sqrt(step) : 1.0;
    }
}

static void begin_chunk(pm_block *b, uint64_t first) {
    b->chunk = first;
    if (first < PM_CHUNK) {
        b->ratio = b->job->early.ratio + first;
        b->mode = b->job->early.mode + first;
    } else {
        pmi_step_table_set(b->later, first);
        b->ratio = b->later->ratio;
        b->mode = b->later->mode;
    }
}

static void record_steps(pm_block *b, uint64_t end) {
    for (uint64_t k = b->recorded; k < end; k++) {
        size_t j = (size_t)(k - b->chunk);
        for (unsigned l = 0; l < b->lanes; l++) {
            b->chunk_a[(size_t)l * PM_CHUNK_STRIDE + j] = b->absorbed[l];
            b->chunk_s[(size_t)l * PM_CHUNK_STRIDE + j] = b->mass[l];
        }
        b->is_blending = b->may_restart && pmi_block_weigh(b, k);
        take_step(b);
        if ((k + 1) % DRAIN_EVERY == 0) {
            pmi_block_drain(b, k + 1);
        }
    }
    b->recorded = end;
}

/* Takes the recorded steps into account and judges, at the lane's own limit and where chunks end for everybody. */
static pm_status follow_chunk(pm_block *b, unsigned l, pm_error *err) {
    pm_lane *lane = &b->lane[l];
    if (lane->done || lane->waits || (b->recorded != lane->limit && b->recorded != chunk_end(b->chunk))) {
        return PM_OK;
    }
    pmi_lane_take(b, l, b->recorded);
    lane->mass = b->mass[l];
    return pmi_lane_judge(b, lane, err);
}

/* The smallest and the largest number of steps that a lane asks for; 0 when all are done, or wait. */
static void find_limits(const pm_block *b, uint64_t *least, uint64_t *most) {
    *least = UINT64_MAX;
    *most = 0;
    for (unsigned l = 0; l < b->count; l++) {
        const pm_lane *lane = &b->lane[l];
        if (!lane->done && !lane->waits) {
            *least = lane->limit < *least ? lane->limit : *least;
            *most = lane->limit > *most ? lane->limit : *most;
        }
    }
}

/* Steps are recorded up to where the first lane is judged and no further, so that a judgement finds the lane as it
 * would be alone; chunks begin where they do for every block. */
static pm_status run_segment(pm_block *b, pm_error *err) {
    pm_status st = PM_OK;
    uint64_t least, most;
    measure_start(b);
    begin_chunk(b, 0);
    for (find_limits(b, &least, &most); st == PM_OK && most > 0; find_limits(b, &least, &most)) {
        uint64_t end = chunk_end(b->chunk);
        record_steps(b, least < end ? least : end);
        for (unsigned l = 0; l < b->count && st == PM_OK; l++) {
            st = follow_chunk(b, l, err);
        }
        if (b->recorded == end) {
            begin_chunk(b, end);
        }
        pmi_progress_tell(b->job->progress, fmin(1.0, (double)b->recorded / (double)most), b->count);
    }
    return st;
}

static pm_status run_steps(pm_block *b, pm_error *err) {
    bool again = true;
    pm_status st = PM_OK;
    while (st == PM_OK && again) {
        st = run_segment(b, err);
        PM_THEN(st, pmi_block_restart(b, &again, err));
    }
    return st;
}

/* A lane whose bound turns out too large is done again with more digits. */
static pm_status finish_lane(const pm_block *b, pm_lane *lane, uint64_t *steps, double *bound, pm_error *err) {
    double own = 0.0;
    pm_status st = PM_OK;
    if (lane->next == PM_METHOD_NONE) {
        st = pmi_lane_finish(b, lane, &own, err);
        if (st == PM_OK && own > b->job->tolerance) {
            st = pmi_lane_more_digits(b, lane, own, err);
        }
    }
    if (st == PM_OK && lane->next == PM_METHOD_NONE) {
        *bound = fmax(*bound, own);
        *steps = lane->steps + lane->at > *steps ? lane->steps + lane->at : *steps;
    }
    b->job->rows[lane->theta_row].method = lane->next;
    return st;
}

pm_status pmi_density_block(const pm_density_job *job, const size_t *rows, size_t count, unsigned lanes, bool extended,
                            uint64_t *steps, double *bound, pm_error *err) {
    pm_block b = {.job = job,
                  .rows = rows,
                  .count = count,
                  .lanes = lanes,
                  .extended = extended,
                  .kernels = pmi_step_kernels_get(job->isa, lanes),
                  .extended_kernels = pmi_extended_kernels_get(job->isa, lanes)};
    *steps = 0;
    *bound = 0.0;
    for (size_t i = 0; i < count; i++) {
        b.may_restart = b.may_restart || pmi_row_may_restart(job, rows[i]);
    }
    pm_float_mode mode = pmi_denormals_flush();
    pmi_count_roundings(&b);
    pm_status st = block_new(&b, err);
    PM_THEN(st, pmi_block_setup(&b, err));
    if (st == PM_OK) {
        for (unsigned l = 0; l < count; l++) {
            pmi_lane_open(&b, l);
        }
        st = run_steps(&b, err);
    }
    for (unsigned l = 0; st == PM_OK && l < count; l++) {
        st = finish_lane(&b, &b.lane[l], steps, bound, err);
    }
    block_free(&b);
    pmi_denormals_restore(mode);
    return st;
}
